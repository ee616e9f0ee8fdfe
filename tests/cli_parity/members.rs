//! Members of groups that are there while tools look at their group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kafka_rs::client::admin::{AlterConfig, ConfigChange, ConfigResource, ResourceType};
use kafka_rs::client::consumer::GroupOptions;
use kafka_rs::client::{Admin, ClientOptions, Consumer, ConsumerOptions, ShareConsumer, ShareConsumerOptions};
use kafka_rs::config::{GroupProtocol, OffsetReset};

/// How long joining may take.
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(20);

/// A member that reads all there is, commits it, and stays until it is told to leave.
pub struct Member {
    leave: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    /// `kind` is `classic`, `consumer` or `share`. Returns once the member has its partitions.
    pub fn join(server: &str, kind: &str, group: &str, topic: &str) -> Self {
        let leave = Arc::new(AtomicBool::new(false));
        let joined = Arc::new(AtomicBool::new(false));
        let client_id = if kind == "share" { "console-share-consumer" } else { "console-consumer" };
        let client = ClientOptions {
            client_id: client_id.to_owned(),
            ..ClientOptions::for_servers(vec![server.parse().unwrap()])
        };
        let work = {
            let (leave, joined) = (Arc::clone(&leave), Arc::clone(&joined));
            let [kind, group, topic] = [kind, group, topic].map(str::to_owned);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    match kind.as_str() {
                        "share" => share(client, &group, &topic, &joined, &leave).await,
                        "classic" => read(client, GroupProtocol::Classic, &group, &topic, &joined, &leave).await,
                        "consumer" => read(client, GroupProtocol::Consumer, &group, &topic, &joined, &leave).await,
                        other => panic!("no kind of member: {other}"),
                    }
                });
            }
        };
        let member = Self { leave, thread: Some(std::thread::spawn(work)) };
        let start = Instant::now();
        while !joined.load(Ordering::Relaxed) {
            assert!(start.elapsed() < PATIENCE, "does not become a member of {group}");
            std::thread::sleep(TICK);
        }
        member
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        let left = self.thread.take().unwrap().join();
        assert!(left.is_ok() || std::thread::panicking(), "a member failed");
    }
}

async fn read(
    client: ClientOptions,
    protocol: GroupProtocol,
    group: &str,
    topic: &str,
    joined: &AtomicBool,
    leave: &AtomicBool,
) {
    let group = GroupOptions { protocol, ..GroupOptions::new(group) };
    let options =
        ConsumerOptions { client, group: Some(group), offset_reset: OffsetReset::Earliest, ..Default::default() };
    let mut consumer = Consumer::new(options);
    consumer.subscribe([topic], None).unwrap();
    while !leave.load(Ordering::Relaxed) {
        consumer.poll(TICK).await.unwrap();
        // May be refused while others join; the next round does it.
        let _ = consumer.commit().await;
        if !consumer.assignment().is_empty() {
            joined.store(true, Ordering::Relaxed);
        }
    }
    consumer.close().await.unwrap();
}

/// A share group begins with the records that are there, as `share.auto.offset.reset=earliest` has it.
async fn share(client: ClientOptions, group: &str, topic: &str, joined: &AtomicBool, leave: &AtomicBool) {
    let change =
        AlterConfig { name: "share.auto.offset.reset".to_owned(), change: ConfigChange::Set("earliest".to_owned()) };
    let resource = ConfigResource { resource_type: ResourceType::Group, name: group.to_owned() };
    for (_, altered) in Admin::new(client.clone()).alter_configs(&[(resource, vec![change])], false).await.unwrap() {
        altered.unwrap();
    }
    let mut consumer = ShareConsumer::new(ShareConsumerOptions::new(client, group));
    consumer.subscribe([topic]);
    let mut read = false;
    while !leave.load(Ordering::Relaxed) {
        let records = consumer.poll(TICK).await.unwrap();
        read |= !records.is_empty();
        joined.store(read, Ordering::Relaxed);
    }
    consumer.close().await.unwrap();
}
