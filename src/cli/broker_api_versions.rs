//! `broker-api-versions`: which requests each broker serves, and in which versions. Kafka's
//! `kafka-broker-api-versions.sh`; many health checks run it for its exit code alone.

use std::fmt;
use std::io;

use serde_json::{Value, json};

use super::Run;
use super::help::Example;
use super::support::{ConnectArgs, Exit, IgnoredWords, Output, OutputArgs, Style, block_on, chain_text, hint_for};
use crate::client::{Admin, ApiVersions, ClientError, Node};
use crate::protocol::{APIS, ApiInfo, ApiKey, VersionRange};

/// Show which requests the brokers serve, in which versions
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
--output json prints an array of {id, host, port, rack, apis} or, for a broker that does not answer, {id, host, port, \
rack, error}; apis is an array of {key, name, min, max, usable}, with null where there is none.")]
pub(super) struct BrokerApiVersions {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// No broker could be asked.
#[derive(Debug)]
struct Unreachable {
    servers: String,
    error: ClientError,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<_> = self
            .servers
            .split(',')
            .map(|server| format!("{} (id: -1 rack: null isFenced: false)", server.trim()))
            .collect();
        write!(f, "Request METADATA failed on brokers [{}]", nodes.join(", "))
    }
}

impl std::error::Error for Unreachable {}

impl Run for BrokerApiVersions {
    const EXAMPLES: &'static [Example] = &[(
        "See whether a cluster answers, and what it can do",
        "kafka-rs broker-api-versions --bootstrap-server kafka:9092",
    )];

    const NEEDS_NO_WORDS: bool = true;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let options = self.connect.admin_options(out)?;
        let servers: Vec<_> = options.bootstrap_servers.iter().map(ToString::to_string).collect();
        let servers = servers.join(",");
        block_on(async {
            let admin = Admin::new(options);
            let brokers = admin.api_versions().await.map_err(|error| Unreachable { servers, error })?;
            print(&brokers, out)?;
            Ok(Exit::Success)
        })
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(unreachable) = error.downcast_ref::<Unreachable>() else {
            return super::support::report_failure(error, out);
        };
        if !out.is_for_people() {
            out.note(unreachable)?;
        }
        out.error(&source_text(&unreachable.error))?;
        if let Some(hint) = hint_for(&unreachable.error) {
            out.hint(&hint)?;
        }
        Ok(Exit::Failure)
    }
}

fn source_text(error: &ClientError) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => chain_text(&anyhow::anyhow!("{source}").context(error.to_string())),
        None => error.to_string(),
    }
}

type Answer = (Node, Result<ApiVersions, ClientError>);

fn print(brokers: &[Answer], out: &mut Output) -> anyhow::Result<()> {
    match out.style() {
        Style::Kafka => {
            for (node, versions) in brokers {
                match versions {
                    Ok(versions) => {
                        let lines: Vec<_> = apis(versions).iter().map(Api::line).collect();
                        out.line(format_args!("{} -> (\n\t{}\n)", java_node(node), lines.join(",\n\t")))?;
                    }
                    Err(error) => out.line(format_args!("{} -> ERROR: {}", java_node(node), source_text(error)))?,
                }
            }
        }
        Style::Table => {
            for (node, versions) in brokers {
                let name = out.bold(&format!("broker {}", node.id));
                match versions {
                    Ok(versions) => {
                        out.line(format_args!("{name} at {}", node.address))?;
                        let rows = apis(versions).iter().map(Api::row).collect();
                        out.table(&["API", "Key", "Versions", "Used here"], rows)?;
                    }
                    Err(error) => out.line(format_args!("{name} at {}: {}", node.address, source_text(error)))?,
                }
            }
        }
        Style::Json => {
            let brokers: Vec<_> = brokers.iter().map(json_of).collect();
            out.json(&json!({ "version": 1, "brokers": brokers }))?;
        }
    }
    Ok(())
}

fn json_of((node, versions): &Answer) -> Value {
    let mut object = json!({
        "id": node.id.get(),
        "host": node.address.host(),
        "port": node.address.port(),
        "rack": node.rack,
    });
    match versions {
        Ok(versions) => object["apis"] = apis(versions).iter().map(Api::json).collect(),
        Err(error) => object["error"] = source_text(error).into(),
    }
    object
}

/// As Java prints a node.
fn java_node(node: &Node) -> String {
    let rack = node.rack.as_deref().unwrap_or("null");
    format!("{} (id: {} rack: {rack} isFenced: false)", node.address, node.id)
}

/// What a broker and this program make of an API.
struct Api {
    key: i16,
    /// `None` if this program does not know it.
    info: Option<&'static ApiInfo>,
    /// `None` if the broker does not serve it.
    served: Option<VersionRange>,
}

/// The APIs that brokers of Kafka 4 serve to clients, and whatever else this one serves, by key.
fn apis(versions: &ApiVersions) -> Vec<Api> {
    let mut apis: Vec<Api> = versions
        .iter()
        .map(|(key, served)| Api { key, info: ApiKey::from_i16(key).map(ApiKey::info), served: Some(served) })
        .collect();
    for info in APIS.iter().filter(|info| info.on_broker && info.versions.min <= info.versions.max) {
        if versions.get(info.key).is_none() {
            apis.push(Api { key: info.key.get(), info: Some(info), served: None });
        }
    }
    apis.sort_by_key(|api| api.key);
    apis
}

impl Api {
    fn name(&self) -> &'static str {
        self.info.map_or("UNKNOWN", |info| info.name)
    }

    fn usable(&self) -> Option<i16> {
        Some(self.served?.and(self.info?.stable_versions())?.max)
    }

    /// `Fetch(1): 4 to 18 [usable: 18]`
    fn line(&self) -> String {
        let (name, key) = (self.name(), self.key);
        let Some(served) = self.served else { return format!("{name}({key}): UNSUPPORTED") };
        let range = range_text(served);
        match (self.info, self.usable()) {
            (None, _) => format!("{name}({key}): {range}"),
            (Some(_), Some(version)) => format!("{name}({key}): {range} [usable: {version}]"),
            (Some(info), None) if served.min > info.stable_versions().max => {
                format!("{name}({key}): {range} [unusable: node too new]")
            }
            (Some(_), None) => format!("{name}({key}): {range} [unusable: node too old]"),
        }
    }

    fn row(&self) -> Vec<String> {
        let range = self.served.map_or_else(|| "not served".to_owned(), range_text);
        let usable = self.usable().map_or_else(|| "-".to_owned(), |version| version.to_string());
        vec![self.name().to_owned(), self.key.to_string(), range, usable]
    }

    fn json(&self) -> Value {
        json!({
            "key": self.key,
            "name": self.info.map(|info| info.name),
            "min": self.served.map(|served| served.min),
            "max": self.served.map(|served| served.max),
            "usable": self.usable(),
        })
    }
}

fn range_text(range: VersionRange) -> String {
    if range.min == range.max { range.min.to_string() } else { format!("{} to {}", range.min, range.max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: i16, served: Option<(i16, i16)>) -> String {
        let served = served.map(|(min, max)| VersionRange::new(min, max));
        Api { key, info: ApiKey::from_i16(key).map(ApiKey::info), served }.line()
    }

    #[test]
    fn lines_are_those_of_kafkas_tool() {
        assert_eq!(line(0, Some((0, 13))), "Produce(0): 0 to 13 [usable: 13]");
        assert_eq!(line(46, Some((0, 0))), "ListPartitionReassignments(46): 0 [usable: 0]");
        assert_eq!(line(71, None), "GetTelemetrySubscriptions(71): UNSUPPORTED");
        assert_eq!(line(999, Some((0, 1))), "UNKNOWN(999): 0 to 1");
        assert_eq!(line(1, Some((90, 99))), "Fetch(1): 90 to 99 [unusable: node too new]");
        assert_eq!(line(1, Some((0, 1))), "Fetch(1): 0 to 1 [unusable: node too old]");
    }
}
