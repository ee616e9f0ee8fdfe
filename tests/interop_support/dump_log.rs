//! `kafka-dump-log.sh` as an independent judge of the files that a broker wrote.

use std::fs;
use std::path::{Path, PathBuf};

use super::tools::{Home, Ran, Tools, run};

/// Texts by which the tool reports something wrong on stdout; it ends with 0 all the same. On stderr all is a complaint.
const COMPLAINTS: &[&str] = &[
    "isvalid: false",
    "invalid bytes at the end",
    "Mismatches in",
    "mismatch",
    "out of order",
    "are not found",
    "Unknown record type",
    "Error at",
    "Exception",
];

/// Has the tool read every segment, index, producer snapshot and metadata snapshot of a stopped broker's data directory.
/// Returns what it printed, after checking that it has not complained.
pub fn check_data_directory(data: &Path) -> String {
    check_data_directories(&[data.to_owned()])
}

/// The same of a broker with several log directories, one of which has the metadata.
pub fn check_data_directories(all: &[PathBuf]) -> String {
    let mut ordinary = Vec::new();
    let mut offsets = Vec::new();
    let mut transactions = Vec::new();
    let mut share_states = Vec::new();
    let mut metadata = Vec::new();
    for directory in all.iter().flat_map(|data| folders(data)) {
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        let list = match name.as_str() {
            "__cluster_metadata-0" => &mut metadata,
            name if name.starts_with("__consumer_offsets-") => &mut offsets,
            name if name.starts_with("__transaction_state-") => &mut transactions,
            name if name.starts_with("__share_group_state-") => &mut share_states,
            _ => &mut ordinary,
        };
        list.extend(files(&directory));
    }
    assert!(!metadata.is_empty(), "no __cluster_metadata-0 in {all:?}");
    let mut printed = String::new();
    for (files, arguments) in [
        (ordinary, &["--deep-iteration"][..]),
        (offsets, &["--offsets-decoder"]),
        (transactions, &["--transaction-log-decoder"]),
        (share_states, &["--share-group-state-decoder"]),
        (metadata, &["--cluster-metadata-decoder"]),
    ] {
        if !files.is_empty() {
            printed.push_str(&dump(&files, arguments));
        }
    }
    printed
}

/// Has the tool hold every index of a stopped broker's data directory to its log.
pub fn check_indexes(data: &Path) {
    check_indexes_of(&[data.to_owned()]);
}

/// The same of a broker with several log directories.
pub fn check_indexes_of(all: &[PathBuf]) {
    let folders = all.iter().flat_map(|data| folders(data));
    let mut indexes: Vec<PathBuf> = folders.flat_map(|folder| files(&folder)).collect();
    indexes.retain(|file| file.extension().is_some_and(|e| e == "index" || e == "timeindex"));
    dump(&indexes, &["--index-sanity-check"]);
    dump(&indexes, &["--verify-index-only"]);
}

fn dump(files: &[PathBuf], arguments: &[&str]) -> String {
    let ran = dump_log(files, arguments);
    let complaints = complaints(&ran);
    let last = ran.stdout.lines().rfind(|line| line.starts_with("Dumping ")).unwrap_or_default();
    assert!(complaints.is_empty(), "kafka-dump-log.sh {arguments:?} complains, {last}:\n{}", complaints.join("\n"));
    for file in files {
        assert!(ran.stdout.contains(&format!("Dumping {}", file.display())), "{} was not read", file.display());
    }
    ran.stdout
}

fn dump_log(files: &[PathBuf], arguments: &[&str]) -> Ran {
    let list: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let mut command = Tools::Scripts(Home::Kafka).command("dump-log");
    command.args(["--files", &list.join(",")]).args(arguments);
    run(command, "")
}

/// What the tool found wrong.
fn complaints(ran: &Ran) -> Vec<String> {
    let wrong = |line: &&str| COMPLAINTS.iter().any(|complaint| line.contains(complaint));
    let mut found: Vec<String> = ran.stdout.lines().filter(wrong).map(str::to_owned).collect();
    let stderr: Vec<&str> = ran.stderr.lines().collect();
    for (i, line) in stderr.iter().enumerate() {
        // With `--deep-iteration` it says of every segment that does not begin at 0: offset -1 is followed by its base.
        let quirk = |line: &str| line.trim_start().starts_with("-1 is followed by ");
        let announces =
            line.starts_with("Non-consecutive offsets in ") && stderr.get(i + 1).is_some_and(|next| quirk(next));
        if !announces && !quirk(line) {
            found.push((*line).to_owned());
        }
    }
    found.extend((ran.code != Some(0)).then(|| format!("exit code {:?}", ran.code)));
    found
}

/// The other side of the check: damages the first segment of a partition and its time index, and has the tool notice.
pub fn assert_complains(partition: &Path) {
    for (extension, at) in [("log", 100), ("timeindex", 2)] {
        let all = files(partition);
        let file = all.iter().find(|file| file.extension().is_some_and(|e| e == extension)).unwrap();
        let whole = fs::read(file).unwrap();
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(file, damaged).unwrap();
        let ran = dump_log(std::slice::from_ref(file), &["--deep-iteration"]);
        assert!(!complaints(&ran).is_empty(), "no complaint about a damaged {}", file.display());
        fs::write(file, whole).unwrap();
    }
}

fn folders(data: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let known = ["log", "index", "timeindex", "txnindex", "snapshot", "checkpoint"];
    found
        .retain(|path| path.extension().is_some_and(|extension| known.contains(&extension.to_string_lossy().as_ref())));
    // Where the other server stopped in the middle of removing a partition, its indexes are as it had them open.
    let is_deleted = directory.to_string_lossy().ends_with("-delete");
    found.retain(|path| !is_deleted || !path.extension().is_some_and(|e| e == "index" || e == "timeindex"));
    found.sort();
    found
}
