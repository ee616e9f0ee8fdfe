//! The events that Kafka's verifiable tools print: a JSON object per line, its fields in a fixed order.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use super::figures::now_ms;

/// A line that is being made.
#[derive(Debug)]
pub(crate) struct Event(String);

impl Event {
    /// An event of now.
    pub(crate) fn new(name: &str) -> Self {
        Self(format!("{{\"timestamp\":{},\"name\":\"{name}\"", now_ms()))
    }

    /// A part of an event: an object without time and name.
    pub(crate) fn part() -> Self {
        Self(String::from("{"))
    }

    /// A field that is a number, true or false, or JSON already.
    pub(crate) fn field(mut self, name: &str, value: impl Display) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&format!("\"{name}\":{value}"));
        self
    }

    /// A field that is a text, or null.
    pub(crate) fn text(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(text) => self.field(name, serde_json::Value::from(text)),
            None => self.field(name, "null"),
        }
    }

    /// A field that is a list of objects.
    pub(crate) fn list(self, name: &str, parts: impl IntoIterator<Item = String>) -> Self {
        let parts: Vec<String> = parts.into_iter().collect();
        self.field(name, format_args!("[{}]", parts.join(",")))
    }

    /// The line.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Events that come from within the client, until the tool gets to print them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    /// Adds an event. They are taken after each call of the client, so there are few.
    pub(crate) fn add(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.end());
    }

    /// Takes what has come.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stay_in_their_order() {
        let part = Event::part().text("topic", Some("t")).field("partition", 0).end();
        let line = Event::new("x").text("key", None).text("a", Some("\"q\"")).list("list", [part.clone(), part]).end();
        let (start, rest) = line.split_once(",\"name\"").unwrap();
        assert!(start.starts_with("{\"timestamp\":1"));
        assert_eq!(
            rest,
            ":\"x\",\"key\":null,\"a\":\"\\\"q\\\"\",\"list\":[{\"topic\":\"t\",\"partition\":0},{\"topic\":\"t\",\"partition\":0}]}"
        );
    }
}
