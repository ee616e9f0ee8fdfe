//! One framed stream and what proves who is at its other end, for both ends of a connection.
//!
//! Never interprets a message beyond its size. Memory is taken as bytes arrive, not as a peer announces them. Start
//! reading at `frame.rs`, then at `tls` and `sasl`.

mod budget;
mod frame;
mod large;
pub mod sasl;
mod scram;
pub mod tls;

pub use budget::{MemoryBudget, MemoryGrant};
pub use frame::{Frame, FrameError, FrameReader, write_pieces};
pub use scram::{ScramKeys, ScramMechanism};
