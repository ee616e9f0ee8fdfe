//! Records the cases anew: runs them with Apache Kafka's own scripts on its own broker, and where they did otherwise than the
//! file says, writes down what they did.

use std::collections::BTreeMap;
use std::path::Path;

use crate::case::Outcome;

/// What Kafka did, by the line of the case, for those parts of it that are not as recorded.
pub type Changes = BTreeMap<usize, Outcome>;

/// Puts what has changed into the file of cases.
pub fn rewrite(file: &Path, changes: &Changes) {
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, rewritten(&text, changes)).unwrap();
}

fn rewritten(text: &str, changes: &Changes) -> String {
    let mut lines = Vec::new();
    // The outcome that is to be written, once what belongs before it has passed.
    let mut due: Option<&Outcome> = None;
    let mut is_replaced = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(change) = changes.get(&(index + 1)) {
            (due, is_replaced) = (Some(change), true);
            lines.push(line.to_owned());
            continue;
        }
        let mark = line.split(' ').next().unwrap_or_default();
        match mark {
            "<" | "signal" | "eventually" | "unordered" => {}
            "exit" | "1" | "2" if is_replaced => continue,
            _ => {
                lines.extend(due.take().into_iter().flat_map(outcome_lines));
                is_replaced &= mark.ends_with('!');
            }
        }
        lines.push(line.to_owned());
    }
    lines.extend(due.into_iter().flat_map(outcome_lines));
    lines.join("\n") + "\n"
}

fn outcome_lines(outcome: &Outcome) -> Vec<String> {
    let exit = (outcome.exit != 0).then(|| format!("exit {}", outcome.exit));
    let stdout = outcome.stdout.iter().map(|line| format!("1 {line}"));
    let stderr = outcome.stderr.iter().map(|line| format!("2 {line}"));
    exit.into_iter().chain(stdout).chain(stderr).collect()
}

#[test]
fn only_what_kafka_did_otherwise_is_written() {
    let text = "$ a\n< in\nexit 1\n1 old\n! why\n1! ours\n\n$ b\n1 kept\n";
    let outcome = Outcome { exit: 0, stdout: vec!["new".to_owned()], stderr: vec!["told".to_owned()] };
    let expected = "$ a\n< in\n1 new\n2 told\n! why\n1! ours\n\n$ b\n1 kept\n";
    assert_eq!(rewritten(text, &Changes::from([(1, outcome)])), expected);
}
