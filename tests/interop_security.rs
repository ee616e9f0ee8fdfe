//! Our tools against Apache Kafka over every security protocol: stores by `keytool` and OpenSSL, all SASL mechanisms, and
//! what is said where something does not fit.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use interop_support::{Home, KafkaProcess, Node, Quorum, Ran, Tools, run};
use kafka_rs::client::{ClientOptions, Connection};
use kafka_rs::config::{AdminConfig, Client, ClientProperties};
use kafka_rs::protocol::messages::MetadataRequest;

const OWN: Tools = Tools::Own;

/// A session that is not renewed in this time is closed by the broker (KIP-368).
const SESSION: Duration = Duration::from_millis(1500);

/// Listeners with their ports: name, protocol, and the host that is advertised.
const LISTENERS: [(&str, &str, &str); 6] = [
    ("SSL", "SSL", "localhost"),
    ("MTLS", "SSL", "localhost"),
    ("SASL_PLAINTEXT", "SASL_PLAINTEXT", "127.0.0.1"),
    ("SASL_SSL", "SASL_SSL", "localhost"),
    ("EXPIRING", "SASL_PLAINTEXT", "127.0.0.1"),
    // Nobody listens where it sends its clients.
    ("ASTRAY", "PLAINTEXT", "127.0.0.1"),
];

/// A cluster with all listeners, and the files of its clients.
struct Secured {
    /// Order: the process ends before its directories go.
    _process: KafkaProcess,
    _node: Node,
    ports: Vec<u16>,
    stores: Stores,
}

/// What `keytool` and OpenSSL made.
struct Stores {
    directory: tempfile::TempDir,
}

impl Stores {
    /// An authority, the broker's key, which it signed, in PKCS#12, the client's in every form, and trust stores.
    fn make() -> Self {
        let stores = Self { directory: tempfile::tempdir().unwrap() };
        let script = r#"
            set -eu
            key() { openssl ecparam -genkey -name prime256v1 -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }
            signed() { # NAME EXTENSIONS
                key "$1.key"; openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"; printf '%s\n' "$2" >"$1.ext"
                openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.crt"
            }
            key ca.key; openssl req -x509 -new -key ca.key -days 2 -subj "/CN=Test CA" -out ca.pem
            signed broker "subjectAltName=DNS:localhost"; signed client "extendedKeyUsage=clientAuth"
            openssl pkcs12 -export -in broker.crt -inkey broker.key -certfile ca.pem -passout pass:changeit -out broker.p12
            openssl pkcs12 -export -in client.crt -inkey client.key -certfile ca.pem -name client -passout pass:changeit -out client.p12
            openssl pkcs8 -topk8 -in client.key -passout pass:keypass -v2 aes-256-cbc -out client.pem; cat client.crt >>client.pem
            for type in JKS PKCS12; do
                keytool -importcert -noprompt -alias ca -file ca.pem -keystore "trust.$type" -storetype "$type" -storepass changeit
            done
            keytool -importkeystore -noprompt -srckeystore client.p12 -srcstoretype PKCS12 -srcstorepass changeit \
                -destkeystore client.jks -deststoretype JKS -deststorepass changeit
        "#;
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(stores.directory.path());
        run(command, "").succeed();
        stores
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file with these settings.
    fn settings(&self, name: &str, lines: &[&str]) -> PathBuf {
        let path = self.path(&format!("{name}.properties"));
        fs::write(&path, lines.join("\n").replace("STORES", self.directory.path().to_str().unwrap())).unwrap();
        path
    }
}

const PEM_TRUST: [&str; 2] = ["ssl.truststore.type=PEM", "ssl.truststore.location=STORES/ca.pem"];
const PLAIN: &str = "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
                     username=\"alice\" password=\"alice-secret\";";
const SCRAM: &str = "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
                     username=\"alice\" password=\"scram-secret\";";
const BEARER: &str = "sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                      unsecuredLoginStringClaim_sub=\"alice\";";

impl Secured {
    fn start() -> Self {
        let stores = Stores::make();
        let ports: Vec<u16> = LISTENERS.iter().map(|_| interop_support::free_port()).collect();
        let plain = interop_support::free_port();
        let controller = interop_support::free_port();
        let nobody = interop_support::free_port();
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}");
        let mut advertised = format!("PLAINTEXT://127.0.0.1:{plain}");
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        for ((name, protocol, host), port) in LISTENERS.iter().zip(&ports) {
            listeners += &format!(",{name}://127.0.0.1:{port}");
            advertised += &format!(",{name}://{host}:{}", if *name == "ASTRAY" { nobody } else { *port });
            protocols += &format!(",{name}:{protocol}");
        }
        let mut lines = vec![
            format!("listeners={listeners}"),
            format!("advertised.listeners={advertised}"),
            format!("listener.security.protocol.map={protocols}"),
            "inter.broker.listener.name=PLAINTEXT".to_owned(),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            format!("ssl.keystore.location={}", stores.path("broker.p12").display()),
            "ssl.keystore.type=PKCS12\nssl.keystore.password=changeit".to_owned(),
            format!("ssl.truststore.location={}", stores.path("trust.JKS").display()),
            "ssl.truststore.password=changeit\nlistener.name.mtls.ssl.client.auth=required".to_owned(),
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
            "listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512".to_owned(),
            format!("listener.name.expiring.connections.max.reauth.ms={}", SESSION.as_millis()),
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
            "super.users=User:ANONYMOUS;User:alice;User:CN=client".to_owned(),
        ];
        for listener in ["sasl_plaintext", "sasl_ssl", "expiring"] {
            let module = "org.apache.kafka.common.security";
            lines.push(format!(
                "listener.name.{listener}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required \
                 user_alice=\"alice-secret\" user_bob=\"bob-secret\";"
            ));
            for mechanism in ["scram-sha-256", "scram-sha-512"] {
                lines.push(format!(
                    "listener.name.{listener}.{mechanism}.sasl.jaas.config={module}.scram.ScramLoginModule required;"
                ));
            }
            lines.push(format!(
                "listener.name.{listener}.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule \
                 required unsecuredLoginStringClaim_sub=\"x\";"
            ));
        }
        let users = ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .map(|mechanism| format!("{mechanism}=[name=alice,password=scram-secret]"));
        let format: Vec<&str> = users.iter().flat_map(|user| ["--add-scram", user]).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let node = Node::format_with(Home::Kafka, Quorum::Static, &lines, &format);
        Self { _process: node.kafka(&[]), _node: node, ports, stores }
    }

    fn port(&self, listener: &str) -> u16 {
        self.ports[LISTENERS.iter().position(|(name, ..)| *name == listener).unwrap()]
    }

    /// Runs a tool over a listener with these settings.
    fn tool(&self, tool: &str, listener: &str, settings: &Path, arguments: &[&str], input: &str) -> Ran {
        let address = format!("localhost:{}", self.port(listener));
        let config = ["--command-config", settings.to_str().unwrap()];
        OWN.run_with_input(tool, &address, &[&config[..], arguments].concat(), input)
    }

    /// What a failing `topics --list` says on stderr.
    fn complaint(&self, listener: &str, lines: &[&str]) -> String {
        let settings = self.stores.settings("failing", lines);
        let ran = self.tool("topics", listener, &settings, &["--list"], "");
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        ran.stderr
    }
}

#[test]
fn tools_work_over_every_protocol_and_say_what_does_not_fit() {
    need!(Home::Kafka.missing());
    let cluster = Secured::start();
    every_protocol_mechanism_and_store_works(&cluster);
    what_does_not_fit_is_said_with_a_hint(&cluster);
    sessions_are_renewed_before_they_end(&cluster);
}

fn every_protocol_mechanism_and_store_works(cluster: &Secured) {
    let jks = ["ssl.truststore.location=STORES/trust.JKS", "ssl.truststore.password=changeit"];
    let pkcs12 = ["ssl.truststore.type=PKCS12", "ssl.truststore.location=STORES/trust.PKCS12", jks[1]];
    let key_pem = ["ssl.keystore.type=PEM", "ssl.keystore.location=STORES/client.pem", "ssl.key.password=keypass"];
    let key_jks = ["ssl.keystore.location=STORES/client.jks", "ssl.keystore.password=changeit"];
    let key_pkcs12 = ["ssl.keystore.type=PKCS12", "ssl.keystore.location=STORES/client.p12", key_jks[1]];
    let (tls, sasl, both) =
        (["security.protocol=SSL"], ["security.protocol=SASL_PLAINTEXT"], ["security.protocol=SASL_SSL"]);
    let cases: Vec<(&str, &str, Vec<&str>)> = vec![
        ("pem", "SSL", [&tls[..], &PEM_TRUST].concat()),
        ("jks", "SSL", [&tls[..], &jks].concat()),
        ("pkcs12", "SSL", [&tls[..], &pkcs12, &["ssl.enabled.protocols=TLSv1.2"]].concat()),
        ("key-pem", "MTLS", [&tls[..], &PEM_TRUST, &key_pem].concat()),
        ("key-jks", "MTLS", [&tls[..], &PEM_TRUST, &key_jks].concat()),
        ("key-pkcs12", "MTLS", [&tls[..], &PEM_TRUST, &key_pkcs12].concat()),
        ("plain", "SASL_PLAINTEXT", [&sasl[..], &["sasl.mechanism=PLAIN", PLAIN]].concat()),
        ("scram-256", "SASL_PLAINTEXT", [&sasl[..], &["sasl.mechanism=SCRAM-SHA-256", SCRAM]].concat()),
        ("bearer", "SASL_PLAINTEXT", [&sasl[..], &["sasl.mechanism=OAUTHBEARER", BEARER]].concat()),
        ("plain-tls", "SASL_SSL", [&both[..], &PEM_TRUST, &["sasl.mechanism=PLAIN", PLAIN]].concat()),
        ("scram-512-tls", "SASL_SSL", [&both[..], &jks, &["sasl.mechanism=SCRAM-SHA-512", SCRAM]].concat()),
    ];
    for (name, listener, lines) in cases {
        let settings = cluster.stores.settings(name, &lines);
        let tool =
            |tool, arguments: &[&str], input| cluster.tool(tool, listener, &settings, arguments, input).succeed();
        tool("broker-api-versions", &[], "").says(&["Produce(0):", "usable"]);
        tool("topics", &["--create", "--topic", name, "--partitions", "2"], "");
        tool("topics", &["--list"], "").says(&[name]);
        tool("console-producer", &["--topic", name], "one\ntwo\n");
        let read = ["--topic", name, "--from-beginning", "--max-messages", "2"];
        tool("console-consumer", &read, "").says(&["one"]).says(&["two"]);
    }
}

fn what_does_not_fit_is_said_with_a_hint(cluster: &Secured) {
    let plain = |password: &str| PLAIN.replace("alice-secret", password);
    let (tls, sasl, both) = ("security.protocol=SSL", "security.protocol=SASL_PLAINTEXT", "security.protocol=SASL_SSL");
    let [kind, location] = PEM_TRUST;
    let name_is = |complaint: String, words: &[&str]| {
        for word in words {
            assert!(complaint.contains(word), "no `{word}` in:\n{complaint}");
        }
        assert!(complaint.contains("\nhint: "), "no hint:\n{complaint}");
    };
    // TLS spoken to a port without, and the reverse.
    name_is(cluster.complaint("SASL_PLAINTEXT", &[tls, kind, location]), &["closed during the TLS handshake"]);
    name_is(cluster.complaint("SSL", &[]), &["speaks TLS", "security.protocol=SSL"]);
    // SASL where there is none, and the reverse.
    name_is(cluster.complaint("SSL", &[both, kind, location, "sasl.mechanism=PLAIN", PLAIN]), &["has no SASL"]);
    name_is(
        cluster.complaint("SASL_PLAINTEXT", &[]),
        &["closed the connection at the first request", "sasl.mechanism"],
    );
    // Whom we trust, and under which name.
    name_is(cluster.complaint("SSL", &[tls]), &["not signed by anybody who is trusted", "ssl.truststore.location"]);
    name_is(cluster.complaint("MTLS", &[tls, kind, location]), &["ssl.keystore.location"]);
    let settings = cluster.stores.settings("by-address", &[tls, kind, location]);
    let address = format!("127.0.0.1:{}", cluster.port("SSL"));
    let by_address =
        |settings: &Path| OWN.run("topics", &address, &["--list", "--command-config", settings.to_str().unwrap()]);
    let wrong_name = by_address(&settings);
    assert_eq!(wrong_name.code, Some(1), "{wrong_name:#?}");
    name_is(wrong_name.stderr, &["its certificate is for", "localhost"]);
    let lines = [tls, kind, location, "ssl.endpoint.identification.algorithm="];
    by_address(&cluster.stores.settings("any-name", &lines)).succeed();
    // Who we are.
    let wrong = plain("wrong");
    let complaint = cluster.complaint("SASL_PLAINTEXT", &[sasl, "sasl.mechanism=PLAIN", &wrong]);
    name_is(complaint, &["SaslAuthenticationException: Authentication failed: Invalid username or password"]);
    let wrong = SCRAM.replace("scram-secret", "wrong");
    let complaint = cluster.complaint("SASL_PLAINTEXT", &[sasl, "sasl.mechanism=SCRAM-SHA-256", &wrong]);
    name_is(complaint, &["invalid credentials with SASL mechanism SCRAM-SHA-256"]);
    let complaint = cluster.complaint("SASL_SSL", &[both, kind, location, "sasl.mechanism=OAUTHBEARER", BEARER]);
    name_is(complaint, &["not enabled", "PLAIN, SCRAM-SHA-512"]);
    // What the client may do, and where it is sent.
    let bob = PLAIN.replace("alice", "bob");
    let settings = cluster.stores.settings("bob", &[sasl, "sasl.mechanism=PLAIN", &bob]);
    let denied = cluster.tool("topics", "SASL_PLAINTEXT", &settings, &["--create", "--topic", "denied"], "");
    assert_eq!(denied.code, Some(1), "{denied:#?}");
    name_is(denied.stderr, &["AuthorizationException", "ACL"]);
    let settings = cluster.stores.settings("astray", &[]);
    let astray = cluster.tool("broker-api-versions", "ASTRAY", &settings, &[], "");
    astray.says(&["ERROR: could not connect to", "which broker 1 advertises"]);
}

fn sessions_are_renewed_before_they_end(cluster: &Secured) {
    let lines = ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=SCRAM-SHA-256", SCRAM];
    let mut properties = ClientProperties::new(Client::Admin);
    properties.read(&cluster.stores.settings("expiring", &lines)).unwrap();
    properties.set("bootstrap.servers", &format!("localhost:{}", cluster.port("EXPIRING")));
    let options = ClientOptions::from(&AdminConfig::new(&properties).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = Connection::open(&options.bootstrap_servers[0], &options).await.unwrap();
        let opened = Instant::now();
        while opened.elapsed() < 3 * SESSION {
            // A request on a session that is over closes the connection.
            connection.call(&MetadataRequest::default()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}
