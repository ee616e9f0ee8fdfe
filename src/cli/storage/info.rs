//! `storage info`: the directories of a node, and what is wrong with them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::node::Node;
use crate::cli::support::{Exit, Output, Style};
use crate::log::directory::{self, DirectoryContent, DirectoryError};
use crate::log::meta_properties::{MetaProperties, MetaVersion};

pub(super) fn run(config: &Path, out: &mut Output) -> anyhow::Result<Exit> {
    let node = Node::read(config)?;
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let mut metadata: Option<MetaProperties> = None;
    for dir in &node.directories {
        let shown = dir.display();
        match directory::inspect(dir) {
            Ok(DirectoryContent::Missing) => problems.push(format!("{shown} does not exist")),
            Ok(DirectoryContent::Formatted(properties)) => {
                found.push(shown.to_string());
                match &metadata {
                    None => metadata = Some(properties),
                    Some(first) => {
                        if first.cluster_id != properties.cluster_id {
                            problems.push("Mismatched cluster IDs between storage directories.".to_owned());
                        } else if first.node_id != properties.node_id {
                            problems.push("Mismatched node IDs between storage directories.".to_owned());
                        }
                    }
                }
            }
            Ok(DirectoryContent::Empty | DirectoryContent::Unformatted) => {
                found.push(shown.to_string());
                problems.push(format!("{shown} is not formatted."));
            }
            Err(DirectoryError::NotADirectory { .. }) => problems.push(format!("{shown} is not a directory")),
            Err(error) => {
                found.push(shown.to_string());
                problems.push(format!("Error loading {shown}: {:#}", anyhow::Error::new(error)));
            }
        }
    }
    if out.style() == Style::Json {
        let metadata = metadata.as_ref().map(|found| metadata_values(found).into_iter().collect::<BTreeMap<_, _>>());
        let document = json!({"version": 1, "directories": found, "metadata": metadata, "problems": problems});
        out.json(&document)?;
        return Ok(if problems.is_empty() { Exit::Success } else { Exit::Failure });
    }
    list("Found log directory:", "Found log directories:", &found, out)?;
    if let Some(properties) = &metadata {
        out.line(format_args!("Found metadata: {}\n", metadata_text(properties)))?;
    }
    list("Found problem:", "Found problems:", &problems, out)?;
    Ok(if problems.is_empty() { Exit::Success } else { Exit::Failure })
}

/// A heading, the lines, an empty line; nothing if there are no lines.
fn list(one: &str, several: &str, lines: &[String], out: &mut Output) -> std::io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    out.line(if lines.len() == 1 { one } else { several })?;
    for line in lines {
        out.line(format_args!("  {line}"))?;
    }
    out.line("")
}

/// The properties by name, as Java prints a map.
fn metadata_text(properties: &MetaProperties) -> String {
    let shown: Vec<String> =
        metadata_values(properties).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{{{}}}", shown.join(", "))
}

/// The properties that are there, by name.
fn metadata_values(properties: &MetaProperties) -> Vec<(&'static str, String)> {
    let (version, node_key) = match properties.version {
        MetaVersion::Zookeeper => (0, "broker.id"),
        MetaVersion::Kraft => (1, "node.id"),
    };
    let mut values = vec![
        ("cluster.id", properties.cluster_id.clone()),
        ("directory.id", properties.directory_id.map(|id| id.to_string())),
        (node_key, properties.node_id.map(|id| id.to_string())),
        ("version", Some(version.to_string())),
    ];
    values.sort();
    values.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}
