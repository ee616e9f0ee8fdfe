//! What regular expressions stand for, looked up beside the groups: it takes time in proportion to expressions and topics, and a coordinator
//! has other groups to serve meanwhile.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use super::Step;
use super::records::Change;
use crate::broker::groups::modern::{ClusterView, ResolvedRegex, TopicPattern};

/// A group's regular expressions are to be looked up among the topics of one moment.
///
/// It is under way for as long as somebody holds it: one that is dropped without an outcome is asked for again.
#[derive(Debug)]
pub(in crate::broker) struct RegexLookup {
    pub(in crate::broker) group: String,
    regexes: Vec<String>,
    view: Arc<ClusterView>,
    started_ms: i64,
}

/// What each of the regular expressions stands for.
pub(in crate::broker) type ResolvedRegexes = Vec<(String, ResolvedRegex)>;

impl RegexLookup {
    /// Looks them up. Blocks: for a thread that may.
    pub(in crate::broker) fn run(&self) -> ResolvedRegexes {
        let resolved = |topics| ResolvedRegex { topics, version: self.view.version, timestamp_ms: self.started_ms };
        self.regexes.iter().map(|regex| (regex.clone(), resolved(matching(regex, &self.view)))).collect()
    }
}

/// The topics that a regular expression matches.
fn matching(regex: &str, view: &ClusterView) -> BTreeSet<String> {
    // It was checked when it came; Kafka's may know a little more than ours.
    let Ok(pattern) = TopicPattern::new(regex) else { return BTreeSet::new() };
    view.topics().filter(|topic| pattern.matches(&topic.name)).map(|topic| topic.name.to_string()).collect()
}

impl Step<'_> {
    /// Asks for a look-up of these regular expressions.
    pub(super) fn ask_for(&mut self, regexes: Vec<String>) {
        let lookup = Arc::new(RegexLookup {
            group: self.group.id.clone(),
            regexes,
            view: Arc::clone(self.view),
            started_ms: self.now.wall_ms,
        });
        self.group.lookup = Arc::downgrade(&lookup);
        self.lookup = Some(lookup);
    }

    /// Takes over what a look-up gave, and raises the group's epoch if that is something else than before. A group that has not asked for it,
    /// since it was loaded or made anew meanwhile, asks for its own.
    pub(in crate::broker::groups) fn take_resolved(&mut self, lookup: &Arc<RegexLookup>, resolved: ResolvedRegexes) {
        if !Weak::ptr_eq(&self.group.lookup, &Arc::downgrade(lookup)) {
            return;
        }
        self.group.lookup = Weak::new();
        let mut has_changed = false;
        for (regex, resolved) in resolved {
            let subscriptions = &self.group.modern.subscriptions;
            if subscriptions.users_of(&regex) == 0 {
                continue;
            }
            let before = subscriptions.resolved(&regex).map(|before| &before.topics);
            let is_other = before.unwrap_or(&BTreeSet::new()) != &resolved.topics;
            match self.try_put([Change::regex(&regex, &resolved)]) {
                Ok(()) => has_changed |= is_other,
                Err(_) => tracing::error!(
                    group = self.group.id,
                    regex,
                    topics = resolved.topics.len(),
                    "a regular expression matches more topics than a record can name"
                ),
            }
        }
        self.group.request_refresh();
        self.refresh_epoch(has_changed);
    }
}
