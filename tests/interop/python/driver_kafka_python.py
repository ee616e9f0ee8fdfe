"""kafka-python: the protocol in pure Python. See tests/interop/README.md."""

import sys
import threading
import time

import kafka.errors
from common import ClientError, decode, encode, error_of, headers_in, headers_out, serve
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import AlterConfigOp, ConfigResource, KafkaAdminClient, OffsetSpec
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.structs import OffsetAndMetadata

BOOTSTRAP = sys.argv[1]
TIMEOUT = 30
ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
    "cooperative-sticky": CooperativeStickyAssignor,
}


def code_of(error):
    return getattr(error, "errno", -1)


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


def raise_unless_ok(result):
    """The admin client reports some failures as text: 'OK', or 'NameOfError: ...'."""
    if result in (None, "OK"):
        return
    name = str(result).split(":")[0].strip().split(" ")[-1]
    error = getattr(kafka.errors, name, None)
    raise ClientError(getattr(error, "errno", -1), str(result))


class Member:
    """A consumer of a group on its own thread; it commits after each poll."""

    def __init__(self, request):
        config = {"group_instance_id": request["instance"]} if request.get("instance") else {}
        self.consumer = KafkaConsumer(
            bootstrap_servers=BOOTSTRAP,
            group_id=request["group"],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=(ASSIGNORS[request.get("assignor") or "range"],),
            session_timeout_ms=request.get("session_timeout_ms", 10000),
            heartbeat_interval_ms=500,
            **config,
        )
        # Version 3.0 can take the answer to its first metadata request, which has no topics, for that of its
        # subscription, and is then assigned nothing: so that answer must be there before there is a subscription.
        self.consumer.topics()
        self.consumer.subscribe(request["topics"])
        # And the partitions must be known before it joins. A leader that learns of them afterwards joins again, and
        # where a poll ends during that, version 3.0 takes it for done: it stays without heartbeats and commits.
        self.consumer.topics()
        self.lock = threading.Lock()
        self.records, self.received, self.assigned = [], 0, []
        self.stopping = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping:
            polled = self.consumer.poll(timeout_ms=50)
            messages = [m for batch in polled.values() for m in batch]
            if messages:
                try:
                    self.consumer.commit()
                except kafka.errors.KafkaError as error:
                    print("commit:", error, file=sys.stderr)
            with self.lock:
                self.records += [record(m) for m in messages]
                self.received += len(messages)
                self.assigned = sorted(f"{p.topic}-{p.partition}" for p in self.consumer.assignment() or ())
        self.consumer.close()

    def stop(self):
        self.stopping = True
        self.thread.join()


class Driver:
    def __init__(self):
        self.connected = None
        self.members = {}

    @property
    def admin(self):
        if self.connected is None:
            self.connected = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
        return self.connected

    def produce(self, request):
        codec, acks = request.get("codec", "none"), request.get("acks", "all")
        producer = KafkaProducer(
            bootstrap_servers=BOOTSTRAP,
            compression_type=None if codec == "none" else codec,
            acks=acks if acks == "all" else int(acks),
            enable_idempotence=request.get("idempotent", False),
            linger_ms=request.get("linger_ms", 5),
            max_request_size=request.get("max_request", 1048576),
            delivery_timeout_ms=20000,
            request_timeout_ms=10000,
        )
        futures = []
        for item in request["records"]:
            try:
                futures.append(
                    producer.send(
                        item["t"],
                        value=decode(item.get("v")),
                        key=decode(item.get("k")),
                        headers=headers_in(item),
                        partition=item.get("p"),
                        timestamp_ms=item.get("ts"),
                    )
                )
            except kafka.errors.KafkaError as error:  # refused by the client, e.g. too large
                futures.append(error)
        producer.flush(TIMEOUT)
        results = []
        for future in futures:
            try:
                if isinstance(future, Exception):
                    raise future
                sent = future.get(TIMEOUT)
                results.append({"p": sent.partition, "o": sent.offset})
            except kafka.errors.KafkaError as error:
                results.append(error_of(error, code_of))
        producer.close(TIMEOUT)
        return results

    def consume(self, request):
        consumer = KafkaConsumer(
            bootstrap_servers=BOOTSTRAP,
            enable_auto_commit=False,
            isolation_level=request.get("isolation", "read_committed"),
            fetch_max_wait_ms=request.get("fetch_wait_ms", 100),
            max_partition_fetch_bytes=request.get("fetch_bytes", 1048576),
        )
        partitions = [
            TopicPartition(topic, partition)
            for topic in request["topics"]
            for partition in sorted(consumer.partitions_for_topic(topic))
        ]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        records = []
        deadline = time.monotonic() + request["timeout_ms"] / 1000
        while len(records) < request["count"] and time.monotonic() < deadline:
            for batch in consumer.poll(timeout_ms=100).values():
                records += [record(m) for m in batch]
        consumer.close()
        return records

    def offsets(self, request):
        at = request["at"]
        partitions = [TopicPartition(request["topic"], p) for p in request["partitions"]]
        if isinstance(at, int):
            consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP)
            found = consumer.offsets_for_times({p: at for p in partitions})
            consumer.close()
            return {str(p.partition): o.offset if o else -1 for p, o in found.items()}
        spec = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST, "max_timestamp": OffsetSpec.MAX_TIMESTAMP}
        found = self.admin.list_partition_offsets({p: spec[at] for p in partitions})
        return {str(p.partition): o.offset for p, o in found.items()}

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
        found = self.admin.list_group_offsets({request["group"]: None})[request["group"]]
        return {str(p.partition): o.offset for p, o in found.items() if p.topic == request["topic"] and o.offset >= 0}

    def commit(self, request):
        offsets = {
            TopicPartition(request["topic"], int(p)): OffsetAndMetadata(o, "", -1)
            for p, o in request["offsets"].items()
        }
        for error in self.admin.alter_group_offsets(request["group"], offsets).values():
            if error.errno:
                raise error()

    def create_topics(self, request):
        topics = {}
        for topic in request["topics"]:
            if topic.get("assignment"):
                layout = {"assignments": dict(enumerate(topic["assignment"]))}
            else:
                layout = {"num_partitions": topic["partitions"], "replication_factor": topic["replicas"]}
            topics[topic["name"]] = {"configs": topic.get("configs") or {}, **layout}
        answer = self.admin.create_topics(
            topics, validate_only=request.get("validate_only", False), raise_errors=False
        )
        return {topic["name"]: topic["error_code"] for topic in answer["topics"]}

    def delete_topics(self, request):
        answer = self.admin.delete_topics(request["names"], raise_errors=False)
        return {topic["name"]: topic["error_code"] for topic in answer["topics"]}

    def create_partitions(self, request):
        self.admin.create_partitions({request["name"]: request["count"]})

    def list_topics(self, _request):
        return sorted(self.admin.list_topics())

    def describe_topic(self, request):
        topic = self.admin.describe_topics([request["name"]])[0]
        if topic["error_code"]:
            raise kafka.errors.for_code(topic["error_code"])()
        return [
            {
                "p": p["partition_index"],
                "leader": p["leader_id"],
                "replicas": p["replica_nodes"],
                "isr": p["isr_nodes"],
            }
            for p in sorted(topic["partitions"], key=lambda p: p["partition_index"])
        ]

    def describe_configs(self, request):
        resource = ConfigResource(request["kind"], request["name"])
        found = self.admin.describe_configs([resource], config_filter="all")
        return {name: entry["value"] for name, entry in found[request["kind"]][request["name"]].items()}

    def alter(self, request, configs, incremental):
        resource = ConfigResource(request["kind"], request["name"], configs)
        answer = self.admin.alter_configs([resource], raise_on_unknown=False, incremental=incremental)
        raise_unless_ok(answer[request["kind"]][request["name"]])

    def alter_configs(self, request):
        self.alter(request, request["configs"], False)

    def incremental_alter_configs(self, request):
        configs = {name: (AlterConfigOp.DELETE, None) for name in request.get("delete") or []}
        for kind in ("set", "append", "subtract"):
            for name, value in (request.get(kind) or {}).items():
                configs[name] = (AlterConfigOp[kind.upper()], value)
        self.alter(request, configs, True)

    def list_groups(self, _request):
        return sorted(group["group_id"] for group in self.admin.list_groups())

    def describe_group(self, request):
        group = self.admin.describe_groups([request["group"]])[request["group"]]
        if group["error"]:
            raise_unless_ok(group["error"])
        return {
            "state": group["group_state"].upper(),
            "protocol": group["protocol_data"],
            "members": len(group["members"]),
        }

    def delete_group(self, request):
        raise_unless_ok(self.admin.delete_groups([request["group"]])[request["group"]])

    def delete_group_offsets(self, request):
        partitions = [TopicPartition(request["topic"], p) for p in request["partitions"]]
        for error in self.admin.delete_group_offsets(request["group"], partitions).values():
            if error.errno:
                raise error()

    def delete_records(self, request):
        partition = TopicPartition(request["topic"], request["partition"])
        return self.admin.delete_records({partition: request["before"]})[partition]["low_watermark"]

    def log_dirs(self, _request):
        return {
            f"{topic['name']}-{p['partition_index']}": p["partition_size"]
            for broker in self.admin.describe_log_dirs()
            for log_dir in broker["log_dirs"]
            for topic in log_dir["topics"]
            for p in topic["partitions"]
        }

    def cluster(self, _request):
        found = self.admin.describe_cluster()
        return {
            "id": found["cluster_id"],
            "controller": found["controller_id"],
            "brokers": [{"id": b["broker_id"], "host": b["host"], "port": b["port"]} for b in found["brokers"]],
        }

    def close(self):
        for member in self.members.values():
            member.stop()
        if self.connected is not None:
            self.connected.close()


if __name__ == "__main__":
    serve(Driver(), code_of)
