//! `--topic` as a pattern: a regular expression that the whole name must match; commas stand for "or".

use regex_lite::Regex;

use super::JavaError;

/// Which topics are meant.
#[derive(Debug, Clone)]
pub(crate) struct TopicFilter {
    text: String,
    pattern: Regex,
}

impl TopicFilter {
    /// Reads a pattern as Kafka's tools do: without spaces and surrounding quotes.
    pub(crate) fn new(raw: &str) -> anyhow::Result<Self> {
        let text = raw.trim().replace(',', "|").replace(' ', "");
        let text = text.trim_matches(['"', '\'']).to_owned();
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(pattern) => Ok(Self { text, pattern }),
            Err(_) => Err(JavaError::runtime(format!("{text} is an invalid regex.")).into()),
        }
    }

    /// Whether the topic is meant.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        self.pattern.is_match(topic)
    }

    /// Leaves of `topics` those that are meant where something can't be undone: a topic that has exactly the text as its
    /// name is meant alone, although `.` would match other letters too. Returns what the pattern matched besides.
    pub(crate) fn exact_or_matching(&self, topics: Vec<String>) -> (Vec<String>, Vec<String>) {
        let matching: Vec<String> = topics.into_iter().filter(|topic| self.matches(topic)).collect();
        let (exact, others): (Vec<_>, Vec<_>) = matching.into_iter().partition(|topic| *topic == self.text);
        if exact.is_empty() { (others, Vec::new()) } else { (exact, others) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(pattern: &str) -> Vec<&'static str> {
        let filter = TopicFilter::new(pattern).unwrap();
        ["orders", "plain", "onedash", "foo.bar", "fooxbar"].into_iter().filter(|t| filter.matches(t)).collect()
    }

    #[test]
    fn the_whole_name_must_match() {
        assert_eq!(matching("o.*"), ["orders", "onedash"]);
        assert_eq!(matching("order"), [""; 0]);
        assert_eq!(matching("orders, plain"), ["orders", "plain"]);
        assert_eq!(matching("\"orders\""), ["orders"]);
        assert_eq!(matching("foo.bar"), ["foo.bar", "fooxbar"]);
    }

    #[test]
    fn what_is_no_pattern_is_told_in_kafkas_words() {
        assert_eq!(TopicFilter::new("[").unwrap_err().to_string(), "[ is an invalid regex.");
    }

    #[test]
    fn an_exact_name_is_meant_alone() {
        let names = || ["foo.bar", "fooxbar", "other"].map(str::to_owned).to_vec();
        let filter = TopicFilter::new("foo.bar").unwrap();
        assert_eq!(filter.exact_or_matching(names()), (vec!["foo.bar".to_owned()], vec!["fooxbar".to_owned()]));
        let filter = TopicFilter::new("foo.b.r").unwrap();
        assert_eq!(filter.exact_or_matching(names()).0, ["foo.bar", "fooxbar"]);
    }
}
