//! A run from the first record to the last acknowledgement.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::MissedTickBehavior;

use super::payload::Payload;
use super::report::{NEWS, Report};
use super::settings::{Limits, Plan};
use super::stats::Stats;
use crate::cli::support::figures::now_ms;
use crate::cli::support::{Exit, Hinted, Output, Signals, Style, Throttle, chain_text, hint_for, pick_topic};
use crate::client::producer::ProduceError;
use crate::client::{Producer, ProducerRecord};

/// Sends what is planned, and tells of it.
pub(super) async fn run(plan: Plan, payload: Payload, out: &mut Output) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let Plan { topic, limits, options, transactions, print_metrics } = plan;
    let topic = match topic {
        Some(topic) => topic,
        None => pick_topic(options.client.clone(), out).await?,
    };
    let stats = Arc::new(Stats::new(limits.interval_ms));
    let client_id = options.client.client_id.clone();
    let observer: Arc<Stats> = Arc::clone(&stats);
    let mut options = options;
    options.observer = Some(observer);
    let producer = Producer::new(options);
    let mut report = Report::new(&topic, limits.records, out);
    if limits.warmup > 0 && out.style() == Style::Kafka {
        let records = limits.warmup;
        out.line(format_args!(
            "Warmup first {records} records. Steady state results will print after the complete test summary."
        ))?;
        out.flush()?;
    }
    let sending = Sending { topic: &topic, limits, transactions, producer: &producer, stats: &stats };
    let ended = {
        let mut sending = pin!(sending.send_all(payload));
        let mut news = tokio::time::interval(NEWS);
        news.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = &mut sending => break Ok(ended),
                signal = signals.next() => break Err(signal),
                _ = news.tick() => report.news(&stats, out)?,
            }
        }
    };
    report.news(&stats, out)?;
    match ended {
        Ok(Ok(())) => {
            report.end(&stats, out)?;
            if print_metrics {
                report.metrics(&stats, &client_id, out)?;
            }
            drop(producer.close(Duration::MAX).await);
            Ok(Exit::Success)
        }
        Ok(Err(error)) => {
            drop(producer.close(Duration::ZERO).await);
            Err(error)
        }
        Err(signal) => {
            // Kafka's tool says nothing any more; a person wants to know what was done.
            if out.style() == Style::Table {
                report.end(&stats, out)?;
            }
            drop(producer.close(Duration::ZERO).await);
            Ok(signal.exit())
        }
    }
}

struct Sending<'a> {
    topic: &'a str,
    limits: Limits,
    transactions: Option<Duration>,
    producer: &'a Producer,
    stats: &'a Stats,
}

impl Sending<'_> {
    async fn send_all(&self, mut payload: Payload) -> anyhow::Result<()> {
        if self.transactions.is_some() {
            self.producer.init_transactions().await.context("could not begin to send in transactions")?;
        }
        let started_ms = now_ms();
        self.stats.start(started_ms);
        let mut throttle = Throttle::new(self.limits.throughput, started_ms);
        let mut transaction: Option<i64> = None;
        for record in 0..self.limits.records {
            let value = payload.of(record);
            if self.transactions.is_some() && transaction.is_none() {
                self.producer.begin_transaction().context("could not begin a transaction")?;
                transaction = Some(now_ms());
            }
            let start_ms = now_ms();
            if record == self.limits.warmup && record > 0 {
                self.stats.begin_steady_state(start_ms);
            }
            self.send(value, start_ms).await?;
            if let (Some(duration), Some(began_ms)) = (self.transactions, transaction)
                && u128::try_from(start_ms - began_ms).is_ok_and(|open| duration.as_millis() <= open)
            {
                self.commit().await?;
                transaction = None;
            }
            if let Some(pause) = throttle.pause(record, start_ms) {
                tokio::time::sleep(pause).await;
            }
        }
        if transaction.is_some() {
            self.commit().await?;
        }
        // What was not delivered is known to the stats.
        drop(self.producer.flush().await);
        Ok(())
    }

    async fn send(&self, value: &[u8], start_ms: i64) -> anyhow::Result<()> {
        let record = ProducerRecord {
            topic: self.topic,
            timestamp: Some(start_ms),
            value: Some(value),
            ..ProducerRecord::default()
        };
        match self.producer.send(record).await {
            Ok(delivery) => self.stats.sent(delivery.partition(), start_ms, value.len()),
            Err(error) if would_not_help_to_go_on(&error) => return Err(self.explained(error)),
            Err(error) => self.stats.refused(error),
        }
        Ok(())
    }

    async fn commit(&self) -> anyhow::Result<()> {
        self.producer.commit_transaction().await.context("could not commit a transaction")
    }

    fn explained(&self, error: ProduceError) -> anyhow::Error {
        let hint = match &error {
            ProduceError::Client(error) => hint_for(error),
            ProduceError::UnknownTopic { source: Some(source), .. } => hint_for(source),
            _ => None,
        };
        let text = format!("could not write to {}: {}", self.topic, chain_text(&anyhow::Error::new(error)));
        match hint {
            Some(hint) => Hinted::error(text, hint),
            None => anyhow::Error::msg(text),
        }
    }
}

/// Whether the records that follow would fare no better.
fn would_not_help_to_go_on(error: &ProduceError) -> bool {
    use ProduceError::{Client, Closed, Transaction, TransactionAborted, UnknownTopic};
    matches!(error, Client(_) | UnknownTopic { .. } | Closed | Transaction(_) | TransactionAborted)
}
