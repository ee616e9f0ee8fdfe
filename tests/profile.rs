//! Profiles: clusters by name, in the user's configuration directory, and how they are found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::net::TcpListener;

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use tempfile::TempDir;

/// Runs the program as a user whose configuration is in `home`.
fn kafka_rs(home: &TempDir) -> Command {
    let mut command = Command::cargo_bin("kafka-rs").unwrap();
    command.env_remove("KAFKA_RS_BOOTSTRAP").env_remove("KAFKA_RS_PROFILE").env("XDG_CONFIG_HOME", home.path());
    command
}

/// An address where nobody listens.
fn vacant() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn profiles_are_added_used_shown_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| kafka_rs(&home).arg("profile").args(words).assert();
    let file = home.path().join("client.properties");
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"a\" password=\"secret\";";
    let text = format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={jaas}\n");
    fs::write(&file, text).unwrap();
    let config = ["--command-config", file.to_str().unwrap()];
    run(&[&["add", "prod", "--bootstrap-server", "h:1", "client.id=me"][..], &config].concat()).success();
    run(&["add", "dev", "bootstrap.servers=localhost:9092"]).success();
    run(&["add", "dev", "--bootstrap-server", "other:1"]).failure().stderr(contains("exists already"));
    run(&["add", "bad", "--bootstrap-server", "h:1", "security.protocol=NONE"]).failure();
    run(&["add", "empty"]).failure().stderr(contains("--bootstrap-server"));
    run(&["list"]).success().stdout("dev\tlocalhost:9092\nprod\th:1\n");
    run(&["use", "prod"]).success();
    run(&["use", "prd"]).failure().stderr(contains("did you mean prod?"));
    run(&["list"]).success().stdout("dev\tlocalhost:9092\nprod*\th:1\n");
    let shown = "bootstrap.servers=h:1\nclient.id=me\nsasl.jaas.config=[hidden]\nsasl.mechanism=PLAIN\n\
                 security.protocol=SASL_PLAINTEXT\n";
    run(&["show"]).success().stdout(shown);
    let json = run(&["list", "--output", "json"]).success().get_output().stdout.clone();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let expected = serde_json::json!({"name": "prod", "inUse": true, "bootstrapServers": "h:1"});
    assert_eq!((&json["version"], &json["profiles"][1]), (&1.into(), &expected));
    let would = |what: &str| contains(format!("Would {what}"));
    let again = ["add", "dev", "--bootstrap-server", "other:1", "--replace", "--dry-run"];
    run(&again).success().stdout(would("write over the profile dev ("));
    run(&["add", "new", "--bootstrap-server", "n:1", "--dry-run"]).success().stdout(would("keep the profile new ("));
    run(&["use", "dev", "--dry-run"]).success().stdout("Would use the profile dev.\n");
    run(&["use", "--none", "--dry-run"]).success().stdout("Would use no profile.\n");
    run(&["remove", "prod", "--dry-run"]).success().stdout(would("remove the profile prod ("));
    run(&["list"]).success().stdout("dev\tlocalhost:9092\nprod*\th:1\n");
    run(&["remove", "prod"]).success();
    run(&["list"]).success().stdout("dev\tlocalhost:9092\n");
    run(&["show"]).failure().stderr(contains("no profile is in use"));
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_a_profile() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    kafka_rs(&home).args(["profile", "add", "prod", "--bootstrap-server", "h:1"]).assert().success();
    let file = home.path().join("kafka-rs/profiles/prod.properties");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Every tool with a connection follows the profile, and says in errors which one it was.
#[test]
fn tools_go_where_the_profile_says_unless_a_flag_says_otherwise() {
    let home = tempfile::tempdir().unwrap();
    let (profile, other, given) = (vacant(), vacant(), vacant());
    // Nobody waits for brokers that never come.
    let hasty = home.path().join("hasty.properties");
    fs::write(&hasty, "default.api.timeout.ms=300\nrequest.timeout.ms=300\n").unwrap();
    let hasty = ["--command-config", hasty.to_str().unwrap()];
    for (name, address) in [("prod", &profile), ("other", &other)] {
        kafka_rs(&home).args(["profile", "add", name, "--bootstrap-server", address]).assert().success();
    }
    kafka_rs(&home).args(["profile", "use", "prod"]).assert().success();
    let tools: [&[&str]; 4] = [
        &["topics", "--list"],
        &["broker-api-versions"],
        &["console-producer", "--topic", "t", "--max-block-ms", "300"],
        &["console-consumer", "--topic", "t"],
    ];
    for tool in tools {
        let run = || {
            let mut command = kafka_rs(&home);
            command.args(tool).args(hasty).write_stdin("x\n");
            command
        };
        run().assert().failure().stderr(contains(&profile));
    }
    let run = |words: &[&str], variable: &str, value: &str| {
        let mut command = kafka_rs(&home);
        command.args(["topics", "--list"]).args(hasty).args(words).env(variable, value).assert().failure()
    };
    run(&["--profile", "other"], "KAFKA_RS_PROFILE", "prod").stderr(contains(&other));
    run(&[], "KAFKA_RS_PROFILE", "other").stderr(contains(&other));
    run(&[], "KAFKA_RS_BOOTSTRAP", &given).stderr(contains(&given));
    run(&["--bootstrap-server", &given], "KAFKA_RS_PROFILE", "other").stderr(contains(&given));
    let named = kafka_rs(&home).args(["topics", "--list"]).args(hasty).assert().failure();
    named.stderr(contains("error: [prod] could not connect"));
    let unknown = kafka_rs(&home).args(["topics", "--list", "--profile", "nowhere"]).assert().failure();
    unknown.stderr(contains("there is no profile nowhere").and(contains("prod")));
}

/// A file that names no broker is refused wherever it is to be used, also beside an address.
#[test]
fn a_profile_full_of_rubbish_is_refused_when_it_is_used() {
    let home = tempfile::tempdir().unwrap();
    kafka_rs(&home).args(["profile", "add", "spoilt", "--bootstrap-server", "h:1"]).assert().success();
    kafka_rs(&home).args(["profile", "use", "spoilt"]).assert().success();
    let file = home.path().join("kafka-rs/profiles/spoilt.properties");
    for rubbish in [&b"hello this is\nno profile\n"[..], b"\xff\xfe\x00\x01", b""] {
        fs::write(&file, rubbish).unwrap();
        let lines: [&[&str]; 4] = [
            &["profile", "use", "spoilt"],
            &["topics", "--list"],
            &["topics", "--list", "--profile", "spoilt", "--bootstrap-server", "127.0.0.1:1"],
            &["console-consumer", "--topic", "t", "--profile", "spoilt"],
        ];
        for words in lines {
            let refused = kafka_rs(&home).args(words).assert().code(1);
            refused.stderr(contains("the profile spoilt names no broker").and(contains("profile remove spoilt")));
        }
        kafka_rs(&home).args(["profile", "list"]).assert().success().stdout(contains("it can't be used"));
    }
}

/// A name that nobody knows is told apart from a machine on which nothing listens.
#[test]
fn an_unknown_host_is_told_by_its_name() {
    let home = tempfile::tempdir().unwrap();
    let words = ["topics", "--list", "--bootstrap-server", "no-such-host.invalid:9092"];
    let unknown = kafka_rs(&home).args(words).assert().failure();
    unknown.stderr(contains("no-such-host.invalid:9092").and(contains("no address of that name")));
}
