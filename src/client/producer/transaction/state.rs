//! What a transactional producer may do next: a state machine without a network, as Kafka's `TransactionManager` has it.
//!
//! Two protocols: up to `transaction.version` 1 the producer names partitions to the coordinator before it writes to them,
//! and raises its own epoch after a failure (KIP-98, KIP-360). From version 2 on partition leaders do the former, and the
//! end of every transaction raises the epoch (KIP-890).

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::error::{TransactionError, TransactionState};
use crate::client::producer::batch::Identity;
use crate::client::producer::delivery::ProduceError;
use crate::client::producer::queue::QueueId;
use crate::protocol::ErrorCode;

/// Which protocol a transaction follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client::producer) enum Version {
    /// `transaction.version` 0 and 1.
    V1,
    /// `transaction.version` 2.
    V2,
}

/// What the coordinator is like, as its connection told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coordinator {
    pub(super) version: Version,
    /// Whether it raises epochs when a producer asks for that (KIP-360; 2.5 and newer).
    pub(super) bumps_epochs: bool,
}

/// What is asked of a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Init,
    AddPartitions,
    AddOffsets,
    CommitOffsets,
    End,
}

/// What an error means that does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The transaction can be aborted.
    Abortable,
    /// It can be aborted if the epoch is raised after that.
    NeedsNewEpoch,
    /// Another producer has taken over.
    Fenced,
    Fatal,
    /// Initialization may be tried again later.
    Again,
}

/// Judges an error that is not to be retried.
pub(super) fn judge(step: Step, code: ErrorCode) -> Verdict {
    use ErrorCode::{
        ClusterAuthorizationFailed, FencedInstanceId, GroupAuthorizationFailed, IllegalGeneration,
        InvalidProducerEpoch, InvalidProducerIdMapping, InvalidTxnState, ProducerFenced, StaleMemberEpoch,
        TransactionAbortable, TransactionalIdAuthorizationFailed, UnknownMemberId, UnknownProducerId,
    };
    match (step, code) {
        (_, InvalidProducerEpoch | ProducerFenced) => Verdict::Fenced,
        (_, TransactionAbortable) => Verdict::Abortable,
        (Step::Init, TransactionalIdAuthorizationFailed | ClusterAuthorizationFailed) => Verdict::Again,
        (_, TransactionalIdAuthorizationFailed | InvalidProducerIdMapping | InvalidTxnState) => Verdict::Fatal,
        (Step::AddPartitions | Step::AddOffsets | Step::End, UnknownProducerId) => Verdict::NeedsNewEpoch,
        (Step::AddOffsets | Step::CommitOffsets, GroupAuthorizationFailed) => Verdict::Abortable,
        (Step::CommitOffsets, FencedInstanceId | UnknownMemberId | IllegalGeneration | StaleMemberEpoch) => {
            Verdict::Abortable
        }
        // A topic that may not be written to, or partitions beside one: the transaction can go without them.
        (Step::AddPartitions, _) => Verdict::Abortable,
        _ => Verdict::Fatal,
    }
}

/// How to end a transaction whose records are all done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The coordinator knows of nothing: there is nothing to end.
    Nothing,
    /// It has to be told.
    Tell { identity: Identity, version: Version },
}

#[derive(Debug, Clone)]
enum Failure {
    Fenced,
    Other(Arc<ProduceError>),
}

/// The state machine.
#[derive(Debug)]
pub(in crate::client::producer) struct Transactions {
    transactional_id: Arc<str>,
    state: TransactionState,
    identity: Option<Identity>,
    /// Why it is in one of the two error states.
    failure: Option<Failure>,
    coordinator: Coordinator,
    /// Sequence numbers may have a gap: the epoch must be raised before the next transaction.
    needs_new_epoch: bool,
    /// The coordinator may know of the transaction.
    started: bool,
    /// Partitions that belong to the transaction.
    added: HashSet<QueueId>,
    /// Partitions that are to be named to the coordinator, and those that are being named.
    waiting: BTreeSet<QueueId>,
    adding: BTreeSet<QueueId>,
    asking: bool,
    /// An answer about those was lost: the coordinator may have them, whatever it says of a later attempt.
    uncertain: bool,
}

impl Transactions {
    pub(in crate::client::producer) fn new(transactional_id: &str) -> Self {
        Self {
            transactional_id: Arc::from(transactional_id),
            state: TransactionState::Uninitialized,
            identity: None,
            failure: None,
            coordinator: Coordinator { version: Version::V1, bumps_epochs: false },
            needs_new_epoch: false,
            started: false,
            added: HashSet::new(),
            waiting: BTreeSet::new(),
            adding: BTreeSet::new(),
            asking: false,
            uncertain: false,
        }
    }

    pub(in crate::client::producer) fn state(&self) -> TransactionState {
        self.state
    }

    pub(in crate::client::producer) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    pub(in crate::client::producer) fn version(&self) -> Version {
        self.coordinator.version
    }

    /// Why queued records are not to be sent any more, if so.
    pub(in crate::client::producer) fn dooms_queued(&self) -> Option<ProduceError> {
        match self.state {
            TransactionState::Aborting => Some(ProduceError::TransactionAborted),
            _ => self.refuse_errors().err().map(ProduceError::Transaction),
        }
    }

    /// Whether a partition's batches may leave.
    pub(in crate::client::producer) fn may_send(&self, queue: QueueId) -> bool {
        self.added.contains(&queue)
    }

    pub(super) fn refuse_errors(&self) -> Result<(), TransactionError> {
        match (&self.failure, self.state) {
            (Some(Failure::Fenced), TransactionState::FatalError) => {
                Err(TransactionError::Fenced { transactional_id: self.transactional_id.to_string() })
            }
            (Some(Failure::Other(source)), TransactionState::FatalError) => {
                Err(TransactionError::Fatal { source: Arc::clone(source) })
            }
            (Some(Failure::Other(source)), TransactionState::AbortableError) => {
                Err(TransactionError::Abortable { source: Arc::clone(source) })
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, call: &'static str) -> TransactionError {
        TransactionError::WrongState { call, state: self.state }
    }

    /// Starts, or takes up again, the first initialization.
    pub(super) fn begin_init(&mut self, call: &'static str) -> Result<(), TransactionError> {
        self.refuse_errors()?;
        match self.state {
            TransactionState::Uninitialized | TransactionState::Initializing if self.identity.is_none() => {
                self.state = TransactionState::Initializing;
                Ok(())
            }
            _ => Err(self.wrong(call)),
        }
    }

    /// A producer id with its epoch was given.
    pub(super) fn initialized(&mut self, identity: Identity, coordinator: Coordinator) {
        self.identity = Some(identity);
        self.coordinator = coordinator;
        self.needs_new_epoch = false;
        if self.state == TransactionState::Initializing {
            self.state = TransactionState::Ready;
        }
    }

    /// Whether the epoch has to be raised before the producer is ready again; with the identity to raise.
    pub(super) fn epoch_to_raise(&self) -> Option<Identity> {
        self.identity.filter(|_| self.state == TransactionState::Initializing)
    }

    pub(super) fn begin(&mut self, call: &'static str) -> Result<(), TransactionError> {
        self.refuse_errors()?;
        if self.state != TransactionState::Ready {
            return Err(self.wrong(call));
        }
        self.state = TransactionState::InTransaction;
        Ok(())
    }

    pub(super) fn check_open(&self, call: &'static str) -> Result<(), TransactionError> {
        self.refuse_errors()?;
        if self.state == TransactionState::InTransaction { Ok(()) } else { Err(self.wrong(call)) }
    }

    /// Makes a partition part of the transaction: at once, or when the coordinator has been told.
    pub(in crate::client::producer) fn add_partition(&mut self, queue: QueueId) -> Result<(), TransactionError> {
        self.check_open("send")?;
        match self.coordinator.version {
            Version::V2 => {
                self.added.insert(queue);
                self.started = true;
            }
            Version::V1 if self.added.contains(&queue) || self.adding.contains(&queue) => {}
            Version::V1 => {
                self.waiting.insert(queue);
            }
        }
        Ok(())
    }

    /// The partitions to name to the coordinator now; one such request at a time.
    pub(in crate::client::producer) fn next_additions(&mut self) -> Option<Vec<QueueId>> {
        if self.asking || self.state == TransactionState::FatalError {
            return None;
        }
        if self.adding.is_empty()
            && matches!(self.state, TransactionState::InTransaction | TransactionState::Committing)
        {
            self.adding = std::mem::take(&mut self.waiting);
        }
        if self.adding.is_empty() {
            return None;
        }
        self.asking = true;
        Some(self.adding.iter().copied().collect())
    }

    /// The coordinator has taken them.
    pub(super) fn partitions_added(&mut self) {
        self.asking = false;
        self.uncertain = false;
        self.added.extend(std::mem::take(&mut self.adding));
        self.started = true;
    }

    /// They have to be named again. `nothing_done`: the coordinator said that it did not take them.
    pub(super) fn partitions_not_added(&mut self, nothing_done: bool) {
        self.asking = false;
        self.uncertain |= !nothing_done;
        let open = matches!(self.state, TransactionState::InTransaction | TransactionState::Committing);
        // Where the answer was lost it must be asked again even for an abort: the coordinator may have an open transaction.
        if !self.uncertain && !open {
            self.adding.clear();
        }
    }

    /// The coordinator refused them for good.
    pub(super) fn partitions_refused(&mut self, code: ErrorCode, error: ProduceError) {
        self.asking = false;
        self.adding.clear();
        self.started |= std::mem::take(&mut self.uncertain);
        self.refused(Step::AddPartitions, code, error);
    }

    /// Whether a request that names partitions is under way, or its outcome not known.
    pub(super) fn is_adding(&self) -> bool {
        !self.adding.is_empty()
    }

    /// Offsets of a group are about to become part of the transaction.
    pub(super) fn offsets_added(&mut self) {
        self.started = true;
    }

    pub(super) fn begin_commit(&mut self, call: &'static str) -> Result<(), TransactionError> {
        self.refuse_errors()?;
        match self.state {
            TransactionState::InTransaction | TransactionState::Committing => {
                self.state = TransactionState::Committing;
                Ok(())
            }
            _ => Err(self.wrong(call)),
        }
    }

    pub(super) fn begin_abort(&mut self, call: &'static str) -> Result<(), TransactionError> {
        match self.state {
            TransactionState::InTransaction | TransactionState::AbortableError | TransactionState::Aborting => {
                self.state = TransactionState::Aborting;
                self.failure = None;
                self.waiting.clear();
                Ok(())
            }
            // An abort that ended the transaction, but was given up before the epoch was raised.
            TransactionState::Initializing if self.identity.is_some() => Ok(()),
            _ => {
                self.refuse_errors()?;
                Err(self.wrong(call))
            }
        }
    }

    /// Whether the transaction is ended already and only the epoch is to be raised.
    pub(super) fn is_ended(&self) -> bool {
        self.state == TransactionState::Initializing
    }

    /// How to end the transaction. All its records must be done with.
    ///
    /// # Errors
    /// One of them failed, or the producer is not ending a transaction (any more).
    pub(super) fn ending(&self, call: &'static str) -> Result<Ending, TransactionError> {
        self.refuse_errors()?;
        match (self.state, self.identity) {
            (TransactionState::Committing | TransactionState::Aborting, Some(identity)) => {
                let version = self.coordinator.version;
                Ok(if self.started { Ending::Tell { identity, version } } else { Ending::Nothing })
            }
            _ => Err(self.wrong(call)),
        }
    }

    /// The transaction has ended. `identity`: the one for the next (KIP-890); `coordinator`: as it is now, if it was asked.
    pub(super) fn ended(&mut self, identity: Option<Identity>, coordinator: Option<Coordinator>) {
        let before = self.coordinator.version;
        if let Some(coordinator) = coordinator {
            self.coordinator = coordinator;
        }
        if let Some(identity) = identity {
            self.identity = Some(identity);
            self.needs_new_epoch = false;
        }
        // The first transaction of the new protocol begins in an epoch of its own.
        self.needs_new_epoch |= before == Version::V1 && self.coordinator.version == Version::V2 && identity.is_none();
        self.started = false;
        self.failure = None;
        self.uncertain = false;
        self.added.clear();
        self.waiting.clear();
        self.adding.clear();
        self.state = if self.needs_new_epoch { TransactionState::Initializing } else { TransactionState::Ready };
    }

    /// A coordinator refused a step for good.
    pub(super) fn refused(&mut self, step: Step, code: ErrorCode, error: ProduceError) {
        match judge(step, code) {
            Verdict::Abortable => self.abortable(error),
            Verdict::NeedsNewEpoch => self.needs_epoch(error),
            Verdict::Fenced => self.fatal(Failure::Fenced),
            Verdict::Fatal => self.fatal(Failure::Other(Arc::new(error))),
            Verdict::Again if self.identity.is_none() => self.state = TransactionState::Uninitialized,
            Verdict::Again => self.fatal(Failure::Other(Arc::new(error))),
        }
    }

    /// Something failed in a way that trying again can't help.
    pub(super) fn broke(&mut self, error: ProduceError) {
        self.fatal(Failure::Other(Arc::new(error)));
    }

    /// Records of the transaction were given up.
    pub(in crate::client::producer) fn batch_failed(&mut self, error: &ProduceError, numbered: bool) {
        if matches!(error, ProduceError::TransactionAborted | ProduceError::Transaction(_)) {
            // Consequence, not cause; but a number may be missing all the same.
            self.needs_new_epoch |= numbered && self.coordinator.version == Version::V1;
            return;
        }
        match code_of(error) {
            Some(ErrorCode::ProducerFenced) => self.fatal(Failure::Fenced),
            Some(
                ErrorCode::ClusterAuthorizationFailed
                | ErrorCode::TransactionalIdAuthorizationFailed
                | ErrorCode::UnsupportedVersion
                | ErrorCode::InvalidProducerIdMapping,
            ) => self.fatal(Failure::Other(Arc::new(error.clone()))),
            _ if numbered => self.needs_epoch(error.clone()),
            _ => self.abortable(error.clone()),
        }
    }

    fn abortable(&mut self, error: ProduceError) {
        match self.state {
            TransactionState::Initializing if self.identity.is_none() => self.state = TransactionState::Uninitialized,
            TransactionState::InTransaction | TransactionState::Committing | TransactionState::Initializing => {
                self.state = TransactionState::AbortableError;
                self.failure = Some(Failure::Other(Arc::new(error)));
            }
            // It is being aborted already, or nothing is open.
            _ => {}
        }
    }

    /// A number in the order of some partition may be missing, which only another epoch makes good.
    fn needs_epoch(&mut self, error: ProduceError) {
        match self.coordinator {
            // The end of the transaction brings one.
            Coordinator { version: Version::V2, .. } => self.abortable(error),
            Coordinator { bumps_epochs: true, .. } => {
                self.needs_new_epoch = true;
                self.abortable(error);
            }
            Coordinator { .. } => self.fatal(Failure::Other(Arc::new(error))),
        }
    }

    fn fatal(&mut self, failure: Failure) {
        if self.state == TransactionState::FatalError {
            return; // The first reason is the one to tell.
        }
        self.state = TransactionState::FatalError;
        self.failure = Some(failure);
        self.waiting.clear();
        self.adding.clear();
    }
}

fn code_of(error: &ProduceError) -> Option<ErrorCode> {
    match error {
        ProduceError::Refused(error) => Some(error.code),
        ProduceError::Client(error) => error.code(),
        _ => None,
    }
}
