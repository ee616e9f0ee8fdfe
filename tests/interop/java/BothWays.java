import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;

/**
 * Works with a cluster whose broker is now one server, now another, on the same address and directories, and tells all
 * that a client can see of it. A line in, lines out, an empty line at the end; see tests/interop/README.md.
 *
 * <p>{@code work N}: the work of round N, which goes on with the producers, transactions and groups of the rounds before.
 * {@code state}: a fact per line. {@code acls}: adds access control entries. {@code load}: begins to write numbered records to
 * a topic that {@code state} leaves out, and to read them in groups, until {@code unload}, which tells of every one that is not
 * there once and in its place, and of groups that have missed one.
 */
public final class BothWays {
    private static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};
    private static final int PER_CODEC = 40;

    private final String bootstrap;
    private final boolean shares;
    private final PrintStream out;
    private final Admin admin;
    private final KafkaProducer<String, String> idempotent;
    /** Its transaction begins with one server and ends with the next. */
    private KafkaProducer<String, String> across;
    private final List<KafkaProducer<String, String>> abandoned = new ArrayList<>();
    private volatile boolean loading;
    private Thread loader;
    private final List<Reader> readers = new ArrayList<>();
    /** Of the records of the load, by their numbers. */
    private final ConcurrentHashMap<Integer, Long> acknowledged = new ConcurrentHashMap<>();
    private final ConcurrentLinkedQueue<String> refused = new ConcurrentLinkedQueue<>();

    private BothWays(String bootstrap, boolean shares, PrintStream out) {
        this.bootstrap = bootstrap;
        this.shares = shares;
        this.out = out;
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "reconnect.backoff.max.ms", "200",
            "default.api.timeout.ms", "60000"));
        idempotent = producer(Map.of("enable.idempotence", "true"));
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, "UTF-8");
        System.setOut(System.err);
        boolean shares = arguments.length < 2 || !arguments[1].equals("no-shares");
        BothWays all = new BothWays(arguments[0], shares, out);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.trim().split(" ");
            try {
                switch (words[0]) {
                    case "work" -> all.work(Integer.parseInt(words[1]));
                    case "acls" -> all.acls();
                    case "load" -> all.load();
                    case "unload" -> all.unload();
                    case "state" -> all.state();
                    default -> System.exit(0);
                }
            } catch (Exception e) {
                e.printStackTrace();
                out.println("failed: " + e);
            }
            out.println();
        }
        System.exit(0);
    }

    private KafkaProducer<String, String> producer(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "acks", "all",
            "reconnect.backoff.max.ms", "200", "linger.ms", "5", "delivery.timeout.ms", "60000",
            "request.timeout.ms", "20000", "max.block.ms", "60000"));
        config.putAll(more);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    private Map<String, Object> consumerConfig(String group, Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "auto.offset.reset",
            "earliest", "enable.auto.commit", "false"));
        if (group != null) {
            config.put("group.id", group);
        }
        config.putAll(more);
        return config;
    }

    private static <T> T get(KafkaFuture<T> future) throws Exception {
        try {
            return future.get(60, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof Exception cause) {
                throw cause;
            }
            throw e;
        }
    }

    private void create(String name, int partitions, Map<String, String> configs) throws Exception {
        try {
            get(admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all());
        } catch (TopicExistsException e) {
            // From an earlier round.
        }
    }

    private void work(int round) throws Exception {
        create("codecs", 1, Map.of("retention.ms", "-1"));
        create("compacted", 1, Map.of("cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.9",
            "segment.ms", "3600000"));
        create("small-segments", 1, Map.of("segment.bytes", "1048576", "retention.bytes", "-1"));
        create("transactions", 2, Map.of("message.timestamp.type", "LogAppendTime"));
        create("idempotent", 1, Map.of());
        create("trimmed", 1, Map.of());
        create("cleaned", 1, Map.of("cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.ms",
            "100"));
        create("growing", 1, Map.of());
        create("shared", 1, Map.of());
        create("round-" + round, 2, Map.of("max.message.bytes", Integer.toString(100_000 + round)));
        create("gone-" + round, 1, Map.of());
        if (round > 0) {
            get(admin.deleteTopics(List.of("gone-" + (round - 1))).all());
            get(admin.createPartitions(Map.of("growing", NewPartitions.increaseTo(round + 1))).all());
        }
        records(round);
        transactions(round);
        groups(round);
        settings(round);
    }

    private static String text(int round, int i) {
        return ("round " + round + " record " + i + " ").repeat(20);
    }

    private void records(int round) throws Exception {
        for (String codec : CODECS) {
            try (KafkaProducer<String, String> producer = producer(Map.of("compression.type", codec,
                    "enable.idempotence", "false"))) {
                for (int i = 0; i < PER_CODEC; i++) {
                    ProducerRecord<String, String> record =
                        new ProducerRecord<>("codecs", 0, codec + "-" + i, text(round, i));
                    record.headers().add("round", Integer.toString(round).getBytes(StandardCharsets.UTF_8));
                    producer.send(record);
                }
            }
        }
        for (int i = 0; i < 50; i++) {
            String key = "key-" + i % 10;
            idempotent.send(new ProducerRecord<>("compacted", 0, key, i % 7 == 6 ? null : text(round, i)));
            idempotent.send(new ProducerRecord<>("idempotent", 0, key, text(round, i))).get();
            idempotent.send(new ProducerRecord<>("shared", 0, key, text(round, i)));
            idempotent.send(new ProducerRecord<>("trimmed", 0, key, text(round, i)));
            idempotent.send(new ProducerRecord<>("cleaned", 0, key, i % 7 == 6 ? null : text(round, i)));
        }
        idempotent.flush();
        get(admin.deleteRecords(Map.of(new TopicPartition("trimmed", 0),
            RecordsToDelete.beforeOffset(50 * round + 17))).all());
        String large = "x".repeat(60_000);
        for (int i = 0; i < 12; i++) {
            idempotent.send(new ProducerRecord<>("small-segments", 0, "large", large + round + i));
        }
        idempotent.flush();
    }

    private KafkaProducer<String, String> transactional(String id) {
        KafkaProducer<String, String> producer =
            producer(Map.of("transactional.id", id, "transaction.timeout.ms", "900000"));
        producer.initTransactions();
        return producer;
    }

    private void sendBoth(KafkaProducer<String, String> producer, String key, int round) {
        for (int i = 0; i < 5; i++) {
            for (int partition = 0; partition < 2; partition++) {
                producer.send(new ProducerRecord<>("transactions", partition, key, text(round, i)));
            }
        }
        producer.flush();
    }

    private void transactions(int round) throws Exception {
        if (across != null) {
            sendBoth(across, "across", round);
            across.commitTransaction();
        } else {
            across = transactional("across");
        }
        try (KafkaProducer<String, String> producer = transactional("committed")) {
            producer.beginTransaction();
            sendBoth(producer, "committed", round);
            Map<TopicPartition, OffsetAndMetadata> offsets =
                Map.of(new TopicPartition("codecs", 0), new OffsetAndMetadata(10 + round, "by transaction " + round));
            producer.sendOffsetsToTransaction(offsets, new org.apache.kafka.clients.consumer.ConsumerGroupMetadata(
                "transactional-group"));
            producer.commitTransaction();
        }
        try (KafkaProducer<String, String> producer = transactional("aborted")) {
            producer.beginTransaction();
            sendBoth(producer, "aborted", round);
            producer.abortTransaction();
        }
        // The one that the round before left open is aborted by this.
        KafkaProducer<String, String> open = transactional("open");
        open.beginTransaction();
        sendBoth(open, "open", round);
        abandoned.add(open);
        across.beginTransaction();
        sendBoth(across, "across", round);
    }

    private void groups(int round) throws Exception {
        for (String protocol : protocols()) {
            try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
                    consumerConfig(protocol + "-group", Map.of("group.protocol", protocol, "max.poll.records", "30")),
                    new StringDeserializer(), new StringDeserializer())) {
                consumer.subscribe(List.of("codecs"));
                int read = 0;
                for (int i = 0; i < 600 && read < 30; i++) {
                    read += consumer.poll(Duration.ofMillis(100)).count();
                }
                if (read == 0) {
                    throw new IllegalStateException(protocol + " group reads nothing");
                }
                consumer.commitSync();
            }
        }
        get(admin.alterConsumerGroupOffsets("simple-group", Map.of(new TopicPartition("idempotent", 0),
            new OffsetAndMetadata(7 + round, Optional.of(0), "set in round " + round))).all());
        if (shares) {
            share(round);
            streams(round);
        }
    }

    /** Counts by key, with a store that begins empty and is filled from its changelog each time. */
    private void streams(int round) throws Exception {
        create("streamed", 1, Map.of());
        java.nio.file.Path state = java.nio.file.Files.createTempDirectory("both-ways-streams");
        Properties config = new Properties();
        config.putAll(Map.of("application.id", "streams-group", "bootstrap.servers", bootstrap, "group.protocol", "streams",
            "commit.interval.ms", "200", "state.dir", state.toString(), "default.key.serde",
            Serdes.StringSerde.class.getName(), "default.value.serde", Serdes.StringSerde.class.getName()));
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream("idempotent").groupByKey().count().toStream().mapValues(Object::toString).to("streamed");
        try (KafkaStreams streams = new KafkaStreams(builder.build(), config)) {
            streams.start();
            TopicPartition input = new TopicPartition("idempotent", 0);
            for (int i = 0; ; i++) {
                OffsetAndMetadata done = get(admin.listConsumerGroupOffsets("streams-group").partitionsToOffsetAndMetadata())
                    .get(input);
                if (done != null && done.offset() == 50 * (round + 1)) {
                    break;
                }
                if (i == 600) {
                    throw new IllegalStateException("the streams group is at " + done);
                }
                Thread.sleep(100);
            }
        }
    }

    private void share(int round) throws Exception {
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, "share-group");
        set(group, "share.auto.offset.reset", "earliest");
        try (KafkaShareConsumer<String, String> consumer = new KafkaShareConsumer<>(
                Map.of("bootstrap.servers", bootstrap, "group.id", "share-group", "share.acknowledgement.mode",
                    "explicit", "max.poll.records", "20"),
                new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("shared"));
            int read = 0;
            for (int i = 0; i < 600 && read < 20; i++) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    AcknowledgeType type = record.offset() % 10 == 3 ? AcknowledgeType.RELEASE
                        : record.offset() % 10 == 5 ? AcknowledgeType.REJECT : AcknowledgeType.ACCEPT;
                    consumer.acknowledge(record, type);
                    read++;
                }
                consumer.commitSync();
            }
            if (read == 0) {
                throw new IllegalStateException("the share group reads nothing in round " + round);
            }
        }
    }

    private void set(ConfigResource resource, String key, String value) throws Exception {
        AlterConfigOp.OpType type = value == null ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET;
        Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry(key, value), type));
        get(admin.incrementalAlterConfigs(Map.of(resource, ops)).all());
    }

    private void settings(int round) throws Exception {
        set(new ConfigResource(ConfigResource.Type.TOPIC, "codecs"), "retention.bytes",
            Integer.toString(1_000_000_000 + round));
        set(new ConfigResource(ConfigResource.Type.BROKER, ""), "log.cleaner.dedupe.buffer.size",
            Integer.toString(134_217_728 - 1024 * round));
        set(new ConfigResource(ConfigResource.Type.BROKER, "1"), "message.max.bytes", Integer.toString(1_048_588 + round));
        if (shares) {
            set(new ConfigResource(ConfigResource.Type.GROUP, "consumer-group"), "consumer.session.timeout.ms",
                Integer.toString(45_000 + round));
        }
        String user = "user-" + round;
        optional("scram", () -> get(admin.alterUserScramCredentials(List.of(
            new UserScramCredentialUpsertion(user, new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096),
                "secret"),
            new UserScramCredentialUpsertion("changing", new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512,
                4096 + round), "secret"))).all()));
        optional("quotas", () -> get(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(
            new ClientQuotaEntity(Map.of("user", user)),
            List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1_000_000.0 + round))))).all()));
        optional("client-metrics", () -> {
            set(new ConfigResource(ConfigResource.Type.CLIENT_METRICS, "metrics-" + round), "interval.ms",
                Integer.toString(60_000 + round));
            return null;
        });
    }

    private void acls() throws Exception {
        for (int i = 0; i < 3; i++) {
            AclBinding binding = new AclBinding(new ResourcePattern(ResourceType.TOPIC, "topic-" + i, PatternType.PREFIXED),
                new AccessControlEntry("User:user-" + i, "*", AclOperation.READ, AclPermissionType.ALLOW));
            get(admin.createAcls(List.of(binding)).all());
        }
    }

    /** One producer that no server may refuse, whoever was killed in the middle of its batches. */
    private void load() throws Exception {
        create("load", 1, Map.of());
        loading = true;
        loader = new Thread(() -> {
            try (KafkaProducer<String, String> producer = producer(Map.of("enable.idempotence", "true",
                    "delivery.timeout.ms", "300000", "max.block.ms", "300000"))) {
                for (int i = 0; loading; i++) {
                    int number = i;
                    producer.send(new ProducerRecord<>("load", 0, null, Integer.toString(number)), (metadata, error) -> {
                        if (error == null) {
                            acknowledged.put(number, metadata.offset());
                        } else {
                            refused.add(number + ": " + error);
                        }
                    });
                    Thread.sleep(3);
                }
            } catch (Exception e) {
                refused.add(e.toString());
            }
        });
        loader.start();
        for (String protocol : protocols()) {
            Reader reader = new Reader(protocol);
            readers.add(reader);
            reader.start();
        }
    }

    private String[] protocols() {
        return shares ? new String[] {"classic", "consumer"} : new String[] {"classic"};
    }

    /** A member of a group, which reads on whatever server its coordinator is on. */
    private final class Reader extends Thread {
        private final String protocol;
        private volatile int read;
        private volatile boolean done;
        private volatile String failure;

        Reader(String protocol) {
            this.protocol = protocol;
        }

        @Override
        public void run() {
            try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(consumerConfig("live-" + protocol,
                    Map.of("group.protocol", protocol, "enable.auto.commit", "true", "auto.commit.interval.ms", "500",
                        "reconnect.backoff.max.ms", "200")), new StringDeserializer(), new StringDeserializer())) {
                consumer.subscribe(List.of("load"));
                while (!done) {
                    for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                        // Again what was not committed yet is fine; a gap is not.
                        if (record.offset() > read) {
                            failure = protocol + " member: offset " + record.offset() + " after " + (read - 1);
                            return;
                        }
                        read = Math.max(read, (int) record.offset() + 1);
                    }
                }
            } catch (Exception e) {
                failure = protocol + " member: " + e;
            }
        }

        void check(int count) throws Exception {
            for (int i = 0; i < 600 && read < count && failure == null; i++) {
                Thread.sleep(100);
            }
            done = true;
            join();
            if (failure != null || read != count) {
                out.println("failed: " + (failure != null ? failure : protocol + " member: read " + read + " of " + count));
            }
        }
    }

    private void unload() throws Exception {
        loading = false;
        loader.join();
        refused.stream().limit(5).forEach(error -> out.println("failed: " + error));
        TopicPartition partition = new TopicPartition("load", 0);
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(consumerConfig(null, Map.of()),
                new StringDeserializer(), new StringDeserializer())) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            int next = 0;
            long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
            while (consumer.position(partition) < end && System.nanoTime() < until) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    Long told = acknowledged.get(next);
                    if (!record.value().equals(Integer.toString(next)) || told == null
                            || told >= 0 && told != record.offset()) {
                        out.println("failed: " + record.value() + " at " + record.offset() + ", where " + next
                            + " is expected, acknowledged at " + told);
                        return;
                    }
                    next++;
                }
            }
            if (next != acknowledged.size() || next != end) {
                out.println("failed: " + next + " records up to " + end + ", " + acknowledged.size() + " acknowledged");
            }
            for (Reader reader : readers) {
                reader.check(next);
            }
            out.println("load " + next);
        }
    }

    private interface Action {
        Object run() throws Exception;
    }

    /** What not every server offers. */
    private void optional(String name, Action action) throws Exception {
        try {
            action.run();
        } catch (UnsupportedVersionException | SecurityDisabledException e) {
            System.err.println(name + ": " + e);
        }
    }

    private void state() throws Exception {
        out.println("cluster " + get(admin.describeCluster().clusterId()));
        Set<String> names = new TreeSet<>(get(admin.listTopics(
            new org.apache.kafka.clients.admin.ListTopicsOptions().listInternal(true)).names()));
        names.remove("load");
        Map<String, TopicDescription> topics = new TreeMap<>(get(admin.describeTopics(names).allTopicNames()));
        List<ConfigResource> resources = new ArrayList<>();
        List<TopicPartition> partitions = new ArrayList<>();
        for (TopicDescription topic : topics.values()) {
            out.println("topic " + topic.name() + " id " + topic.topicId() + " partitions " + topic.partitions().size()
                + " replicas " + topic.partitions().get(0).replicas().size());
            resources.add(new ConfigResource(ConfigResource.Type.TOPIC, topic.name()));
            topic.partitions().forEach(p -> partitions.add(new TopicPartition(topic.name(), p.partition())));
        }
        resources.add(new ConfigResource(ConfigResource.Type.BROKER, ""));
        resources.add(new ConfigResource(ConfigResource.Type.BROKER, "1"));
        configs(resources);
        if (shares) {
            configs(List.of(new ConfigResource(ConfigResource.Type.GROUP, "consumer-group"),
                new ConfigResource(ConfigResource.Type.GROUP, "share-group")));
        }
        offsetsAndRecords(topics, partitions);
        groupState();
        transactionState(partitions);
        security();
        get(admin.describeFeatures().featureMetadata()).finalizedFeatures().forEach((name, level) ->
            out.println("feature " + name + " " + level.maxVersionLevel()));
    }

    private void configs(List<ConfigResource> resources) throws Exception {
        get(admin.describeConfigs(resources).all()).forEach((resource, config) -> config.entries().forEach(entry -> {
            boolean dynamic = switch (entry.source()) {
                case DYNAMIC_TOPIC_CONFIG, DYNAMIC_BROKER_CONFIG, DYNAMIC_DEFAULT_BROKER_CONFIG,
                    DYNAMIC_GROUP_CONFIG, DYNAMIC_CLIENT_METRICS_CONFIG -> true;
                default -> false;
            };
            if (dynamic) {
                String id = resource.type() + " " + (resource.name().isEmpty() ? "default" : resource.name());
                out.println("config " + id + " " + entry.name() + "=" + entry.value() + " " + entry.source());
            }
        }));
    }

    private void offsetsAndRecords(Map<String, TopicDescription> topics, List<TopicPartition> partitions) {
        for (String isolation : List.of("read_uncommitted", "read_committed")) {
            try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
                    consumerConfig(null, Map.of("isolation.level", isolation)), new StringDeserializer(),
                    new StringDeserializer())) {
                Map<TopicPartition, Long> starts = new HashMap<>(consumer.beginningOffsets(partitions));
                Map<TopicPartition, Long> ends = new HashMap<>(consumer.endOffsets(partitions));
                List<TopicPartition> data = partitions.stream().filter(p -> !topics.get(p.topic()).isInternal()).toList();
                for (TopicPartition p : data) {
                    out.println("offsets " + p + " " + isolation + " " + starts.get(p) + " " + ends.get(p));
                }
                data = data.stream().filter(p -> ends.get(p) > starts.get(p)).toList();
                consumer.assign(data);
                consumer.seekToBeginning(data);
                Map<String, String> latest = new TreeMap<>();
                List<TopicPartition> left = new ArrayList<>(data);
                long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
                while (!left.isEmpty() && System.nanoTime() < until) {
                    for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                        print(isolation, record);
                        if (record.topic().equals("cleaned")) {
                            latest.put(record.key(), record.value());
                        }
                    }
                    left.removeIf(p -> consumer.position(p) >= ends.get(p));
                }
                latest.values().removeIf(value -> value == null);
                latest.forEach((key, value) -> out.println("latest cleaned-0 " + key + " " + summary(value)));
                left.forEach(p -> out.println("unreadable " + p + " " + isolation + " at " + consumer.position(p)));
            }
        }
    }

    private void print(String isolation, ConsumerRecord<String, String> record) {
        StringBuilder headers = new StringBuilder();
        for (Header header : record.headers()) {
            headers.append(' ').append(header.key()).append('=').append(new String(header.value(), StandardCharsets.UTF_8));
        }
        String value = record.value() == null ? "null" : summary(record.value());
        out.println("record " + isolation + " " + record.topic() + "-" + record.partition() + " " + record.offset() + " "
            + record.timestampType() + " " + record.timestamp() + " " + record.key() + " " + value + headers);
    }

    private static String summary(String value) {
        return value.length() + "#" + value.hashCode();
    }

    private void groupState() throws Exception {
        Map<String, GroupListing> groups = new TreeMap<>();
        get(admin.listGroups().all()).forEach(group -> groups.put(group.groupId(), group));
        groups.keySet().removeIf(id -> id.startsWith("live-"));
        for (GroupListing group : groups.values()) {
            String type = group.type().map(Object::toString).orElse("?");
            out.println("group " + group.groupId() + " " + type + " " + group.groupState().map(Object::toString).orElse("?"));
            if (type.equals("Share")) {
                get(admin.listShareGroupOffsets(Map.of(group.groupId(), new ListShareGroupOffsetsSpec())).all())
                    .forEach((id, offsets) -> offsets.forEach((p, offset) ->
                        out.println("share offset " + id + " " + p + " " + offset)));
            } else {
                get(admin.listConsumerGroupOffsets(group.groupId()).partitionsToOffsetAndMetadata()).forEach((p, offset) ->
                    out.println("group offset " + group.groupId() + " " + p + " " + offset));
            }
        }
    }

    private void transactionState(List<TopicPartition> partitions) throws Exception {
        List<String> ids = new ArrayList<>();
        get(admin.listTransactions().all()).forEach(listing -> ids.add(listing.transactionalId()));
        get(admin.describeTransactions(ids).all()).forEach((id, transaction) -> out.println("transaction " + id + " "
            + transaction.state() + " producer " + transaction.producerId() + " epoch " + transaction.producerEpoch()
            + " timeout " + transaction.transactionTimeoutMs() + " started "
            + transaction.transactionStartTimeMs().orElse(-1) + " " + transaction.topicPartitions().stream()
                .map(TopicPartition::toString).sorted().collect(Collectors.joining(","))));
        List<TopicPartition> produced =
            partitions.stream().filter(p -> p.topic().equals("idempotent") || p.topic().equals("transactions")).toList();
        get(admin.describeProducers(produced).all()).forEach((p, state) -> state.activeProducers().forEach(producer ->
            out.println("producer " + p + " " + producer.producerId() + " epoch " + producer.producerEpoch() + " sequence "
                + producer.lastSequence() + " transaction from "
                + producer.currentTransactionStartOffset().orElse(-1))));
    }

    private void security() throws Exception {
        optional("scram", () -> {
            get(admin.describeUserScramCredentials().all()).forEach((user, credentials) ->
                out.println("scram " + user + " " + credentials.credentialInfos()));
            return null;
        });
        optional("quotas", () -> {
            get(admin.describeClientQuotas(ClientQuotaFilter.all()).entities()).forEach((entity, quotas) ->
                out.println("quota " + entity + " " + new TreeMap<>(quotas)));
            return null;
        });
        optional("acls", () -> {
            get(admin.describeAcls(AclBindingFilter.ANY).values()).forEach(acl -> out.println("acl " + acl));
            return null;
        });
        optional("client-metrics", () -> {
            List<ConfigResource> resources = new ArrayList<>();
            get(admin.listConfigResources(Set.of(ConfigResource.Type.CLIENT_METRICS),
                new org.apache.kafka.clients.admin.ListConfigResourcesOptions()).all()).forEach(resources::add);
            configs(resources);
            return null;
        });
    }
}
