//! Does the cases on one server, from its start to its stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cases::{Case, Load, Rate, Reading, Reference, Work};
use super::clients::{Client, Done, Said, run, without_input};
use super::machine::{Bystander, Waits, settle};
use super::report::{Figures, From};
use super::support::servers::{Server, Taken, Who, address, connect, properties, wait_for_leader};
use super::{connections, limits, open_loop, overload, partitions, stored, tools};

/// What Kafka's own script gives its broker.
const HEAP: &[&str] = &["-Xms1G", "-Xmx1G"];
/// What either would do in the background of a longer life, or once for the first group, must not fall into a case of one of them.
const SETTINGS: &[&str] = &[
    "offsets.topic.num.partitions=1",
    "transaction.state.log.num.partitions=1",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "log.retention.check.interval.ms=3600000",
    "group.initial.rebalance.delay.ms=0",
];
/// Until a server that was just started does nothing any more on its own.
const SETTLING: Duration = Duration::from_secs(5);
const GIB: f64 = (1 << 30) as f64;
const MIB: f64 = (1 << 20) as f64;
const KIB: f64 = 1024.0;

/// One server, and what is measured of it.
pub struct Bench<'a> {
    who: &'a Who,
    pub server: Server,
    settings: PathBuf,
    /// How often it was started again.
    starts: usize,
    pub scratch: PathBuf,
    pub data: PathBuf,
    /// Part of the work that is done.
    pub scale: f64,
    /// Records a second of one of our producers.
    peak: Option<f64>,
    figures: &'a mut Figures,
}

impl<'a> Bench<'a> {
    /// Starts a server in a directory of its own, does the cases and stops it.
    pub fn run(who: &'a Who, dir: &Path, scale: f64, cases: &[&Case], figures: &'a mut Figures) {
        fs::create_dir_all(dir).unwrap();
        let data = dir.join("data");
        let settings = properties(&data, SETTINGS);
        Server::format(&settings);
        let mut server = Server::spawn_with(who, &settings, HEAP);
        server.answers();
        let started = server.taken().wall;
        figures.note_load();
        let mut bench =
            Self { who, server, settings, starts: 0, scratch: dir.to_owned(), data, scale, peak: None, figures };
        let mut is_warm = false;
        for case in cases {
            if !is_warm && !matches!(case.work, Work::Start | Work::Idle | Work::Overload { .. }) {
                bench.warm_up();
                is_warm = true;
            }
            if !matches!(case.work, Work::Start | Work::Idle | Work::After) {
                settle(&bench.scratch);
            }
            match case.work {
                Work::Start => bench.add(case, "", "time", "ms", started.as_secs_f64() * 1e3),
                Work::Idle => bench.idle(case),
                Work::After => bench.memory(case),
                Work::Produce(load) => bench.produce(case, bench.scaled(load), &Client::all()),
                Work::OurProduce(load) => bench.produce(case, bench.scaled(load), &[Client::Ours]),
                Work::Fetch(load, reading) => bench.fetch(case, bench.scaled(load), reading),
                Work::OpenLoop(load) => bench.open_loop(case, bench.scaled(load)),
                Work::Reference(reference) => bench.reference(case, reference),
                Work::EndToEnd { records } => bench.end_to_end(case, records),
                Work::Connections { count } => connections::idle(&mut bench, case, count),
                Work::Overload { too_much, connections } => {
                    overload::overload(&mut bench, case, too_much, connections);
                }
                Work::Partitions { count } => partitions::many(&mut bench, case, count),
                Work::Stored { megabytes } => stored::measure(&mut bench, case, megabytes),
                Work::Calls => tools::calls(&mut bench, case),
                Work::Console { lines } => tools::console(&mut bench, case, lines),
            }
        }
        bench.server.kill();
    }

    fn scaled(&self, load: Load) -> Load {
        Load { records: (load.records as f64 * self.scale) as u64, ..load }
    }

    /// Has Java compile what matters, and makes the topics of its own that a server needs.
    fn warm_up(&mut self) {
        let load = Load { records: 1_000_000, ..DEFAULT };
        for client in Client::all() {
            for (size, settings) in [(100, &[][..]), (1024, &["batch.size=65536"][..])] {
                let load = Load { record_size: size, settings, ..self.scaled(load) };
                let topic = format!("warm-up-{}-{size}-{}", client.name(), self.starts);
                self.create(&topic, 1);
                client.produce(&topic, &load, None, &self.scratch);
                client.consume(&topic, load.records, ALONE, &self.scratch);
            }
        }
    }

    /// Has the server stop cleanly, and starts it again after `meanwhile`.
    pub fn restart(&mut self, meanwhile: impl FnOnce()) {
        self.server.stop();
        meanwhile();
        self.server = Server::spawn_with(self.who, &self.settings, HEAP);
        self.server.answers();
        self.starts += 1;
        self.warm_up();
    }

    /// The same, cold; what it took until it told the end of a partition.
    pub fn start_again(&mut self, topic: &str, partition: i32, within: Duration) -> Taken {
        self.server.stop();
        self.server = Server::spawn_with(self.who, &self.settings, HEAP);
        self.starts += 1;
        self.server.ready(topic, partition, within).expect("the server is ready in time")
    }

    /// Makes a topic that is led.
    pub fn create(&self, topic: &str, partitions: i32) {
        connect().create_topic(topic, partitions, &[]);
        wait_for_leader(topic);
    }

    /// Notes a figure.
    pub fn add(&mut self, case: &Case, client: &'static str, figure: &str, unit: &'static str, value: f64) {
        self.figures.add(From { who: self.who, case: case.name, client }, figure, unit, value);
    }

    fn idle(&mut self, case: &Case) {
        std::thread::sleep(SETTLING);
        let before = self.server.taken();
        self.memory(case);
        std::thread::sleep(SETTLING);
        let after = self.server.taken();
        self.add(case, "", "CPU", "cores", cores(before, after));
    }

    fn memory(&mut self, case: &Case) {
        let taken = self.server.taken();
        self.add(case, "", "memory", "MiB", taken.resident_kb as f64 / KIB);
        self.add(case, "", "memory at most", "MiB", taken.peak_kb as f64 / KIB);
    }

    fn produce(&mut self, case: &Case, load: Load, clients: &[Client]) {
        for client in clients {
            let topic = format!("{}-{}", case.name, client.name());
            self.create(&topic, load.partitions);
            let before = self.server.taken();
            let (said, done) = client.produce(&topic, &load, None, &self.scratch);
            let after = self.server.taken();
            let [_, _, (_, p99), ..] = said.latencies[..] else { panic!("no latencies") };
            self.add(case, client.name(), "latency p99 of a producer that waits", "ms", p99);
            self.tell(case, client.name(), load.records, load.record_size, (&said, &done), [before, after]);
        }
    }

    fn fetch(&mut self, case: &Case, load: Load, reading: Reading) {
        self.create(case.name, load.partitions);
        Client::Ours.produce(case.name, &load, None, &self.scratch);
        for client in Client::all() {
            if reading.cold {
                forget(&self.data);
            }
            let before = self.server.taken();
            let (said, done) = client.consume(case.name, load.records, reading, &self.scratch);
            let after = self.server.taken();
            let read = if reading.each_all { load.records * reading.consumers } else { load.records };
            self.tell(case, client.name(), read, load.record_size, (&said, &done), [before, after]);
        }
    }

    fn open_loop(&mut self, case: &Case, load: Load) {
        let (per_second, clients) = match load.rate {
            Rate::PerSecond(rate) => (rate, Client::all()),
            Rate::AsManyAsCanBe => panic!("{} needs a rate", case.name),
            // What Java's client can't reach it can't be asked for.
            Rate::OfPeak(part) => ((self.peak() * part) as u64, vec![Client::Ours]),
        };
        // Twenty seconds whatever the rate.
        let load = Load { records: (per_second as f64 * 20.0 * self.scale) as u64, ..load };
        for client in clients {
            let topic = format!("{}-{}", case.name, client.name());
            self.create(&topic, load.partitions);
            settle(&self.scratch);
            let bystander = Bystander::start(&self.scratch);
            let before = self.server.taken();
            let latencies = match &client {
                Client::Ours => open_loop::percentiles(&open_loop::run(&topic, load, per_second)),
                Client::Java(_) => client.produce(&topic, &load, Some(per_second), &self.scratch).0.latencies,
            };
            let after = self.server.taken();
            self.bystander(case, client.name(), bystander);
            let seconds = load.records as f64 / per_second as f64;
            self.add(case, client.name(), "rate", "records/s", per_second as f64);
            self.add(case, client.name(), "broker CPU", "cores", (after.cpu - before.cpu) / seconds);
            for (percentile, ms) in latencies {
                self.add(case, client.name(), &format!("latency {percentile}"), "ms", ms);
            }
        }
    }

    /// What a program met with that did next to nothing meanwhile.
    fn bystander(&mut self, case: &Case, client: &'static str, bystander: Bystander) {
        let Waits { woken, written } = bystander.stop();
        for (what, waits) in [("is woken late", woken), ("waits for a write", written)] {
            for (percentile, ms) in open_loop::percentiles(&waits) {
                if ["p99", "p99.9"].contains(&percentile) {
                    self.add(case, client, &format!("a bystander {what}, {percentile}"), "ms", ms);
                }
            }
        }
    }

    /// Records a second of one of our producers, as in the case that tells it; the middle one of three times.
    fn peak(&mut self) -> f64 {
        if let Some(peak) = self.peak {
            return peak;
        }
        self.create("peak", 1);
        let load = self.scaled(Load { settings: &["batch.size=65536", "linger.ms=5"], ..DEFAULT });
        let mut reached =
            [(); 3].map(|()| Client::Ours.produce("peak", &load, None, &self.scratch).0.records_per_second);
        reached.sort_by(f64::total_cmp);
        let [_, peak, _] = reached;
        self.peak = Some(peak);
        peak
    }

    fn reference(&mut self, case: &Case, reference: Reference) {
        let reference = Reference { small: self.scaled(reference.small), large: self.scaled(reference.large) };
        let rate = |load: Load| match load.rate {
            Rate::PerSecond(rate) => rate,
            _ => panic!("{} needs rates", case.name),
        };
        self.create("reference-small", reference.small.partitions);
        self.create("reference-large", reference.large.partitions);
        let bystander = Bystander::start(&self.scratch);
        let before = self.server.taken();
        let rates = [rate(reference.small), rate(reference.large)];
        let met = open_loop::run_reference(["reference-small", "reference-large"], reference, rates);
        let after = self.server.taken();
        self.bystander(case, "ours", bystander);
        let seconds = reference.small.records as f64 / rates[0] as f64;
        self.add(case, "ours", "broker CPU", "cores", (after.cpu - before.cpu) / seconds);
        for (stream, latencies) in [("1 KB", met.small), ("1 MB", met.large)] {
            for (to, latencies) in ["to the acknowledgement", "to the consumer"].into_iter().zip(latencies) {
                for (percentile, ms) in open_loop::percentiles(&latencies) {
                    self.add(case, "ours", &format!("{stream} {to}, {percentile}"), "ms", ms);
                }
            }
        }
    }

    fn end_to_end(&mut self, case: &Case, records: u64) {
        let records = ((records as f64 * self.scale) as u64).to_string();
        for client in Client::all() {
            let topic = format!("{}-{}", case.name, client.name());
            self.create(&topic, 1);
            let mut command = client.tool("e2e-latency");
            command.args([&address(), &topic, &records, "all", "100"]);
            let before = self.server.taken();
            let done = run(without_input(command), &self.scratch);
            let after = self.server.taken();
            self.add(case, client.name(), "broker CPU", "cores", cores(before, after));
            for (name, label, at) in [
                ("average", "Avg latency:", 0),
                ("p50", "50th = ", 0),
                ("p99", "99th = ", 0),
                ("p99.9", "99.9th = ", 0),
            ] {
                let told = done.output.split(label).nth(at + 1).unwrap_or_else(|| panic!("{}", done.output));
                let number: String = told.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
                self.add(case, client.name(), &format!("latency {name}"), "ms", number.parse().unwrap());
            }
        }
    }

    fn tell(
        &mut self,
        case: &Case,
        client: &'static str,
        records: u64,
        record_size: u64,
        (said, done): (&Said, &[Done]),
        [before, after]: [Taken; 2],
    ) {
        let cpu = after.cpu - before.cpu;
        let (bytes, millions) = ((records * record_size) as f64, records as f64 / 1e6);
        let client_cpu: f64 = done.iter().map(|one| one.cpu).sum();
        self.add(case, client, "broker CPU", "s/GiB", cpu / bytes * GIB);
        self.add(case, client, "broker CPU", "s/million records", cpu / millions);
        self.add(case, client, "throughput", "MiB/s", said.megabytes_per_second);
        self.add(case, client, "throughput", "records/s", said.records_per_second);
        self.add(case, client, "client CPU", "s/million records", client_cpu / millions);
        self.add(case, client, "written to disk", "MiB", (after.written - before.written) as f64 / MIB);
        self.add(case, client, "broker memory", "MiB", after.resident_kb as f64 / KIB);
    }
}

const DEFAULT: Load = Load {
    partitions: 1,
    record_size: 1024,
    records: 1_000_000,
    producers: 1,
    settings: &[],
    rate: Rate::AsManyAsCanBe,
    transaction_ms: None,
};

const ALONE: Reading = Reading { consumers: 1, each_all: true, cold: false };

fn cores(before: Taken, after: Taken) -> f64 {
    (after.cpu - before.cpu) / (after.wall - before.wall).as_secs_f64()
}

/// Has the system forget the contents of all files below a directory, once they are on the disk.
fn forget(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            forget(&path);
        } else {
            limits::forget(&path);
        }
    }
}
