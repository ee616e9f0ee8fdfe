//! The recorded cases, read from `tests/data/cli_parity/*.txt`; the `README.md` there has the notation.

use std::fmt;

use crate::abandoned::Known;

/// A file of cases, which run in order against one broker: each finds what those above it have left.
#[derive(Debug, Default)]
pub struct Suite {
    /// Settings of the broker, as `key=value`.
    pub broker: Vec<String>,
    /// Whether there is a second broker.
    pub has_second: bool,
    pub steps: Vec<Step>,
}

/// One thing to do.
#[derive(Debug)]
pub enum Step {
    /// Put a file into the directory of the suite.
    File { name: String, lines: Vec<String> },
    /// Run a tool.
    Run(Box<Case>),
    /// Have somebody join a group.
    Join { name: String, kind: String, group: String, topic: String },
    /// Have them leave it.
    Leave { name: String },
    /// Stop the second broker.
    StopSecond,
    /// Start it again.
    StartSecond,
    /// Begin a transaction that its producer never ends.
    Abandon { known: Known, id: String, topic: String, partition: i32 },
}

/// A command, what Kafka's tool did, and what ours does instead where that differs.
#[derive(Debug, Default)]
pub struct Case {
    /// Where it is: the number of its line.
    pub line: usize,
    pub command: String,
    pub stdin: Vec<String>,
    /// Ends the tool once it has printed what it has to print.
    pub signal: Option<String>,
    /// Tried again until it is as recorded: what it tells of takes its time.
    pub eventually: bool,
    /// The lines on stdout may come in any order: they are of several partitions.
    pub unordered: bool,
    /// Only sets the scene: has to succeed, and its output does not matter.
    pub prepare: bool,
    pub kafka: Outcome,
    pub ours: Differences,
    /// Why ours differs: names of entries in `docs/differences.md`.
    pub reasons: Vec<String>,
    /// Why it is not run at all, likewise.
    pub not_run: Option<String>,
    /// Not run until this tool of ours exists.
    pub until: Option<String>,
}

/// How a tool ended and what it printed, line by line in the notation of the data.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub exit: i32,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

/// The parts of an [`Outcome`] that are not Kafka's.
#[derive(Debug, Default)]
pub struct Differences {
    pub exit: Option<i32>,
    pub stdout: Option<Vec<String>>,
    pub stderr: Option<Vec<String>>,
}

impl Differences {
    pub fn is_none(&self) -> bool {
        self.exit.is_none() && self.stdout.is_none() && self.stderr.is_none()
    }
}

impl Suite {
    /// Reads a file of cases; panics where it can't be understood.
    pub fn parse(text: &str) -> Self {
        let mut suite = Self::default();
        for (index, line) in text.lines().enumerate() {
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            if let Err(Unexpected) = suite.take(index + 1, mark, rest) {
                panic!("line {}: a {mark:?} does not belong here: {line}", index + 1);
            }
        }
        suite
    }

    fn take(&mut self, line: usize, mark: &str, rest: &str) -> Result<(), Unexpected> {
        match (mark, self.steps.last_mut()) {
            ("" | "#" | "##", _) => {}
            ("broker", _) => self.broker.push(rest.to_owned()),
            ("second", _) => match rest {
                "broker" => self.has_second = true,
                "stop" => self.steps.push(Step::StopSecond),
                "start" => self.steps.push(Step::StartSecond),
                _ => return Err(Unexpected),
            },
            ("file", _) => self.steps.push(Step::File { name: rest.to_owned(), lines: Vec::new() }),
            ("+", Some(Step::File { lines, .. })) => lines.push(rest.to_owned()),
            ("member", _) => match rest.split(' ').collect::<Vec<_>>()[..] {
                [name, kind, group, topic] => {
                    let [name, kind, group, topic] = [name, kind, group, topic].map(str::to_owned);
                    self.steps.push(Step::Join { name, kind, group, topic });
                }
                _ => return Err(Unexpected),
            },
            ("transaction", _) => match rest.split(' ').collect::<Vec<_>>()[..] {
                [known, id, topic, partition] => self.steps.push(Step::Abandon {
                    known: match known {
                        "open" => Known::Open,
                        "hanging" => Known::Hanging,
                        _ => return Err(Unexpected),
                    },
                    id: id.to_owned(),
                    topic: topic.to_owned(),
                    partition: partition.parse().map_err(|_| Unexpected)?,
                }),
                _ => return Err(Unexpected),
            },
            ("leave", _) => self.steps.push(Step::Leave { name: rest.to_owned() }),
            ("$", _) => {
                let case = Case { line, command: rest.to_owned(), ..Case::default() };
                self.steps.push(Step::Run(Box::new(case)));
            }
            (_, Some(Step::Run(case))) => case.take(mark, rest)?,
            _ => return Err(Unexpected),
        }
        Ok(())
    }
}

impl Case {
    fn take(&mut self, mark: &str, rest: &str) -> Result<(), Unexpected> {
        let line = || rest.to_owned();
        match mark {
            "<" => self.stdin.push(line()),
            "(prepare)" => self.prepare = true,
            "eventually" => self.eventually = true,
            "unordered" => self.unordered = true,
            "signal" => self.signal = Some(line()),
            "exit" => self.kafka.exit = rest.parse().map_err(|_| Unexpected)?,
            "1" => self.kafka.stdout.push(line()),
            "2" => self.kafka.stderr.push(line()),
            "!" => self.reasons.extend(rest.split_whitespace().map(str::to_owned)),
            "exit!" => self.ours.exit = Some(rest.parse().map_err(|_| Unexpected)?),
            "1!" => add(&mut self.ours.stdout, rest),
            "2!" => add(&mut self.ours.stderr, rest),
            "not-run" => self.not_run = Some(line()),
            "until" => self.until = Some(line()),
            _ => return Err(Unexpected),
        }
        Ok(())
    }
}

/// A line of ours; `(nothing)` alone is none.
fn add(lines: &mut Option<Vec<String>>, line: &str) {
    let lines = lines.get_or_insert_default();
    if line != "(nothing)" {
        lines.push(line.to_owned());
    }
}

/// A line that makes no sense where it is.
struct Unexpected;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit {}", self.exit)?;
        for line in &self.stdout {
            writeln!(f, "1 {line}")?;
        }
        for line in &self.stderr {
            writeln!(f, "2 {line}")?;
        }
        Ok(())
    }
}
