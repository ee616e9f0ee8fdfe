//! UpdateFeatures: which levels may be set, in Kafka's order and words, and what else such a change brings (KIP-584, KIP-1022).
//!
//! Behaviour: all updates of a request or none. Levels rise with an upgrade and fall with a downgrade, which is refused where records
//! of the metadata log would lose what they say. `kraft.version` only rises: from then on the voters stand in the log (KIP-853).

use super::error::ApiError;
use crate::config::ServerConfig;
use crate::metadata::features::{
    ELR_VERSION, Feature, KRAFT_VERSION, METADATA_VERSION, MetadataVersion, find, missing_for,
};
use crate::metadata::{ConfigResource, ConfigResourceType, MetadataImage, MetadataRecord};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{ConfigRecord, FeatureLevelRecord, UpdateFeaturesRequest};
use crate::types::NodeId;

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// Which way a level may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpgradeType {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
}

impl UpgradeType {
    fn from_code(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::Upgrade),
            2 => Some(Self::SafeDowngrade),
            3 => Some(Self::UnsafeDowngrade),
            _ => None,
        }
    }
}

/// What the node knows of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own<'a> {
    pub(super) node_id: NodeId,
    /// The level of `kraft.version`, which is not in the image.
    pub(super) kraft_version: i16,
    pub(super) config: &'a ServerConfig,
}

/// A request that may be done.
#[derive(Debug, Default, PartialEq)]
pub(super) struct FeatureChange {
    pub(super) records: Vec<MetadataRecord>,
    /// The voters are to be written into the log.
    pub(super) raises_kraft_version: bool,
}

/// One level that is asked for.
#[derive(Debug, Clone, Copy)]
struct Update<'a> {
    feature: &'a str,
    level: i16,
    upgrade_type: Option<UpgradeType>,
}

/// Works out what a request changes; nothing if it is only to be validated.
pub(super) fn plan(
    image: &MetadataImage,
    own: Own<'_>,
    request: &UpdateFeaturesRequest,
) -> Result<FeatureChange, ApiError> {
    let mut updates: Vec<Update<'_>> = Vec::with_capacity(request.feature_updates.len());
    for wanted in &request.feature_updates {
        // Named twice, the last one counts.
        updates.retain(|update| update.feature != wanted.feature);
        updates.push(Update {
            feature: &wanted.feature,
            level: wanted.max_version_level,
            upgrade_type: UpgradeType::from_code(wanted.upgrade_type),
        });
    }
    let proposed = |name: &str| {
        let wanted = updates.iter().find(|update| update.feature == name).map(|update| update.level);
        wanted.or_else(|| image.features().get(name).copied()).unwrap_or_default()
    };
    let mut change = FeatureChange::default();
    for update in &updates {
        check(image, own, update, &proposed).map(|()| take(own, update, &mut change))?;
    }
    if request.validate_only {
        return Ok(FeatureChange::default());
    }
    if updates.iter().any(|update| update.feature == ELR_VERSION && update.level > 0) {
        // Kafka's order: what eligible leader replicas are reckoned by stands before them.
        let mut records = cluster_wide_min_insync_replicas(image, own.config);
        records.append(&mut change.records);
        change.records = records;
    }
    Ok(change)
}

fn take(own: Own<'_>, update: &Update<'_>, change: &mut FeatureChange) {
    if update.feature == KRAFT_VERSION {
        change.raises_kraft_version |= update.level > own.kraft_version;
    } else {
        let record =
            FeatureLevelRecord { name: update.feature.to_owned(), feature_level: update.level, ..Default::default() };
        change.records.push(record.into());
    }
}

fn check(
    image: &MetadataImage,
    own: Own<'_>,
    update: &Update<'_>,
    proposed: &dyn Fn(&str) -> i16,
) -> Result<(), ApiError> {
    let Update { feature, level, .. } = *update;
    let refused = |why: &str| {
        let text = format!("Invalid update version {level} for feature {feature}. {why}");
        Err(ApiError::new(ErrorCode::InvalidUpdateVersion, text))
    };
    let Some(upgrade_type) = update.upgrade_type else {
        return refused("The controller does not support the given upgrade type.");
    };
    let current = match feature {
        KRAFT_VERSION => own.kraft_version,
        METADATA_VERSION => image.metadata_version().unwrap_or_default().level(),
        name => image.features().get(name).copied().unwrap_or_default(),
    };
    if level < 0 {
        return refused("A feature version cannot be less than 0.");
    }
    if let Some(reason) = reason_not_supported(image, own.node_id, feature, level) {
        return refused(&reason);
    }
    if level < current && upgrade_type == UpgradeType::Upgrade {
        return refused(
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.",
        );
    }
    if level > current && upgrade_type != UpgradeType::Upgrade {
        return refused("Can't downgrade to a newer version.");
    }
    match feature {
        METADATA_VERSION => check_metadata_version(current, level, upgrade_type),
        KRAFT_VERSION if level < current => refused("Can't downgrade the version of this feature."),
        KRAFT_VERSION => Ok(()),
        name if find(name).is_none() => refused(&format!("Feature {name} not found.")),
        name => match missing_for(name, level, proposed) {
            None => Ok(()),
            Some((needed, needed_level)) => refused(&format!(
                "{name} could not be set to {level} because it depends on {needed} level {needed_level}"
            )),
        },
    }
}

/// A level of `metadata.version` falls only where no record says more at the higher one.
fn check_metadata_version(current: i16, level: i16, upgrade_type: UpgradeType) -> Result<(), ApiError> {
    let refused = |text: String| Err(ApiError::new(ErrorCode::InvalidUpdateVersion, text));
    let (Some(from), Some(to)) = (MetadataVersion::from_level(current), MetadataVersion::from_level(level)) else {
        let (lowest, highest) = (MetadataVersion::MINIMUM, MetadataVersion::LATEST);
        return refused(format!("Invalid metadata.version {level}. Valid versions are from {lowest} to {highest}."));
    };
    if to >= from || !from.says_more_than(to) {
        return Ok(());
    }
    let why = match upgrade_type {
        UpgradeType::UnsafeDowngrade => "Unsafe metadata downgrade is not supported in this version.",
        _ => "Refusing to perform the requested downgrade because it might delete metadata information.",
    };
    refused(format!("Unsupported metadata.version downgrade from {from} to {to}. {why}"))
}

/// Who in the cluster does not have a feature at a level: this controller first, then brokers, then other controllers.
fn reason_not_supported(image: &MetadataImage, own: NodeId, feature: &str, level: i16) -> Option<String> {
    let local = find(feature).map_or((0, 0), |Feature { min, max, .. }| (*min, *max));
    let brokers = image.brokers().iter().map(|(id, broker)| {
        let found = broker.features.iter().find(|known| known.name == feature);
        let range = found.map_or((0, 0), |known| (known.min_supported_version, known.max_supported_version));
        (format!("Broker {id}"), range)
    });
    let controllers = image.controllers().iter().filter(|(id, _)| **id != own).map(|(id, controller)| {
        let found = controller.features.iter().find(|known| known.name == feature);
        let range = found.map_or((0, 0), |known| (known.min_supported_version, known.max_supported_version));
        (format!("Controller {id}"), range)
    });
    let all = std::iter::once((format!("Local controller {own}"), local)).chain(brokers).chain(controllers);
    let (who, (min, max)) = all.into_iter().find(|(_, (min, max))| !(*min..=*max).contains(&level))?;
    Some(match (min, max) {
        (_, 0) => format!("{who} does not support this feature."),
        (min, max) if min == max => format!("{who} only supports versions {min}"),
        (min, max) => format!("{who} only supports versions {min}-{max}"),
    })
}

/// With eligible leader replicas one number holds for all brokers (KIP-966).
fn cluster_wide_min_insync_replicas(image: &MetadataImage, config: &ServerConfig) -> Vec<MetadataRecord> {
    let record = |resource_name: String, value: Option<String>| {
        let (resource_type, name) = (ConfigResourceType::BROKER.0, MIN_INSYNC_REPLICAS.to_owned());
        MetadataRecord::from(ConfigRecord { resource_type, resource_name, name, value, ..Default::default() })
    };
    let mut records = Vec::new();
    let is_set = |resource: &ConfigResource| {
        image.configs(resource).is_some_and(|configs| configs.contains_key(MIN_INSYNC_REPLICAS))
    };
    if !is_set(&ConfigResource::all_brokers()) {
        records.push(record(String::new(), Some(config.topic_defaults.min_insync_replicas.to_string())));
    }
    let brokers = image.all_configs().keys().filter(|resource| resource.kind == ConfigResourceType::BROKER);
    for broker in brokers.filter(|broker| !broker.name.is_empty() && is_set(broker)) {
        records.push(record(broker.name.clone(), None));
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::bootstrap;
    use crate::protocol::messages::RegisterBrokerRecord;
    use crate::protocol::messages::register_broker_record::BrokerFeature;
    use crate::protocol::messages::update_features_request::FeatureUpdateKey;

    const UPGRADE: i8 = 1;
    const SAFE: i8 = 2;
    const UNSAFE: i8 = 3;

    fn image(levels: &[(&str, i16)]) -> MetadataImage {
        let mut features = bootstrap::default_features();
        features.extend(levels.iter().map(|(name, level)| ((*name).to_owned(), *level)));
        let mut image = MetadataImage::default();
        bootstrap::feature_records(&features).iter().for_each(|record| image.apply(record).unwrap());
        image
    }

    fn asked(image: &MetadataImage, updates: &[(&str, i16, i8)]) -> Result<FeatureChange, String> {
        let config = ServerConfig::from_pairs(&[]).unwrap();
        let own = Own { node_id: NodeId(1), kraft_version: 1, config: &config };
        let feature_updates = updates.iter().map(|(feature, max_version_level, upgrade_type)| FeatureUpdateKey {
            feature: (*feature).to_owned(),
            max_version_level: *max_version_level,
            upgrade_type: *upgrade_type,
            ..Default::default()
        });
        let request = UpdateFeaturesRequest { feature_updates: feature_updates.collect(), ..Default::default() };
        plan(image, own, &request).map_err(|error| error.message.unwrap_or_default())
    }

    fn level(name: &str, feature_level: i16) -> MetadataRecord {
        FeatureLevelRecord { name: name.to_owned(), feature_level, ..Default::default() }.into()
    }

    #[test]
    fn what_does_not_go_is_refused_in_kafkas_words() {
        let cases: &[(&str, i16, i8, &str)] = &[
            ("share.version", 1, 0, "The controller does not support the given upgrade type."),
            ("share.version", -1, SAFE, "A feature version cannot be less than 0."),
            ("share.version", 2, UPGRADE, "Local controller 1 only supports versions 0-1"),
            ("nope", 1, UPGRADE, "Local controller 1 does not support this feature."),
            ("nope", 0, SAFE, "Feature nope not found."),
            ("metadata.version", 6, SAFE, "Local controller 1 only supports versions 7-30"),
            ("kraft.version", 0, SAFE, "Can't downgrade the version of this feature."),
            (
                "transaction.version",
                1,
                UPGRADE,
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.",
            ),
        ];
        for (feature, to, upgrade_type, why) in cases {
            let expected = format!("Invalid update version {to} for feature {feature}. {why}");
            assert_eq!(asked(&image(&[]), &[(feature, *to, *upgrade_type)]), Err(expected));
        }
        let low = image(&[("metadata.version", 22), (ELR_VERSION, 0), ("group.version", 0)]);
        assert_eq!(
            asked(&low, &[(ELR_VERSION, 1, UPGRADE)]).unwrap_err(),
            "Invalid update version 1 for feature eligible.leader.replicas.version. eligible.leader.replicas.version \
             could not be set to 1 because it depends on metadata.version level 23"
        );
        assert_eq!(
            asked(&low, &[("group.version", 1, SAFE)]).unwrap_err(),
            "Invalid update version 1 for feature group.version. Can't downgrade to a newer version."
        );
    }

    #[test]
    fn metadata_falls_only_where_nothing_is_lost() {
        let fall = |from, to, how| asked(&image(&[(METADATA_VERSION, from)]), &[(METADATA_VERSION, to, how)]);
        assert_eq!(fall(29, 24, SAFE).unwrap().records, [level(METADATA_VERSION, 24)]);
        assert_eq!(fall(16, 15, SAFE).unwrap().records, [level(METADATA_VERSION, 15)]);
        let start = |from, to| format!("Unsupported metadata.version downgrade from {from} to {to}. ");
        let refusing = "Refusing to perform the requested downgrade because it might delete metadata information.";
        assert_eq!(fall(30, 29, SAFE), Err(start(30, 29) + refusing));
        assert_eq!(fall(29, 22, SAFE), Err(start(29, 22) + refusing));
        let not_yet = "Unsafe metadata downgrade is not supported in this version.";
        assert_eq!(fall(30, 19, UNSAFE), Err(start(30, 19) + not_yet));
    }

    #[test]
    fn one_refusal_is_one_for_all_and_dependencies_count_as_asked_for() {
        let low = image(&[(METADATA_VERSION, 22), (ELR_VERSION, 0)]);
        assert!(asked(&low, &[(METADATA_VERSION, 30, UPGRADE), ("nope", 1, UPGRADE)]).is_err());
        let both = asked(&low, &[(METADATA_VERSION, 23, UPGRADE), (ELR_VERSION, 1, UPGRADE)]).unwrap();
        let [MetadataRecord::Config(first), rest @ ..] = &both.records[..] else { panic!("{both:?}") };
        assert_eq!((first.name.as_str(), first.value.as_deref()), (MIN_INSYNC_REPLICAS, Some("1")));
        assert_eq!(rest, [level(METADATA_VERSION, 23), level(ELR_VERSION, 1)]);
    }

    #[test]
    fn who_in_the_cluster_lacks_a_feature_is_named() {
        let mut image = image(&[]);
        let old =
            BrokerFeature { name: "transaction.version".to_owned(), max_supported_version: 1, ..Default::default() };
        let broker = RegisterBrokerRecord { broker_id: 2, features: vec![old], ..Default::default() };
        image.apply(&broker.into()).unwrap();
        assert_eq!(
            asked(&image, &[("transaction.version", 2, UPGRADE)]).unwrap_err(),
            "Invalid update version 2 for feature transaction.version. Broker 2 only supports versions 0-1"
        );
    }
}
