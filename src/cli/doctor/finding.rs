//! What was found.

use serde_json::{Value, json};

use crate::cli::support::chain_text;
use crate::client::ClientError;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Worth knowing.
    Note,
    /// Works now, and may not tomorrow.
    Warning,
    /// Something does not work.
    Problem,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Note => "\x1b[1;36m",
            Self::Warning => "\x1b[1;33m",
            Self::Problem => "\x1b[1;31m",
        }
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// A name for programs.
    pub(super) kind: &'static str,
    /// What it is about: partitions, brokers, groups.
    pub(super) subjects: Vec<String>,
    pub(super) text: String,
    pub(super) fix: String,
}

/// So many subjects are named in a line.
const NAMED: usize = 5;

impl Finding {
    pub(super) fn new(severity: Severity, kind: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity, kind, subjects: Vec::new(), text: text.into(), fix: fix.into() }
    }

    /// The same about these; `None` if there are none.
    pub(super) fn about(self, subjects: Vec<String>) -> Option<Self> {
        (!subjects.is_empty()).then_some(Self { subjects, ..self })
    }

    /// Something that the cluster did not tell.
    pub(super) fn could_not(what: &str, error: &ClientError) -> Self {
        let why = chain_text(&anyhow::Error::new(error.clone()));
        Self::new(
            Severity::Problem,
            "could-not-look",
            format!("could not look at the {what}: {why}"),
            "see whether the brokers are up and whether this user may describe the cluster",
        )
    }

    /// The text with the number of subjects and the first of them.
    pub(super) fn line(&self) -> String {
        // An address that is part of the reason is not told twice. A topic may be called as any word of the text.
        let is_told = |subject: &String| subject.contains(':') && self.text.contains(subject.as_str());
        if self.subjects.iter().all(is_told) {
            return self.text.clone();
        }
        let named: Vec<&str> = self.subjects.iter().take(NAMED).map(String::as_str).collect();
        let more = match self.subjects.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}: {}{more}", self.text, named.join(", "))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "severity": self.severity.name(),
            "kind": self.kind,
            "subjects": self.subjects,
            "text": self.text,
            "fix": self.fix,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        let finding = Finding::new(Severity::Note, "k", "many", "f");
        assert_eq!(finding.clone().about(vec![]), None);
        let some = finding.clone().about(vec!["a".into(), "b".into()]).unwrap();
        assert_eq!(some.line(), "many: a, b");
        let told = Finding { text: "no answer from a:1".to_owned(), subjects: vec!["a:1".into()], ..finding.clone() };
        assert_eq!(told.line(), "no answer from a:1");
        let word = Finding { text: "above all".to_owned(), subjects: vec!["above".into()], ..finding.clone() };
        assert_eq!(word.line(), "above all: above");
        let many = finding.about((0..7).map(|n| n.to_string()).collect()).unwrap();
        assert_eq!(many.line(), "many: 0, 1, 2, 3, 4 and 2 more");
    }
}
