//! The topics that Kafka Streams makes for an application.

use regex_lite::Regex;

/// Whether a topic has a name as Kafka Streams gives to those that it makes for an application.
pub(crate) fn is_internal_topic(topic: &str, application: &str) -> bool {
    let Some(name) = topic.strip_prefix(application).and_then(|rest| rest.strip_prefix('-')) else { return false };
    let ends = ["changelog", "repartition", "subscription-registration-topic", "subscription-response-topic"];
    ends.iter().any(|end| topic.strip_suffix(end).is_some_and(|start| start.ends_with('-')))
        || Regex::new("KTABLE-FK-JOIN-SUBSCRIPTION-(REGISTRATION|RESPONSE)-[0-9]+-topic$")
            .is_ok_and(|pattern| pattern.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_internal_topics() {
        for name in [
            "app-store-changelog",
            "app-KSTREAM-x-repartition",
            "app-a-subscription-response-topic",
            "app-KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-0000000012-topic",
        ] {
            assert!(is_internal_topic(name, "app"), "{name}");
        }
        for name in ["app-other", "apple-store-changelog", "in", "app", "app-changelogs", "store-changelog"] {
            assert!(!is_internal_topic(name, "app"), "{name}");
        }
    }
}
