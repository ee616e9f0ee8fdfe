//! Tests of whole logs.

mod basics;
mod bytes;
mod crash;
mod damage;
mod faults;
mod model;
mod offsets;
mod producers;
mod recovery;
mod retention;
mod verification;
