//! Requests that wait for a partition to change: woken by appends and by the high watermark, ended by their deadline.
//!
//! What Kafka calls purgatory. A waiting request registers with every partition that it is about; nothing runs for partitions that
//! nobody waits on, and a dropped request leaves no trace.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The requests that wait for one partition.
#[derive(Debug, Default)]
pub(super) struct WaitList {
    /// How many there are, so that an append with nobody waiting takes no lock.
    waiting: AtomicUsize,
    waiters: Mutex<Vec<(u64, Arc<Notify>)>>,
}

impl WaitList {
    /// Wakes everybody: each looks for itself whether it waited for this.
    pub(super) fn wake_all(&self) {
        // Order: the change that is announced was made before this load; a waiter registers before it looks at the
        // partition. So either the waiter sees the change or this sees the waiter.
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        for (_, notify) in self.waiters.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            notify.notify_one();
        }
    }
}

/// Something that holds a wait list: a partition.
pub(super) trait Awaited {
    /// The list.
    fn wait_list(&self) -> &WaitList;
}

/// One waiting request, registered with its partitions until it is dropped.
#[derive(Debug)]
pub(super) struct Waiter<A: Awaited> {
    id: u64,
    notify: Arc<Notify>,
    at: Vec<Arc<A>>,
}

impl<A: Awaited> Waiter<A> {
    /// Registers with all of `partitions`. What changes from now on wakes [`Waiter::woken`]; so look at the
    /// partitions after this, then wait.
    pub(super) fn register(partitions: impl IntoIterator<Item = Arc<A>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let waiter = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            notify: Arc::new(Notify::new()),
            at: partitions.into_iter().collect(),
        };
        for partition in &waiter.at {
            let list = partition.wait_list();
            list.waiters.lock().unwrap_or_else(PoisonError::into_inner).push((waiter.id, Arc::clone(&waiter.notify)));
            list.waiting.fetch_add(1, Ordering::SeqCst);
        }
        waiter
    }

    /// Returns when a partition changed since the last call, or since the registration.
    pub(super) async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl<A: Awaited> Drop for Waiter<A> {
    fn drop(&mut self) {
        for partition in &self.at {
            let list = partition.wait_list();
            list.waiting.fetch_sub(1, Ordering::SeqCst);
            list.waiters.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, _)| *id != self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    impl Awaited for WaitList {
        fn wait_list(&self) -> &WaitList {
            self
        }
    }

    #[tokio::test]
    async fn a_change_between_registering_and_waiting_is_not_missed() {
        let lists = [Arc::new(WaitList::default()), Arc::new(WaitList::default())];
        let waiter = Waiter::register(lists.iter().cloned());
        lists[1].wake_all();
        waiter.woken().await;
        assert!(tokio::time::timeout(Duration::from_millis(5), waiter.woken()).await.is_err(), "woken once");
        drop(waiter);
        assert!(lists[0].waiters.lock().unwrap().is_empty(), "nothing is left behind");
        assert_eq!(lists[0].waiting.load(Ordering::SeqCst), 0);
    }
}
