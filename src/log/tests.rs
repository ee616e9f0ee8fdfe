//! Tests of whole logs.

mod basics;
mod faults;
mod producers;
