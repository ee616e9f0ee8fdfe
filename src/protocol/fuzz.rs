//! Fuzz entries: plain functions over bytes, replayed on a kept corpus by the tests.

use bytes::Bytes;

use super::messages::ALL;

/// Reads the bytes as one of all messages and versions (the first three bytes choose which). What can be read must be
/// writable in the same version, and reading that must give the same bytes again.
///
/// # Panics
/// If a message can be read but does not survive being written and read again: a fault of the codec.
#[expect(clippy::panic, reason = "a fuzz entry reports a fault by panicking")]
pub fn message(data: &[u8]) {
    let [high, low, version, body @ ..] = data else { return };
    let index = usize::from(u16::from_be_bytes([*high, *low])) % ALL.len();
    let Some(info) = ALL.get(index) else { return };
    let versions = i32::from(info.versions.max) - i32::from(info.versions.min) + 1;
    let Ok(version) = i16::try_from(i32::from(info.versions.min) + i32::from(*version) % versions.max(1)) else {
        return;
    };
    let body = Bytes::copy_from_slice(body);
    let Ok(written) = (info.rewrite)(&body, version) else { return };
    match written {
        // A string that was no UTF-8 grows when its bytes are replaced, and may then be too long.
        Err(super::EncodeError::TooLong(_)) => {}
        Err(error) => panic!("{} v{version} was read but can't be written: {error}", info.name),
        Ok(once) => match (info.rewrite)(&once, version) {
            Ok(Ok(twice)) if twice == once => {}
            other => panic!("{} v{version} changes when rewritten: {once:?} to {other:?}", info.name),
        },
    }
}

/// Reads the bytes as a request frame as it arrives at a broker.
pub fn request_frame(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    if let Ok(start) = super::frame::read_request_start(&frame) {
        let body = frame.slice(start.body_at.min(frame.len())..);
        let name = format!("{}Request", start.api.name());
        if let Some(info) = ALL.iter().find(|info| info.name == name) {
            let _ = (info.rewrite)(&body, start.version);
        }
    }
}
