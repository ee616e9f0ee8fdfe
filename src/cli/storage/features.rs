//! Metadata versions and feature levels: what goes with what, and what `--feature` may ask for.

use std::collections::BTreeMap;

use anyhow::bail;
use serde_json::json;

use crate::cli::support::{Output, Style};
use crate::metadata::MetadataVersion;
pub(in crate::cli) use crate::metadata::features::METADATA_VERSION;
use crate::metadata::features::{ELR_VERSION, FEATURES, KRAFT_VERSION, find, missing_for, needs};

/// The names of the levels of `metadata.version`, from the lowest that exists. The last one is not stable yet.
const METADATA_VERSIONS: [&str; 25] = [
    "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2", "3.7-IV0", "3.7-IV1",
    "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0", "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0",
    "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0", "4.4-IV0",
];

/// From which level of `metadata.version` on a new cluster gets a feature at a level.
const LEVELS: [(&str, i16, i16); 7] = [
    (KRAFT_VERSION, 1, 21),
    ("transaction.version", 1, 24),
    ("transaction.version", 2, 24),
    ("group.version", 1, 22),
    (ELR_VERSION, 1, 26),
    ("share.version", 1, 28),
    ("streams.version", 1, 29),
];

/// The order in which `version-mapping` prints the features.
const MAPPING_ORDER: [&str; 6] =
    [KRAFT_VERSION, "transaction.version", "group.version", ELR_VERSION, "share.version", "streams.version"];

/// What stands for a level that has no name.
const UNKNOWN: &str = "unknown";

/// The name of a level of `metadata.version`, as `4.3-IV0`.
pub(in crate::cli) fn version_name(level: i16) -> Option<&'static str> {
    let index = usize::try_from(i32::from(level) - i32::from(MetadataVersion::MINIMUM.level())).ok()?;
    METADATA_VERSIONS.get(index).copied()
}

/// The level of a name: `4.3-IV0`, or `3.9` and `3.9.1` for the last level of that release.
pub(in crate::cli) fn level_named(name: &str, with_unstable: bool) -> anyhow::Result<i16> {
    let known = METADATA_VERSIONS.len() - usize::from(!with_unstable);
    let known = METADATA_VERSIONS.get(..known).unwrap_or_default();
    let release: Vec<&str> = name.splitn(3, '.').take(2).collect();
    let release = release.join(".");
    let found = known.iter().position(|version| *version == release).or_else(|| {
        known.iter().rposition(|version| version.split_once('-').is_some_and(|(start, _)| start == release))
    });
    match found.and_then(|index| i16::try_from(index).ok()) {
        Some(index) => Ok(MetadataVersion::MINIMUM.level() + index),
        None => bail!("Unknown metadata.version '{name}'. Supported metadata.version are: {}", known.join(", ")),
    }
}

/// The level that a new cluster gets at this level of `metadata.version`.
fn default_level(feature: &str, metadata_level: i16) -> i16 {
    LEVELS
        .iter()
        .filter(|(name, _, from)| *name == feature && *from <= metadata_level)
        .map(|(_, level, _)| *level)
        .max()
        .unwrap_or(0)
}

/// What a directory is formatted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Levels {
    /// `metadata.version`
    pub(super) metadata: i16,
    /// The others that are not 0, by name.
    pub(super) others: BTreeMap<&'static str, i16>,
}

impl Levels {
    /// Works out the levels that `--release-version` and `--feature` ask for.
    pub(super) fn chosen(release: Option<&str>, wanted: &[String], dynamic_quorum: bool) -> anyhow::Result<Self> {
        let mut asked = BTreeMap::new();
        for text in wanted {
            let (name, level) = parse(text)?;
            asked.insert(name, level);
        }
        let metadata = match (release, asked.remove(METADATA_VERSION)) {
            (Some(_), Some(_)) => {
                bail!("Use --release-version instead of --feature metadata.version=X to avoid ambiguity.")
            }
            (Some(release), None) => level_named(release, false)?,
            (None, Some(level)) if MetadataVersion::from_level(level).is_some() => level,
            (None, Some(level)) => bail!("No metadata.version with feature level {level}"),
            (None, None) => MetadataVersion::LATEST.level(),
        };
        for name in asked.keys() {
            if find(name).is_none() {
                let known: Vec<_> = FEATURES.iter().map(|f| f.name).filter(|name| *name != METADATA_VERSION).collect();
                bail!("Unsupported feature: {name}. Supported features are: {}", known.join(", "));
            }
        }
        check_kraft_level(asked.remove(KRAFT_VERSION), dynamic_quorum)?;
        let mut others = BTreeMap::new();
        for feature in FEATURES.iter().filter(|f| f.name != METADATA_VERSION && f.name != KRAFT_VERSION) {
            let level = asked.get(feature.name).copied().unwrap_or_else(|| default_level(feature.name, metadata));
            if !(feature.min..=feature.max).contains(&level) {
                bail!("No feature:{} with feature level {level}", feature.name);
            }
            if let Some((needed, needed_level)) = missing_for(feature.name, level, &|_| metadata) {
                let name = feature.name;
                bail!("{name} could not be set to {level} because it depends on {needed} level {needed_level}");
            }
            if level > 0 {
                others.insert(feature.name, level);
            }
        }
        Ok(Self { metadata, others })
    }

    /// All levels by name, without `kraft.version`.
    pub(super) fn features(&self) -> BTreeMap<String, i16> {
        self.records().map(|(name, level)| (name.to_owned(), level)).collect()
    }

    /// Features and levels in the order in which the bootstrap records stand.
    pub(super) fn records(&self) -> impl Iterator<Item = (&'static str, i16)> + '_ {
        std::iter::once((METADATA_VERSION, self.metadata))
            .chain(self.others.iter().map(|(name, level)| (*name, *level)))
    }
}

/// `kraft.version` has no record: whether the voters are in the log decides it, so asking for it can only be right or wrong.
fn check_kraft_level(asked: Option<i16>, dynamic_quorum: bool) -> anyhow::Result<()> {
    const FLAGS: &str = "--standalone, --initial-controllers, or --no-initial-controllers";
    match asked {
        Some(0) if dynamic_quorum => bail!(
            "Cannot set kraft.version to 0 if one of the flags {FLAGS} is used. For dynamic controllers support, try \
             removing the --feature flag for kraft.version."
        ),
        Some(1) if !dynamic_quorum => bail!(
            "Cannot set kraft.version to 1 unless controller.quorum.voters is empty and one of the flags {FLAGS} is \
             used. For dynamic controllers support, try using one of {FLAGS} and removing controller.quorum.voters."
        ),
        None | Some(0 | 1) => Ok(()),
        Some(level) => bail!("No feature:{KRAFT_VERSION} with feature level {level}"),
    }
}

/// `name=level`.
pub(in crate::cli) fn parse(text: &str) -> anyhow::Result<(&str, i16)> {
    let Some((name, level)) = text.split_once('=') else {
        bail!("Can't parse feature=level string {text}: equals sign not found.")
    };
    match level.trim().parse() {
        Ok(level) => Ok((name.trim(), level)),
        Err(_) => bail!("Can't parse feature=level string {text}: unable to parse {level} as a short."),
    }
}

/// `version-mapping`: the features that go with a metadata version.
pub(in crate::cli) fn print_mapping(release: Option<&str>, out: &mut Output) -> anyhow::Result<()> {
    let level = match release {
        Some(release) => level_named(release, true)?,
        None => MetadataVersion::LATEST.level(),
    };
    if out.style() == Style::Json {
        let all = std::iter::once((METADATA_VERSION, level)).chain(mapping(level));
        let features: Vec<_> = all.map(|(name, level)| json!({"name": name, "level": level})).collect();
        let release = version_name(level);
        return Ok(out.json(&json!({"version": 1, "releaseVersion": release, "features": features}))?);
    }
    out.line(format_args!("{METADATA_VERSION}={level} ({})", version_name(level).unwrap_or(UNKNOWN)))?;
    for (feature, level) in mapping(level) {
        out.line(format_args!("{feature}={level}"))?;
    }
    Ok(())
}

/// The levels of the other features that go with a level of `metadata.version`.
pub(in crate::cli) fn mapping(metadata_level: i16) -> impl Iterator<Item = (&'static str, i16)> {
    MAPPING_ORDER.into_iter().map(move |feature| (feature, default_level(feature, metadata_level)))
}

/// `name=level` of a feature and a level that there are.
fn known_level(text: &str) -> anyhow::Result<(&str, i16)> {
    let (name, level) = parse(text)?;
    let Some(feature) = find(name) else { bail!("Unknown feature: {name}") };
    if !(feature.min..=feature.max).contains(&level) {
        bail!("Feature level {level} is not supported for feature {name}");
    }
    Ok((name, level))
}

/// `feature-dependencies`: what feature levels need.
pub(in crate::cli) fn print_dependencies(wanted: &[String], out: &mut Output) -> anyhow::Result<()> {
    if out.style() == Style::Json {
        let object = |text: &String| {
            let (name, level) = known_level(text)?;
            let requires: Vec<_> =
                needs(name, level).map(|(name, level)| json!({"name": name, "level": level})).collect();
            Ok(json!({"name": name, "level": level, "requires": requires}))
        };
        let features = wanted.iter().map(object).collect::<anyhow::Result<Vec<_>>>()?;
        return Ok(out.json(&json!({"version": 1, "features": features}))?);
    }
    for text in wanted {
        let (name, level) = known_level(text)?;
        let shown = if name == METADATA_VERSION {
            format!("{name}={level} ({})", version_name(level).unwrap_or(UNKNOWN))
        } else {
            format!("{name}={level}")
        };
        match needs(name, level).next() {
            None => out.line(format_args!("{shown} has no dependencies."))?,
            Some((needed, needed_level)) => {
                out.line(format_args!("{shown} requires:"))?;
                out.line(format_args!(
                    "    {needed}={needed_level} ({})",
                    version_name(needed_level).unwrap_or(UNKNOWN)
                ))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(release: Option<&str>, features: &[&str]) -> Result<Vec<(String, i16)>, String> {
        let features: Vec<String> = features.iter().map(|f| (*f).to_owned()).collect();
        let levels = Levels::chosen(release, &features, false).map_err(|e| e.to_string())?;
        Ok(levels.records().map(|(name, level)| (name.to_owned(), level)).collect())
    }

    #[test]
    fn the_default_is_the_newest_of_all() {
        let levels: Vec<String> =
            chosen(None, &[]).unwrap().into_iter().map(|(name, level)| format!("{name}={level}")).collect();
        assert_eq!(
            levels.join(" "),
            "metadata.version=30 eligible.leader.replicas.version=1 group.version=1 share.version=1 \
             streams.version=1 transaction.version=2"
        );
    }

    #[test]
    fn older_releases_have_fewer_features() {
        assert_eq!(chosen(Some("3.9-IV0"), &[]).unwrap(), [("metadata.version".to_owned(), 21)]);
        assert_eq!(chosen(Some("3.5"), &[]).unwrap(), [("metadata.version".to_owned(), 11)]);
        assert_eq!(chosen(Some("3.5.1"), &[]).unwrap(), [("metadata.version".to_owned(), 11)]);
        assert_eq!(chosen(None, &["metadata.version=21"]).unwrap(), [("metadata.version".to_owned(), 21)]);
    }

    #[test]
    fn what_does_not_go_is_told_in_kafkas_words() {
        assert!(
            chosen(Some("3.0-IV0"), &[])
                .unwrap_err()
                .starts_with("Unknown metadata.version '3.0-IV0'. Supported metadata.version are: 3.3-IV3, 3.4-IV0,")
        );
        assert!(chosen(Some("nope"), &[]).unwrap_err().ends_with("4.2-IV1, 4.3-IV0"));
        assert_eq!(
            chosen(None, &["nope=1"]).unwrap_err(),
            "Unsupported feature: nope. Supported features are: eligible.leader.replicas.version, group.version, \
             kraft.version, share.version, streams.version, transaction.version"
        );
        assert_eq!(
            chosen(None, &["transaction.version"]).unwrap_err(),
            "Can't parse feature=level string transaction.version: equals sign not found."
        );
        assert!(chosen(None, &["kraft.version=1"]).unwrap_err().starts_with("Cannot set kraft.version to 1 unless"));
        assert_eq!(
            chosen(Some("3.9-IV0"), &["metadata.version=21"]).unwrap_err(),
            "Use --release-version instead of --feature metadata.version=X to avoid ambiguity."
        );
        assert!(chosen(Some("3.9"), &["eligible.leader.replicas.version=1"]).is_err());
    }

    #[test]
    fn mappings_print_as_kafkas() {
        let (mut out, captured) = Output::captured();
        print_mapping(Some("3.9-IV0"), &mut out).unwrap();
        out.flush().unwrap();
        assert_eq!(
            captured.stdout(),
            "metadata.version=21 (3.9-IV0)\nkraft.version=1\ntransaction.version=0\ngroup.version=0\n\
             eligible.leader.replicas.version=0\nshare.version=0\nstreams.version=0\n"
        );
    }
}
