"""confluent-kafka: librdkafka as of today. See tests/interop/README.md."""

import sys
import threading
import time

from common import decode, encode, error_of, headers_in, headers_out, serve
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

BOOTSTRAP = sys.argv[1]
TIMEOUT = 30


def code_of(error):
    if isinstance(error, KafkaException):
        error = error.args[0]
    return error.code() if isinstance(error, KafkaError) else -1


def offset(message):
    """None is how the library reports an offset that the broker did not tell (acks 0)."""
    return -1 if message.offset() is None else message.offset()


def record(message):
    return {
        "t": message.topic(),
        "p": message.partition(),
        "o": message.offset(),
        "ts": message.timestamp()[1],
        "k": encode(message.key()),
        "v": encode(message.value()),
        "h": headers_out(message.headers()),
    }


class Member:
    """A consumer of a group on its own thread; it commits after each poll."""

    def __init__(self, request):
        config = {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": request["group"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        if request.get("protocol") == "consumer":
            config["group.protocol"] = "consumer"
        else:
            config["partition.assignment.strategy"] = request.get("assignor") or "range"
            config["session.timeout.ms"] = request.get("session_timeout_ms", 10000)
            config["heartbeat.interval.ms"] = 500
        if request.get("instance"):
            config["group.instance.id"] = request["instance"]
        self.consumer = Consumer(config)
        self.lock = threading.Lock()
        self.records, self.received, self.assigned = [], 0, []
        self.stopping = False
        # librdkafka knows patterns by their first character.
        self.consumer.subscribe(["^" + request["regex"]] if request.get("regex") else request["topics"])
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping:
            messages = [m for m in self.consumer.consume(200, 0.05) if m.error() is None]
            if messages:
                try:
                    self.consumer.commit(offsets=ends(messages), asynchronous=False)
                except KafkaException as error:
                    print("commit:", error, file=sys.stderr)
            with self.lock:
                self.records += [record(m) for m in messages]
                self.received += len(messages)
                self.assigned = sorted(f"{p.topic}-{p.partition}" for p in self.consumer.assignment())
        self.consumer.close()

    def stop(self):
        self.stopping = True
        self.thread.join()


def ends(messages):
    last = {}
    for message in messages:
        last[message.topic(), message.partition()] = message.offset() + 1
    return [TopicPartition(t, p, o) for (t, p), o in last.items()]


class Driver:
    def __init__(self):
        self.admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
        self.members = {}
        self.transactional = {}

    def transact(self, request):
        """A producer with a transactional id, ready to begin."""
        producer = Producer(
            {
                "bootstrap.servers": BOOTSTRAP,
                "transactional.id": request["transactional_id"],
                "transaction.timeout.ms": request.get("timeout_ms", 60000),
                "linger.ms": 5,
            }
        )
        producer.init_transactions(TIMEOUT)
        self.transactional[request["id"]] = producer

    def transaction(self, request):
        producer = self.transactional[request["id"]]
        results = [None] * len(request["records"])

        def delivered(index):
            def callback(error, message):
                results[index] = (
                    error_of(error, code_of) if error else {"p": message.partition(), "o": offset(message)}
                )

            return callback

        producer.begin_transaction()
        for index, item in enumerate(request["records"]):
            producer.produce(
                item["t"], value=decode(item["v"]), partition=item["p"], on_delivery=delivered(index)
            )
        producer.flush(TIMEOUT)
        self.end(producer, request["end"])
        return results

    def end_transaction(self, request):
        self.end(self.transactional[request["id"]], request["end"])

    def end(self, producer, how):
        if how == "commit":
            producer.commit_transaction(TIMEOUT)
        elif how == "abort":
            producer.abort_transaction(TIMEOUT)

    def copy(self, request):
        producer = self.transactional[request["id"]]
        consumer = Consumer(
            {
                "bootstrap.servers": BOOTSTRAP,
                "group.id": request["group"],
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "group.protocol": request.get("protocol", "classic"),
            }
        )
        consumer.subscribe([request["from"]])
        done, rounds = 0, 0
        deadline = time.monotonic() + TIMEOUT
        while done < request["count"] and time.monotonic() < deadline:
            messages = [m for m in consumer.consume(request["batch"], 0.5) if m.error() is None]
            if not messages:
                continue
            rounds += 1
            producer.begin_transaction()
            for message in messages:
                producer.produce(request["to"], value=message.value(), partition=message.partition())
            producer.send_offsets_to_transaction(ends(messages), consumer.consumer_group_metadata(), TIMEOUT)
            if request.get("leave_open"):
                done += len(messages)
                break
            if rounds % request["abort_every"] == 0:
                producer.abort_transaction(TIMEOUT)
                first = {}
                for message in messages:
                    first.setdefault((message.topic(), message.partition()), message.offset())
                for (topic, partition), start in first.items():
                    consumer.seek(TopicPartition(topic, partition, start))
            else:
                producer.commit_transaction(TIMEOUT)
                done += len(messages)
        consumer.close()
        return done

    def produce(self, request):
        producer = Producer(
            {
                "bootstrap.servers": BOOTSTRAP,
                "compression.type": request.get("codec", "none"),
                "acks": request.get("acks", "all"),
                "enable.idempotence": request.get("idempotent", False),
                "linger.ms": request.get("linger_ms", 5),
                "partitioner": request.get("partitioner") or "murmur2_random",
                "message.max.bytes": request.get("max_request", 1000000),
                "message.timeout.ms": 20000,
            }
        )
        results = [None] * len(request["records"])

        def delivered(index):
            def callback(error, message):
                results[index] = (
                    error_of(error, code_of) if error else {"p": message.partition(), "o": offset(message)}
                )

            return callback

        for index, item in enumerate(request["records"]):
            extra = {"timestamp": item["ts"]} if item.get("ts") is not None else {}
            if item.get("p") is not None:
                extra["partition"] = item["p"]
            while True:
                try:
                    producer.produce(
                        item["t"],
                        value=decode(item.get("v")),
                        key=decode(item.get("k")),
                        headers=headers_in(item),
                        on_delivery=delivered(index),
                        **extra,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
                except KafkaException as error:  # refused by the client, e.g. too large
                    results[index] = error_of(error, code_of)
                    break
        producer.flush(TIMEOUT)
        return results

    def consume(self, request):
        consumer = Consumer(
            {
                "bootstrap.servers": BOOTSTRAP,
                "group.id": "unused",
                "enable.auto.commit": False,
                "isolation.level": request.get("isolation", "read_committed"),
                "fetch.wait.max.ms": request.get("fetch_wait_ms", 100),
                "max.partition.fetch.bytes": request.get("fetch_bytes", 1048576),
            }
        )
        partitions = [
            TopicPartition(topic, partition, OFFSET_BEGINNING)
            for topic in request["topics"]
            for partition in consumer.list_topics(topic, TIMEOUT).topics[topic].partitions
        ]
        consumer.assign(partitions)
        records = []
        deadline = time.monotonic() + request["timeout_ms"] / 1000
        while len(records) < request["count"] and time.monotonic() < deadline:
            for message in consumer.consume(request["count"] - len(records), 0.1):
                if message.error():
                    raise KafkaException(message.error())
                records.append(record(message))
        consumer.close()
        return records

    def offsets(self, request):
        at = request["at"]
        partitions = [TopicPartition(request["topic"], p) for p in request["partitions"]]
        if isinstance(at, int):
            consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "unused"})
            found = consumer.offsets_for_times(
                [TopicPartition(p.topic, p.partition, at) for p in partitions], timeout=TIMEOUT
            )
            consumer.close()
            for partition in found:
                if partition.error:
                    raise KafkaException(partition.error)
            return {str(p.partition): max(p.offset, -1) for p in found}
        spec = {"earliest": OffsetSpec.earliest, "latest": OffsetSpec.latest, "max_timestamp": OffsetSpec.max_timestamp}
        # A new admin client: an old one does not look again for partitions that were added.
        admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
        futures = admin.list_offsets(
            {p: spec[at]() for p in partitions}, isolation_level=IsolationLevel.READ_UNCOMMITTED
        )
        return {str(p.partition): f.result(TIMEOUT).offset for p, f in futures.items()}

    def join(self, request):
        self.members[request["id"]] = Member(request)

    def status(self, request):
        member = self.members[request["id"]]
        with member.lock:
            return {"assigned": member.assigned, "received": member.received}

    def take(self, request):
        member = self.members[request["id"]]
        with member.lock:
            taken, member.records = member.records, []
        return taken

    def leave(self, request):
        self.members.pop(request["id"]).stop()

    def committed(self, request):
        future = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(request["group"])])
        result = future[request["group"]].result(TIMEOUT)
        return {
            str(p.partition): p.offset
            for p in result.topic_partitions
            if p.topic == request["topic"] and p.offset >= 0
        }

    def commit(self, request):
        partitions = [TopicPartition(request["topic"], int(p), o) for p, o in request["offsets"].items()]
        future = self.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(request["group"], partitions)])
        for partition in future[request["group"]].result(TIMEOUT).topic_partitions:
            if partition.error:
                raise KafkaException(partition.error)

    def create_topics(self, request):
        topics = []
        for topic in request["topics"]:
            if topic.get("assignment"):
                layout = {"num_partitions": len(topic["assignment"]), "replica_assignment": topic["assignment"]}
            else:
                layout = {"num_partitions": topic["partitions"], "replication_factor": topic["replicas"]}
            topics.append(NewTopic(topic["name"], config=topic.get("configs") or {}, **layout))
        futures = self.admin.create_topics(topics, validate_only=request.get("validate_only", False))
        return {name: outcome(future) for name, future in futures.items()}

    def delete_topics(self, request):
        futures = self.admin.delete_topics(request["names"])
        return {name: outcome(future) for name, future in futures.items()}

    def create_partitions(self, request):
        futures = self.admin.create_partitions([NewPartitions(request["name"], request["count"])])
        futures[request["name"]].result(TIMEOUT)

    def list_topics(self, _request):
        return sorted(self.admin.list_topics(timeout=TIMEOUT).topics)

    def describe_topic(self, request):
        futures = self.admin.describe_topics(TopicCollection([request["name"]]))
        return [
            {"p": p.id, "leader": p.leader.id, "replicas": [n.id for n in p.replicas], "isr": [n.id for n in p.isr]}
            for p in futures[request["name"]].result(TIMEOUT).partitions
        ]

    def describe_configs(self, request):
        resource = ConfigResource(request["kind"], request["name"])
        entries = self.admin.describe_configs([resource])[resource].result(TIMEOUT)
        return {name: entry.value for name, entry in entries.items()}

    def alter_configs(self, request):
        resource = ConfigResource(request["kind"], request["name"], set_config=request["configs"])
        self.admin.alter_configs([resource])[resource].result(TIMEOUT)

    def incremental_alter_configs(self, request):
        entries = []
        for kind in ("set", "append", "subtract"):
            for name, value in (request.get(kind) or {}).items():
                operation = AlterConfigOpType[kind.upper()]
                entries.append(ConfigEntry(name, value, incremental_operation=operation))
        for name in request.get("delete") or []:
            entries.append(ConfigEntry(name, None, incremental_operation=AlterConfigOpType.DELETE))
        resource = ConfigResource(request["kind"], request["name"], incremental_configs=entries)
        self.admin.incremental_alter_configs([resource])[resource].result(TIMEOUT)

    def list_groups(self, _request):
        result = self.admin.list_consumer_groups().result(TIMEOUT)
        if result.errors:
            raise result.errors[0]
        return sorted(group.group_id for group in result.valid)

    def describe_group(self, request):
        group = self.admin.describe_consumer_groups([request["group"]])[request["group"]].result(TIMEOUT)
        return {
            "state": group.state.name,
            "protocol": group.partition_assignor,
            "members": len(group.members),
        }

    def delete_group(self, request):
        self.admin.delete_consumer_groups([request["group"]])[request["group"]].result(TIMEOUT)

    def delete_records(self, request):
        partition = TopicPartition(request["topic"], request["partition"], request["before"])
        return self.admin.delete_records([partition])[partition].result(TIMEOUT).low_watermark

    def cluster(self, _request):
        found = self.admin.describe_cluster().result(TIMEOUT)
        return {
            "id": found.cluster_id,
            "controller": found.controller.id,
            "brokers": [{"id": n.id, "host": n.host, "port": n.port} for n in found.nodes],
        }

    def close(self):
        for member in self.members.values():
            member.stop()


def outcome(future):
    try:
        future.result(TIMEOUT)
        return 0
    except KafkaException as error:
        return code_of(error)


if __name__ == "__main__":
    serve(Driver(), code_of)
