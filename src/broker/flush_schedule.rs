//! Flushes what has waited for `flush.ms`: a task for each directory, so that a slow disk holds up its own logs only.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::error;

use super::context::Broker;
use super::maintenance::report;

/// `log.flush.scheduler.interval.ms` if it is not set: never. Kafka then never looks whether a topic's `flush.ms` has passed.
const NEVER: Duration = Duration::from_millis(i64::MAX as u64);

/// How often that is looked at here, so that `flush.ms` holds by itself.
const BY_DEFAULT: Duration = Duration::from_secs(1);

/// Looking costs a little for each log.
const LEAST: Duration = Duration::from_millis(50);

/// Looks after one directory until the broker stops.
pub(super) async fn run(broker: Arc<Broker>, directory: usize, mut stopping: watch::Receiver<bool>) {
    let configured = broker.config.log_flush_scheduler_interval_ms;
    let every = if configured == NEVER { BY_DEFAULT } else { configured.max(LEAST) };
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let broker = Arc::clone(&broker);
        let pass = tokio::task::spawn_blocking(move || {
            report("flush", broker.replicas.logs().flush_pass(directory, broker.now().wall_ms));
        });
        if let Err(error) = pass.await {
            error!(%error, "a pass of flushes failed");
        }
    }
}
