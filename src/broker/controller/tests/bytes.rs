//! Every byte of the files of a metadata log, flipped and cut: what it adds up to is right, or the start is refused by name.

use super::*;
use crate::broker::controller::metadata_log::{Loaded, MetadataLog, MetadataLogError};

/// Three topics; a snapshot was written after the second, if that is wanted.
fn small(with_snapshot: bool) -> (Node, Loaded) {
    let node = Node::new(&[(
        "metadata.log.max.record.bytes.between.snapshots",
        if with_snapshot { "900" } else { "1000000" },
    )]);
    let controller = node.open();
    for name in ["a", "b", "c"] {
        create(&controller, name);
    }
    drop(controller);
    assert_eq!(node.snapshots().len(), 1 + usize::from(with_snapshot));
    let right = load(&node).unwrap();
    assert_eq!(right.image.topics().len(), 3);
    (node, right)
}

fn load(node: &Node) -> Result<Loaded, MetadataLogError> {
    MetadataLog::open(node.dir.path(), &node.config, Fs::default(), NOW).map(|(_, loaded)| loaded)
}

fn restore(node: &Node, files: &[(PathBuf, Vec<u8>)]) {
    for entry in fs::read_dir(node.metadata_dir()).unwrap() {
        let path = entry.unwrap().path();
        if !files.iter().any(|(known, _)| *known == path) {
            fs::remove_file(path).unwrap();
        }
    }
    files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
}

fn files(node: &Node) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(node.metadata_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Does each damage to each byte of a file, and shows what comes of it.
fn damage_all(node: &Node, name: &str, each: impl Fn(usize, &str)) {
    let all = files(node);
    let (path, bytes) = all.iter().find(|(path, _)| path.file_name().unwrap() == name).unwrap();
    for position in 0..bytes.len() {
        let cut = (position % 5 == 0).then_some(None);
        for damage in [Some(1_u8 << (position % 8))].into_iter().chain(cut) {
            let mut bad = bytes.clone();
            match damage {
                Some(bits) => bad[position] ^= bits,
                None => bad.truncate(position),
            }
            restore(node, &all);
            fs::write(path, &bad).unwrap();
            each(position, &format!("{name}, byte {position}, {damage:x?}"));
        }
    }
    restore(node, &all);
}

/// Where the last batch of a log file begins.
fn last_batch(bytes: &[u8]) -> usize {
    let (mut position, mut last) = (0, 0);
    while position < bytes.len() {
        last = position;
        let size = bytes[position + 8..position + 12].try_into().unwrap();
        position += 12 + u32::from_be_bytes(size) as usize;
    }
    last
}

#[test]
fn every_byte_of_the_log() {
    let (node, right) = small(false);
    let torn_from = last_batch(&fs::read(node.file(LOG)).unwrap());
    damage_all(&node, LOG, |position, what| match load(&node) {
        Ok(found) => {
            // What is no whole batch at the end may be a write that was torn: nobody was told of it. Nothing tells how much is gone
            // of a file that was cut. The leader epoch of a batch is in no checksum.
            let may_be_torn = position >= torn_from || what.contains("None");
            let is_prefix = found.image.position() < right.image.position()
                && found.image.topics().keys().eq(right.image.topics().keys().take(found.image.topics().len()));
            assert!(same_state(&found, &right) || may_be_torn && is_prefix, "{what}");
        }
        Err(error) => {
            let text = chain(&error);
            assert!(text.contains(DIRECTORY) && text.contains("offset"), "{what}: {text}");
            assert!(fs::read(node.file(LOG)).unwrap().len() >= torn_from, "{what}: nothing is thrown away");
        }
    });
}

/// All but the position is the same.
fn same_state(found: &Loaded, right: &Loaded) -> bool {
    found.image.records() == right.image.records()
}

#[test]
fn every_byte_of_a_snapshot() {
    let (node, right) = small(true);
    let newest = node.snapshots().pop().unwrap();
    damage_all(&node, &newest, |_, what| {
        // The whole log is there, so that a damaged snapshot costs nothing.
        let found = load(&node).unwrap_or_else(|error| panic!("{what}: {}", chain(&error)));
        assert!(same_state(&found, &right), "{what}");
    });
    // Without the log it is all there is.
    fs::remove_file(node.file(LOG)).unwrap();
    let position = load(&node).unwrap().image.position();
    fs::write(node.file(LOG), "").unwrap();
    damage_all(&node, &newest, |_, what| match load(&node) {
        Ok(found) => assert!(found.image.position() == position && found.image.topics().len() >= 2, "{what}"),
        Err(error) => assert!(chain(&error).contains(&newest), "{what}: {}", chain(&error)),
    });
}

#[test]
fn every_byte_of_the_quorum_state() {
    let node = Node::new(&[]);
    drop(node.open());
    let epoch = node.open().quorum().epoch;
    damage_all(&node, "quorum-state", |_, what| match node.try_open(Fs::default()) {
        Ok(controller) => assert!(controller.quorum().epoch > epoch, "{what}"),
        Err(error) => {
            let text = chain(&error);
            assert!(text.contains(DIRECTORY) && text.contains("voters"), "{what}: {text}");
        }
    });
}

#[test]
fn every_byte_of_the_small_files() {
    let (node, right) = small(false);
    for (path, _) in files(&node) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == LOG || name.ends_with(".checkpoint") || name == "quorum-state" {
            continue;
        }
        damage_all(&node, name, |_, what| {
            let found = load(&node).unwrap_or_else(|error| panic!("{what}: {}", chain(&error)));
            assert!(found.image == right.image, "{what}");
        });
    }
}
