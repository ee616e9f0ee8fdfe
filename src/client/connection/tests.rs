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
        assert!(matches!(error, ClientError::CutOff { .. }), "{error}");
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
    for garbage in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 99]] {
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

mod authentication {
    use super::*;
    use crate::client::{AuthenticationFailure, Security};
    use crate::config::{AdminConfig, Client, ClientProperties};
    use crate::net::ScramMechanism;
    use crate::net::sasl::SaslError;
    use crate::protocol::messages::{
        SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
    };

    fn options(broker: &FakeBroker, mechanism: &str) -> ClientOptions {
        let mut properties = ClientProperties::new(Client::Admin);
        properties.set("bootstrap.servers", "a:1");
        properties.set("security.protocol", "SASL_PLAINTEXT");
        properties.set("sasl.mechanism", mechanism);
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
        properties.set("sasl.jaas.config", &format!("{module} required username=\"user\" password=\"pencil\";"));
        let config = AdminConfig::new(&properties).unwrap();
        ClientOptions { security: Security::of(&config.common.security), ..broker.options() }
    }

    fn handshake(request: &crate::client::testing::Incoming, error_code: i16) -> Reply {
        let mechanisms = vec!["SCRAM-SHA-512".to_owned()];
        request.answer::<SaslHandshakeRequest>(&SaslHandshakeResponse { error_code, mechanisms })
    }

    fn said(request: &crate::client::testing::Incoming, bytes: Vec<u8>, session_lifetime_ms: i64) -> Reply {
        let auth_bytes = bytes.into();
        request.answer::<SaslAuthenticateRequest>(&SaslAuthenticateResponse {
            auth_bytes,
            session_lifetime_ms,
            ..Default::default()
        })
    }

    /// Takes PLAIN's one message, for sessions of this length.
    async fn plain_broker(session_lifetime_ms: i64) -> FakeBroker {
        FakeBroker::start(move |request| match request.start.api {
            ApiKey::ApiVersions => Reply::Default,
            ApiKey::SaslHandshake => handshake(request, 0),
            ApiKey::SaslAuthenticate => {
                let message: SaslAuthenticateRequest = request.body();
                assert_eq!(&message.auth_bytes[..], b"\0user\0pencil");
                said(request, Vec::new(), session_lifetime_ms)
            }
            _ => request.answer::<MetadataRequest>(&metadata("c")),
        })
        .await
    }

    fn apis(broker: &FakeBroker) -> Vec<ApiKey> {
        broker.seen().iter().map(|request| request.start.api).collect()
    }

    #[tokio::test]
    async fn who_we_are_is_said_before_anything_else() {
        let broker = plain_broker(0).await;
        let connection = Connection::open(&broker.address, &options(&broker, "PLAIN")).await.unwrap();
        connection.call(&MetadataRequest::default()).await.unwrap();
        assert_eq!(apis(&broker), [ApiKey::SaslHandshake, ApiKey::SaslAuthenticate, ApiKey::Metadata]);
        assert_eq!((broker.seen()[0].start.version, broker.seen()[1].start.version), (1, 2));
    }

    /// KIP-368. Requests are sent all the time; none may come between the two of an authentication.
    #[tokio::test]
    async fn sessions_are_renewed_while_requests_go_on() {
        let broker = plain_broker(40).await;
        let connection = Connection::open(&broker.address, &options(&broker, "PLAIN")).await.unwrap();
        let renewed = || apis(&broker).iter().filter(|api| **api == ApiKey::SaslHandshake).count();
        while renewed() < 4 {
            let call = || async { connection.call(&MetadataRequest::default()).await.unwrap() };
            tokio::join!(call(), call(), call());
        }
        let apis = apis(&broker);
        for (at, api) in apis.iter().enumerate() {
            let after = apis.get(at + 1);
            assert_eq!(*api == ApiKey::SaslHandshake, after == Some(&ApiKey::SaslAuthenticate), "{apis:?}");
        }
    }

    /// What the server of RFC 5802 does, with `password`.
    async fn scram_broker(password: &'static [u8], proves_itself: bool) -> FakeBroker {
        let (mut first, mut server_first) = (String::new(), String::new());
        FakeBroker::start(move |request| match request.start.api {
            ApiKey::ApiVersions => Reply::Default,
            ApiKey::SaslHandshake => handshake(request, 0),
            ApiKey::SaslAuthenticate => {
                let message: SaslAuthenticateRequest = request.body();
                let message = String::from_utf8(message.auth_bytes.to_vec()).unwrap();
                if let Some(bare) = message.strip_prefix("n,,") {
                    first = bare.to_owned();
                    let nonce = bare.split_once(",r=").unwrap().1;
                    server_first = format!("r={nonce}server,s=c2FsdA==,i=4096");
                    return said(request, server_first.clone().into(), 0);
                }
                let (without_proof, proof) = message.split_once(",p=").unwrap();
                let salted = ScramMechanism::Sha512.salted_password(password, b"salt", 4096);
                let all = format!("{first},{server_first},{without_proof}");
                let (expected, signature) = ScramMechanism::Sha512.proof(&salted, all.as_bytes());
                use base64::Engine as _;
                let base64 = |bytes| base64::engine::general_purpose::STANDARD.encode(bytes);
                if proof != base64(expected) {
                    let error_message = Some("Authentication failed: no".to_owned());
                    return request.answer::<SaslAuthenticateRequest>(&SaslAuthenticateResponse {
                        error_code: 58,
                        error_message,
                        ..Default::default()
                    });
                }
                let signature = if proves_itself { signature } else { vec![0; 64] };
                said(request, format!("v={}", base64(signature)).into(), 0)
            }
            _ => request.answer::<MetadataRequest>(&metadata("c")),
        })
        .await
    }

    async fn failure_of(broker: &FakeBroker, mechanism: &str) -> AuthenticationFailure {
        match Connection::open(&broker.address, &options(broker, mechanism)).await.unwrap_err() {
            ClientError::Authentication { source, .. } => source,
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn scram_proves_both_ends() {
        let broker = scram_broker(b"pencil", true).await;
        let connection = Connection::open(&broker.address, &options(&broker, "SCRAM-SHA-512")).await.unwrap();
        connection.call(&MetadataRequest::default()).await.unwrap();
        let broker = scram_broker(b"other", true).await;
        let failure = failure_of(&broker, "SCRAM-SHA-512").await;
        assert_eq!(failure.to_string(), "Authentication failed: no");
        let broker = scram_broker(b"pencil", false).await;
        let failure = failure_of(&broker, "SCRAM-SHA-512").await;
        assert!(matches!(failure, AuthenticationFailure::Exchange(SaslError::ServerNotProven)), "{failure}");
    }

    #[tokio::test]
    async fn a_mechanism_that_is_not_enabled_is_told_with_those_that_are() {
        for (code, expected) in
            [(33, "the mechanism is not enabled there; these are: SCRAM-SHA-512"), (34, "the listener has no SASL")]
        {
            let broker = FakeBroker::start(move |request| match request.start.api {
                ApiKey::ApiVersions => Reply::Default,
                _ => handshake(request, code),
            })
            .await;
            assert_eq!(failure_of(&broker, "PLAIN").await.to_string(), expected);
        }
    }
}

/// A listener with SASL answers ApiVersions of anybody, and closes the connection at the next request.
#[tokio::test]
async fn who_is_cut_off_at_the_first_request_is_told_so() {
    let broker = FakeBroker::start(|request| match request.start.api {
        ApiKey::ApiVersions => Reply::Default,
        _ => Reply::Close,
    })
    .await;
    let connection = Connection::open(&broker.address, &broker.options()).await.unwrap();
    let error = connection.call(&MetadataRequest::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::CutOff { .. }), "{error}");
}

#[tokio::test]
async fn tls_is_known_when_it_answers() {
    let alert = vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46];
    let broker = FakeBroker::start(move |_| Reply::Raw(alert.clone())).await;
    let error = Connection::open(&broker.address, &broker.options()).await.unwrap_err();
    assert!(matches!(error, ClientError::SpeaksTls { .. }), "{error}");
    assert!(!error.is_retriable());
}
