//! One framed stream, for both ends of a connection.
//!
//! Never interprets a message beyond its size. Memory is taken as bytes arrive, not as a peer announces them. Start
//! reading at `frame.rs`.

mod budget;
mod frame;

pub use budget::{MemoryBudget, MemoryGrant};
pub use frame::{Frame, FrameError, FrameReader, write_pieces};
