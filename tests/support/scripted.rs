//! A broker that says what a test wants it to say, where the real one would have to be driven there, or has not got it.
#![allow(dead_code, reason = "each test file compiles this module for itself and uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kafka_rs::protocol::frame::{RequestStart, read_request_body, read_request_start, response_frame};
use kafka_rs::protocol::messages::api_versions_response::ApiVersion;
use kafka_rs::protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_rs::protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, DescribeClusterRequest, DescribeClusterResponse, MetadataRequest,
    MetadataResponse,
};
use kafka_rs::protocol::{APIS, ApiInfo, ApiKey, Request};

/// A request that arrived.
#[derive(Clone)]
pub struct Asked {
    pub start: RequestStart,
    frame: Bytes,
}

impl Asked {
    pub fn body<R: Request>(&self) -> R {
        read_request_body(&self.frame, &self.start).unwrap()
    }

    /// The answer to ApiVersions: the APIs that `is_served` lets through.
    pub fn versions(&self, is_served: impl Fn(&ApiInfo) -> bool) -> Option<Vec<u8>> {
        let version = |api: &ApiInfo| ApiVersion {
            api_key: api.key.get(),
            min_version: api.versions.min,
            max_version: api.stable_versions().max,
            ..Default::default()
        };
        let api_keys = APIS.iter().filter(|api| is_served(api)).map(version).collect();
        self.answer::<ApiVersionsRequest>(&ApiVersionsResponse { api_keys, ..Default::default() })
    }

    /// The bytes of an answer.
    pub fn answer<R: Request>(&self, response: &R::Response) -> Option<Vec<u8>> {
        assert_eq!(self.start.api, R::API);
        let frame = response_frame(response, R::API, self.start.version, self.start.correlation_id);
        Some(frame.unwrap().concat())
    }
}

/// The broker, until the test's process ends.
pub struct ScriptedBroker {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl ScriptedBroker {
    /// Answers what `script` answers; of the rest it says that it is the only broker and serves all, and closes at more.
    pub fn start(script: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, script, log) = (stream.unwrap(), Arc::clone(&script), Arc::clone(&log));
                std::thread::spawn(move || {
                    // A client that goes away is no surprise.
                    let _ = serve(stream, port, &*script, &log);
                });
            }
        });
        Self { address: format!("127.0.0.1:{port}"), asked }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// A controller of KRaft, which serves what controllers do and tells brokers' clients that they are wrong.
    pub fn start_controller() -> Self {
        Self::start(|asked| match asked.start.api {
            ApiKey::ApiVersions => asked.versions(|api| api.on_controller),
            ApiKey::DescribeCluster => {
                let request = asked.body::<DescribeClusterRequest>();
                asked.answer::<DescribeClusterRequest>(&DescribeClusterResponse {
                    error_code: if request.endpoint_type == 2 { 0 } else { 114 },
                    cluster_id: "of-controllers".to_owned(),
                    endpoint_type: 2,
                    controller_id: 1,
                    ..Default::default()
                })
            }
            _ => None,
        })
    }

    /// The requests for one API so far.
    pub fn asked<R: Request>(&self) -> Vec<R> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.start.api == R::API).map(Asked::body).collect()
    }
}

fn serve(
    mut stream: TcpStream,
    port: u16,
    script: &dyn Fn(&Asked) -> Option<Vec<u8>>,
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut frame)?;
        let frame = Bytes::from(frame);
        let asked = Asked { start: read_request_start(&frame).unwrap(), frame };
        log.lock().unwrap().push(asked.clone());
        match script(&asked).or_else(|| default_answer(&asked, port)) {
            Some(answer) => stream.write_all(&answer)?,
            None => return Ok(()),
        }
    }
}

fn default_answer(asked: &Asked, port: u16) -> Option<Vec<u8>> {
    match asked.start.api {
        ApiKey::ApiVersions => asked.versions(|api| api.on_broker),
        ApiKey::Metadata => {
            let broker = MetadataResponseBroker {
                node_id: 1,
                host: "127.0.0.1".to_owned(),
                port: port.into(),
                ..Default::default()
            };
            let response = MetadataResponse { brokers: vec![broker], controller_id: 1, ..Default::default() };
            asked.answer::<MetadataRequest>(&response)
        }
        _ => None,
    }
}
