// kafkajs. See tests/interop/README.md.
'use strict'

const { createHash, randomUUID } = require('node:crypto')
const readline = require('node:readline')
const zstd = require('@bokuweb/zstd-wasm')
const lz4 = require('lz4-napi')
const kafkajs = require('kafkajs')

const { AssignerProtocol, CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, PartitionAssigners, Partitioners } = kafkajs

// kafkajs itself has gzip alone; these are what its users plug in.
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: async (buffer) => lz4.decompressFrame(buffer),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
})
const CODECS = { none: 'None', gzip: 'GZIP', snappy: 'Snappy', lz4: 'LZ4', zstd: 'ZSTD' }

const kafka = new Kafka({
  clientId: 'interop',
  brokers: [process.argv[2]],
  retry: { initialRetryTime: 50, retries: 8 },
  logCreator: () => (entry) => process.stderr.write(JSON.stringify(entry) + '\n'),
})

class Unsupported extends Error {}

/** Producers with a transactional id, and the transaction that each has open. */
const transactional = new Map()

const endTransaction = async (held, how) => {
  if (how === 'commit') await held.open.commit()
  else if (how === 'abort') await held.open.abort()
}

const encode = (bytes) => {
  if (bytes === null || bytes === undefined) return null
  if (bytes.length > 1024) return `sha256:${createHash('sha256').update(bytes).digest('hex')}:${bytes.length}`
  const text = bytes.toString('utf8')
  return Buffer.from(text, 'utf8').equals(bytes) ? text : 'hex:' + bytes.toString('hex')
}

const decode = (text) => {
  if (text === null || text === undefined) return null
  return text.startsWith('hex:') ? Buffer.from(text.slice(4), 'hex') : Buffer.from(text, 'utf8')
}

const errorReply = (error) => {
  let cause = error
  // The library wraps: an aggregate of a request's errors, or a "retries exceeded" around the last one.
  while (cause.code === undefined && (cause.cause || (cause.errors && cause.errors.length))) cause = cause.cause || cause.errors[0]
  return { error: typeof cause.code === 'number' ? cause.code : -1, message: `${error.name}: ${error.message}` }
}

const toRecord = (topic, partition, message) => ({
  t: topic,
  p: partition,
  o: Number(message.offset),
  ts: Number(message.timestamp),
  k: encode(message.key),
  v: encode(message.value),
  // Headers of one name come as an array.
  h: Object.entries(message.headers || {}).flatMap(([name, value]) =>
    Array.isArray(value) ? value.map((one) => [name, encode(one)]) : [[name, encode(value)]]
  ),
})

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// The library has one assignor of its own; this is the range of the others, written to its plug-in interface.
const rangeAssigner = ({ cluster }) => ({
  name: 'range',
  version: 0,
  async assign({ members, topics }) {
    const ids = members.map((member) => member.memberId).sort()
    const result = Object.fromEntries(ids.map((id) => [id, {}]))
    for (const topic of topics) {
      const partitions = cluster.findTopicPartitionMetadata(topic).map((p) => p.partitionId).sort((a, b) => a - b)
      const each = Math.floor(partitions.length / ids.length)
      const more = partitions.length % ids.length
      ids.forEach((id, i) => {
        const start = each * i + Math.min(i, more)
        result[id][topic] = partitions.slice(start, start + each + (i < more ? 1 : 0))
      })
    }
    return ids.map((memberId) => ({
      memberId,
      memberAssignment: AssignerProtocol.MemberAssignment.encode({ version: 0, assignment: result[memberId], userData: Buffer.alloc(0) }),
    }))
  },
  protocol({ topics }) {
    return { name: 'range', metadata: AssignerProtocol.MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }) }
  },
})

class Member {
  constructor(request) {
    this.request = request
    this.records = []
    this.received = 0
    this.assigned = []
  }

  async start() {
    const { group, topics, assignor, session_timeout_ms: sessionTimeout = 10000, instance } = this.request
    const partitionAssigners = { range: [rangeAssigner], roundrobin: [PartitionAssigners.roundRobin] }[assignor || 'range']
    if (!partitionAssigners || instance) throw new Unsupported()
    this.consumer = kafka.consumer({
      groupId: group, sessionTimeout, heartbeatInterval: 500, rebalanceTimeout: 10000, maxWaitTimeInMs: 100, partitionAssigners,
    })
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => {
      this.assigned = Object.entries(payload.memberAssignment).flatMap(([t, ps]) => ps.map((p) => `${t}-${p}`)).sort()
    })
    this.consumer.on(this.consumer.events.REBALANCING, () => { this.assigned = [] })
    await this.consumer.connect()
    await this.consumer.subscribe({ topics, fromBeginning: true })
    await this.consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        if (batch.messages.length === 0) return
        const last = batch.messages[batch.messages.length - 1]
        await this.consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset: String(BigInt(last.offset) + 1n) }])
        for (const message of batch.messages) this.records.push(toRecord(batch.topic, batch.partition, message))
        this.received += batch.messages.length
      },
    })
  }

  async stop() {
    await this.consumer.disconnect()
  }
}

const members = new Map()
let connectedAdmin = null
const admin = async () => {
  if (!connectedAdmin) {
    connectedAdmin = kafka.admin({ retry: { initialRetryTime: 50, retries: 2 } })
    await connectedAdmin.connect()
  }
  return connectedAdmin
}

// The topic calls of the library throw for a request as a whole; one topic per call tells each one's code.
const codes = async (names, call) => {
  const result = {}
  for (const name of names) {
    try {
      result[name] = (await call(name)) === false ? 36 : 0
    } catch (error) {
      result[name] = errorReply(error).error
      if (result[name] === -1) throw error
    }
  }
  return result
}

const handlers = {
  async transact({ id, transactional_id, timeout_ms = 60000 }) {
    const producer = kafka.producer({
      transactionalId: transactional_id, transactionTimeout: timeout_ms, idempotent: true, maxInFlightRequests: 1,
      createPartitioner: Partitioners.DefaultPartitioner, retry: { initialRetryTime: 50, retries: 3 },
    })
    await producer.connect()
    transactional.set(id, { producer, open: null })
    return null
  },

  async transaction({ id, records, end }) {
    const held = transactional.get(id)
    held.open = await held.producer.transaction()
    const results = []
    for (const record of records) {
      const message = { value: decode(record.v), partition: record.p }
      const [sent] = await held.open.send({ topic: record.t, messages: [message], acks: -1 })
      results.push({ p: sent.partition, o: Number(sent.baseOffset) })
    }
    await endTransaction(held, end)
    return results
  },

  async end_transaction({ id, end }) {
    await endTransaction(transactional.get(id), end)
    return null
  },

  async copy({ id, group, from, to, count, batch: size, abort_every: abortEvery, leave_open: leaveOpen }) {
    const held = transactional.get(id)
    const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 100, readUncommitted: false })
    let done = 0
    let rounds = 0
    let finish
    const finished = new Promise((resolve, reject) => { finish = { resolve, reject } })
    const copyOnce = async (partition, messages) => {
      held.open = await held.producer.transaction()
      await held.open.send({ topic: to, messages: messages.map(({ value }) => ({ value, partition })), acks: -1 })
      const offset = String(BigInt(messages[messages.length - 1].offset) + 1n)
      await held.open.sendOffsets({ consumerGroupId: group, topics: [{ topic: from, partitions: [{ partition, offset }] }] })
      if (leaveOpen) return true
      rounds += 1
      const isKept = rounds % abortEvery !== 0
      await endTransaction(held, isKept ? 'commit' : 'abort')
      return isKept
    }
    await consumer.connect()
    await consumer.subscribe({ topics: [from], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, heartbeat, resolveOffset }) => {
        try {
          for (let start = 0; start < batch.messages.length && done < (leaveOpen ? 1 : count);) {
            const messages = batch.messages.slice(start, start + size)
            if (!(await copyOnce(batch.partition, messages))) continue
            start += messages.length
            done += messages.length
            resolveOffset(messages[messages.length - 1].offset)
            await heartbeat()
          }
        } catch (error) {
          finish.reject(error)
        }
        if (done >= (leaveOpen ? 1 : count)) finish.resolve()
      },
    })
    try {
      await Promise.race([finished, sleep(30000)])
    } finally {
      await consumer.disconnect()
    }
    return done
  },

  async produce({ codec = 'none', acks = 'all', idempotent = false, records }) {
    const producer = kafka.producer({
      idempotent, createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: true,
    })
    await producer.connect()
    const results = new Array(records.length).fill(null)
    const send = async (topic, indexes) => {
      const messages = indexes.map((i) => ({
        key: decode(records[i].k),
        value: decode(records[i].v),
        partition: records[i].p ?? undefined,
        timestamp: records[i].ts === null || records[i].ts === undefined ? undefined : String(records[i].ts),
        headers: Object.fromEntries((records[i].h || []).map(([name, value]) => [name, decode(value)])),
      }))
      const compression = CompressionTypes[CODECS[codec]]
      const sent = await producer.send({ topic, messages, acks: acks === 'all' ? -1 : Number(acks), compression, timeout: 10000 })
      return sent
    }
    // The answer tells the base offset per partition only, so each record's offset is counted from it; which partition
    // a record went to is known for those with a partition of their own or a key (one send per record tells it for few).
    const byTopic = new Map()
    records.forEach((record, i) => byTopic.set(record.t, [...(byTopic.get(record.t) || []), i]))
    for (const [topic, indexes] of byTopic) {
      for (const chunk of chunks(indexes, records.length <= 50 ? 1 : 100)) {
        try {
          const sent = await send(topic, chunk)
          for (const i of chunk) {
            const only = sent.length === 1 && chunk.length === 1 ? sent[0] : null
            results[i] = only ? { p: only.partition, o: Number(only.baseOffset) } : { p: records[i].p ?? null, o: -1 }
          }
        } catch (error) {
          for (const i of chunk) results[i] = errorReply(error)
        }
      }
    }
    await producer.disconnect()
    return results
  },

  async consume({ topics, count, timeout_ms: timeout, isolation = 'read_committed', fetch_wait_ms: maxWaitTimeInMs = 100, fetch_bytes: maxBytesPerPartition = 1048576 }) {
    const consumer = kafka.consumer({
      groupId: 'consume-' + randomUUID(), maxWaitTimeInMs, maxBytesPerPartition, readUncommitted: isolation !== 'read_committed',
    })
    const records = []
    await consumer.connect()
    await consumer.subscribe({ topics, fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ topic, partition, message }) => { records.push(toRecord(topic, partition, message)) },
    })
    const deadline = Date.now() + timeout
    while (records.length < count && Date.now() < deadline) await sleep(20)
    // Disconnecting waits for the fetch that is on its way, which may be long; the answer need not.
    consumer.disconnect().catch((error) => process.stderr.write(`${error.stack}\n`))
    return records.slice()
  },

  async offsets({ topic, partitions, at }) {
    const client = await admin()
    const result = {}
    if (typeof at === 'number') {
      const ends = Object.fromEntries((await client.fetchTopicOffsets(topic)).map((p) => [p.partition, p.high]))
      // Where no record is that young the library gives the end instead.
      for (const p of await client.fetchTopicOffsetsByTimestamp(topic, at)) result[p.partition] = p.offset === ends[p.partition] ? -1 : Number(p.offset)
    } else if (at === 'earliest' || at === 'latest') {
      for (const p of await client.fetchTopicOffsets(topic)) result[p.partition] = Number(at === 'earliest' ? p.low : p.high)
    } else {
      throw new Unsupported()
    }
    return Object.fromEntries(partitions.map((p) => [p, result[p]]))
  },

  async join(request) {
    const member = new Member(request)
    await member.start()
    members.set(request.id, member)
    return null
  },

  async status({ id }) {
    const { assigned, received } = members.get(id)
    return { assigned, received }
  },

  async take({ id }) {
    return members.get(id).records.splice(0)
  },

  async leave({ id }) {
    await members.get(id).stop()
    members.delete(id)
    return null
  },

  async committed({ group, topic }) {
    const found = await (await admin()).fetchOffsets({ groupId: group, topics: [topic] })
    return Object.fromEntries(found.flatMap((t) => t.partitions).filter((p) => p.offset !== '-1').map((p) => [p.partition, Number(p.offset)]))
  },

  async commit({ group, topic, offsets }) {
    const partitions = Object.entries(offsets).map(([partition, offset]) => ({ partition: Number(partition), offset: String(offset) }))
    await (await admin()).setOffsets({ groupId: group, topic, partitions })
    return null
  },

  async create_topics({ topics, validate_only: validateOnly = false }) {
    const client = await admin()
    const byName = new Map(topics.map((topic) => [topic.name, topic]))
    return codes(byName.keys(), (name) => {
      const topic = byName.get(name)
      const layout = topic.assignment
        ? { replicaAssignment: topic.assignment.map((replicas, partition) => ({ partition, replicas })) }
        : { numPartitions: topic.partitions, replicationFactor: topic.replicas }
      const configEntries = Object.entries(topic.configs || {}).map(([key, value]) => ({ name: key, value }))
      return client.createTopics({ validateOnly, topics: [{ topic: name, configEntries, ...layout }] })
    })
  },

  async delete_topics({ names }) {
    const client = await admin()
    return codes(names, (name) => client.deleteTopics({ topics: [name] }))
  },

  async create_partitions({ name, count }) {
    await (await admin()).createPartitions({ topicPartitions: [{ topic: name, count }] })
    return null
  },

  async list_topics() {
    return (await (await admin()).listTopics()).sort()
  },

  async describe_topic({ name }) {
    const { topics } = await (await admin()).fetchTopicMetadata({ topics: [name] })
    return topics[0].partitions
      .sort((a, b) => a.partitionId - b.partitionId)
      .map((p) => ({ p: p.partitionId, leader: p.leader, replicas: p.replicas, isr: p.isr }))
  },

  async describe_configs({ kind, name }) {
    const type = ConfigResourceTypes[kind.toUpperCase()]
    const { resources } = await (await admin()).describeConfigs({ includeSynonyms: false, resources: [{ type, name }] })
    return Object.fromEntries(resources[0].configEntries.map((entry) => [entry.configName, entry.configValue]))
  },

  async alter_configs({ kind, name, configs }) {
    const type = ConfigResourceTypes[kind.toUpperCase()]
    const configEntries = Object.entries(configs).map(([key, value]) => ({ name: key, value }))
    await (await admin()).alterConfigs({ validateOnly: false, resources: [{ type, name, configEntries }] })
    return null
  },

  async list_groups() {
    return (await (await admin()).listGroups()).groups.map((group) => group.groupId).sort()
  },

  async describe_group({ group }) {
    const { groups } = await (await admin()).describeGroups([group])
    return { state: groups[0].state.toUpperCase(), protocol: groups[0].protocol, members: groups[0].members.length }
  },

  async delete_group({ group }) {
    try {
      await (await admin()).deleteGroups([group])
    } catch (error) {
      const code = error.groups && error.groups[0] && error.groups[0].errorCode
      if (typeof code === 'number') error.code = code
      throw error
    }
    return null
  },

  async delete_records({ topic, partition, before }) {
    const client = await admin()
    await client.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })
    return Number((await client.fetchTopicOffsets(topic)).find((p) => p.partition === partition).low)
  },

  async cluster() {
    const found = await (await admin()).describeCluster()
    const brokers = found.brokers.map(({ nodeId, host, port }) => ({ id: nodeId, host, port }))
    return { id: found.clusterId, controller: found.controller, brokers }
  },
}

function* chunks(list, size) {
  for (let i = 0; i < list.length; i += size) yield list.slice(i, i + size)
}

const main = async () => {
  await zstd.init()
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const request = JSON.parse(line)
    let reply
    try {
      const handler = handlers[request.op]
      if (!handler) throw new Unsupported()
      reply = { ok: (await handler(request)) ?? null }
    } catch (error) {
      if (!(error instanceof Unsupported)) process.stderr.write(`${error.stack}\n`)
      reply = error instanceof Unsupported ? { error: 'unsupported' } : errorReply(error)
    }
    process.stdout.write(JSON.stringify(reply) + '\n')
  }
  for (const member of members.values()) await member.stop()
  if (connectedAdmin) await connectedAdmin.disconnect()
  process.exit(0)
}

main()
