//! Who writes x who reads: every client library, kcat, and the console tools of two Kafkas and of our own.
//!
//! Each writer fills a topic of its own with every codec and every `acks`; each reader then reads all topics, and must see
//! what the writers sent, where they were told it went, in order. At last Kafka's `kafka-dump-log.sh` reads the files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use interop_support::{
    ApacheKafka, Cluster, Driver, Home, Library, Record, Sent, Tools, an_hour_ago, assert_delivered,
    check_data_directory, console_consumer_records, for_each_home, kcat, kcat_records, present, skip,
};
use serde_json::{Value, json};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// `acks`, and whether the producer is idempotent.
const ACKS: [(&str, bool); 4] = [("0", false), ("1", false), ("all", false), ("all", true)];
const RECORDS_PER_RUN: usize = 14;

/// A program that writes to a topic.
#[derive(Clone, Copy, PartialEq)]
enum Client {
    Library(Library),
    Kcat,
    Console(Tools),
}

impl Client {
    fn name(self) -> &'static str {
        match self {
            Self::Library(library) => library.name(),
            Self::Kcat => "kcat",
            Self::Console(tools) => tools.name(),
        }
    }

    /// The clients that are here.
    fn all() -> Vec<Self> {
        let mut all: Vec<Self> = present(Library::ALL).into_iter().map(Self::Library).collect();
        match interop_support::kcat_missing() {
            None => all.push(Self::Kcat),
            Some(why) => skip(&why),
        }
        for tools in [Tools::Scripts(Home::Kafka), Tools::Scripts(Home::Kafka39), Tools::Own] {
            match tools.missing() {
                None => all.push(Self::Console(tools)),
                Some(why) => skip(&why),
            }
        }
        all
    }

    /// The runs of its codecs and acks: a JVM per run is dear, so the scripts get each value once.
    fn runs(self) -> Vec<(&'static str, &'static str, bool)> {
        match self {
            Self::Console(Tools::Scripts(_)) => {
                CODECS.iter().zip(ACKS.iter().cycle()).map(|(codec, (acks, once))| (*codec, *acks, *once)).collect()
            }
            _ => CODECS.iter().flat_map(|codec| ACKS.map(|(acks, once)| (*codec, acks, once))).collect(),
        }
    }
}

#[test]
fn every_reader_reads_what_every_writer_wrote() {
    let clients = Client::all();
    // Without others there is nothing to compare.
    if clients.iter().all(|client| *client == Client::Console(Tools::Own)) {
        return;
    }
    let cluster = Cluster::start();
    write_and_read(&cluster, &clients);
    if let Some(stopped) = cluster.stop()
        && Home::Kafka.missing().is_none()
    {
        check_data_directory(&stopped.data());
    }
}

/// The other direction: our console tools among Kafka's own clients, on brokers of Apache Kafka.
#[test]
fn our_tools_write_and_read_on_apache_kafka() {
    for_each_home(|home| {
        let kafka = ApacheKafka::start(home);
        let library = if home == Home::Kafka { Library::Java } else { Library::Java39 };
        let java = present(&[library]).into_iter().map(Client::Library);
        let consoles = [Tools::Own, Tools::Scripts(home)].map(Client::Console);
        write_and_read(&Cluster::outside(kafka.address()), &java.chain(consoles).collect::<Vec<_>>());
    });
}

/// Each client fills a topic, then each reads them all.
fn write_and_read(cluster: &Cluster, clients: &[Client]) {
    let topic_of = |client: Client| cluster.name(&format!("matrix-{}", client.name()));
    create_topics(cluster, &clients.iter().map(|client| topic_of(*client)).collect::<Vec<_>>());

    let written = in_parallel(clients, |client| write(*client, cluster, &topic_of(*client)));
    let sent: Vec<Sent> = written.into_iter().flatten().collect();

    in_parallel(clients, |client| {
        let topics: Vec<String> = clients.iter().map(|client| topic_of(*client)).collect();
        let read = read(*client, cluster, &topics, sent.len());
        assert_delivered(&format!("read by {}", client.name()), &sent, &read);
    });
}

fn create_topics(cluster: &Cluster, topics: &[String]) {
    // With whatever can do it here; the admin tests try all.
    let library = Library::ALL.iter().find(|library| library.missing().is_none());
    match library {
        Some(library) => {
            let mut driver = Driver::start(*library, cluster.address());
            topics.iter().for_each(|topic| driver.create_topic(topic, 3, json!({})));
        }
        None => topics.iter().for_each(|topic| {
            Tools::Own.run("topics", cluster.address(), &["--create", "--topic", topic, "--partitions", "3"]).succeed();
        }),
    }
}

/// Runs `work` for each item, two at a time, and gives the results in order.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = work(item);
                    results.lock().unwrap().push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The records of one run: with and without keys, headers, values; small and not so small.
fn records(client: Client, topic: &str, run: usize, codec: &str, acks: &str, idempotent: bool) -> Vec<Sent> {
    let null_headers = matches!(client, Client::Library(library) if library.writes_null_headers());
    let once = if idempotent { "-idempotent" } else { "" };
    let first_timestamp = an_hour_ago();
    let record = |i: usize| {
        let id = format!("{}/{codec}/{acks}{once}/{i}", client.name());
        let key = (i % 4 != 3).then(|| format!("key-{}", i % 7));
        let filler = "abcdefghij ".repeat(if i == 9 { 80 } else { i });
        let value = (i % 7 != 5 || key.is_none()).then(|| format!("{id}|{filler}ünï"));
        let mut headers = Vec::new();
        if i % 7 == 5 || i.is_multiple_of(3) {
            headers.push(("id".to_owned(), Some(id.clone())));
            headers.push(("kind".to_owned(), Some("ordinary".to_owned())));
        }
        if i.is_multiple_of(3) && null_headers {
            headers.push(("nothing".to_owned(), None));
        }
        let timestamp = Some(first_timestamp + i as i64);
        Sent { topic: topic.to_owned(), id, run, key, value, headers, timestamp, place: None }
    };
    (0..RECORDS_PER_RUN).map(record).collect()
}

fn write(client: Client, cluster: &Cluster, topic: &str) -> Vec<Sent> {
    let mut driver = match client {
        Client::Library(library) => Some(Driver::start(library, cluster.address())),
        _ => None,
    };
    let mut all = Vec::new();
    for (run, (codec, acks, idempotent)) in client.runs().into_iter().enumerate() {
        let mut sent = records(client, topic, run, codec, acks, idempotent);
        match client {
            Client::Library(_) => write_with_library(driver.as_mut().unwrap(), &mut sent, codec, acks, idempotent),
            Client::Kcat => write_with_kcat(cluster, topic, &mut sent, codec, acks, idempotent),
            Client::Console(tools) => write_with_console(tools, cluster, topic, &mut sent, codec, acks, idempotent),
        }
        all.extend(sent);
    }
    all
}

fn write_with_library(driver: &mut Driver, sent: &mut [Sent], codec: &str, acks: &str, idempotent: bool) {
    let requests: Vec<Value> = sent.iter().map(Sent::request).collect();
    let results = driver.produce(json!({
        "op": "produce", "codec": codec, "acks": acks, "idempotent": idempotent, "records": requests,
    }));
    assert_eq!(results.len(), sent.len());
    for (sent, result) in sent.iter_mut().zip(&results) {
        assert!(result.get("error").is_none(), "{}: {codec}, acks {acks}: {result}", driver.library.name());
        if acks != "0" {
            sent.place = Some((result["p"].as_i64().unwrap(), result["o"].as_i64().unwrap()));
        }
    }
}

/// kcat takes a line per record, one set of headers for all, no timestamps, and empty for null.
fn write_with_kcat(cluster: &Cluster, topic: &str, sent: &mut [Sent], codec: &str, acks: &str, idempotent: bool) {
    let mut lines = String::new();
    for record in sent.iter_mut() {
        record.headers = vec![("kind".to_owned(), Some("of kcat".to_owned()))];
        record.timestamp = None;
        record.value.get_or_insert_with(|| format!("{}|not null", record.id));
        lines.push_str(&format!(
            "{}\t{}\n",
            record.key.as_deref().unwrap_or_default(),
            record.value.as_deref().unwrap_or_default()
        ));
    }
    let acks = format!("acks={acks}");
    let idempotence = format!("enable.idempotence={idempotent}");
    let arguments = [
        ["-P", "-Z"],
        ["-t", topic],
        ["-K", "\t"],
        ["-z", codec],
        ["-H", "kind=of kcat"],
        ["-X", &acks],
        ["-X", &idempotence],
        ["-X", "partitioner=murmur2_random"],
    ];
    kcat(cluster.address(), arguments.as_flattened(), &lines).succeed();
}

/// console-producer takes a line per record, with headers and keys, but no timestamps.
fn write_with_console(
    tools: Tools,
    cluster: &Cluster,
    topic: &str,
    sent: &mut [Sent],
    codec: &str,
    acks: &str,
    idempotent: bool,
) {
    let mut lines = String::new();
    for record in sent.iter_mut() {
        record.timestamp = None;
        let headers: Vec<String> = record
            .headers
            .iter()
            .map(|(name, value)| format!("{name}:{}", value.as_deref().unwrap_or("NULL")))
            .collect();
        let headers = if headers.is_empty() { "NULL".to_owned() } else { headers.join(",") };
        let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "NULL".to_owned());
        lines.push_str(&format!("{headers}\t{}\t{}\n", text(&record.key), text(&record.value)));
    }
    let reader = tools.option("--reader-property", "--property");
    let client = tools.option("--command-property", "--producer-property");
    let idempotence = format!("enable.idempotence={idempotent}");
    // The tool has an option of its own for acks, whose default would win over the client's setting.
    let arguments = [
        ["--topic", topic],
        ["--compression-codec", codec],
        ["--request-required-acks", acks],
        [client, &idempotence],
        [reader, "parse.key=true"],
        [reader, "parse.headers=true"],
        [reader, "null.marker=NULL"],
    ];
    tools.run_with_input("console-producer", cluster.address(), arguments.as_flattened(), &lines).succeed();
}

fn read(client: Client, cluster: &Cluster, topics: &[String], count: usize) -> Vec<Record> {
    let address = cluster.address();
    match client {
        Client::Library(library) => Driver::start(library, address).consume(topics, count),
        Client::Kcat => topics.iter().flat_map(|topic| kcat_records(address, topic)).collect(),
        Client::Console(tools) => {
            let pattern = cluster.name("matrix-.*");
            // The id begins with the writer's name, which is the middle of the topic's.
            let topic_of = |id: &str| cluster.name(&format!("matrix-{}", id.split('/').next().unwrap_or_default()));
            console_consumer_records(tools, address, &["--include", &pattern], count, topic_of)
        }
    }
}
