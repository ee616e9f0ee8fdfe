//! What the members of a group subscribe to, all together.

use std::collections::{BTreeMap, BTreeSet};

use super::hash::group_hash;
use super::view::ClusterView;
use crate::broker::groups::assignors::SubscriptionType;

/// The topics that a regular expression stood for when it was last looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::broker) struct ResolvedRegex {
    pub(in crate::broker) topics: BTreeSet<String>,
    /// Where the metadata stood then.
    pub(in crate::broker) version: i64,
    /// When that was, in milliseconds since 1970.
    pub(in crate::broker) timestamp_ms: i64,
}

/// How a topic is subscribed to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    /// Members that name it.
    by_name: usize,
    /// Regular expressions that it matches.
    by_regex: usize,
}

/// The subscriptions of a group. They follow member by member; nothing here looks at all members.
#[derive(Debug, Default)]
pub(in crate::broker) struct Subscriptions {
    topics: BTreeMap<String, Count>,
    /// How many members use each regular expression.
    regexes: BTreeMap<String, usize>,
    resolved: BTreeMap<String, ResolvedRegex>,
}

impl Subscriptions {
    /// A member subscribes to these topics, and to what its regular expression matches if it has one.
    pub(in crate::broker) fn add<'a>(&mut self, names: impl Iterator<Item = &'a String>, regex: Option<&str>) {
        for name in names {
            self.topics.entry(name.clone()).or_default().by_name += 1;
        }
        if let Some(regex) = regex {
            *self.regexes.entry(regex.to_owned()).or_default() += 1;
        }
    }

    /// Takes back what [`Subscriptions::add`] did.
    pub(in crate::broker) fn remove<'a>(&mut self, names: impl Iterator<Item = &'a String>, regex: Option<&str>) {
        for name in names {
            self.change(name, |count| count.by_name = count.by_name.saturating_sub(1));
        }
        if let Some(regex) = regex
            && let Some(members) = self.regexes.get_mut(regex)
        {
            *members = members.saturating_sub(1);
            if *members == 0 {
                self.regexes.remove(regex);
            }
        }
    }

    fn change(&mut self, topic: &str, change: impl FnOnce(&mut Count)) {
        if let Some(count) = self.topics.get_mut(topic) {
            change(count);
            if *count == Count::default() {
                self.topics.remove(topic);
            }
        }
    }

    /// Takes over what a regular expression stands for now.
    pub(in crate::broker) fn resolve(&mut self, regex: &str, resolved: ResolvedRegex) {
        self.forget_regex(regex);
        for topic in &resolved.topics {
            self.topics.entry(topic.clone()).or_default().by_regex += 1;
        }
        self.resolved.insert(regex.to_owned(), resolved);
    }

    pub(in crate::broker) fn forget_regex(&mut self, regex: &str) {
        let Some(resolved) = self.resolved.remove(regex) else { return };
        for topic in &resolved.topics {
            self.change(topic, |count| count.by_regex = count.by_regex.saturating_sub(1));
        }
    }

    /// What a regular expression stood for when it was last looked at.
    pub(in crate::broker) fn resolved(&self, regex: &str) -> Option<&ResolvedRegex> {
        self.resolved.get(regex)
    }

    pub(in crate::broker) fn all_resolved(&self) -> &BTreeMap<String, ResolvedRegex> {
        &self.resolved
    }

    /// When regular expressions were last looked up, in milliseconds since 1970: all of a group are at once.
    pub(in crate::broker) fn looked_up_ms(&self) -> Option<i64> {
        self.resolved.values().next().map(|resolved| resolved.timestamp_ms)
    }

    /// The regular expressions in use.
    pub(in crate::broker) fn regexes(&self) -> impl ExactSizeIterator<Item = &String> {
        self.regexes.keys()
    }

    /// How many members use a regular expression.
    pub(in crate::broker) fn users_of(&self, regex: &str) -> usize {
        self.regexes.get(regex).copied().unwrap_or_default()
    }

    /// The topics, by name or by regular expression.
    pub(in crate::broker) fn topics(&self) -> impl Iterator<Item = &String> {
        self.topics.keys()
    }

    pub(in crate::broker) fn contains(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// One number for all of the topics as they are in the cluster.
    pub(in crate::broker) fn hash(&self, view: &ClusterView) -> i64 {
        group_hash(self.topics.keys().filter_map(|name| view.topic(name)).map(|topic| topic.hash()))
    }

    /// Whether all `members` subscribe to the same topics.
    pub(in crate::broker) fn kind(&self, members: usize) -> SubscriptionType {
        let same = match self.regexes.values().next() {
            None => self.topics.values().all(|count| count.by_name == members),
            // All by one regular expression, and nobody names anything besides.
            Some(users) => {
                *users == members && self.topics.values().all(|count| count.by_regex == 1 && count.by_name == 0)
            }
        };
        if same { SubscriptionType::Homogeneous } else { SubscriptionType::Heterogeneous }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn resolved(topics: &[&str]) -> ResolvedRegex {
        ResolvedRegex { topics: names(topics).into_iter().collect(), ..Default::default() }
    }

    #[test]
    fn a_topic_stays_as_long_as_somebody_wants_it() {
        let mut all = Subscriptions::default();
        let (ab, b) = (names(&["a", "b"]), names(&["b"]));
        all.add(ab.iter(), None);
        all.add(b.iter(), None);
        assert_eq!(all.kind(2), SubscriptionType::Heterogeneous);
        all.remove(ab.iter(), None);
        assert_eq!(all.topics().collect::<Vec<_>>(), ["b"]);
        assert_eq!(all.kind(1), SubscriptionType::Homogeneous);
        all.add([].iter(), Some("b.*"));
        all.resolve("b.*", resolved(&["b", "bb"]));
        all.remove(b.iter(), None);
        assert_eq!(all.topics().collect::<Vec<_>>(), ["b", "bb"]);
        all.resolve("b.*", resolved(&["bb"]));
        assert!(!all.contains("b") && all.contains("bb"));
        all.forget_regex("b.*");
        assert_eq!(all.topics().count(), 0);
    }

    #[test]
    fn members_with_one_regular_expression_are_alike() {
        let mut all = Subscriptions::default();
        all.add([].iter(), Some("a"));
        all.add([].iter(), Some("a"));
        all.resolve("a", resolved(&["a"]));
        assert_eq!(all.kind(2), SubscriptionType::Homogeneous);
        assert_eq!((all.users_of("a"), all.regexes().len()), (2, 1));
        all.add(names(&["b"]).iter(), Some("a"));
        assert_eq!(all.kind(3), SubscriptionType::Heterogeneous, "one names a topic besides");
        all.remove(names(&["b"]).iter(), Some("a"));
        all.add([].iter(), Some("a|b"));
        all.resolve("a|b", resolved(&["a", "b"]));
        assert_eq!(all.kind(3), SubscriptionType::Heterogeneous);
    }
}
