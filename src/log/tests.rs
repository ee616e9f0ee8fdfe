//! Tests of whole logs.

mod basics;
mod bytes;
pub(super) mod crash;
mod damage;
mod faults;
mod model;
mod offsets;
mod producers;
mod recovery;
mod retention;
mod verification;
