import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Apache Kafka's own client, of the version whose libs are on the class path. See tests/interop/README.md. */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long TIMEOUT_SECONDS = 30;

    private final String bootstrap;
    private final Map<String, Member> members = new HashMap<>();
    private final Map<String, KafkaProducer<byte[], byte[]>> transactional = new HashMap<>();
    private Admin admin;

    private static final class Unsupported extends RuntimeException {
    }

    private Driver(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    public static void main(String[] arguments) throws Exception {
        // Answers own stdout; whatever a library prints goes to stderr.
        PrintStream answers = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, "UTF-8");
        System.setOut(System.err);
        Driver driver = new Driver(arguments[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            answers.println(JSON.writeValueAsString(driver.answer(JSON.readTree(line))));
        }
        for (Member member : driver.members.values()) {
            member.close();
        }
        for (KafkaProducer<byte[], byte[]> producer : driver.transactional.values()) {
            producer.close(Duration.ZERO);
        }
        if (driver.admin != null) {
            driver.admin.close();
        }
    }

    private Map<String, Object> answer(JsonNode request) {
        Map<String, Object> reply = new HashMap<>();
        try {
            reply.put("ok", handle(request));
        } catch (Unsupported e) {
            reply.put("error", "unsupported");
        } catch (Exception e) {
            e.printStackTrace();
            reply.putAll(failure(e));
        }
        return reply;
    }

    private Object handle(JsonNode r) throws Exception {
        switch (r.get("op").asText()) {
            case "produce": return produce(r);
            case "transact": return transact(r);
            case "transaction": return transaction(r);
            case "end_transaction": end(transactional.get(text(r, "id")), text(r, "end")); return null;
            case "copy": return copy(r);
            case "consume": return consume(r);
            case "offsets": return offsets(r);
            case "join": members.put(r.get("id").asText(), new Member(r)); return null;
            case "status": return member(r).status();
            case "take": return member(r).take();
            case "leave": members.remove(r.get("id").asText()).close(); return null;
            case "committed": return committed(r);
            case "commit": return commit(r);
            case "create_topics": return createTopics(r);
            case "delete_topics": return outcomes(admin().deleteTopics(strings(r.get("names"))).topicNameValues());
            case "create_partitions": return get(admin().createPartitions(Map.of(text(r, "name"), NewPartitions.increaseTo(r.get("count").asInt()))).all());
            case "list_topics": return get(admin().listTopics(new ListTopicsOptions().listInternal(true)).names()).stream().sorted().toList();
            case "describe_topic": return describeTopic(r);
            case "describe_configs": return describeConfigs(r);
            case "alter_configs": return alterConfigs(r);
            case "incremental_alter_configs": return incrementalAlterConfigs(r);
            case "list_groups": return get(admin().listConsumerGroups().all()).stream().map(g -> g.groupId()).sorted().toList();
            case "describe_group": return describeGroup(r);
            case "delete_group": return get(admin().deleteConsumerGroups(List.of(text(r, "group"))).all());
            case "delete_group_offsets": return get(admin().deleteConsumerGroupOffsets(text(r, "group"), new java.util.HashSet<>(partitions(r))).all());
            case "delete_records": return deleteRecords(r);
            case "log_dirs": return logDirs();
            case "cluster": return cluster();
            default: throw new Unsupported();
        }
    }

    private Object produce(JsonNode r) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("compression.type", r.path("codec").asText("none"));
        config.put("acks", r.path("acks").asText("all"));
        config.put("enable.idempotence", r.path("idempotent").asBoolean(false));
        config.put("linger.ms", r.path("linger_ms").asInt(5));
        config.put("max.request.size", r.path("max_request").asInt(1048576));
        config.put("delivery.timeout.ms", 20000);
        config.put("request.timeout.ms", 10000);
        List<Object> results = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode item : r.get("records")) {
                List<Header> headers = new ArrayList<>();
                for (JsonNode header : item.path("h")) {
                    headers.add(new RecordHeader(header.get(0).asText(), decode(header.get(1))));
                }
                Integer partition = item.hasNonNull("p") ? item.get("p").asInt() : null;
                Long timestamp = item.hasNonNull("ts") ? item.get("ts").asLong() : null;
                sent.add(producer.send(new ProducerRecord<>(text(item, "t"), partition, timestamp, decode(item.get("k")), decode(item.get("v")), headers)));
            }
            producer.flush();
            for (Future<RecordMetadata> future : sent) {
                try {
                    RecordMetadata metadata = future.get();
                    results.add(Map.of("p", metadata.partition(), "o", metadata.offset()));
                } catch (ExecutionException e) {
                    results.add(failure(e));
                }
            }
        }
        return results;
    }

    /** A producer with a transactional id, ready to begin. */
    private Object transact(JsonNode r) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("transactional.id", text(r, "transactional_id"));
        config.put("transaction.timeout.ms", r.path("timeout_ms").asInt(60000));
        config.put("linger.ms", 5);
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
        producer.initTransactions();
        transactional.put(text(r, "id"), producer);
        return null;
    }

    private Object transaction(JsonNode r) throws Exception {
        KafkaProducer<byte[], byte[]> producer = transactional.get(text(r, "id"));
        List<Object> results = new ArrayList<>();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        producer.beginTransaction();
        for (JsonNode item : r.get("records")) {
            sent.add(producer.send(new ProducerRecord<>(text(item, "t"), item.get("p").asInt(), null, decode(item.get("v")))));
        }
        producer.flush();
        for (Future<RecordMetadata> future : sent) {
            try {
                results.add(Map.of("p", future.get().partition(), "o", future.get().offset()));
            } catch (ExecutionException e) {
                results.add(failure(e));
            }
        }
        end(producer, text(r, "end"));
        return results;
    }

    private static void end(KafkaProducer<byte[], byte[]> producer, String how) {
        switch (how) {
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            default -> { }
        }
    }

    private Object copy(JsonNode r) {
        KafkaProducer<byte[], byte[]> producer = transactional.get(text(r, "id"));
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("group.id", text(r, "group"));
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", false);
        config.put("isolation.level", "read_committed");
        config.put("max.poll.records", r.get("batch").asInt());
        config.put("group.protocol", r.path("protocol").asText("classic"));
        int done = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(text(r, "from")));
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(TIMEOUT_SECONDS);
            for (int rounds = 1; done < r.get("count").asInt() && System.nanoTime() < deadline;) {
                var polled = consumer.poll(Duration.ofMillis(500));
                if (polled.isEmpty()) {
                    continue;
                }
                Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
                Map<TopicPartition, Long> starts = new HashMap<>();
                producer.beginTransaction();
                for (ConsumerRecord<byte[], byte[]> one : polled) {
                    TopicPartition from = new TopicPartition(one.topic(), one.partition());
                    starts.putIfAbsent(from, one.offset());
                    ends.put(from, new OffsetAndMetadata(one.offset() + 1));
                    producer.send(new ProducerRecord<>(text(r, "to"), one.partition(), null, one.value()));
                }
                producer.sendOffsetsToTransaction(ends, consumer.groupMetadata());
                if (r.path("leave_open").asBoolean()) {
                    producer.flush();
                    return polled.count();
                }
                if (rounds++ % r.get("abort_every").asInt() == 0) {
                    producer.abortTransaction();
                    starts.forEach(consumer::seek);
                } else {
                    producer.commitTransaction();
                    done += polled.count();
                }
            }
        }
        return done;
    }

    private Object consume(JsonNode r) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("isolation.level", r.path("isolation").asText("read_committed"));
        config.put("fetch.max.wait.ms", r.path("fetch_wait_ms").asInt(100));
        config.put("max.partition.fetch.bytes", r.path("fetch_bytes").asInt(1048576));
        List<Object> records = new ArrayList<>();
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        try {
            List<TopicPartition> partitions = new ArrayList<>();
            for (String topic : strings(r.get("topics"))) {
                consumer.partitionsFor(topic).forEach(p -> partitions.add(new TopicPartition(p.topic(), p.partition())));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(r.get("timeout_ms").asLong());
            Map<TopicPartition, Long> ends = r.has("count") ? Map.of() : consumer.endOffsets(partitions);
            while (System.nanoTime() < deadline) {
                boolean done = r.has("count")
                    ? records.size() >= r.get("count").asInt()
                    : partitions.stream().allMatch(p -> consumer.position(p) >= ends.get(p));
                if (done) {
                    break;
                }
                for (ConsumerRecord<byte[], byte[]> one : consumer.poll(Duration.ofMillis(100))) {
                    records.add(toRecord(one));
                }
            }
        } finally {
            // Without patience, since it would wait for the next fetch, which is on its way.
            consumer.close(Duration.ZERO);
        }
        return records;
    }

    private Object offsets(JsonNode r) throws Exception {
        JsonNode at = r.get("at");
        OffsetSpec spec = at.isNumber() ? OffsetSpec.forTimestamp(at.asLong()) : switch (at.asText()) {
            case "earliest" -> OffsetSpec.earliest();
            case "latest" -> OffsetSpec.latest();
            default -> OffsetSpec.maxTimestamp();
        };
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        partitions(r).forEach(p -> wanted.put(p, spec));
        Map<String, Long> found = new TreeMap<>();
        get(admin().listOffsets(wanted).all()).forEach((p, o) -> found.put(String.valueOf(p.partition()), o.offset()));
        return found;
    }

    private Object committed(JsonNode r) throws Exception {
        Map<String, Long> found = new TreeMap<>();
        get(admin().listConsumerGroupOffsets(text(r, "group")).partitionsToOffsetAndMetadata()).forEach((p, o) -> {
            if (o != null && p.topic().equals(text(r, "topic"))) {
                found.put(String.valueOf(p.partition()), o.offset());
            }
        });
        return found;
    }

    private Object commit(JsonNode r) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        r.get("offsets").fields().forEachRemaining(entry ->
            offsets.put(new TopicPartition(text(r, "topic"), Integer.parseInt(entry.getKey())), new OffsetAndMetadata(entry.getValue().asLong())));
        return get(admin().alterConsumerGroupOffsets(text(r, "group"), offsets).all());
    }

    private Object createTopics(JsonNode r) throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        for (JsonNode topic : r.get("topics")) {
            NewTopic wanted;
            if (topic.hasNonNull("assignment")) {
                Map<Integer, List<Integer>> assignment = new HashMap<>();
                for (JsonNode replicas : topic.get("assignment")) {
                    List<Integer> ids = new ArrayList<>();
                    replicas.forEach(id -> ids.add(id.asInt()));
                    assignment.put(assignment.size(), ids);
                }
                wanted = new NewTopic(text(topic, "name"), assignment);
            } else {
                wanted = new NewTopic(text(topic, "name"), Optional.of(topic.get("partitions").asInt()), Optional.of((short) topic.get("replicas").asInt()));
            }
            topics.add(wanted.configs(map(topic.path("configs"))));
        }
        CreateTopicsOptions options = new CreateTopicsOptions().validateOnly(r.path("validate_only").asBoolean(false));
        return outcomes(admin().createTopics(topics, options).values());
    }

    private Object describeTopic(JsonNode r) throws Exception {
        String name = text(r, "name");
        return get(admin().describeTopics(List.of(name)).allTopicNames()).get(name).partitions().stream().map(p -> Map.of(
            "p", p.partition(), "leader", p.leader().id(), "replicas", ids(p.replicas()), "isr", ids(p.isr()))).toList();
    }

    private ConfigResource resource(JsonNode r) {
        return new ConfigResource(ConfigResource.Type.valueOf(text(r, "kind").toUpperCase()), text(r, "name"));
    }

    private Object describeConfigs(JsonNode r) throws Exception {
        Map<String, String> configs = new TreeMap<>();
        get(admin().describeConfigs(List.of(resource(r))).all()).get(resource(r)).entries().forEach(e -> configs.put(e.name(), e.value()));
        return configs;
    }

    /** The legacy call is gone from Kafka 4's client, so it is looked up by name. */
    private Object alterConfigs(JsonNode r) throws Exception {
        List<ConfigEntry> entries = new ArrayList<>();
        map(r.get("configs")).forEach((name, value) -> entries.add(new ConfigEntry(name, value)));
        Class<?> bundle = Class.forName("org.apache.kafka.clients.admin.Config");
        Object result;
        try {
            Object config = bundle.getConstructor(Collection.class).newInstance(entries);
            result = Admin.class.getMethod("alterConfigs", Map.class).invoke(admin(), Map.of(resource(r), config));
        } catch (NoSuchMethodException e) {
            throw new Unsupported();
        }
        return get((Future<?>) result.getClass().getMethod("all").invoke(result));
    }

    private Object incrementalAlterConfigs(JsonNode r) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        for (String kind : List.of("set", "append", "subtract")) {
            AlterConfigOp.OpType type = AlterConfigOp.OpType.valueOf(kind.toUpperCase());
            map(r.path(kind)).forEach((name, value) -> changes.add(new AlterConfigOp(new ConfigEntry(name, value), type)));
        }
        for (String name : strings(r.path("delete"))) {
            changes.add(new AlterConfigOp(new ConfigEntry(name, ""), AlterConfigOp.OpType.DELETE));
        }
        return get(admin().incrementalAlterConfigs(Map.of(resource(r), changes)).all());
    }

    private Object describeGroup(JsonNode r) throws Exception {
        String group = text(r, "group");
        var found = get(admin().describeConsumerGroups(List.of(group)).all()).get(group);
        // groupState() is newer than 3.9, state() is gone later; both print the state's name.
        Object state;
        try {
            state = found.getClass().getMethod("groupState").invoke(found);
        } catch (NoSuchMethodException e) {
            state = found.getClass().getMethod("state").invoke(found);
        }
        return Map.of("state", state.toString().toUpperCase(), "protocol", found.partitionAssignor(), "members", found.members().size());
    }

    private Object deleteRecords(JsonNode r) throws Exception {
        TopicPartition partition = new TopicPartition(text(r, "topic"), r.get("partition").asInt());
        RecordsToDelete before = RecordsToDelete.beforeOffset(r.get("before").asLong());
        return get(admin().deleteRecords(Map.of(partition, before)).lowWatermarks().get(partition)).lowWatermark();
    }

    private Object logDirs() throws Exception {
        Map<String, Long> sizes = new TreeMap<>();
        List<Integer> brokers = get(admin().describeCluster().nodes()).stream().map(Node::id).toList();
        get(admin().describeLogDirs(brokers).allDescriptions()).values().forEach(dirs -> dirs.values().forEach(dir ->
            dir.replicaInfos().forEach((p, info) -> sizes.put(p.toString(), info.size()))));
        return sizes;
    }

    private Object cluster() throws Exception {
        var found = admin().describeCluster();
        List<Object> brokers = new ArrayList<>();
        for (Node node : get(found.nodes())) {
            brokers.add(Map.of("id", node.id(), "host", node.host(), "port", node.port()));
        }
        return Map.of("id", get(found.clusterId()), "controller", get(found.controller()).id(), "brokers", brokers);
    }

    /** A consumer of a group on its own thread; it commits after each poll. */
    private final class Member implements AutoCloseable {
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final Thread thread = new Thread(this::run);
        private List<Object> records = new ArrayList<>();
        private List<String> assigned = new ArrayList<>();
        private int received;
        private volatile boolean stopping;
        private volatile RuntimeException ended;

        private Member(JsonNode r) {
            Map<String, Object> config = new HashMap<>();
            config.put("bootstrap.servers", bootstrap);
            config.put("group.id", text(r, "group"));
            config.put("auto.offset.reset", "earliest");
            config.put("enable.auto.commit", false);
            if (r.path("protocol").asText("classic").equals("consumer")) {
                config.put("group.protocol", "consumer");
            } else {
                config.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + switch (r.path("assignor").asText("range")) {
                    case "roundrobin" -> "RoundRobinAssignor";
                    case "sticky" -> "StickyAssignor";
                    case "cooperative-sticky" -> "CooperativeStickyAssignor";
                    default -> "RangeAssignor";
                });
                config.put("session.timeout.ms", r.path("session_timeout_ms").asInt(10000));
                config.put("heartbeat.interval.ms", 500);
            }
            if (r.hasNonNull("instance")) {
                config.put("group.instance.id", text(r, "instance"));
            }
            consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            if (r.hasNonNull("regex")) {
                subscribeTo(text(r, "regex"));
            } else {
                consumer.subscribe(strings(r.get("topics")));
            }
            thread.start();
        }

        /** The broker's own patterns are newer than 3.9. */
        private void subscribeTo(String regex) {
            try {
                Class<?> pattern = Class.forName("org.apache.kafka.clients.consumer.SubscriptionPattern");
                KafkaConsumer.class.getMethod("subscribe", pattern).invoke(consumer, pattern.getConstructor(String.class).newInstance(regex));
            } catch (ReflectiveOperationException e) {
                throw new Unsupported();
            }
        }

        private void run() {
            try {
                while (!stopping) {
                    var polled = consumer.poll(Duration.ofMillis(50));
                    if (!polled.isEmpty()) {
                        try {
                            consumer.commitSync();
                        } catch (KafkaException e) {
                            System.err.println("commit: " + e);
                        }
                    }
                    synchronized (this) {
                        polled.forEach(one -> records.add(toRecord(one)));
                        received += polled.count();
                        assigned = consumer.assignment().stream().map(TopicPartition::toString).sorted().toList();
                    }
                }
            } catch (RuntimeException e) {
                ended = e;
            }
            consumer.close();
        }

        private synchronized Object status() {
            if (ended != null) {
                throw ended;
            }
            return Map.of("assigned", assigned, "received", received);
        }

        private synchronized Object take() {
            List<Object> taken = records;
            records = new ArrayList<>();
            return taken;
        }

        @Override
        public void close() throws InterruptedException {
            stopping = true;
            thread.join();
        }
    }

    private Admin admin() {
        if (admin == null) {
            admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        }
        return admin;
    }

    private Member member(JsonNode r) {
        return members.get(r.get("id").asText());
    }

    private static <T> T get(Future<T> future) throws Exception {
        return future.get(TIMEOUT_SECONDS, TimeUnit.SECONDS);
    }

    private static Map<String, Integer> outcomes(Map<String, ? extends Future<?>> futures) throws Exception {
        Map<String, Integer> codes = new TreeMap<>();
        for (var entry : futures.entrySet()) {
            try {
                get(entry.getValue());
                codes.put(entry.getKey(), 0);
            } catch (ExecutionException e) {
                codes.put(entry.getKey(), (int) Errors.forException(e.getCause()).code());
            }
        }
        return codes;
    }

    private static Map<String, Object> failure(Throwable e) {
        Throwable cause = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
        return Map.of("error", (int) Errors.forException(cause).code(), "message", cause.toString());
    }

    private static Map<String, Object> toRecord(ConsumerRecord<byte[], byte[]> one) {
        Map<String, Object> result = new HashMap<>();
        result.put("t", one.topic());
        result.put("p", one.partition());
        result.put("o", one.offset());
        result.put("ts", one.timestamp());
        result.put("k", encode(one.key()));
        result.put("v", encode(one.value()));
        List<Object> headers = new ArrayList<>();
        one.headers().forEach(header -> {
            List<String> pair = new ArrayList<>();
            pair.add(header.key());
            pair.add(encode(header.value()));
            headers.add(pair);
        });
        result.put("h", headers);
        return result;
    }

    private static String encode(byte[] bytes) {
        if (bytes == null) {
            return null;
        }
        try {
            if (bytes.length > 1024) {
                byte[] hash = MessageDigest.getInstance("SHA-256").digest(bytes);
                return "sha256:" + HexFormat.of().formatHex(hash) + ":" + bytes.length;
            }
            return StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT).decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException e) {
            return "hex:" + HexFormat.of().formatHex(bytes);
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private static byte[] decode(JsonNode text) {
        if (text == null || text.isNull()) {
            return null;
        }
        String value = text.asText();
        return value.startsWith("hex:") ? HexFormat.of().parseHex(value.substring(4)) : value.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(JsonNode node, String name) {
        return node.get(name).asText();
    }

    private static List<String> strings(JsonNode array) {
        List<String> result = new ArrayList<>();
        array.forEach(one -> result.add(one.asText()));
        return result;
    }

    private static Map<String, String> map(JsonNode object) {
        Map<String, String> result = new HashMap<>();
        object.fields().forEachRemaining(entry -> result.put(entry.getKey(), entry.getValue().asText()));
        return result;
    }

    private static List<TopicPartition> partitions(JsonNode r) {
        List<TopicPartition> result = new ArrayList<>();
        r.get("partitions").forEach(p -> result.add(new TopicPartition(text(r, "topic"), p.asInt())));
        return result;
    }

    private static List<Integer> ids(List<Node> nodes) {
        return nodes.stream().map(Node::id).toList();
    }
}
