//! Handshakes with a server of rustls, and what is said where they fail.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

const KEY: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/stores/key.pem"));
const CA: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/stores/ca.pem"));
/// An authority's own certificate, whose only name is the common name `cn.example`.
const CN: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/stores/cn.pem"));

fn trusting(certificates: &[u8], name_check: NameCheck) -> TlsSettings {
    let trusted = read_trusted(StoreFormat::Pem, certificates, None).unwrap();
    TlsSettings {
        trust: Trust::Only(trusted.into_iter().take(1).collect()),
        identity: None,
        name_check,
        versions: TlsVersions { v1_2: true, v1_3: true },
        cipher_suites: Vec::new(),
    }
}

/// A server with the key in `pem` that greets who gets through to it.
async fn server(pem: &[u8]) -> std::net::SocketAddr {
    let Identity { key, chain } = read_identity(StoreFormat::Pem, pem, None, None).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust us ends the handshake.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.write_all(b"hello").await;
                let _ = stream.shutdown().await;
            }
        }
    });
    address
}

async fn greeting(settings: TlsSettings, host: &str, server: std::net::SocketAddr) -> Result<String, TlsError> {
    let client = TlsClient::new(settings)?;
    let mut stream = client.connect(host, TcpStream::connect(server).await.unwrap()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    Ok(text)
}

#[tokio::test]
async fn who_is_trusted_and_has_the_name_is_spoken_to() {
    let server = server(KEY).await;
    for host in ["client.example", "a.client.example"] {
        assert_eq!(greeting(trusting(CA, NameCheck::Host), host, server).await.unwrap(), "hello");
    }
    let error = greeting(trusting(CA, NameCheck::Host), "other.example", server).await.unwrap_err();
    assert!(matches!(&error, TlsError::WrongName { names } if !names.is_empty()), "{error}");
    let error = greeting(trusting(CA, NameCheck::Host), "127.0.0.1", server).await.unwrap_err();
    assert!(matches!(error, TlsError::WrongName { .. }), "{error}");
    assert_eq!(greeting(trusting(CA, NameCheck::Off), "other.example", server).await.unwrap(), "hello");
    for name_check in [NameCheck::Host, NameCheck::Off] {
        let error = greeting(trusting(CN, name_check), "client.example", server).await.unwrap_err();
        assert!(matches!(error, TlsError::NotTrusted), "{error}");
    }
}

#[tokio::test]
async fn versions_and_suites_are_those_that_were_asked_for() {
    let server = server(KEY).await;
    let with = |v1_2, v1_3, suites: &[&str]| TlsSettings {
        versions: TlsVersions { v1_2, v1_3 },
        cipher_suites: suites.iter().map(|suite| (*suite).to_owned()).collect(),
        ..trusting(CA, NameCheck::Host)
    };
    for settings in [
        with(true, false, &[]),
        with(false, true, &["TLS_AES_256_GCM_SHA384"]),
        with(true, false, &["TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]),
    ] {
        assert_eq!(greeting(settings, "client.example", server).await.unwrap(), "hello");
    }
    let error = TlsClient::new(with(true, true, &["TLS_RSA_WITH_AES_128_CBC_SHA"])).unwrap_err();
    assert!(error.to_string().contains("TLS_AES_256_GCM_SHA384"), "{error}");
}

/// A certificate in the trust store is trusted itself, an authority's too; its common name counts where it has no other.
#[tokio::test]
async fn a_trusted_certificate_may_be_the_servers_own() {
    let server = server(CN).await;
    assert_eq!(greeting(trusting(CN, NameCheck::Host), "cn.example", server).await.unwrap(), "hello");
    let error = greeting(trusting(CN, NameCheck::Host), "other.example", server).await.unwrap_err();
    assert!(matches!(&error, TlsError::WrongName { names } if names == &["CN=cn.example"]), "{error}");
    // An address is not looked for among the names of people.
    let error = greeting(trusting(CN, NameCheck::Host), "127.0.0.1", server).await.unwrap_err();
    assert!(matches!(error, TlsError::WrongName { .. }), "{error}");
}

#[tokio::test]
async fn who_speaks_no_tls_is_found_out() {
    for (answer, expected) in [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "the answer is not TLS"), (b"", "closed")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer).await;
        });
        let error = greeting(trusting(CA, NameCheck::Off), "localhost", address).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn certificates_have_their_time() {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let TlsSettings { trust, .. } = trusting(CA, NameCheck::Host);
    let verifier = verifier(trust, NameCheck::Host, &provider).unwrap();
    let Identity { chain, .. } = read_identity(StoreFormat::Pem, KEY, None, None).unwrap();
    let name = ServerName::try_from("client.example").unwrap();
    let at = |years: u64| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(years * 31_557_600));
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).map_err(TlsError::from)
    };
    at(80).unwrap();
    assert!(matches!(at(230), Err(TlsError::Expired)));
    assert!(matches!(at(10), Err(TlsError::NotYetValid)));
}
