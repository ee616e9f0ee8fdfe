use std::time::Duration;

use super::*;
use crate::client::testing::{FakeBroker, Reply};
use crate::protocol::messages::api_versions_response::ApiVersion;
use crate::protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, MetadataRequest, MetadataResponse, ProduceRequest,
};

fn metadata(cluster_id: &str) -> MetadataResponse {
    MetadataResponse { cluster_id: Some(cluster_id.to_owned()), ..Default::default() }
}

#[tokio::test]
async fn the_highest_common_version_is_used() {
    let broker = FakeBroker::start(|request| match request.start.api {
        ApiKey::ApiVersions => request.versions(&[(ApiKey::Metadata, 7), (ApiKey::DescribeCluster, -1)]),
        _ => request.answer::<MetadataRequest>(&metadata("c")),
    })
    .await;
    let connection = Connection::open(&broker.address, &broker.options()).await.unwrap();
    assert_eq!(connection.version_of::<MetadataRequest>(i16::MAX).unwrap(), 7);
    assert_eq!(connection.version_of::<MetadataRequest>(3).unwrap(), 3);
    assert_eq!(connection.call(&MetadataRequest::default()).await.unwrap().cluster_id.as_deref(), Some("c"));
    assert_eq!(broker.seen()[0].start.version, 7);
    let error = connection.call(&DescribeClusterRequest::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::UnsupportedVersion { .. }), "{error}");
    assert!(error.to_string().ends_with("does not speak DescribeCluster in a version of 0 to 2"));
}

/// KIP-511: a broker that does not know the version of the question answers in version 0.
#[tokio::test]
async fn an_old_broker_is_asked_again_in_a_version_it_knows() {
    for (told, asked_again) in [(Some(2), 2), (None, 0)] {
        let broker = FakeBroker::start(move |request| {
            if request.start.version <= 2 {
                return request.versions(&[]);
            }
            let mut refusal = ApiVersionsResponse { error_code: 35, ..Default::default() };
            refusal.api_keys = told
                .map(|max_version| ApiVersion { api_key: 18, max_version, ..Default::default() })
                .into_iter()
                .collect();
            let id = request.start.correlation_id;
            Reply::Frame(crate::protocol::frame::response_frame(&refusal, ApiKey::ApiVersions, 0, id).unwrap())
        })
        .await;
        let connection = Connection::open(&broker.address, &broker.options()).await.unwrap();
        assert_eq!(broker.version_questions(), [4, asked_again]);
        assert!(connection.api_versions().get(ApiKey::Produce).is_some());
    }
}

#[tokio::test]
async fn requests_are_pipelined_and_answered_in_order() {
    let mut held = Vec::new();
    let broker = FakeBroker::start(move |request| match request.start.api {
        ApiKey::ApiVersions => Reply::Default,
        _ => {
            let answer = request.answer::<MetadataRequest>(&metadata(&request.start.correlation_id.to_string()));
            let Reply::Frame(pieces) = answer else { unreachable!() };
            held.extend(pieces.concat());
            // Nothing is answered before all three questions are here.
            if request.start.correlation_id < 3 { Reply::Silence } else { Reply::Raw(std::mem::take(&mut held)) }
        }
    })
    .await;
    let connection = Connection::open(&broker.address, &broker.options()).await.unwrap();
    let mut pending = Vec::new();
    for _ in 0..3 {
        pending.push(connection.start(&MetadataRequest::default(), CallOptions::default()).await.unwrap());
    }
    for (pending, expected) in pending.into_iter().zip(["1", "2", "3"]) {
        assert_eq!(pending.response().await.unwrap().cluster_id.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_lost_connection_fails_all_who_wait() {
    let broker = FakeBroker::start(|request| match request.start.api {
        ApiKey::ApiVersions => Reply::Default,
        ApiKey::Metadata => Reply::Silence,
        _ => Reply::Close,
    })
    .await;
    let connection = Connection::open(&broker.address, &broker.options()).await.unwrap();
    let first = connection.start(&MetadataRequest::default(), CallOptions::default()).await.unwrap();
    let second = connection.call(&DescribeClusterRequest::default()).await.unwrap_err();
    for error in [first.response().await.unwrap_err(), second] {
        assert!(matches!(error, ClientError::Disconnected { .. }), "{error}");
        assert!(error.is_retriable());
    }
    assert!(connection.is_closed());
    assert!(connection.call(&MetadataRequest::default()).await.is_err());
}

#[tokio::test]
async fn silence_ends_a_request_and_its_connection() {
    let broker = FakeBroker::start(|request| match request.start.api {
        ApiKey::ApiVersions => Reply::Default,
        _ => Reply::Silence,
    })
    .await;
    let connection = Connection::open(&broker.address, &broker.options()).await.unwrap();
    let patience = CallOptions { timeout: Some(Duration::from_millis(20)), ..Default::default() };
    let error = connection.call_with(&MetadataRequest::default(), patience).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { api: ApiKey::Metadata, .. }), "{error}");
    assert!(connection.is_closed());
}

#[tokio::test]
async fn answers_to_nothing_and_garbage_are_no_kafka() {
    for garbage in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0x15, 3, 3, 0, 2, 2, 40], &[0, 0, 0, 4, 0, 0, 0, 99]] {
        let broker = FakeBroker::start(move |_| Reply::Raw(garbage.to_vec())).await;
        let error = Connection::open(&broker.address, &broker.options()).await.unwrap_err();
        assert!(matches!(error, ClientError::NotKafka { .. }), "{error}");
    }
    let broker = FakeBroker::start(move |_| Reply::Raw(vec![0, 0, 0, 5, 0, 0, 0, 0, 0])).await;
    let error = Connection::open(&broker.address, &broker.options()).await.unwrap_err();
    assert!(matches!(error, ClientError::Malformed { api: ApiKey::ApiVersions, .. }), "{error}");
}

#[tokio::test]
async fn one_way_requests_wait_for_no_answer() {
    let broker = FakeBroker::start(|request| match request.start.api {
        ApiKey::ApiVersions => Reply::Default,
        ApiKey::Produce => Reply::Silence,
        _ => request.answer::<DescribeClusterRequest>(&DescribeClusterResponse::default()),
    })
    .await;
    let connection = Connection::open(&broker.address, &broker.options()).await.unwrap();
    for _ in 0..2 * MAX_IN_FLIGHT {
        connection.send_one_way(&ProduceRequest::default(), CallOptions::default()).await.unwrap();
    }
    connection.call(&DescribeClusterRequest::default()).await.unwrap();
    assert_eq!(broker.seen().len(), 2 * MAX_IN_FLIGHT + 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let broker = FakeBroker::start(|_| Reply::Default).await;
    let options = ClientOptions { connections_max_idle: Some(Duration::from_millis(10)), ..broker.options() };
    let connection = Connection::open(&broker.address, &options).await.unwrap();
    let closed = async {
        while !connection.is_closed() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.unwrap();
}
