//! The signals that end a tool.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use super::Exit;

/// A request to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What `kill` sends.
    Terminate,
    /// The terminal has gone.
    HangUp,
}

impl Signal {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
        }
    }

    /// Its number, which is the same on all systems.
    fn number(self) -> i32 {
        match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Terminate => 15,
        }
    }

    /// As a JVM that the signal ended.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Interrupt => Exit::Interrupted,
            Self::Terminate => Exit::Terminated,
            Self::HangUp => Exit::HungUp,
        }
    }
}

/// Whether the tool takes signals itself.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// Whether the tool takes signals itself.
pub(super) fn are_listened_to() -> bool {
    LISTENING.load(Ordering::SeqCst)
}

/// The signals as they come.
pub(crate) struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hang_up: Option<Stream>,
}

impl Signals {
    /// Takes the signals from now on. Must be called within a runtime.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("could not listen for signals");
        LISTENING.store(true, Ordering::SeqCst);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            // Under `nohup` the signal is ignored, and must stay so.
            hang_up: if hang_up_is_ignored() { None } else { Some(listen(SignalKind::hangup())?) },
        })
    }

    /// Waits for the next one. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Signal {
        let hang_up = async {
            match &mut self.hang_up {
                Some(stream) => stream.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = hang_up => Signal::HangUp,
        }
    }
}

/// For tools that work without a runtime: `stop` is called at the first signal, by a thread of its own. A second one ends the
/// process at once, also where a disk or the reader of its output keeps it waiting.
pub(crate) fn at_first_signal(stop: impl FnOnce(Signal) + Send + 'static) -> anyhow::Result<()> {
    let (listening, is_listening) = std::sync::mpsc::sync_channel(1);
    let wait = move || {
        let result = super::block_on(async {
            let mut signals = Signals::listen()?;
            let _ = listening.send(());
            stop(signals.next().await);
            Ok(signals.next().await)
        });
        if let Ok(signal) = result {
            #[expect(clippy::disallowed_methods, reason = "asked for twice; nothing is written that has to be whole")]
            std::process::exit(128 + signal.number());
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).context("could not start a thread")?;
    // Where listening failed signals end the process, as always.
    let _ = is_listening.recv();
    Ok(())
}

/// Whether the process was started with SIGHUP ignored, as far as the system tells.
fn hang_up_is_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hang_up(&status))
}

/// Reads the mask of ignored signals, whose lowest bit is SIGHUP.
fn ignores_hang_up(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_read() {
        assert!(ignores_hang_up("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hang_up("SigIgn:\t0000000000001000\n"));
        assert!(!ignores_hang_up(""));
    }
}
