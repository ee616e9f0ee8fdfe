//! Membership in a group whose coordinator assigns: consumer groups of KIP-848 and share groups of KIP-932.
//!
//! A member only sends heartbeats; their answers say what it is to read. `state.rs` is what a member knows and says next,
//! without a network; `task.rs` sends it. The application's polls pick up what came of it.

mod state;
mod task;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;

use super::{ClientError, lock};

pub(super) use state::{Answer, Assigned, Beat, Interests, LEAVES, LEAVES_FOR_A_WHILE, MemberState};
pub(super) use task::{Protocol, Surroundings, leave, run};

/// What a consumer and its heartbeats share.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) state: Mutex<MemberState>,
    /// Tells the heartbeats that there is something to say.
    pub(super) wake: Notify,
    /// What the application is to be told.
    errors: Mutex<VecDeque<ClientError>>,
}

/// Errors that wait for the next polls; more would say nothing new.
const MOST_ERRORS: usize = 16;

impl Membership {
    pub(super) fn new(state: MemberState) -> Self {
        Self { state: Mutex::new(state), wake: Notify::new(), errors: Mutex::default() }
    }

    pub(super) fn take_error(&self) -> Option<ClientError> {
        lock(&self.errors).pop_front()
    }

    fn tell(&self, error: ClientError) {
        let mut errors = lock(&self.errors);
        if errors.len() < MOST_ERRORS {
            errors.push_back(error);
        }
    }
}
