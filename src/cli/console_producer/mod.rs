//! `console-producer`: lines of stdin to a topic.

mod input;
mod reader;
