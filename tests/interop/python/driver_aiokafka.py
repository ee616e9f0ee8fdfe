"""aiokafka: kafka-python's relative on asyncio. See tests/interop/README.md."""

import asyncio
import sys
import threading
import time

import aiokafka.errors
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from common import Unsupported, decode, encode, error_of, headers_in, headers_out, serve

BOOTSTRAP = sys.argv[1]
TIMEOUT = 30
ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
}


def code_of(error):
    if isinstance(error, aiokafka.errors.ProducerFenced):
        return 90  # The library's own exception, without Kafka's code.
    return getattr(error, "errno", -1)


def check(code, message=""):
    if code:
        raise aiokafka.errors.for_code(code)(message)


def record(message):
    return {
        "t": message.topic,
        "p": message.partition,
        "o": message.offset,
        "ts": message.timestamp,
        "k": encode(message.key),
        "v": encode(message.value),
        "h": headers_out(message.headers),
    }


class Member:
    """A consumer of a group as a task; it commits after each poll."""

    def __init__(self, request):
        self.request = request
        self.records, self.received = [], 0
        self.stopping = False

    async def start(self):
        request = self.request
        self.consumer = AIOKafkaConsumer(
            *request["topics"],
            bootstrap_servers=BOOTSTRAP,
            group_id=request["group"],
            group_instance_id=request.get("instance"),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=(ASSIGNORS[request.get("assignor") or "range"],),
            session_timeout_ms=request.get("session_timeout_ms", 10000),
            heartbeat_interval_ms=500,
        )
        self.task = asyncio.create_task(self.run())

    async def run(self):
        await self.consumer.start()
        while not self.stopping:
            polled = await self.consumer.getmany(timeout_ms=50)
            messages = [m for batch in polled.values() for m in batch]
            if messages:
                ends = {partition: batch[-1].offset + 1 for partition, batch in polled.items() if batch}
                try:
                    await self.consumer.commit(ends)
                except aiokafka.errors.KafkaError as error:
                    print("commit:", error, file=sys.stderr)
            self.records += [record(m) for m in messages]
            self.received += len(messages)
        await self.consumer.stop()

    async def stop(self):
        self.stopping = True
        await self.task


class Driver:
    """Each call runs on one event loop, which lives on its own thread, so that members go on between calls."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.connected = None
        self.members = {}
        self.transactional = {}

    def __getattribute__(self, name):
        attribute = object.__getattribute__(self, name)
        if asyncio.iscoroutinefunction(attribute) and name not in ("admin", "end"):
            return lambda *args: asyncio.run_coroutine_threadsafe(attribute(*args), self.loop).result()
        return attribute

    async def admin(self):
        if self.connected is None:
            self.connected = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
            await self.connected.start()
        return self.connected

    async def transact(self, request):
        """A producer with a transactional id, ready to begin."""
        producer = AIOKafkaProducer(
            bootstrap_servers=BOOTSTRAP,
            transactional_id=request["transactional_id"],
            transaction_timeout_ms=request.get("timeout_ms", 60000),
            linger_ms=5,
        )
        await asyncio.wait_for(producer.start(), TIMEOUT)
        self.transactional[request["id"]] = producer

    async def transaction(self, request):
        producer = self.transactional[request["id"]]
        await producer.begin_transaction()
        sending = [
            await producer.send(item["t"], value=decode(item["v"]), partition=item["p"]) for item in request["records"]
        ]
        results = []
        for future in sending:
            try:
                sent = await asyncio.wait_for(future, TIMEOUT)
                results.append({"p": sent.partition, "o": sent.offset})
            except (aiokafka.errors.KafkaError, asyncio.TimeoutError) as error:
                results.append(error_of(error, code_of))
        await self.end(producer, request["end"])
        return results

    async def end_transaction(self, request):
        await self.end(self.transactional[request["id"]], request["end"])

    async def end(self, producer, how):
        if how == "commit":
            await producer.commit_transaction()
        elif how == "abort":
            await producer.abort_transaction()

    async def copy(self, request):
        producer = self.transactional[request["id"]]
        consumer = AIOKafkaConsumer(
            request["from"],
            bootstrap_servers=BOOTSTRAP,
            group_id=request["group"],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        await consumer.start()
        done, rounds = 0, 0
        deadline = time.monotonic() + TIMEOUT
        while done < request["count"] and time.monotonic() < deadline:
            polled = await consumer.getmany(timeout_ms=500, max_records=request["batch"])
            messages = [m for batch in polled.values() for m in batch]
            if not messages:
                continue
            rounds += 1
            await producer.begin_transaction()
            for message in messages:
                await producer.send(request["to"], value=message.value, partition=message.partition)
            ends = {partition: batch[-1].offset + 1 for partition, batch in polled.items() if batch}
            await producer.send_offsets_to_transaction(ends, request["group"])
            if request.get("leave_open"):
                done += len(messages)
                break
            if rounds % request["abort_every"] == 0:
                await producer.abort_transaction()
                for partition, batch in polled.items():
                    consumer.seek(partition, batch[0].offset)
            else:
                await producer.commit_transaction()
                done += len(messages)
        await consumer.stop()
        return done

    async def produce(self, request):
        codec, acks = request.get("codec", "none"), request.get("acks", "all")
        producer = AIOKafkaProducer(
            bootstrap_servers=BOOTSTRAP,
            compression_type=None if codec == "none" else codec,
            acks=acks if acks == "all" else int(acks),
            enable_idempotence=request.get("idempotent", False),
            linger_ms=request.get("linger_ms", 5),
            max_request_size=request.get("max_request", 1048576),
        )
        await producer.start()
        futures = []
        for item in request["records"]:
            try:
                futures.append(
                    await producer.send(
                        item["t"],
                        value=decode(item.get("v")),
                        key=decode(item.get("k")),
                        headers=headers_in(item),
                        partition=item.get("p"),
                        timestamp_ms=item.get("ts"),
                    )
                )
            except (aiokafka.errors.KafkaError, AssertionError) as error:  # refused by the client, e.g. too large
                futures.append(error)
        results = []
        for future in futures:
            try:
                if isinstance(future, Exception):
                    raise future
                sent = await asyncio.wait_for(future, TIMEOUT)
                offset = -1 if sent is None or sent.offset is None else sent.offset
                results.append({"p": None if sent is None else sent.partition, "o": offset})
            except (aiokafka.errors.KafkaError, asyncio.TimeoutError) as error:
                results.append(error_of(error, code_of))
        await producer.stop()
        return results

    async def consume(self, request):
        consumer = AIOKafkaConsumer(
            bootstrap_servers=BOOTSTRAP,
            enable_auto_commit=False,
            isolation_level=request.get("isolation", "read_committed"),
            fetch_max_wait_ms=request.get("fetch_wait_ms", 100),
            max_partition_fetch_bytes=request.get("fetch_bytes", 1048576),
        )
        await consumer.start()
        partitions = []
        for description in await (await self.admin()).describe_topics(request["topics"]):
            partitions += [TopicPartition(description["topic"], p["partition"]) for p in description["partitions"]]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        records = []
        deadline = time.monotonic() + request["timeout_ms"] / 1000
        while len(records) < request["count"] and time.monotonic() < deadline:
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                records += [record(m) for m in batch]
        await consumer.stop()
        return records

    async def offsets(self, request):
        at = request["at"]
        if at == "max_timestamp":
            raise Unsupported()
        partitions = [TopicPartition(request["topic"], p) for p in request["partitions"]]
        consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP)
        await consumer.start()
        try:
            if isinstance(at, int):
                found = await consumer.offsets_for_times({p: at for p in partitions})
                return {str(p.partition): o.offset if o else -1 for p, o in found.items()}
            look_up = {"earliest": consumer.beginning_offsets, "latest": consumer.end_offsets}[at]
            return {str(p.partition): o for p, o in (await look_up(partitions)).items()}
        finally:
            await consumer.stop()

    async def join(self, request):
        self.members[request["id"]] = Member(request)
        await self.members[request["id"]].start()

    async def status(self, request):
        member = self.members[request["id"]]
        if member.task.done():
            member.task.result()  # raises what ended it
        assigned = sorted(f"{p.topic}-{p.partition}" for p in member.consumer.assignment())
        return {"assigned": assigned, "received": member.received}

    async def take(self, request):
        member = self.members[request["id"]]
        taken, member.records = member.records, []
        return taken

    async def leave(self, request):
        await self.members.pop(request["id"]).stop()

    async def committed(self, request):
        found = await (await self.admin()).list_consumer_group_offsets(request["group"])
        return {str(p.partition): o.offset for p, o in found.items() if p.topic == request["topic"] and o.offset >= 0}

    async def create_topics(self, request):
        topics = []
        for topic in request["topics"]:
            if topic.get("assignment"):
                layout = {
                    "num_partitions": -1,
                    "replication_factor": -1,
                    "replica_assignments": dict(enumerate(topic["assignment"])),
                }
            else:
                layout = {"num_partitions": topic["partitions"], "replication_factor": topic["replicas"]}
            topics.append(NewTopic(topic["name"], topic_configs=topic.get("configs") or {}, **layout))
        answer = await (await self.admin()).create_topics(topics, validate_only=request.get("validate_only", False))
        return {entry[0]: entry[1] for entry in answer.topic_errors}

    async def delete_topics(self, request):
        answer = await (await self.admin()).delete_topics(request["names"])
        return {entry[0]: entry[1] for entry in answer.topic_error_codes}

    async def create_partitions(self, request):
        await (await self.admin()).create_partitions({request["name"]: NewPartitions(request["count"])})

    async def list_topics(self, _request):
        return sorted(await (await self.admin()).list_topics())

    async def describe_topic(self, request):
        topic = (await (await self.admin()).describe_topics([request["name"]]))[0]
        check(topic["error_code"])
        return [
            {"p": p["partition"], "leader": p["leader"], "replicas": list(p["replicas"]), "isr": list(p["isr"])}
            for p in sorted(topic["partitions"], key=lambda p: p["partition"])
        ]

    async def describe_configs(self, request):
        resource = ConfigResource(request["kind"], request["name"])
        code, message, _kind, _name, entries = (await (await self.admin()).describe_configs([resource]))[0].resources[0]
        check(code, message)
        return {entry[0]: entry[1] for entry in entries}

    async def alter_configs(self, request):
        resource = ConfigResource(request["kind"], request["name"], request["configs"])
        for answer in await (await self.admin()).alter_configs([resource]):
            for code, message, *_ in answer.resources:
                check(code, message)

    async def list_groups(self, _request):
        return sorted(group[0] for group in await (await self.admin()).list_consumer_groups())

    async def describe_group(self, request):
        answer = (await (await self.admin()).describe_consumer_groups([request["group"]]))[0]
        code, _group, state, _kind, protocol, members = answer.groups[0][:6]
        check(code)
        return {"state": state.upper(), "protocol": protocol, "members": len(members)}

    async def delete_records(self, request):
        partition = TopicPartition(request["topic"], request["partition"])
        before = RecordsToDelete(request["before"])
        return (await (await self.admin()).delete_records({partition: before}))[partition]

    async def cluster(self, _request):
        found = await (await self.admin()).describe_cluster()
        return {
            "id": found["cluster_id"],
            "controller": found["controller_id"],
            "brokers": [{"id": b["node_id"], "host": b["host"], "port": b["port"]} for b in found["brokers"]],
        }

    async def shut(self):
        for member in self.members.values():
            await member.stop()
        if self.connected is not None:
            await self.connected.close()

    def close(self):
        self.shut()


if __name__ == "__main__":
    serve(Driver(), code_of)
