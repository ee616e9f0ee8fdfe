use std::time::Duration;

use super::*;
use crate::client::testing::{FakeBroker, Incoming, Reply};
use crate::protocol::ApiKey;
use crate::protocol::messages::api_versions_response::ApiVersion;
use crate::protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use crate::protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, DescribeClusterResponse, MetadataResponse};

fn broker_at(node_id: i32, address: &Address) -> MetadataResponseBroker {
    let port = i32::from(address.port());
    MetadataResponseBroker { node_id, host: address.host().to_owned(), port, ..Default::default() }
}

fn vacant_address() -> Address {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Address::new("127.0.0.1", listener.local_addr().unwrap().port())
}

#[tokio::test]
async fn a_topic_is_waited_for_until_it_appears() {
    let mut asked = 0;
    let broker = FakeBroker::start(move |request| {
        if request.start.api == ApiKey::ApiVersions {
            return Reply::Default;
        }
        asked += 1;
        let body: MetadataRequest = request.body();
        assert!(body.allow_auto_topic_creation);
        let error_code = if asked < 3 { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::None }.code();
        let name = body.topics.unwrap()[0].name.clone();
        request.answer::<MetadataRequest>(&MetadataResponse {
            brokers: vec![broker_at(1, &Address::new("127.0.0.1", 1))],
            topics: vec![MetadataResponseTopic { error_code, name, ..Default::default() }],
            ..Default::default()
        })
    })
    .await;
    let cluster = Cluster::new(broker.options());
    let topic = cluster.topic("t", AutoCreate::Allowed, cluster.api_deadline()).await.unwrap();
    assert_eq!(topic.name, "t");
    assert_eq!(broker.seen().len(), 3);
    cluster.topic("t", AutoCreate::Allowed, cluster.api_deadline()).await.unwrap();
    assert_eq!(broker.seen().len(), 3, "what is known is not asked again");
}

#[tokio::test]
async fn the_bootstrap_servers_are_the_last_resort() {
    let gone = vacant_address();
    let broker = FakeBroker::start(move |request| match request.start.api {
        ApiKey::ApiVersions => Reply::Default,
        _ => request
            .answer::<MetadataRequest>(&MetadataResponse { brokers: vec![broker_at(1, &gone)], ..Default::default() }),
    })
    .await;
    let mut options = broker.options();
    options.bootstrap_servers.insert(0, vacant_address());
    let cluster = Cluster::new(options);
    for _ in 0..2 {
        cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, cluster.api_deadline()).await.unwrap();
        cluster.any(cluster.api_deadline()).await.unwrap().close();
    }
    let error = cluster.node(NodeId(1), Lane::Data, cluster.api_deadline()).await.unwrap_err();
    assert!(matches!(error, ClientError::Astray { node: 1, .. }), "{error}");
    let error = cluster.node(NodeId(2), Lane::Data, cluster.api_deadline()).await.unwrap_err();
    assert!(matches!(error, ClientError::UnknownNode(2)));
}

/// It would make a topic as a broker does.
#[tokio::test]
async fn a_controller_gets_no_orders_where_a_broker_was_named() {
    let answers = |request: &Incoming| match request.start.api {
        ApiKey::ApiVersions => request.answer::<ApiVersionsRequest>(&ApiVersionsResponse {
            api_keys: [(ApiKey::ApiVersions, 3), (ApiKey::DescribeCluster, 1)]
                .map(|(api, max_version)| ApiVersion { api_key: api.get(), max_version, ..Default::default() })
                .to_vec(),
            ..Default::default()
        }),
        _ => request.answer::<DescribeClusterRequest>(&DescribeClusterResponse::default()),
    };
    let controller = FakeBroker::start(answers).await;
    let cluster = Cluster::new(controller.options());
    for _ in 0..2 {
        let error = cluster.call_any(&DescribeClusterRequest::default(), cluster.api_deadline()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::UnsupportedVersion { api: ApiKey::Metadata, offered: None, .. }),
            "{error}"
        );
    }
    let options = ClientOptions { are_controllers: true, ..controller.options() };
    let cluster = Cluster::new(options);
    cluster.call_any(&DescribeClusterRequest::default(), cluster.api_deadline()).await.unwrap();
    assert_eq!(controller.seen().len(), 1);
}

#[tokio::test]
async fn a_broker_that_is_slow_to_answer_gets_more_time_each_time() {
    let broker = FakeBroker::start(|_| Reply::Silence).await;
    let mut options = broker.options();
    options.connection_setup_timeout = Duration::from_millis(20);
    let cluster = Cluster::new(options);
    let mut took = Duration::ZERO;
    for _ in 0..4 {
        let started = Instant::now();
        let error = cluster.connection_to(&broker.address, Lane::Data, cluster.api_deadline()).await.unwrap_err();
        assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
        took = started.elapsed();
    }
    // Eight times 20 ms, less the jitter of a fifth.
    assert!(took >= Duration::from_millis(125), "{took:?}");
}

/// A cluster that is misconfigured is told from one whose leader is away: there some broker was reached.
#[tokio::test]
async fn brokers_that_never_were_where_they_should_be_are_given_up() {
    for is_known_elsewhere in [false, true] {
        let (gone, known) = (vacant_address(), Arc::new(Mutex::new(None)));
        let own = Arc::clone(&known);
        let broker = FakeBroker::start(move |request| match request.start.api {
            ApiKey::ApiVersions => Reply::Default,
            _ => {
                let brokers = std::iter::once(broker_at(1, &gone));
                let other = lock(&own).as_ref().map(|address| broker_at(2, address));
                let brokers = brokers.chain(other).collect();
                request.answer::<MetadataRequest>(&MetadataResponse { brokers, ..Default::default() })
            }
        })
        .await;
        *lock(&known) = is_known_elsewhere.then(|| broker.address.clone());
        let options = broker.options();
        let cluster = Cluster::new(ClientOptions { bootstrap_patience: Duration::from_millis(500), ..options });
        let deadline = cluster.api_deadline();
        cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await.unwrap();
        let error = cluster.node(NodeId(1), Lane::General, deadline).await.unwrap_err();
        assert!(error.to_string().ends_with("which broker 1 advertises"), "{error}");
        assert!(!cluster.is_hopeless(&error, Deadline::after(Duration::from_secs(5))), "it has its time first");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(cluster.is_hopeless(&error, deadline), !is_known_elsewhere);
    }
}

#[tokio::test]
async fn an_unreachable_cluster_is_told_within_the_patience() {
    let address = vacant_address();
    let mut options = ClientOptions::for_servers(vec![address.clone()]);
    options.bootstrap_patience = Duration::from_millis(200);
    let cluster = Cluster::new(options);
    let started = Instant::now();
    let error = cluster.refresh(&TopicScope::All, AutoCreate::Never, cluster.api_deadline()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("could not connect to {address}"));
    assert!(started.elapsed() < Duration::from_secs(5));
}
