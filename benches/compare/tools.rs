//! The command line's own figures: tools that give one answer, and lines through the console tools.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::Command;

use super::cases::Case;
use super::clients::{Client, Done, run, without_input};
use super::support::servers::address;
use super::work::Bench;

/// How often each is called; Java's take two seconds.
const OUR_CALLS: usize = 20;
const JAVA_CALLS: usize = 1;

/// Tools and their words, without the server's address.
const CALLS: &[(&str, &[&str])] = &[
    ("topics", &["--list"]),
    ("topics", &["--describe"]),
    ("get-offsets", &["--topic", "calls"]),
    ("consumer-groups", &["--list"]),
    ("consumer-groups", &["--describe", "--all-groups"]),
    ("groups", &["--list"]),
    ("configs", &["--describe", "--entity-type", "topics", "--entity-name", "calls"]),
    ("log-dirs", &["--describe"]),
    ("broker-api-versions", &[]),
    ("cluster", &["cluster-id"]),
    ("features", &["describe"]),
    ("metadata-quorum", &["describe", "--status"]),
    ("transactions", &["list"]),
];

/// Calls each tool, and tells how long that took at the median, and how much memory the hungriest had.
pub fn calls(bench: &mut Bench<'_>, case: &Case) {
    bench.create("calls", 3);
    for client in Client::all() {
        let times = if let Client::Ours = client { OUR_CALLS } else { JAVA_CALLS };
        for (tool, words) in CALLS {
            let mut done: Vec<Done> = (0..times).map(|_| call(bench, &client, tool, words)).collect();
            done.sort_by_key(|one| one.wall);
            let most = done.iter().map(|one| one.peak_kb).max().unwrap_or_default();
            let name = format!("{tool} {}", words.first().unwrap_or(&""));
            bench.add(case, client.name(), name.trim(), "ms", done[done.len() / 2].wall.as_secs_f64() * 1e3);
            bench.add(case, client.name(), &format!("{} memory at most", name.trim()), "MiB", most as f64 / 1024.0);
        }
    }
}

fn call(bench: &Bench<'_>, client: &Client, tool: &str, words: &[&str]) -> Done {
    let mut command = client.tool(tool);
    // Some want the server before their subcommand, and all take it there.
    command.args(["--bootstrap-server", &address()]).args(words);
    if matches!(tool, "cluster") {
        command = client.tool(tool);
        command.args(words).args(["--bootstrap-server", &address()]);
    }
    run(without_input(command), &bench.scratch)
}

/// Numbers, a line each, in and out again.
pub fn console(bench: &mut Bench<'_>, case: &Case, lines: u64) {
    let lines = (lines as f64 * bench.scale) as u64;
    let mut text = String::new();
    (1..=lines).for_each(|line| writeln!(text, "{line}").unwrap());
    let path = bench.scratch.join("lines");
    fs::write(&path, &text).unwrap();
    for client in Client::all() {
        let topic = format!("{}-{}", case.name, client.name());
        bench.create(&topic, 1);
        let tool = |name: &str| {
            let mut command = client.tool(name);
            command.args(["--topic", &topic, "--bootstrap-server", &address()]);
            command
        };
        let mut command: Command = tool("console-producer");
        command.stdin(File::open(&path).unwrap());
        let done = run(command, &bench.scratch);
        tell(bench, case, &client, "in", lines, &done);
        let mut command = tool("console-consumer");
        command.args(["--from-beginning", "--max-messages", &lines.to_string()]);
        let done = run(without_input(command), &bench.scratch);
        // Kafka's consumer may have a word of advice before them.
        assert!(done.output.contains(&text), "the lines are others");
        tell(bench, case, &client, "out", lines, &done);
    }
}

fn tell(bench: &mut Bench<'_>, case: &Case, client: &Client, way: &str, lines: u64, done: &Done) {
    bench.add(case, client.name(), &format!("lines {way}"), "s", done.wall.as_secs_f64());
    bench.add(
        case,
        client.name(),
        &format!("lines {way}, client CPU"),
        "s/million records",
        done.cpu / lines as f64 * 1e6,
    );
    bench.add(case, client.name(), &format!("lines {way}, memory at most"), "MiB", done.peak_kb as f64 / 1024.0);
}
