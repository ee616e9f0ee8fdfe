//! Says in the log which settings in the metadata do nothing here, or can't be used.
//!
//! The broker's own internal topics are passed over: nobody has set what they have.

use std::collections::BTreeMap;

use tracing::warn;

use super::partition::is_internal;
use crate::config::{Scope, Settings, stored_warnings, warning_lines};
use crate::metadata::{ConfigResource, ConfigResourceType, MetadataDelta, MetadataImage};
use crate::types::NodeId;

/// Most names that one line tells.
const MOST_NAMES: usize = 10;

/// Says it of all settings, when the broker starts.
pub(super) fn tell_all(image: &MetadataImage, node_id: NodeId) {
    tell(image.all_configs().iter(), node_id, false);
}

/// Says it of what one commit changed. `before` is what was set at run time for all brokers and for this one.
pub(super) fn tell_changes(delta: &MetadataDelta, image: &MetadataImage, node_id: NodeId, before: [&Settings; 2]) {
    let resources = delta.changed_configs.iter().filter(|resource| resource.kind != ConfigResourceType::BROKER);
    tell(resources.filter_map(|resource| Some((resource, image.configs(resource)?))), node_id, true);
    let brokers = [ConfigResource::all_brokers(), ConfigResource::broker(node_id)];
    for (resource, before) in brokers.iter().zip(before) {
        let Some(settings) = image.configs(resource) else { continue };
        let changed = settings.iter().filter(|(name, text)| before.get(*name) != Some(text));
        let changed: Settings = changed.map(|(name, text)| (name.clone(), text.clone())).collect();
        tell([(resource, &changed)].into_iter(), node_id, true);
    }
}

/// One line for what is the same of several topics or groups.
fn tell<'a>(resources: impl Iterator<Item = (&'a ConfigResource, &'a Settings)>, node_id: NodeId, changed: bool) {
    for ((scope, line), names) in lines(resources, node_id, changed) {
        let more = names.len().saturating_sub(MOST_NAMES);
        let shown: Vec<&str> = names.iter().copied().take(MOST_NAMES).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        warn!("{scope} {}{more}: {line}", shown.join(", "));
    }
}

/// Kind of the resources, and what is to be said of them.
type Told = (&'static str, String);

/// What is to be said, and of which resources.
fn lines<'a>(
    resources: impl Iterator<Item = (&'a ConfigResource, &'a Settings)>,
    node_id: NodeId,
    changed: bool,
) -> BTreeMap<Told, Vec<&'a str>> {
    let mut lines: BTreeMap<Told, Vec<&str>> = BTreeMap::new();
    for (resource, settings) in resources {
        let name = resource.name.as_str();
        let (scope, name) = match resource.kind {
            ConfigResourceType::TOPIC if !is_internal(name) => (Scope::Topic, name),
            ConfigResourceType::GROUP => (Scope::Group, name),
            ConfigResourceType::CLIENT_METRICS => (Scope::ClientMetrics, name),
            ConfigResourceType::BROKER if name.is_empty() => (Scope::Broker, "(all)"),
            ConfigResourceType::BROKER if *resource == ConfigResource::broker(node_id) => (Scope::Broker, name),
            _ => continue,
        };
        for line in warning_lines(&stored_warnings(scope, settings, changed)) {
            lines.entry((scope.name(), line)).or_default().push(name);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_ask_for_the_same_share_a_line() {
        let unclean = Settings::from([("unclean.leader.election.enable".to_owned(), "true".to_owned())]);
        let odd = Settings::from([("no.such.key".to_owned(), "1".to_owned())]);
        let [a, b, c] = ["a", "b", "__consumer_offsets"].map(ConfigResource::topic);
        let (own, other) = (ConfigResource::broker(NodeId(1)), ConfigResource::broker(NodeId(2)));
        let resources = [(&a, &unclean), (&b, &unclean), (&c, &unclean), (&own, &odd), (&other, &odd)];
        let found = lines(resources.into_iter(), NodeId(1), false);
        let found: Vec<_> = found.iter().map(|((_, line), names)| (line.as_str(), names.join(","))).collect();
        assert_eq!(
            found,
            [
                ("no.such.key is not a known setting; it is ignored", "1".to_owned()),
                ("unclean.leader.election.enable is not yet in effect", "a,b".to_owned()),
            ]
        );
    }
}
