//! Where a tool's requests run: on the one thread that the process has. Starting it takes microseconds.

use anyhow::Context as _;

/// Runs a tool's work to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("could not start the runtime")?;
    runtime.block_on(work)
}
