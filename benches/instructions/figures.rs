//! What was counted when it was last accepted, and what to say of what was counted now.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::cases::Case;
use super::counter::{Count, Counter};

/// In the repository, beside this file.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/figures.json");
/// How much more a case may take. Runs differ by a hundredth or two.
const TOLERANCE: f64 = 0.05;
/// Functions that take less than this part of a case are not kept.
const KEPT: f64 = 0.01;
/// How many functions are named.
const NAMED: usize = 8;

/// The committed figures.
pub struct Figures {
    counter: Counter,
    /// By counter and case.
    all: Value,
}

/// What has become of a case.
pub enum Verdict {
    /// No figure was accepted yet.
    New,
    Same {
        ratio: f64,
    },
    Less {
        ratio: f64,
    },
    Grown {
        ratio: f64,
        /// The functions with the most growth: name, at most before, now.
        functions: Vec<(String, f64, f64)>,
    },
}

impl Figures {
    pub fn read(counter: Counter) -> Self {
        let all = fs::read_to_string(FILE).map_or_else(|_| json!({}), |text| serde_json::from_str(&text).expect(FILE));
        Self { counter, all }
    }

    /// With which compiler the figures were made.
    pub fn about(&self) -> String {
        let compiler = compiler();
        match self.of_counter().and_then(|of| of.get("compiler")).and_then(Value::as_str) {
            None => "no figures of it were accepted yet".to_owned(),
            Some(then) if then == compiler => format!("{compiler}, as the accepted figures"),
            Some(then) => format!("{compiler}, while the accepted figures are of {then}, which may be a difference"),
        }
    }

    fn of_counter(&self) -> Option<&Value> {
        self.all.get(self.counter.name())
    }

    pub fn compare(&self, case: &Case, counted: &Count) -> Verdict {
        let Some(before) = self.of_counter().and_then(|of| of.get("cases")?.get(case.name)) else {
            return Verdict::New;
        };
        let total = before["total"].as_f64().expect(FILE);
        let ratio = counted.total / total;
        if ratio < 1.0 - TOLERANCE {
            return Verdict::Less { ratio };
        }
        if ratio <= 1.0 + TOLERANCE {
            return Verdict::Same { ratio };
        }
        // One that was not kept may have taken as much as that.
        let then = |name: &str| before["functions"].get(name).and_then(Value::as_f64).unwrap_or(total * KEPT);
        let mut functions: Vec<_> =
            counted.functions.iter().map(|(name, now)| (name.clone(), then(name), *now)).collect();
        functions.retain(|(_, before, now)| now > before);
        functions.sort_by(|(_, a, b), (_, c, d)| (d - c).total_cmp(&(b - a)));
        functions.truncate(NAMED);
        Verdict::Grown { ratio, functions }
    }

    pub fn accept(&mut self, case: &Case, counted: &Count) {
        let functions: BTreeMap<&String, f64> = counted
            .functions
            .iter()
            .filter(|(_, cost)| **cost >= counted.total * KEPT)
            .map(|(name, cost)| (name, cost.round()))
            .collect();
        let of = object(object(&mut self.all).entry(self.counter.name()).or_insert_with(|| json!({})));
        of.insert("compiler".into(), compiler().into());
        let cases = object(of.entry("cases").or_insert_with(|| json!({})));
        cases.insert(case.name.into(), json!({"total": counted.total.round(), "functions": functions}));
    }

    pub fn write(&self) {
        fs::write(FILE, serde_json::to_string_pretty(&self.all).unwrap() + "\n").unwrap();
        println!("written to {FILE}");
    }
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect(FILE)
}

fn compiler() -> String {
    let said = Command::new("rustc").arg("--version").output().unwrap().stdout;
    String::from_utf8_lossy(&said).trim().to_owned()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => write!(f, "new"),
            Self::Same { ratio } => write!(f, "as before ({})", percent(*ratio)),
            Self::Less { ratio } => write!(f, "less ({}): --accept, so that it stays so", percent(*ratio)),
            Self::Grown { ratio, functions } => {
                write!(f, "GROWN ({}), most of it in:", percent(*ratio))?;
                for (name, before, now) in functions {
                    write!(f, "\n    {:>+10.0} (to {now:.0}) {name}", now - before)?;
                }
                Ok(())
            }
        }
    }
}

fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}
