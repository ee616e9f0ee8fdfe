//! `features`: which feature levels a cluster uses, and how to change them. Kafka's `kafka-features.sh`.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use super::Run;
use super::storage::features::{self as levels, METADATA_VERSION};
use super::support::{
    BrokerOrControllerArgs, CommandWords, Exit, JavaError, Output, OutputArgs, Style, UsageError, block_on, chain_text,
    confirm_unless, number, report_failure, required,
};
use crate::client::admin::{FeatureDescription, FeatureLevels, UpgradeType};
use crate::client::{Admin, ApiError};
use crate::types::NodeId;

/// Show or change the feature levels of a cluster
#[derive(Debug, Clone, clap::Parser)]
#[command(
    infer_long_args = true,
    mut_args(|arg| arg.global(true)),
    after_help = "\
kafka-rs features describe --bootstrap-server broker:9092   show what is in use
kafka-rs features upgrade --release-version 4.3 --dry-run   what an upgrade would change
kafka-rs features upgrade --feature transaction.version=2   raise one feature"
)]
pub(super) struct Features {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: BrokerOrControllerArgs,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Show what the nodes support and the cluster uses
    Describe {
        /// The node to ask [default: any]
        #[arg(long, value_name = "ID")]
        node_id: Option<String>,
    },
    /// Raise levels
    Upgrade(Update),
    /// Lower levels
    Downgrade(Update),
    /// Set levels to 0
    Disable {
        /// The feature
        #[arg(long, value_name = "NAME")]
        feature: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Show which feature levels go with a metadata version
    VersionMapping {
        /// Metadata version, as 4.3-IV0 or 3.9 [default: the newest]
        #[arg(long, value_name = "VERSION")]
        release_version: Option<String>,
    },
    /// Show which features a feature level needs
    FeatureDependencies {
        /// Feature and level
        #[arg(long, value_name = "NAME=LEVEL")]
        feature: Vec<String>,
    },
}

/// Which levels.
#[derive(Debug, Clone, Default, clap::Args)]
struct Update {
    /// All levels that go with this release, as 4.3-IV0 or 4.3
    #[arg(long, value_name = "VERSION")]
    release_version: Option<String>,
    /// Old spelling of --feature metadata.version=N
    #[arg(long, value_name = "VERSION", hide = true)]
    metadata: Option<String>,
    /// Feature and level
    #[arg(long, value_name = "NAME=LEVEL")]
    feature: Vec<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Clone, Copy, Default, clap::Args)]
struct How {
    /// Go down even if metadata is lost by it
    #[arg(long)]
    r#unsafe: bool,
    /// Have the change checked, and don't make it
    #[arg(long)]
    dry_run: bool,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

/// The command line is wrong in another way than the parser finds.
const WORDS: CommandWords = CommandWords {
    program: "kafka-features",
    commands: &["describe", "upgrade", "downgrade", "disable", "version-mapping", "feature-dependencies"],
};

type Updates = BTreeMap<String, (i16, UpgradeType)>;

/// Which way levels are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Upgrade,
    Downgrade,
    Disable,
}

impl Change {
    const fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Disable => "disable",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Upgrade => "upgraded",
            Self::Downgrade => "downgraded",
            Self::Disable => "disabled",
        }
    }
}

impl Run for Features {
    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        self.connect.check("argument --bootstrap-controller: not allowed with argument --bootstrap-server")?;
        let (change, updates, how) = match self.command.ok_or_else(CommandWords::none)? {
            Command::VersionMapping { release_version } => {
                levels::print_mapping(release_version.as_deref(), out)?;
                return Ok(Exit::Success);
            }
            Command::FeatureDependencies { feature } => {
                required(feature.first(), "--feature")?;
                levels::print_dependencies(&feature, out)?;
                return Ok(Exit::Success);
            }
            Command::Describe { node_id } => {
                let node = node_id.as_deref().map(node).transpose()?;
                let admin = Admin::new(self.connect.admin_options(out)?);
                let described = block_on(async {
                    Ok(admin
                        .describe_features(node)
                        .await
                        .map_err(|error| JavaError::call("describeFeatures", &error))?)
                })?;
                print(&described, out)?;
                return Ok(Exit::Success);
            }
            Command::Upgrade(update) => {
                (Change::Upgrade, updates(Change::Upgrade, &update, UpgradeType::Upgrade, out)?, update.how)
            }
            Command::Downgrade(update) => {
                let upgrade_type = downgrade_type(update.how);
                (Change::Downgrade, updates(Change::Downgrade, &update, upgrade_type, out)?, update.how)
            }
            Command::Disable { feature, how } => {
                let levels = feature.into_iter().map(|name| (name, 0));
                (Change::Disable, collected(BTreeMap::new(), levels, downgrade_type(how))?, how)
            }
        };
        if updates.is_empty() {
            anyhow::bail!("You must specify at least one feature to {}", change.name());
        }
        if how.r#unsafe && !how.dry_run {
            let levels: Vec<_> = updates.iter().map(|(name, (level, _))| format!("{name} to {level}")).collect();
            let question = format!("Lower {} even if metadata is lost by it?", levels.join(", "));
            confirm_unless(how.yes, &question, out)?;
        }
        let admin = Admin::new(self.connect.admin_options(out)?);
        let results = block_on(async {
            Ok(admin
                .update_features(&updates, how.dry_run)
                .await
                .map_err(|error| JavaError::call("updateFeatures", &error)))
        })?;
        let results = match results {
            Ok(results) => results,
            Err(error) if out.is_for_people() => return Err(error.into()),
            // As Kafka's tool: each has failed, for the same reason.
            Err(error) => {
                let failed =
                    ApiError { code: crate::protocol::ErrorCode::UnknownServerError, message: Some(error.to_string()) };
                updates.keys().map(|name| (name.clone(), Err(failed.clone()))).collect()
            }
        };
        print_results(change, how.dry_run, &updates, &results, out)
    }

    /// This tool of Kafka's tells mistakes on one line, which does not end.
    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        if out.is_for_people() {
            return WORDS.report(mistake, called_as, out);
        }
        out.note(format_args!("Command line error: {}. Type --help for help.", WORDS.text(mistake)))?;
        Ok(Exit::Failure)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        if out.is_for_people() {
            if let Some(error) = error.downcast_ref::<JavaError>() {
                error.report(out, |_, _| Ok(()))?;
                return Ok(Exit::Failure);
            }
            return report_failure(error, out);
        }
        match error.downcast_ref::<JavaError>() {
            Some(error) => error.report(out, |error, out| out.note(error.to_java()))?,
            None => out.note(chain_text(error))?,
        }
        Ok(Exit::Failure)
    }
}

fn node(text: &str) -> anyhow::Result<NodeId> {
    let id: i32 = number(text, "--node-id", "Integer")?;
    if id < 0 {
        anyhow::bail!("Invalid node id {id}: must be non-negative.");
    }
    Ok(NodeId(id))
}

fn downgrade_type(how: How) -> UpgradeType {
    if how.r#unsafe { UpgradeType::UnsafeDowngrade } else { UpgradeType::SafeDowngrade }
}

fn updates(change: Change, update: &Update, upgrade_type: UpgradeType, out: &mut Output) -> anyhow::Result<Updates> {
    if let Some(release) = &update.release_version {
        if update.metadata.is_some() || !update.feature.is_empty() {
            anyhow::bail!("Can not specify `release-version` with other feature flags.");
        }
        let metadata = levels::level_named(release, true)?;
        let mut updates = Updates::from([(METADATA_VERSION.to_owned(), (metadata, upgrade_type))]);
        for (name, level) in levels::mapping(metadata) {
            // An upgrade to 0 is none.
            if change != Change::Upgrade || level > 0 {
                updates.insert(name.to_owned(), (level, upgrade_type));
            }
        }
        return Ok(updates);
    }
    let mut updates = Updates::new();
    if let Some(metadata) = &update.metadata {
        if out.is_for_people() {
            out.note("--metadata is old: write --release-version, or --feature metadata.version=LEVEL")?;
        } else {
            out.line(" `metadata` flag is deprecated and may be removed in a future release.")?;
        }
        updates.insert(METADATA_VERSION.to_owned(), (levels::level_named(metadata, true)?, upgrade_type));
    }
    let mut named = Vec::new();
    for text in &update.feature {
        let (name, level) = levels::parse(text)?;
        named.push((name.to_owned(), level));
    }
    collected(updates, named, upgrade_type)
}

fn collected(
    mut updates: Updates,
    levels: impl IntoIterator<Item = (String, i16)>,
    upgrade_type: UpgradeType,
) -> anyhow::Result<Updates> {
    for (name, level) in levels {
        if name.is_empty() {
            anyhow::bail!("Provided feature can not be empty.");
        }
        if level < 0 {
            anyhow::bail!("Cannot specify a negative version level.");
        }
        if updates.insert(name.clone(), (level, upgrade_type)).is_some() {
            anyhow::bail!("Feature {name} was specified more than once.");
        }
    }
    Ok(updates)
}

/// `4.3-IV0` for levels of metadata.version, the number for others.
fn level_text(feature: &str, level: i16) -> String {
    if feature != METADATA_VERSION {
        return level.to_string();
    }
    match levels::version_name(level) {
        Some(name) => name.to_owned(),
        None => format!("UNKNOWN {level}"),
    }
}

fn line(name: &str, levels: FeatureLevels, epoch: Option<i64>) -> String {
    format!(
        "Feature: {name:<40}  SupportedMinVersion: {:<15}  SupportedMaxVersion: {:<15}  FinalizedVersionLevel: {:<15}  \
         Epoch: {}",
        level_text(name, levels.min),
        level_text(name, levels.max),
        level_text(name, levels.finalized),
        epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string()),
    )
}

fn print(described: &FeatureDescription, out: &mut Output) -> anyhow::Result<()> {
    // What the node does not support can't be shown, or changed, by it.
    let features = || described.features.iter().filter(|(_, levels)| levels.max > 0);
    match out.style() {
        Style::Kafka => {
            for (name, levels) in features() {
                out.line(line(name, *levels, described.epoch))?;
            }
        }
        Style::Table => {
            let row = |(name, levels): (&String, &FeatureLevels)| {
                let used = level_text(name, levels.finalized);
                let newest = if levels.finalized < levels.max { "can be upgraded" } else { "" };
                let range = format!("{} to {}", level_text(name, levels.min), level_text(name, levels.max));
                vec![name.clone(), used, range, newest.to_owned()]
            };
            out.table(&["Feature", "Used", "Supported", "Note"], features().map(row).collect())?;
        }
        Style::Json => {
            let feature = |(name, levels): (&String, &FeatureLevels)| json!({ "name": name, "min": levels.min, "max": levels.max, "finalized": levels.finalized });
            let features: Vec<Value> = features().map(feature).collect();
            out.json(&json!({ "version": 1, "epoch": described.epoch, "features": features }))?;
        }
    }
    Ok(())
}

fn print_results(
    change: Change,
    dry_run: bool,
    updates: &Updates,
    results: &BTreeMap<String, Result<(), ApiError>>,
    out: &mut Output,
) -> anyhow::Result<Exit> {
    let failed = results.values().filter(|result| result.is_err()).count();
    if out.style() == Style::Json {
        let results: Vec<_> = results
            .iter()
            .map(|(name, result)| {
                let level = updates.get(name).map(|(level, _)| *level);
                let error = result.as_ref().err().map(ToString::to_string);
                json!({ "name": name, "level": level, "error": error })
            })
            .collect();
        let action = change.name();
        out.json(&json!({ "version": 1, "action": action, "dryRun": dry_run, "features": results }))?;
    } else {
        for (name, result) in results {
            let level = updates.get(name).map_or(0, |(level, _)| *level);
            out.line(result_line(change, dry_run, name, level, result))?;
        }
    }
    if failed > 0 {
        out.note(format_args!("{failed} out of {} operation(s) failed.", updates.len()))?;
        return Ok(Exit::Failure);
    }
    Ok(Exit::Success)
}

fn result_line(change: Change, dry_run: bool, name: &str, level: i16, result: &Result<(), ApiError>) -> String {
    let to = if change == Change::Disable { String::new() } else { format!(" to {level}") };
    match result {
        Ok(()) => {
            let verb = if dry_run { "can be" } else { "was" };
            format!("{name} {verb} {}{to}.", change.done())
        }
        Err(error) => {
            let could = if dry_run { "Can not" } else { "Could not" };
            format!("{could} {} {name}{to}. {error}", change.name())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_kafkas_tool() {
        let levels = FeatureLevels { min: 0, max: 1, finalized: 1 };
        assert_eq!(
            line("eligible.leader.replicas.version", levels, Some(34)),
            "Feature: eligible.leader.replicas.version          SupportedMinVersion: 0                \
             SupportedMaxVersion: 1                FinalizedVersionLevel: 1                Epoch: 34"
        );
        let levels = FeatureLevels { min: 7, max: 99, finalized: 30 };
        assert_eq!(
            line("metadata.version", levels, None),
            "Feature: metadata.version                          SupportedMinVersion: 3.3-IV3          \
             SupportedMaxVersion: UNKNOWN 99       FinalizedVersionLevel: 4.3-IV0          Epoch: -"
        );
    }

    #[test]
    fn results_are_told_in_kafkas_words() {
        let ok = Ok(());
        let error =
            Err(ApiError { code: crate::protocol::ErrorCode::InvalidRequest, message: Some("Why.".to_owned()) });
        for (change, dry_run, result, line) in [
            (Change::Upgrade, false, &ok, "f was upgraded to 2."),
            (Change::Upgrade, true, &ok, "f can be upgraded to 2."),
            (Change::Downgrade, false, &ok, "f was downgraded to 2."),
            (Change::Disable, false, &ok, "f was disabled."),
            (Change::Disable, true, &ok, "f can be disabled."),
            (Change::Upgrade, false, &error, "Could not upgrade f to 2. Why."),
            (Change::Downgrade, true, &error, "Can not downgrade f to 2. Why."),
            (Change::Disable, false, &error, "Could not disable f. Why."),
        ] {
            assert_eq!(result_line(change, dry_run, "f", 2, result), line);
        }
    }

    fn updated(change: Change, update: &Update) -> Result<Vec<(String, i16)>, String> {
        let (mut out, _) = Output::captured();
        let updates = updates(change, update, UpgradeType::Upgrade, &mut out).map_err(|e| e.to_string())?;
        Ok(updates.into_iter().map(|(name, (level, _))| (name, level)).collect())
    }

    #[test]
    fn levels_to_set() {
        let release = |version: &str| Update { release_version: Some(version.to_owned()), ..Update::default() };
        let features = |features: &[&str]| Update {
            feature: features.iter().map(|text| (*text).to_owned()).collect(),
            ..Update::default()
        };
        assert_eq!(
            updated(Change::Upgrade, &release("3.9-IV0")).unwrap(),
            [("kraft.version".to_owned(), 1), ("metadata.version".to_owned(), 21)]
        );
        assert_eq!(updated(Change::Downgrade, &release("3.9-IV0")).unwrap().len(), 7);
        assert_eq!(updated(Change::Upgrade, &features(&["a=1"])).unwrap(), [("a".to_owned(), 1)]);
        assert_eq!(
            updated(Change::Upgrade, &features(&["a=1", "a=2"])).unwrap_err(),
            "Feature a was specified more than once."
        );
        assert_eq!(
            updated(Change::Upgrade, &features(&["x"])).unwrap_err(),
            "Can't parse feature=level string x: equals sign not found."
        );
        let both = Update { release_version: Some("4.3".to_owned()), ..features(&["a=1"]) };
        assert_eq!(
            updated(Change::Upgrade, &both).unwrap_err(),
            "Can not specify `release-version` with other feature flags."
        );
        assert!(
            updated(Change::Upgrade, &release("nope")).unwrap_err().starts_with("Unknown metadata.version 'nope'.")
        );
    }
}
