//! A broker that comes back on its port and its data.

use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use crate::support::Broker;

/// A broker on a port that stays, through its restarts.
pub struct Restarting {
    data: TempDir,
    settings: Vec<String>,
    broker: Option<Broker>,
}

impl Restarting {
    pub fn start(settings: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut all = vec![format!("listeners=PLAINTEXT://{free}"), "group.initial.rebalance.delay.ms=0".to_owned()];
        all.extend(settings.iter().copied().map(str::to_owned));
        let mut this = Self { data: TempDir::new().unwrap(), settings: all, broker: None };
        this.start_again();
        this
    }

    pub fn start_again(&mut self) {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        self.broker = Some(Broker::start_in(self.data.path(), &settings));
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.broker.take().unwrap().kill();
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        self.broker.as_ref().unwrap().address()
    }

    /// Shuts it down cleanly; its files stay.
    pub fn stop(&mut self) -> &Path {
        self.broker.take().unwrap().stop();
        self.data.path()
    }
}
