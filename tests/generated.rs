//! `completions/` and `man/` are made from the command line's definitions; this test keeps them current.
//!
//! `KAFKA_RS_REGENERATE=1 cargo test --test generated` writes them again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use assert_cmd::Command;

#[test]
fn completions_are_current() {
    let files =
        [("bash", "kafka-rs.bash"), ("zsh", "_kafka-rs"), ("fish", "kafka-rs.fish"), ("powershell", "kafka-rs.ps1")];
    let made = files.map(|(shell, file)| {
        let output = kafka_rs().args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        (file.to_owned(), String::from_utf8(output.stdout).unwrap())
    });
    compare(Path::new("completions"), BTreeMap::from(made));
}

#[test]
fn man_pages_are_current() {
    let dir = tempfile::tempdir().unwrap();
    kafka_rs().args(["man", "--dir"]).arg(dir.path()).assert().success();
    compare(Path::new("man"), read_all(dir.path()));
}

fn kafka_rs() -> Command {
    Command::cargo_bin("kafka-rs").unwrap()
}

fn compare(committed: &Path, made: BTreeMap<String, String>) {
    if std::env::var_os("KAFKA_RS_REGENERATE").is_some() {
        if committed.exists() {
            fs::remove_dir_all(committed).unwrap();
        }
        fs::create_dir_all(committed).unwrap();
        for (name, text) in &made {
            fs::write(committed.join(name), text).unwrap();
        }
    }
    let found = read_all(committed);
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    let again = "run `KAFKA_RS_REGENERATE=1 cargo test --test generated`";
    assert_eq!(names(&found), names(&made), "{}/ has other files: {again}", committed.display());
    for (name, text) in &made {
        assert!(found[name] == *text, "{}/{name} is not current: {again}", committed.display());
    }
}

fn read_all(dir: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeMap::new() };
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap().replace("\r\n", "\n"))
        })
        .collect()
}
