//! The options of `console-producer` as settings of its producer and reader, with the precedence of Kafka's tool:
//! an option, else `--command-property`, else `--command-config`, else the tool's own default.

use std::sync::Arc;

use super::ConsoleProducer;
use super::failures::Failures;
use super::reader::LineReader;
use crate::cli::support::{Hinted, Output, RenamedOptions, Target, UsageError, explained_config, properties_of, warn};
use crate::client::ProducerOptions;
use crate::config::{Client, ClientProperties, ProducerConfig};

/// Classes of Kafka's line reader: today's, that of 4.0, that of version 3.
const LINE_READERS: [&str; 3] = [
    "org.apache.kafka.tools.LineMessageReader",
    "org.apache.kafka.tools.ConsoleProducer$LineMessageReader",
    "kafka.tools.ConsoleProducer$LineMessageReader",
];

impl ConsoleProducer {
    /// Checks what goes together, and takes old spellings for new ones.
    pub(super) fn check(&mut self, out: &mut Output) -> anyhow::Result<()> {
        if self.topic.is_none() && !out.can_ask() {
            return Err(UsageError::missing("topic"));
        }
        let renamed = RenamedOptions::PRODUCER;
        renamed.take_old(("property", &mut self.property), ("reader-property", &mut self.reader_property), out)?;
        renamed.take_old(
            ("producer-property", &mut self.producer_property),
            ("command-property", &mut self.command_property),
            out,
        )?;
        renamed.take_old(
            ("producer.config", &mut self.producer_config),
            ("command-config", &mut self.command_config),
            out,
        )?;
        match self.line_reader.as_deref() {
            Some(class) if !LINE_READERS.contains(&class) && class != "LineMessageReader" => Err(Hinted::error(
                format!("java.lang.ClassNotFoundException: {class}"),
                format!(
                    "the only one is {}; Java classes can't be loaded here. It is set up with --reader-property",
                    LINE_READERS[0]
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The reader that the properties describe.
    pub(super) fn reader(&self) -> anyhow::Result<LineReader> {
        let mut properties = properties_of(self.reader_config.as_deref(), &self.reader_property)?;
        for (key, class) in [("key.serializer", &self.key_serializer), ("value.serializer", &self.value_serializer)] {
            properties.extend(class.iter().map(|class| (key.to_owned(), class.clone())));
        }
        LineReader::new(&properties).map_err(|error| match error.hint() {
            Some(hint) => Hinted::error(error.to_string(), hint),
            None => error.into(),
        })
    }

    /// The settings of the producer.
    pub(super) fn options(
        &self,
        target: &Target,
        failures: Arc<Failures>,
        out: &mut Output,
    ) -> anyhow::Result<ProducerOptions> {
        let properties = self.properties(target, out)?;
        warn(&properties.warnings(), out)?;
        let config = ProducerConfig::new(&properties).map_err(explained_config)?;
        Ok(ProducerOptions { observer: Some(failures), ..ProducerOptions::from(&config) })
    }

    fn properties(&self, target: &Target, out: &Output) -> anyhow::Result<ClientProperties> {
        let mut found = target.properties(Client::Producer)?;
        if let Some(file) = &self.command_config {
            found.read(file)?;
        }
        self.command_property.iter().for_each(|pair| found.add_option(pair));
        let number = |value: Option<i64>| value.map(|value| value.to_string());
        let batch_size = self.max_partition_memory_bytes.or(self.batch_size).map(i64::from);
        // Somebody who types sees each line arrive; for what is piped in, Kafka's default.
        let linger = if out.stdin_is_terminal() { "0" } else { "1000" };
        for (key, option, default) in [
            ("linger.ms", number(self.timeout), linger),
            ("batch.size", number(batch_size), "16384"),
            ("acks", self.request_required_acks.clone(), "-1"),
            ("retries", number(self.message_send_max_retries.map(i64::from)), "3"),
            ("retry.backoff.ms", number(self.retry_backoff_ms), "100"),
            ("request.timeout.ms", number(self.request_timeout_ms.map(i64::from)), "1500"),
            ("metadata.max.age.ms", number(self.metadata_expiry_ms), "300000"),
            ("max.block.ms", number(self.max_block_ms), "60000"),
            ("buffer.memory", number(self.max_memory_bytes), "33554432"),
            // Kafka's tool overrides compression.type even when no codec is given, which nobody can want.
            ("compression.type", self.compression_codec.clone(), "none"),
            ("client.id", None, "console-producer"),
        ] {
            match option {
                Some(value) => found.set(key, &value),
                None => found.set_default(key, default),
            }
        }
        if let Some(bytes) = self.socket_buffer_size {
            found.set("send.buffer.bytes", &bytes.to_string());
        }
        found.set("bootstrap.servers", &target.servers);
        Ok(found)
    }
}

/// Kafka's tool wants a port in each address, in words of its own.
pub(super) fn check_servers(servers: &str) -> anyhow::Result<()> {
    let has_port = |server: &str| server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if servers.split(',').map(str::trim).all(has_port) {
        return Ok(());
    }
    Err(UsageError::because("Please provide valid host:port like host1:9091,host2:9092"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Acks;
    use crate::record::Compression;

    fn options(words: &[&str]) -> anyhow::Result<ProducerOptions> {
        let (mut out, _) = Output::captured();
        let words = ["console-producer", "--topic", "t"].iter().chain(words);
        let mut tool = ConsoleProducer::try_parse_from(words)?;
        tool.check(&mut out)?;
        tool.options(&Target::at("localhost:9092"), Arc::new(Failures::new(false)), &mut out)
    }

    #[test]
    fn defaults_are_those_of_kafkas_tool() {
        let options = options(&[]).unwrap();
        assert_eq!(options.linger.as_millis(), 1000);
        assert_eq!(options.batch_size, 16384);
        assert_eq!(options.client.request_timeout.as_millis(), 1500);
        assert_eq!(options.client.client_id, "console-producer");
        assert_eq!(options.acks, Acks::All);
        assert_eq!(options.compression, Compression::NONE);
        assert!(options.idempotence);
    }

    #[test]
    fn options_win_over_properties_and_those_over_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.properties");
        std::fs::write(&file, "linger.ms=7\nacks=1\nclient.id=file\n").unwrap();
        let file = file.to_str().unwrap();
        let options =
            options(&["--command-config", file, "--command-property", "linger.ms=8", "--request-required-acks", "0"]);
        let options = options.unwrap();
        assert_eq!(options.linger.as_millis(), 8);
        assert_eq!(options.acks, Acks::None);
        assert_eq!(options.client.client_id, "file");
        assert!(!options.idempotence);
    }

    #[test]
    fn the_sockets_buffer_is_as_large_as_asked_for() {
        let buffer = |words: &[&str]| options(words).unwrap().client.send_buffer_bytes;
        assert_eq!(buffer(&["--socket-buffer-size", "4096"]), Some(4096));
        assert_eq!(buffer(&["--command-property", "send.buffer.bytes=5000"]), Some(5000));
        assert_eq!(buffer(&["--socket-buffer-size=-1"]), None);
        assert_eq!(buffer(&[]), None);
    }

    #[test]
    fn codecs() {
        let codec = |words: &[&str]| options(words).unwrap().compression;
        assert_eq!(codec(&["--compression-codec"]), codec(&["--compression-codec", "gzip"]));
        assert_eq!(codec(&["--compression-codec", "lz4"]), codec(&["--command-property", "compression.type=lz4"]));
        assert_eq!(
            options(&["--compression-codec", "rar"]).unwrap_err().to_string(),
            "Invalid value rar for configuration compression.type: String must be one of: none, gzip, snappy, lz4, zstd"
        );
    }

    #[test]
    fn old_and_new_spellings_do_not_mix() {
        for (words, message) in [
            (
                ["--property", "x=1", "--reader-property", "y=2"],
                "Options --reader-property and --property cannot be specified together.",
            ),
            (
                ["--producer-property", "a=1", "--command-property", "b=2"],
                "Options --command-property and --producer-property cannot be specified together.",
            ),
            (
                ["--producer.config", "a", "--command-config", "b"],
                "Options --command-config and --producer.config cannot be specified together.",
            ),
        ] {
            assert_eq!(options(&words).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn addresses_need_ports() {
        assert!(check_servers("localhost:9092,other:1").is_ok());
        for servers in ["localhost", "a:1,b", ""] {
            assert_eq!(
                check_servers(servers).unwrap_err().to_string(),
                "Please provide valid host:port like host1:9091,host2:9092"
            );
        }
    }
}
