//! Unpacks a `.tar.zst` of plain files and directories; zeros become holes.
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

const BLOCK: usize = 512;

/// Unpacks `archive` into the directory `to`.
pub fn unpack(archive: &Path, to: &Path) {
    let mut archive = zstd::Decoder::new(File::open(archive).unwrap()).unwrap();
    let mut header = [0; BLOCK];
    loop {
        archive.read_exact(&mut header).unwrap();
        if header == [0; BLOCK] {
            return;
        }
        let field = |from: usize, length: usize| {
            let bytes: Vec<u8> = header[from..from + length].iter().copied().take_while(|byte| *byte != 0).collect();
            String::from_utf8(bytes).unwrap()
        };
        // Names of more than 100 bytes are in two parts.
        let (prefix, name) = (field(345, 155), field(0, 100));
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        assert!(!name.starts_with('/') && !name.contains(".."), "{name}");
        let size = usize::from_str_radix(field(124, 12).trim(), 8).unwrap();
        let path = to.join(&name);
        match header[156] {
            b'5' => fs::create_dir_all(path).unwrap(),
            b'0' => unpack_file(&mut archive, size, &path),
            kind => panic!("{name} is of kind {kind}"),
        }
    }
}

fn unpack_file(archive: &mut impl std::io::Read, size: usize, path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut block = [0; BLOCK];
    let mut left = size;
    while left > 0 {
        archive.read_exact(&mut block).unwrap();
        let part = &block[..left.min(BLOCK)];
        if part.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(part.len() as i64)).unwrap();
        } else {
            file.write_all(part).unwrap();
        }
        left -= part.len();
    }
    file.set_len(size as u64).unwrap();
}
