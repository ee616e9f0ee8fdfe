//! Records that were not delivered, in the words of Kafka's producer.

use super::{authentication_exception, java};
use crate::client::ClientError;
use crate::client::producer::ProduceError;
use crate::protocol::ErrorCode;

/// The exception that Kafka's producer gives for the error: its class and its text.
pub(crate) fn produce_exception(topic: &str, error: &ProduceError) -> (String, String) {
    let timeout = || java::exception_class(ErrorCode::RequestTimedOut);
    if let ProduceError::Client(error) = error
        && let Some((class, message)) = authentication_exception(error)
    {
        return (class.to_owned(), message);
    }
    match error {
        ProduceError::TooLarge { size, limit, limit_key } => (
            java::exception_class(ErrorCode::MessageTooLarge),
            format!(
                "The message is {size} bytes when serialized which is larger than {limit}, which is the value of the \
                 {limit_key} configuration."
            ),
        ),
        ProduceError::UnknownTopic { after, .. } => {
            (timeout(), format!("Topic {topic} not present in metadata after {} ms.", after.as_millis()))
        }
        ProduceError::BufferFull(after) => (
            "org.apache.kafka.clients.producer.BufferExhaustedException".to_owned(),
            format!("Failed to allocate memory within the configured max blocking time {} ms.", after.as_millis()),
        ),
        ProduceError::Expired { partition, records, after, .. } => (
            timeout(),
            format!(
                "Expiring {records} record(s) for {partition}:{} ms has passed since batch creation. The request has \
                 not been sent, or no server response has been received yet.",
                after.as_millis()
            ),
        ),
        ProduceError::Refused(error) if error.code == ErrorCode::InvalidTopicException => {
            (java::exception_class(error.code), format!("Invalid topics: [{topic}]"))
        }
        ProduceError::Client(error @ ClientError::UnsupportedVersion { api, wanted, offered, .. }) => {
            (java::client_exception_class(error), java::unsupported(*api, *wanted, *offered))
        }
        ProduceError::Refused(error) => (java::exception_class(error.code), java::message(error)),
        other => ("org.apache.kafka.common.KafkaException".to_owned(), other.to_string()),
    }
}
