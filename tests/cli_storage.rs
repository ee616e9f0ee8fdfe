//! `kafka-rs storage`: what it prints, how it ends, and the files that it writes.
//!
//! The expected texts are those of Apache Kafka 4.3.1.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::{contains, diff, is_empty};
use tempfile::TempDir;

const CLUSTER: &str = "5L6g3nShT-eMCtK--X86sw";

const BOOTSTRAP: &str = "Bootstrap metadata: BootstrapMetadata(records=[\
    ApiMessageAndVersion(FeatureLevelRecord(name='metadata.version', featureLevel=30) at version 0), \
    ApiMessageAndVersion(FeatureLevelRecord(name='eligible.leader.replicas.version', featureLevel=1) at version 0), \
    ApiMessageAndVersion(FeatureLevelRecord(name='group.version', featureLevel=1) at version 0), \
    ApiMessageAndVersion(FeatureLevelRecord(name='share.version', featureLevel=1) at version 0), \
    ApiMessageAndVersion(FeatureLevelRecord(name='streams.version', featureLevel=1) at version 0), \
    ApiMessageAndVersion(FeatureLevelRecord(name='transaction.version', featureLevel=2) at version 0)], \
    metadataVersionLevel=30, source=format command)\n";

/// A node's file and a place for its directories.
struct Node {
    dir: TempDir,
}

impl Node {
    /// `{dir}` in the settings stands for the temporary directory.
    fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = settings.replace("{dir}", &dir.path().display().to_string());
        fs::write(dir.path().join("server.properties"), text).unwrap();
        Self { dir }
    }

    fn with_static_voters(log_dirs: &str) -> Self {
        Self::new(&format!("{ROLES}\ncontroller.quorum.voters=1@localhost:9093\nlog.dirs={log_dirs}\n"))
    }

    fn with_dynamic_voters() -> Self {
        Self::new(&format!(
            "{ROLES}\ncontroller.quorum.bootstrap.servers=localhost:9093\nlog.dirs={{dir}}/d\n\
             listeners=PLAINTEXT://:9092,CONTROLLER://localhost:9093\ncontroller.listener.names=CONTROLLER\n"
        ))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, command: &str, options: &[&str]) -> Assert {
        let config = self.path("server.properties");
        storage(&[&[command, "-c", config.to_str().unwrap()], options].concat())
    }

    fn format(&self, options: &[&str]) -> Assert {
        self.run("format", &[&["-t", CLUSTER], options].concat())
    }
}

const ROLES: &str = "process.roles=broker,controller\nnode.id=1";

fn storage(words: &[&str]) -> Assert {
    Command::cargo_bin("kafka-rs").unwrap().arg("storage").args(words).assert()
}

fn matching(pattern: &str) -> impl Predicate<str> + use<> {
    let pattern = regex_lite::Regex::new(pattern).unwrap();
    predicate::function(move |text: &str| pattern.is_match(text))
}

#[test]
fn ids_are_random_and_on_a_line_of_their_own() {
    let id = || matching("^[A-Za-z0-9_][A-Za-z0-9_-]{21}\n$");
    let first = storage(&["random-uuid"]).success().stdout(id()).get_output().stdout.clone();
    let second = storage(&["random-uuid"]).success().stdout(id()).get_output().stdout.clone();
    assert_ne!(first, second);
}

#[test]
fn a_fresh_node_is_formatted_once() {
    let node = Node::with_static_voters("{dir}/s");
    let dir = node.path("s");
    node.run("info", &[]).code(1).stdout(diff(format!("Found problem:\n  {} does not exist\n\n", dir.display())));
    node.format(&[]).success().stderr(is_empty()).stdout(diff(format!(
        "{BOOTSTRAP}Formatting metadata directory {} with metadata.version 4.3-IV0.\n",
        dir.display()
    )));
    node.run("info", &[]).success().stdout(matching(&format!(
        "^Found log directory:\n  {}\n\nFound metadata: \\{{cluster.id={CLUSTER}, directory.id=[\\w-]{{22}}, \
             node.id=1, version=1\\}}\n\n$",
        dir.display()
    )));
    node.format(&[]).code(1).stdout(is_empty()).stderr(diff(format!(
        "Log directory {} is already formatted. Use --ignore-formatted to ignore this directory and format the others.\n",
        dir.display()
    )));
    node.format(&["-g"]).success().stdout(diff("All of the log directories are already formatted.\n"));
}

#[test]
fn data_directories_come_before_the_metadata_directory() {
    let node = Node::with_static_voters("{dir}/m1,{dir}/m2");
    let dir = node.dir.path().display().to_string();
    node.run("info", &[])
        .code(1)
        .stdout(diff(format!("Found problems:\n  {dir}/m1 does not exist\n  {dir}/m2 does not exist\n\n")));
    node.format(&["--ignore-formatted"]).success().stdout(diff(format!(
        "{BOOTSTRAP}Formatting data directory {dir}/m2 with metadata.version 4.3-IV0.\n\
         Formatting metadata directory {dir}/m1 with metadata.version 4.3-IV0.\n"
    )));
    node.run("info", &[]).success().stdout(contains(format!("Found log directories:\n  {dir}/m1\n  {dir}/m2\n\n")));
    for name in ["m1", "m2"] {
        assert!(node.path(name).join("bootstrap.checkpoint").exists(), "{name}");
    }
}

/// Kafka's own file, but for its times (and the checksums over them).
#[test]
fn the_bootstrap_file_is_kafkas() {
    let node = Node::with_static_voters("{dir}/s");
    node.format(&[]).success();
    let kafkas = fs::read("tests/data/cli/bootstrap.checkpoint").unwrap();
    assert_eq!(timeless(&fs::read(node.path("s/bootstrap.checkpoint")).unwrap()), timeless(&kafkas));
}

/// As above, with a user by password and one by salted password.
#[test]
fn users_are_in_the_bootstrap_file_as_kafka_writes_them() {
    let node = Node::with_static_voters("{dir}/s");
    // Secrets need not be on the command line.
    let arguments = "-S\nSCRAM-SHA-256=[name=alice,salt=\"MTIzNDU2\",password=pw]\n\
                     -S\nSCRAM-SHA-512=[name=\"bob\",iterations=5000,salt=MTIzNDU2,saltedpassword=AAECAwQFBgc=]\n";
    fs::write(node.path("users"), arguments).unwrap();
    node.format(&[&format!("@{}", node.path("users").display())]).success().stdout(contains(
        "ApiMessageAndVersion(UserScramCredentialRecord(name='alice', mechanism=1, salt=[49, 50, 51, 52, 53, 54], \
         storedKey=[-98, 86, 127, ",
    ));
    let kafkas = fs::read("tests/data/cli/bootstrap-with-users.checkpoint").unwrap();
    assert_eq!(timeless(&fs::read(node.path("s/bootstrap.checkpoint")).unwrap()), timeless(&kafkas));
    let old = Node::with_static_voters("{dir}/s");
    old.format(&["-r", "3.5-IV1", "-S", "SCRAM-SHA-256=[name=a,password=b]"])
        .code(1)
        .stderr(diff("SCRAM is only supported in metadata.version 3.5-IV2 or later.\n"));
}

/// A snapshot with the checksum and the two timestamps of each batch set to zero.
fn timeless(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap());
        bytes[at + 17..at + 21].fill(0);
        bytes[at + 27..at + 43].fill(0);
        at += 12 + usize::try_from(length).unwrap();
    }
    bytes
}

#[test]
fn a_dynamic_quorum_begins_with_a_snapshot_of_its_voters() {
    let node = Node::with_dynamic_voters();
    let dir = node.path("d");
    node.format(&[]).code(1).stderr(diff(
        "Because controller.quorum.voters is not set on this controller, you must specify one of the following: \
         --standalone, --initial-controllers, or --no-initial-controllers.\n",
    ));
    node.format(&["--standalone"]).success().stdout(diff(format!(
        "{BOOTSTRAP}Formatting dynamic metadata voter directory {} with metadata.version 4.3-IV0.\n",
        dir.display()
    )));
    assert_eq!(first_snapshot(&dir), vec![true, true]);

    let node = Node::with_dynamic_voters();
    node.format(&["--no-initial-controllers"]).success().stdout(contains("Formatting metadata directory"));
    assert!(!node.path("d/__cluster_metadata-0").exists());

    let node = Node::with_dynamic_voters();
    let voter = format!("1@localhost:9093:{CLUSTER}");
    node.format(&["--initial-controllers", &voter]).success().stdout(contains("dynamic metadata voter directory"));
    let properties = fs::read_to_string(node.path("d/meta.properties")).unwrap();
    assert!(properties.contains(&format!("directory.id={CLUSTER}")), "{properties}");
}

/// Whether each batch of the first snapshot is a control batch.
fn first_snapshot(dir: &Path) -> Vec<bool> {
    let bytes = fs::read(dir.join("__cluster_metadata-0/00000000000000000000-0000000000.checkpoint")).unwrap();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        found.push(bytes[at + 22] & 0x20 != 0);
        at += 12 + usize::try_from(u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap())).unwrap();
    }
    found
}

#[test]
fn formatted_directories_of_others_are_refused() {
    let node = Node::with_static_voters("{dir}/s");
    node.format(&[]).success();
    let file = node.path("s/meta.properties");
    node.run("format", &["-g", "-t", "OTHERCLUSTERIDxxxxxxxx"]).code(1).stderr(diff(format!(
        "Invalid cluster.id in: {}. Expected OTHERCLUSTERIDxxxxxxxx, but read {CLUSTER}\n",
        file.display()
    )));
    let config = node.path("server.properties");
    let other = fs::read_to_string(&config).unwrap().replace("node.id=1", "node.id=7");
    fs::write(&config, other).unwrap();
    node.format(&["-g"]).code(1).stderr(
        contains("Stored node id 1 doesn't match previous node id 7 in")
            .and(contains("you should remove all data in your data directories.")),
    );
}

#[test]
fn versions_and_features() {
    let formatted = |options: &[&str]| Node::with_static_voters("{dir}/s").format(options);
    formatted(&["-r", "3.9-IV0"]).success().stdout(contains("with metadata.version 3.9-IV0.").and(contains(
        "records=[ApiMessageAndVersion(FeatureLevelRecord(name='metadata.version', featureLevel=21) at version 0)], \
         metadataVersionLevel=21, source=format command)",
    )));
    formatted(&["-r", "3.5"]).success().stdout(contains("with metadata.version 3.5-IV2."));
    formatted(&["-f", "metadata.version=21"]).success().stdout(contains("with metadata.version 3.9-IV0."));
    formatted(&["-r", "nope"]).code(1).stdout(is_empty()).stderr(contains("Unknown metadata.version 'nope'."));
    formatted(&["-f", "nope=1"]).code(1).stderr(contains("Unsupported feature: nope."));
    formatted(&["-f", "kraft.version=1"]).code(1).stderr(contains("Cannot set kraft.version to 1 unless"));

    storage(&["version-mapping"]).success().stdout(diff(
        "metadata.version=30 (4.3-IV0)\nkraft.version=1\ntransaction.version=2\ngroup.version=1\n\
         eligible.leader.replicas.version=1\nshare.version=1\nstreams.version=1\n",
    ));
    storage(&["feature-dependencies", "-f", "group.version=1", "-f", "share.version=1"])
        .success()
        .stdout(diff("group.version=1 has no dependencies.\nshare.version=1 has no dependencies.\n"));
    storage(&["feature-dependencies", "-f", "nope=1"]).code(1).stderr(diff("Unknown feature: nope\n"));
    storage(&["feature-dependencies", "-f", "transaction.version=99"])
        .code(1)
        .stderr(diff("Feature level 99 is not supported for feature transaction.version\n"));
}

#[test]
fn wrong_options_are_told_in_the_words_of_kafkas_tool() {
    for (words, message) in [
        (&["format"][..], "argument --cluster-id/-t is required"),
        (&["format", "-t", "x"], "argument --config/-c is required"),
        (&["info"], "argument --config/-c is required"),
        (&["feature-dependencies"], "argument --feature/-f is required"),
        (&["format", "--foo"], "unrecognized arguments: '--foo'"),
        (&["random-uuid", "extra"], "unrecognized arguments: 'extra'"),
        (&["nope"], "invalid choice: 'nope' (choose from 'info', 'format', 'version-mapping', "),
        (
            &["format", "-t", "x", "-c", "y", "-s", "-N"],
            "argument --no-initial-controllers/-N: not allowed with argument --standalone/-s",
        ),
    ] {
        storage(words).code(1).stdout(is_empty()).stderr(contains(format!("kafka-storage: error: {message}")));
    }
    storage(&[]).code(1).stdout(is_empty()).stderr(contains("Usage: kafka-rs storage"));
    storage(&["format", "--help"]).success().stdout(contains("--cluster-id")).stderr(is_empty());
    storage(&["--help"]).success().stdout(contains("version-mapping")).stderr(is_empty());
}

#[test]
fn configurations_that_do_not_serve() {
    storage(&["info", "-c", "/no/such.properties"]).code(1).stderr(contains("could not read /no/such.properties"));
    Node::new("node.id=1\n")
        .run("info", &[])
        .code(1)
        .stderr(contains("Missing required configuration \"process.roles\" which has no default value."));
    Node::new(&format!("{ROLES}\n"))
        .format(&[])
        .code(1)
        .stderr(contains("If using process.roles, either controller.quorum.bootstrap.servers must contain"));
    Node::new("process.roles=broker\nnode.id=1\ncontroller.quorum.voters=2@h:1\nlog.dirs={dir}/b\n")
        .format(&[])
        .success();
    Node::new("process.roles=broker\nnode.id=1\ncontroller.quorum.bootstrap.servers=h:1\nlog.dirs={dir}/b\n")
        .format(&["--standalone"])
        .code(1)
        .stderr(diff("You can only use --standalone on a controller.\n"));
}

#[test]
fn a_directory_with_something_else_in_it_is_left_alone() {
    let node = Node::with_static_voters("{dir}/s");
    fs::create_dir(node.path("s")).unwrap();
    fs::write(node.path("s/thesis.txt"), "all my work").unwrap();
    node.format(&[]).code(1).stderr(contains("is not empty"));
    assert_eq!(fs::read_dir(node.path("s")).unwrap().count(), 1);
}

/// As Apache Kafka does: of a directory of another cluster nothing more is told.
#[test]
fn directories_of_two_nodes_are_told_apart_by_cluster_then_by_node() {
    let node = Node::with_static_voters("{dir}/a,{dir}/b");
    node.format(&[]).success();
    let other = node.path("b/meta.properties");
    let text = fs::read_to_string(&other).unwrap();
    fs::write(&other, text.replace("node.id=1", "node.id=7")).unwrap();
    node.run("info", &[])
        .failure()
        .stdout(contains("Found problem:\n  Mismatched node IDs between storage directories.\n"));
    let text = fs::read_to_string(&other).unwrap();
    fs::write(&other, text.replace(CLUSTER, "AAAAAAAAAAAAAAAAAAAAAQ")).unwrap();
    let expected = "Found problem:\n  Mismatched cluster IDs between storage directories.\n";
    node.run("info", &[]).failure().stdout(contains(expected));
}
