//! What to do about an error of the client: the `hint:` line.

use std::error::Error as _;

use super::Hinted;
use crate::client::producer::ProduceError;
use crate::client::{AuthenticationFailure, ClientError, SecurityError};
use crate::net::tls::{StoreError, TlsError};
use crate::protocol::{ApiKey, ErrorCode};

/// What to do about an error of the client, if there is something.
pub(crate) fn hint_for(error: &ClientError) -> Option<String> {
    let hint = match error {
        ClientError::NoBroker { source, .. } => return hint_for(source),
        ClientError::Connect { source, .. } if is_unknown_host(source) => {
            "this machine knows no address of that name; check --bootstrap-server"
        }
        ClientError::Connect { .. } => {
            "is a broker running there? `kafka-rs server-start` starts one; --bootstrap-server names another"
        }
        ClientError::NotKafka { .. } => "is this a broker's port? --bootstrap-server names another",
        ClientError::TimedOut { api: ApiKey::ApiVersions, .. } => {
            "is this a broker's port, and one without TLS? A broker that is stopped or overloaded is silent too"
        }
        ClientError::Disconnected { .. } => {
            "the broker's log may say why; if it is no broker, --bootstrap-server names another"
        }
        ClientError::SpeaksTls { .. } => {
            "set security.protocol=SSL (or SASL_SSL) in a file for --command-config, or use a port without TLS"
        }
        ClientError::CutOff { .. } => {
            "the listener may want to know who its clients are: set security.protocol=SASL_PLAINTEXT (or SASL_SSL), \
             sasl.mechanism and sasl.jaas.config in a file for --command-config"
        }
        ClientError::Astray { .. } => {
            "advertised.listeners of that broker must name an address that this machine reaches"
        }
        // Every broker tells of topics, and no controller of KRaft does.
        ClientError::UnsupportedVersion { api: ApiKey::Metadata, offered: None, .. } => {
            "this is a controller's port: name a broker with --bootstrap-server, or the controller with \
             --bootstrap-controller, which some tools have"
        }
        ClientError::UnsupportedVersion { .. } => "`kafka-rs broker-api-versions` shows what the broker serves",
        ClientError::Tls { source, .. } => return tls_hint(source).map(str::to_owned),
        ClientError::Authentication { source, .. } => return Some(authentication_hint(source).to_owned()),
        ClientError::Security { source } => return security_hint(source).map(str::to_owned),
        ClientError::Api(error) => return hint_for_code(error.code),
        ClientError::DeadlineExceeded { source: Some(source), .. } => return hint_for(source),
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What to do about records that were not delivered, if there is something.
pub(crate) fn hint_for_produce(error: &ProduceError) -> Option<String> {
    match error {
        ProduceError::Client(error) => hint_for(error),
        ProduceError::UnknownTopic { source: Some(error), .. } | ProduceError::Expired { source: Some(error), .. } => {
            hint_for(error)
        }
        ProduceError::Refused(error) => hint_for_code(error.code),
        _ => None,
    }
}

/// Whether no address was found for a name: the system's error has no kind of its own for that.
fn is_unknown_host(error: &std::io::Error) -> bool {
    error.to_string().starts_with("failed to lookup address information")
}

/// What to do about an error that a broker answered with, if there is something.
pub(crate) fn hint_for_code(code: ErrorCode) -> Option<String> {
    let what = match code {
        ErrorCode::TopicAuthorizationFailed => "this topic",
        ErrorCode::GroupAuthorizationFailed => "this group",
        ErrorCode::TransactionalIdAuthorizationFailed => "this transactional id",
        ErrorCode::ClusterAuthorizationFailed => "the cluster",
        ErrorCode::DelegationTokenAuthorizationFailed => "delegation tokens",
        ErrorCode::MismatchedEndpointType => {
            return Some(
                "brokers are named with --bootstrap-server, controllers with --bootstrap-controller".to_owned(),
            );
        }
        _ => return None,
    };
    Some(format!(
        "this user has no ACL that allows it for {what}; who may alter the cluster can add one (`acls --add`)"
    ))
}

fn tls_hint(error: &TlsError) -> Option<&'static str> {
    Some(match error {
        TlsError::NotTls | TlsError::Ended | TlsError::Io(_) => {
            "the port may have no TLS: set security.protocol=PLAINTEXT (or SASL_PLAINTEXT), or use the port that has it"
        }
        TlsError::NotTrusted => {
            "name who signed it in ssl.truststore.location (a PEM file with ssl.truststore.type=PEM)"
        }
        TlsError::WrongName { .. } | TlsError::UnusableName => {
            "reach it by a name of its certificate, or write ssl.endpoint.identification.algorithm= (nothing behind it) if \
             any name will do"
        }
        TlsError::Expired | TlsError::NotYetValid => "the broker needs a new certificate, or a clock is wrong",
        TlsError::CertificateRequired | TlsError::Refused(_) => {
            "it may want a certificate of the client, signed by whom it trusts: ssl.keystore.location"
        }
        TlsError::NothingInCommon(_) => "see ssl.enabled.protocols and ssl.cipher.suites on both ends",
        TlsError::NobodyTrusted => "name who is to be trusted in ssl.truststore.location",
        TlsError::Certificate(_) => "certificates of X.509 version 3 with a subject alternative name are what works",
        _ => return None,
    })
}

fn authentication_hint(error: &AuthenticationFailure) -> &'static str {
    match error {
        AuthenticationFailure::Mechanism { .. } => {
            "set sasl.mechanism to one of them, with a login that is known to it"
        }
        AuthenticationFailure::NotAsked => "set security.protocol=PLAINTEXT (or SSL), or use a listener with SASL",
        AuthenticationFailure::Refused(_) => "check who sasl.jaas.config says you are",
        AuthenticationFailure::Exchange(_) => "is this the broker that you mean? It does not know the password either",
        AuthenticationFailure::NoRandomness => "the system is not set up to work with secrets",
    }
}

fn security_hint(error: &SecurityError) -> Option<&'static str> {
    let store = match error {
        SecurityError::Tls(error) => return tls_hint(error),
        SecurityError::Store { source, .. } => source,
        _ => return None,
    };
    Some(match store {
        StoreError::Format { found: "PEM", .. } => "set ssl.truststore.type (or ssl.keystore.type) to PEM",
        StoreError::Format { wanted: "PEM", .. } => {
            "leave ssl.truststore.type (or ssl.keystore.type) out, or name its own"
        }
        StoreError::WrongPassword => "check ssl.truststore.password, ssl.keystore.password and ssl.key.password",
        StoreError::NoPassword => "set ssl.truststore.password, ssl.keystore.password or ssl.key.password",
        StoreError::Lacks("private key") => {
            "a key store holds the client's own key; for whom to trust there is ssl.truststore"
        }
        _ => return None,
    })
}

/// The error with its hint.
pub(crate) fn explained(error: ClientError) -> anyhow::Error {
    match hint_for(&error) {
        Some(hint) => Hinted::error(super::chain_text(&anyhow::Error::new(error)), hint),
        None => anyhow::Error::new(error),
    }
}

/// The exception of Kafka's clients for who could not authenticate, and its message.
pub(crate) fn authentication_exception(error: &ClientError) -> Option<(&'static str, String)> {
    match error {
        ClientError::Tls { .. } => {
            let class = "org.apache.kafka.common.errors.SslAuthenticationException";
            Some((class, "SSL handshake failed".to_owned()))
        }
        ClientError::Authentication { mechanism, source: AuthenticationFailure::Mechanism { enabled }, .. } => Some((
            "org.apache.kafka.common.errors.UnsupportedSaslMechanismException",
            format!(
                "Client SASL mechanism '{mechanism}' not enabled in the server, enabled mechanisms are [{}]",
                enabled.join(", ")
            ),
        )),
        ClientError::Authentication { mechanism, source: AuthenticationFailure::NotAsked, .. } => Some((
            "org.apache.kafka.common.errors.IllegalSaslStateException",
            format!("Unexpected handshake request with client mechanism {mechanism}, enabled mechanisms are []"),
        )),
        ClientError::Authentication { source, .. } => {
            Some(("org.apache.kafka.common.errors.SaslAuthenticationException", source.to_string()))
        }
        ClientError::Security { source } => {
            let text = source.source().map_or_else(|| source.to_string(), |cause| format!("{source}: {cause}"));
            Some(("org.apache.kafka.common.KafkaException", text))
        }
        ClientError::DeadlineExceeded { source: Some(source), .. } => authentication_exception(source),
        _ => None,
    }
}
