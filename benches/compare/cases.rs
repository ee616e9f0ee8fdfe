//! What is measured: a row for each case.

/// One case.
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    pub work: Work,
}

/// What is done in a case.
pub enum Work {
    /// From exec to the first answer, on a formatted directory without topics.
    Start,
    /// A server that nobody has asked for anything.
    Idle,
    /// Producers as fast as they can, or at the same rate all the time.
    Produce(Load),
    /// The same with our client alone: so many Java machines need more memory than there is.
    OurProduce(Load),
    /// A topic is read from its beginning.
    Fetch(Load, Reading),
    /// Records at a rate that does not wait for answers.
    OpenLoop(Load),
    /// The streams that this project is sized by (`Reference`).
    Reference(Reference),
    /// One record after the other, each read before the next is sent.
    EndToEnd { records: u64 },
    /// Connections that ask for nothing.
    Connections { count: usize },
    /// Partitions that nobody writes to.
    Partitions { count: usize },
    /// Tools that give one answer.
    Calls,
    /// Lines through `console-producer` and `console-consumer`.
    Console { lines: u64 },
    /// The server after what was asked of it before.
    After,
    /// Connections that ask for more than there is. At the end: a server may not live through it.
    Overload { too_much: TooMuch, connections: usize },
    /// What a record costs where so much is stored already.
    Stored { megabytes: u64 },
}

/// Of what there is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMuch {
    /// Each connection sends the largest request there may be.
    LargestRequests,
    /// Each produces a megabyte after the other, and the disk has to have it before it is answered.
    SlowDisk,
    /// Each asks for the largest answer there may be, and takes it a little at a time.
    SlowConsumers,
}

/// How fast records come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    AsManyAsCanBe,
    PerSecond(u64),
    /// A part of what this server took of one of our producers at most.
    OfPeak(f64),
}

/// Records and how they come.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub partitions: i32,
    pub record_size: u64,
    /// Of all producers together.
    pub records: u64,
    pub producers: u64,
    /// Of the producer.
    pub settings: &'static [&'static str],
    pub rate: Rate,
    /// Commits after as many milliseconds.
    pub transaction_ms: Option<u64>,
}

/// How a topic is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub consumers: u64,
    /// Each of them reads all of it; else they share it.
    pub each_all: bool,
    /// Nothing of it is in the system's memory any more.
    pub cold: bool,
}

/// A stream of small records that are many, and one of large ones that are few; each partition has a consumer.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    pub small: Load,
    pub large: Load,
}

/// Clients' defaults, a million records of 1 KB, one partition, one producer.
const DEFAULT: Load = Load {
    partitions: 1,
    record_size: 1024,
    records: 1_000_000,
    producers: 1,
    settings: &[],
    rate: Rate::AsManyAsCanBe,
    transaction_ms: None,
};

/// Batches as large as those who care for throughput make them.
const LARGE: Load = Load { settings: &["batch.size=65536", "linger.ms=5"], ..DEFAULT };

const ONE_CONSUMER: Reading = Reading { consumers: 1, each_all: true, cold: false };

const TEN_THOUSAND: Load = Load { partitions: 10, records: 200_000, rate: Rate::PerSecond(10_000), ..DEFAULT };

const fn case(name: &'static str, what: &'static str, work: Work) -> Case {
    Case { name, what, work }
}

/// In the order in which a server does them.
pub const CASES: &[Case] = &[
    case("start", "from exec to the first answer, formatted directory", Work::Start),
    case("idle", "five seconds after the start, nothing asked", Work::Idle),
    case("produce-1k", "1 KB records, batches of 64 KiB, one partition", Work::Produce(LARGE)),
    case(
        "produce-100b",
        "100 B records, clients' defaults, one partition",
        Work::Produce(Load { record_size: 100, records: 3_000_000, ..DEFAULT }),
    ),
    case("fetch", "1 KB records in batches of 64 KiB, one partition, warm", Work::Fetch(LARGE, ONE_CONSUMER)),
    case("rate-10k", "10,000 records/s of 1 KB, clients' defaults, ten partitions", Work::OpenLoop(TEN_THOUSAND)),
    case(
        "half-of-peak",
        "1 KB records, batches of 64 KiB, at half of what one of our producers reaches",
        Work::OpenLoop(Load { rate: Rate::OfPeak(0.5), ..LARGE }),
    ),
    case("produce-10p", "as produce-1k, ten partitions", Work::Produce(Load { partitions: 10, ..LARGE })),
    case("produce-100p", "as produce-1k, a hundred partitions", Work::Produce(Load { partitions: 100, ..LARGE })),
    case("produce-1000p", "as produce-1k, a thousand partitions", Work::Produce(Load { partitions: 1000, ..LARGE })),
    case(
        "produce-acks-1",
        "as produce-1k, acks=1 without idempotence",
        Work::Produce(Load {
            settings: &["batch.size=65536", "linger.ms=5", "acks=1", "enable.idempotence=false"],
            ..DEFAULT
        }),
    ),
    case(
        "produce-lz4",
        "as produce-1k, lz4",
        Work::Produce(Load { settings: &["batch.size=65536", "linger.ms=5", "compression.type=lz4"], ..DEFAULT }),
    ),
    case(
        "produce-zstd",
        "as produce-1k, zstd",
        Work::Produce(Load { settings: &["batch.size=65536", "linger.ms=5", "compression.type=zstd"], ..DEFAULT }),
    ),
    case("ten-producers", "as produce-1k, ten producers", Work::Produce(Load { producers: 10, ..LARGE })),
    case(
        "hundred-producers",
        "as produce-1k, a hundred of our producers",
        Work::OurProduce(Load { producers: 100, ..LARGE }),
    ),
    case(
        "transactions",
        "as produce-1k, a transaction every 100 ms",
        Work::Produce(Load { transaction_ms: Some(100), ..LARGE }),
    ),
    case("fetch-cold", "as fetch, from the disk", Work::Fetch(LARGE, Reading { cold: true, ..ONE_CONSUMER })),
    case(
        "fetch-shared",
        "as fetch, ten partitions and a group of ten consumers",
        Work::Fetch(Load { partitions: 10, ..LARGE }, Reading { consumers: 10, each_all: false, cold: false }),
    ),
    case(
        "fan-out",
        "as fetch, ten consumers that each read all of it",
        Work::Fetch(Load { records: 300_000, ..LARGE }, Reading { consumers: 10, ..ONE_CONSUMER }),
    ),
    case("tenth-of-peak", "as half-of-peak, at a tenth", Work::OpenLoop(Load { rate: Rate::OfPeak(0.1), ..LARGE })),
    case(
        "eighty-of-peak",
        "as half-of-peak, at four fifths",
        Work::OpenLoop(Load { rate: Rate::OfPeak(0.8), ..LARGE }),
    ),
    case(
        "reference",
        "10,000 records/s of 1 KB on ten partitions with ten consumers, beside 10 records/s of 1 MB with one",
        Work::Reference(Reference {
            small: TEN_THOUSAND,
            large: Load { record_size: 1_000_000, records: 200, rate: Rate::PerSecond(10), ..DEFAULT },
        }),
    ),
    case("end-to-end", "one record of 100 B after the other, acks=all", Work::EndToEnd { records: 5_000 }),
    case("connections", "5,000 connections that ask for nothing", Work::Connections { count: 5_000 }),
    case("calls", "tools that give one answer", Work::Calls),
    case("console", "3,000,000 lines through the console tools", Work::Console { lines: 3_000_000 }),
    // What follows starts the server again.
    case("after", "memory after all of this", Work::After),
    case("stored-1m", "appending and reading where 1 MB is stored", Work::Stored { megabytes: 1 }),
    case("stored-1g", "the same, 1 GB", Work::Stored { megabytes: 1_000 }),
    case("stored-10g", "the same, 10 GB", Work::Stored { megabytes: 10_000 }),
    case("stored-100g", "the same, 100 GB", Work::Stored { megabytes: 100_000 }),
    case("partitions-10k", "10,000 partitions that nobody writes to", Work::Partitions { count: 10_000 }),
    case(
        "slow-disk",
        "1,000 producers of 1 MB each, faster than the disk, which must have it",
        Work::Overload { too_much: TooMuch::SlowDisk, connections: 1_000 },
    ),
    case(
        "slow-consumers",
        "1,000 consumers that ask for 50 MiB each and hardly read",
        Work::Overload { too_much: TooMuch::SlowConsumers, connections: 1_000 },
    ),
    case(
        "overload",
        "1,000 connections that each send 100 MiB",
        Work::Overload { too_much: TooMuch::LargestRequests, connections: 1_000 },
    ),
];
