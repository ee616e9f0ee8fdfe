//! Keeps the structure: which module may use which, and what a module's head must say.
//!
//! One crate has no walls between its modules; this test is the wall (`docs/architecture.md`).
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

/// A module, and the other modules of this crate that it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("record", &["types"]),
    ("protocol", &["types"]),
    ("net", &["types", "protocol"]),
    ("log", &["types", "record"]),
    ("config", &["types"]),
    ("metadata", &["types", "record", "protocol", "config"]),
    ("broker", &["types", "record", "protocol", "net", "log", "config", "metadata", "telemetry"]),
    ("client", &["types", "record", "protocol", "net", "config"]),
    ("telemetry", &["types"]),
    // `broker` is for `server_start` alone, `log` and `metadata` for the tools that read files; checked below.
    ("cli", &["types", "record", "protocol", "net", "log", "config", "metadata", "broker", "client", "telemetry"]),
];

/// The files of `cli` that may use the parts that a tool of a remote cluster has no business with.
const CLI_EXCEPTIONS: &[(&str, &[&str])] = &[
    ("broker", &["src/cli/server_start.rs", "src/cli/server_start/"]),
    ("log", &["src/cli/storage.rs", "src/cli/storage/", "src/cli/dump_log.rs", "src/cli/dump_log/"]),
    (
        "metadata",
        &[
            "src/cli/storage.rs",
            "src/cli/storage/",
            "src/cli/dump_log.rs",
            "src/cli/dump_log/",
            "src/cli/metadata_shell/",
        ],
    ),
];

#[test]
fn modules_use_only_what_they_may() {
    let mut wrong = Vec::new();
    for file in rust_files(Path::new("src")) {
        let path = file.to_string_lossy().replace('\\', "/");
        let Some(module) = module_of(&path) else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{path}: module `{module}` is not in the table of arrows"));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            for used in used_modules(line) {
                let exception = CLI_EXCEPTIONS.iter().find(|(name, _)| module == "cli" && *name == used);
                let fine = used == module
                    || allowed.contains(&used)
                        && exception.is_none_or(|(_, files)| files.iter().any(|f| path.starts_with(f)));
                if !fine {
                    wrong.push(format!("{path}:{}: `{module}` must not use `{used}`", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that point the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn every_folder_says_its_purpose() {
    let missing: Vec<_> = rust_files(Path::new("src"))
        .into_iter()
        .filter(|file| file.file_name().is_some_and(|name| name == "mod.rs"))
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//!"))
        .collect();
    assert!(missing.is_empty(), "without a `//!` head: {missing:?}");
}

#[test]
fn only_the_command_line_uses_anyhow() {
    let wrong: Vec<_> = rust_files(Path::new("src"))
        .into_iter()
        .filter(|file| !file.starts_with("src/cli") && !file.starts_with("src/bin"))
        .filter(|file| fs::read_to_string(file).unwrap().contains("anyhow::"))
        .collect();
    assert!(wrong.is_empty(), "the library's errors are typed: {wrong:?}");
}

fn module_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    match rest.split_once('/') {
        Some(("bin", _)) => None,
        Some((folder, _)) => Some(folder),
        None => rest.strip_suffix(".rs").filter(|name| *name != "lib"),
    }
}

/// The first path segments after `crate::` (also in `crate::{a, b}`) in a line of code.
fn used_modules(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default();
    let mut found = Vec::new();
    for part in code.split("crate::").skip(1) {
        let names = match part.strip_prefix('{') {
            Some(list) => list.split([',', '}']).collect(),
            None => vec![part],
        };
        for name in names {
            let name = name.trim();
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            if end > 0 && name[..end].starts_with(char::is_lowercase) {
                found.push(&name[..end]);
            }
        }
    }
    found
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
