//! `--print-metrics`: figures of a client, under Kafka's names, as Kafka's tools print theirs.

use std::collections::BTreeMap;
use std::io;

use super::Output;

/// Figures by group, name and tags.
#[derive(Debug)]
pub(crate) struct Metrics {
    client_id: String,
    found: BTreeMap<String, String>,
}

impl Metrics {
    /// None yet, but for what is known of any client.
    pub(crate) fn new(client_id: &str) -> Self {
        let mut metrics = Self { client_id: client_id.to_owned(), found: BTreeMap::new() };
        metrics.add("app-info:version", env!("CARGO_PKG_VERSION").to_owned());
        metrics
    }

    /// Adds a figure; `name` is `group:name`.
    pub(crate) fn add(&mut self, name: &str, value: String) {
        self.found.insert(format!("{name}:{{client-id={}}}", self.client_id), value);
    }

    /// Adds a figure of a topic.
    pub(crate) fn add_of_topic(&mut self, name: &str, topic: &str, value: String) {
        self.found.insert(format!("{name}:{{client-id={}, topic={topic}}}", self.client_id), value);
    }

    /// Prints all, sorted by name.
    pub(crate) fn print(&self, out: &mut Output) -> io::Result<()> {
        let width = self.found.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        out.line(format_args!("\n{:<width$}   Value", "Metric Name"))?;
        for (name, value) in &self.found {
            out.line(format_args!("{name:<width$} : {value}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas_and_columns_line_up() {
        let (mut out, captured) = Output::captured();
        let mut metrics = Metrics::new("c");
        metrics.add("producer-metrics:record-send-total", "10.000".to_owned());
        metrics.add_of_topic("a:b", "t", "1".to_owned());
        metrics.print(&mut out).unwrap();
        out.flush().unwrap();
        let text = captured.stdout();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "");
        assert_eq!(lines[1], "Metric Name                                        Value");
        assert_eq!(lines[2], "a:b:{client-id=c, topic=t}                       : 1");
        assert_eq!(lines[4], "producer-metrics:record-send-total:{client-id=c} : 10.000");
    }
}
