//! Requests and answers as they stand on the wire, over a plain socket: for tests of what no proper client does.
#![allow(dead_code, reason = "each test file compiles this module for itself and uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use kafka_rs::protocol::frame::{read_response, request_frame};
use kafka_rs::protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_rs::protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_rs::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_rs::protocol::messages::produce_response::PartitionProduceResponse;
use kafka_rs::protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FetchRequest, IncrementalAlterConfigsRequest, MetadataRequest,
    ProduceRequest,
};
use kafka_rs::protocol::{ErrorCode, Request};
use kafka_rs::record::{BatchBuilder, BatchOptions, NewRecord, batches};
use kafka_rs::types::ProducerId;

/// A connection that sends what it is told to.
pub struct Wire {
    stream: TcpStream,
    next_correlation_id: i32,
}

impl Wire {
    /// Connects to `host:port`.
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { stream, next_correlation_id: 1 }
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and gives its correlation id.
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> io::Result<i32> {
        let id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let frame = request_frame(request, version, id, Some("wire-test")).unwrap();
        self.stream.write_all(&frame.concat())?;
        Ok(id)
    }

    /// Reads an answer's frame.
    pub fn receive_frame(&mut self) -> io::Result<Bytes> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    /// Sends a request and reads the answer.
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> io::Result<R::Response> {
        let id = self.send(request, version)?;
        let frame = self.receive_frame()?;
        assert_eq!(frame[..4], id.to_be_bytes(), "answers come in the order of the requests");
        Ok(read_response::<R>(&frame, version).unwrap())
    }

    /// Whether the other side has closed the connection (waits for it).
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0)) || {
            self.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
            let end = self.stream.read(&mut [0; 1]);
            matches!(&end, Err(e) if e.kind() == io::ErrorKind::ConnectionReset) || matches!(end, Ok(0))
        }
    }

    /// Whether the broker answers.
    pub fn is_served(&mut self) -> bool {
        let request = ApiVersionsRequest {
            client_software_name: "wire".into(),
            client_software_version: "1".into(),
            ..Default::default()
        };
        self.call(&request, 4).is_ok_and(|answer| answer.error_code == 0)
    }

    /// Creates a topic.
    pub fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let (error, message) = self.try_create_topic(name, partitions, configs).unwrap();
        assert_eq!(error, ErrorCode::None, "{message:?}");
    }

    /// The same; returns what the broker says of it.
    pub fn try_create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> io::Result<(ErrorCode, Option<String>)> {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs
                .iter()
                .map(|(name, value)| CreatableTopicConfig {
                    name: (*name).into(),
                    value: Some((*value).into()),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let mut answer = self.call(&request, 7)?;
        let answer = answer.topics.remove(0);
        Ok((ErrorCode::from_code(answer.error_code), answer.error_message))
    }

    /// Changes a setting of a topic.
    pub fn set_config(&mut self, topic: &str, name: &str, value: &str) {
        let config = AlterableConfig { name: name.into(), value: Some(value.into()), ..Default::default() };
        let resource = AlterConfigsResource {
            resource_type: 2,
            resource_name: topic.into(),
            configs: vec![config],
            ..Default::default()
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        assert_eq!(self.call(&request, 1).unwrap().responses[0].error_code, 0);
    }

    /// Produces a payload to a partition and gives that partition's answer.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        records: Option<Bytes>,
    ) -> io::Result<PartitionProduceResponse> {
        let data = PartitionProduceData { index: partition, records, ..Default::default() };
        let topic = TopicProduceData { name: topic.into(), partition_data: vec![data], ..Default::default() };
        let request = ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() };
        let answer = self.call(&request, 12)?;
        Ok(answer.responses[0].partition_responses[0].clone())
    }

    /// Produces one record of a transaction and gives the partition's error.
    ///
    /// Up to version 11 the partition is to be in the transaction already; whether it is, the broker asks the coordinator only
    /// with `transaction.partition.verification.enable`.
    pub fn produce_in_transaction(
        &mut self,
        transactional_id: Option<&str>,
        topic: &str,
        partition: i32,
        records: Bytes,
        version: i16,
    ) -> i16 {
        let data = PartitionProduceData { index: partition, records: Some(records), ..Default::default() };
        let topic = TopicProduceData { name: topic.into(), partition_data: vec![data], ..Default::default() };
        let request = ProduceRequest {
            transactional_id: transactional_id.map(str::to_owned),
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![topic],
            ..Default::default()
        };
        self.call(&request, version).unwrap().responses[0].partition_responses[0].error_code
    }

    /// Reads all values of a partition from offset 0 on.
    pub fn read_all(&mut self, topic: &str, partition: i32) -> Vec<Bytes> {
        let id = self.topic_id(topic);
        let mut values = Vec::new();
        let mut offset = 0;
        loop {
            let wanted =
                FetchPartition { partition, fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
            let topic = FetchTopic { topic_id: id, partitions: vec![wanted], ..Default::default() };
            let request = FetchRequest { max_wait_ms: 0, topics: vec![topic], ..Default::default() };
            let answer = self.call(&request, 17).unwrap();
            let answer = &answer.responses[0].partitions[0];
            assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::None);
            let records = answer.records.clone().unwrap_or_default();
            if records.is_empty() {
                assert_eq!(offset, answer.high_watermark, "a fetch without records ends at the high watermark");
                return values;
            }
            for batch in batches(&records) {
                let batch = batch.unwrap();
                batch.verify_crc().unwrap();
                for record in batch.owned_records(&records, 1 << 28).unwrap() {
                    let record = record.unwrap();
                    if record.offset.get() >= offset {
                        assert_eq!(record.offset.get(), values.len() as i64, "no offset is missing");
                        values.push(record.value.unwrap());
                    }
                }
            }
            offset = values.len() as i64;
        }
    }

    /// Reads a partition from offset 0 on without looking at the records; gives how many bytes there were.
    pub fn read_bytes(&mut self, topic: &str, partition: i32) -> usize {
        let id = self.topic_id(topic);
        let (mut offset, mut bytes) = (0, 0);
        loop {
            let wanted =
                FetchPartition { partition, fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
            let topic = FetchTopic { topic_id: id, partitions: vec![wanted], ..Default::default() };
            let request = FetchRequest { max_wait_ms: 0, topics: vec![topic], ..Default::default() };
            let answer = self.call(&request, 17).unwrap();
            let records = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
            let Some(last) = batches(&records).map_while(Result::ok).last() else { return bytes };
            offset = last.header().next_offset().get();
            bytes += batches(&records).map_while(Result::ok).map(|batch| batch.bytes().len()).sum::<usize>();
        }
    }

    /// The id of a topic.
    pub fn topic_id(&mut self, topic: &str) -> kafka_rs::types::Uuid {
        let wanted = kafka_rs::protocol::messages::metadata_request::MetadataRequestTopic {
            name: Some(topic.into()),
            ..Default::default()
        };
        let request = MetadataRequest { topics: Some(vec![wanted]), ..Default::default() };
        self.call(&request, 12).unwrap().topics[0].topic_id
    }
}

/// A batch of one record within a transaction.
pub fn transactional_batch(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Bytes {
    let mut batch = BatchBuilder::new(BatchOptions {
        producer_id: ProducerId::new(producer_id),
        producer_epoch,
        base_sequence,
        transactional: true,
        ..BatchOptions::default()
    });
    batch.append(&NewRecord { timestamp: now_ms(), value: Some(b"value"), ..NewRecord::default() }).unwrap();
    batch.build().unwrap()
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// A batch of these values, as a producer sends it.
pub fn batch_of<V: AsRef<[u8]>>(values: &[V]) -> Bytes {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    let timestamp = now_ms();
    for value in values {
        let record = NewRecord { timestamp, value: Some(value.as_ref()), ..Default::default() };
        batch.append(&record).unwrap();
    }
    batch.build().unwrap()
}
