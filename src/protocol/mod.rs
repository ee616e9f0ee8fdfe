//! The schema-driven codec of Kafka's messages: wire protocol and internal records alike.
//!
//! The structs are generated at build time from the tables in `messages/`, Kafka's own schemas in a compact form. Knows
//! no broker and no client: the same code serves both ends and the fuzzer. Start reading at `codec/`, then `frame.rs`.

pub mod codec;
pub mod error_code;
pub mod frame;
pub mod fuzz;
pub mod json;

use bytes::Bytes;

pub use codec::{DecodeError, EncodeError, Message, RawTaggedField, Reader, Request, VersionRange, Wire, Writer};
pub use error_code::ErrorCode;
pub use json::Json;
pub use messages::{APIS, ApiKey};

/// The messages of Kafka's tables, a module each with the structs that only it has.
#[allow(missing_docs, reason = "the tables are the documentation")]
#[allow(clippy::all, clippy::pedantic, unreachable_pub, reason = "generated")]
pub mod messages {
    use super::{ApiInfo, MessageInfo, VersionRange};

    include!(concat!(env!("OUT_DIR"), "/messages.rs"));
}

/// What the tables say of an API.
#[derive(Debug, Clone, Copy)]
pub struct ApiInfo {
    /// The API.
    pub key: ApiKey,
    /// Its name, as in `Fetch`.
    pub name: &'static str,
    /// The versions that exist; empty for an API that Kafka 4.0 removed.
    pub versions: VersionRange,
    /// The first flexible version, `i16::MAX` if there is none.
    pub flexible_from: i16,
    /// The highest version is still in the making and not served.
    pub latest_unstable: bool,
    /// Served on broker listeners.
    pub on_broker: bool,
    /// Served on controller listeners.
    pub on_controller: bool,
}

impl ApiInfo {
    /// The versions that Kafka serves without `unstable.api.versions.enable`.
    #[must_use]
    pub fn stable_versions(&self) -> VersionRange {
        VersionRange { min: self.versions.min, max: self.versions.max - i16::from(self.latest_unstable) }
    }
}

impl ApiKey {
    /// The API with this number, if there is one.
    #[must_use]
    pub fn from_i16(key: i16) -> Option<Self> {
        Self::info_of(key).map(|info| info.key)
    }

    /// The number that requests carry.
    #[must_use]
    pub const fn get(self) -> i16 {
        self as i16
    }

    /// What the tables say of it.
    #[must_use]
    pub fn info(self) -> &'static ApiInfo {
        match Self::info_of(self.get()) {
            Some(info) => info,
            // Not reached: the table has an entry for every variant (a test reads them all).
            None => &APIS[0],
        }
    }

    /// Its name, as in `Fetch`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }

    fn info_of(key: i16) -> Option<&'static ApiInfo> {
        // The table is in the order of the keys and without holes.
        APIS.get(usize::try_from(key).ok()?).filter(|info| info.key.get() == key)
    }

    /// Version of the request header in front of a request of this version.
    #[must_use]
    pub fn request_header_version(self, version: i16) -> i16 {
        if version >= self.info().flexible_from { 2 } else { 1 }
    }

    /// Version of the response header in front of a response of this version. ApiVersions stays at 0: the client
    /// does not know yet what the broker speaks (KIP-511).
    #[must_use]
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self != Self::ApiVersions && version >= self.info().flexible_from)
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads bytes as a message of a version and writes it again: the outer error is of the reading, the inner of the writing.
pub type Rewrite = fn(&Bytes, i16) -> Result<Result<Bytes, EncodeError>, DecodeError>;

/// One message of the tables, to be reached by its name: for tests and fuzzing.
#[derive(Debug, Clone, Copy)]
pub struct MessageInfo {
    /// Its name.
    pub name: &'static str,
    /// Its versions.
    pub versions: VersionRange,
    /// Reads a message that takes all of the bytes, and writes it again.
    pub rewrite: Rewrite,
}

impl MessageInfo {
    const fn of<M: Message>() -> Self {
        Self {
            name: M::NAME,
            versions: M::VERSIONS,
            rewrite: |bytes, version| Ok(M::from_bytes(bytes, version)?.to_bytes(version)),
        }
    }
}
