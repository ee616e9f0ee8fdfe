//! How a client's connections are protected, and who it says it is.

use super::client_config;
use crate::config::error::ConfigError;
use crate::config::layers::Values;
use crate::config::listeners::SecurityProtocol;
use crate::config::value::Password;

mod sasl;

pub use sasl::{Claim, SaslCredentials, SaslMechanism, TokenSource, UnsecuredToken};

client_config! {
    /// How a client's connections are protected.
    SecurityConfig {
        /// `security.protocol`
        security_protocol: SecurityProtocol,
        /// `sasl.mechanism` with `sasl.jaas.config`, if the protocol has SASL
        sasl: Option<SaslCredentials>,
    }
    ssl_cipher_suites: Vec<String>,
    ssl_enabled_protocols: Vec<String>,
    ssl_endpoint_identification_algorithm: String,
    ssl_key_password: Option<Password>,
    ssl_keystore_certificate_chain: Option<Password>,
    ssl_keystore_key: Option<Password>,
    ssl_keystore_location: Option<String>,
    ssl_keystore_password: Option<Password>,
    ssl_keystore_type: String,
    ssl_truststore_certificates: Option<Password>,
    ssl_truststore_location: Option<String>,
    ssl_truststore_password: Option<Password>,
    ssl_truststore_type: String,
}

/// The versions of TLS that are spoken here, in Java's words.
const TLS_VERSIONS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];

impl SecurityConfig {
    pub(super) fn resolve(values: &Values) -> Result<Self, ConfigError> {
        let name: String = values.read("security.protocol")?;
        let protocol = SecurityProtocol::named(&name)
            .ok_or_else(|| ConfigError::invalid("security.protocol", &name, "No such protocol"))?;
        let sasl = if protocol.has_sasl() { Some(sasl::credentials(values)?) } else { None };
        let config = Self::read(protocol, sasl, values)?;
        if protocol.has_tls() {
            config.check_tls()?;
            check_protocol(&values.read::<String>("ssl.protocol")?)?;
        }
        Ok(config)
    }

    /// Kafka's rules for stores, in its order and words, and what this program can't do.
    fn check_tls(&self) -> Result<(), ConfigError> {
        let is_pem = |kind: &str| kind == "PEM";
        let key_pem = is_pem(&self.ssl_keystore_type);
        let rule = |key: &str, text: String| Err(ConfigError::rule(key, text));
        let (location, password) = (&self.ssl_keystore_location, &self.ssl_keystore_password);
        match (&self.ssl_keystore_key, &self.ssl_keystore_certificate_chain) {
            (Some(_), _) if !key_pem => {
                let kind = &self.ssl_keystore_type;
                return rule(
                    "ssl.keystore.key",
                    format!("SSL private key can be specified only for PEM, but key store type is {kind}."),
                );
            }
            (Some(_), None) => {
                let text = "SSL private key is specified, but certificate chain is not specified.";
                return rule("ssl.keystore.key", text.to_owned());
            }
            (Some(_), _) if location.is_some() => {
                let text = "Both SSL key store location and separate private key are specified.";
                return rule("ssl.keystore.key", text.to_owned());
            }
            (None, Some(_)) => {
                let text = "SSL certificate chain is specified, but private key is not specified";
                return rule("ssl.keystore.certificate.chain", text.to_owned());
            }
            _ => {}
        }
        match (location, password) {
            (_, Some(_)) if key_pem => {
                let text = "SSL key store password cannot be specified with PEM format, only key password may be \
                            specified";
                return rule("ssl.keystore.password", text.to_owned());
            }
            (None, Some(_)) => {
                let text = "SSL key store is not specified, but key store password is specified.";
                return rule("ssl.keystore.password", text.to_owned());
            }
            (Some(_), None) if !key_pem => {
                let text = "SSL key store is specified, but key store password is not specified.";
                return rule("ssl.keystore.location", text.to_owned());
            }
            _ => {}
        }
        self.check_truststore(is_pem(&self.ssl_truststore_type))?;
        for (key, kind) in
            [("ssl.keystore.type", &self.ssl_keystore_type), ("ssl.truststore.type", &self.ssl_truststore_type)]
        {
            if !is_pem(kind) && !["JKS", "PKCS12"].iter().any(|known| known.eq_ignore_ascii_case(kind)) {
                return Err(ConfigError::unsupported(key, kind, "JKS, PKCS12 and PEM are known here"));
            }
        }
        self.check_protocols()
    }

    fn check_truststore(&self, is_pem: bool) -> Result<(), ConfigError> {
        let rule = |key: &str, text: String| Err(ConfigError::rule(key, text));
        let (location, password) = (&self.ssl_truststore_location, &self.ssl_truststore_password);
        match (&self.ssl_truststore_certificates, location, password) {
            (Some(_), ..) if !is_pem => {
                let kind = &self.ssl_truststore_type;
                let text =
                    format!("SSL trust store certs can be specified only for PEM, but trust store type is {kind}.");
                rule("ssl.truststore.certificates", text)
            }
            (Some(_), Some(_), _) => {
                let text = "Both SSL trust store location and separate trust certificates are specified.";
                rule("ssl.truststore.certificates", text.to_owned())
            }
            (_, _, Some(_)) if is_pem => {
                let text = "SSL trust store password cannot be specified for PEM format.";
                rule("ssl.truststore.password", text.to_owned())
            }
            (None, None, Some(_)) => {
                let text = "SSL trust store is not specified, but trust store password is specified.";
                rule("ssl.truststore.password", text.to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_protocols(&self) -> Result<(), ConfigError> {
        let key = "ssl.enabled.protocols";
        if self.spoken_versions().is_empty() {
            let enabled = self.ssl_enabled_protocols.join(",");
            return Err(ConfigError::unsupported(key, enabled, "TLSv1.2 and TLSv1.3 are spoken here"));
        }
        let key = "ssl.endpoint.identification.algorithm";
        match self.ssl_endpoint_identification_algorithm.as_str() {
            "" => Ok(()),
            name if name.eq_ignore_ascii_case("https") => Ok(()),
            name => Err(ConfigError::unsupported(key, name, "write https, or nothing behind the `=`")),
        }
    }

    /// The versions of TLS that are enabled and spoken here.
    #[must_use]
    pub fn spoken_versions(&self) -> Vec<&'static str> {
        let enabled = |version: &&str| match self.ssl_enabled_protocols.as_slice() {
            [] => true,
            some => some.iter().any(|one| one == version),
        };
        TLS_VERSIONS.into_iter().filter(enabled).collect()
    }
}

/// What is spoken is what `ssl.enabled.protocols` says, as in Java; this key only names the implementation.
fn check_protocol(name: &str) -> Result<(), ConfigError> {
    if name == "TLS" || TLS_VERSIONS.contains(&name) {
        return Ok(());
    }
    Err(ConfigError::unsupported("ssl.protocol", name, "TLSv1.2 and TLSv1.3 are spoken here"))
}

#[cfg(test)]
mod tests {
    use crate::config::{AdminConfig, Client, ClientProperties, SecurityProtocol};

    fn read(settings: &[&str]) -> Result<super::SecurityConfig, String> {
        let mut properties = ClientProperties::new(Client::Admin);
        properties.set("bootstrap.servers", "a:1");
        settings.iter().for_each(|setting| properties.add_option(setting));
        AdminConfig::new(&properties).map(|config| config.common.security).map_err(|error| error.to_string())
    }

    #[test]
    fn protocols_are_named_in_any_case() {
        assert_eq!(read(&[]).unwrap().security_protocol, SecurityProtocol::Plaintext);
        assert_eq!(read(&["security.protocol=ssl"]).unwrap().security_protocol, SecurityProtocol::Ssl);
    }

    /// Kafka's rules, which need no file: each names what is wrong, and a protocol without TLS has none of them.
    #[test]
    fn stores_that_contradict_themselves_are_refused() {
        let cases: &[(&[&str], &str)] = &[
            (&["ssl.keystore.location=/k"], "SSL key store is specified, but key store password is not specified."),
            (&["ssl.keystore.password=p"], "SSL key store is not specified, but key store password is specified."),
            (&["ssl.keystore.key=k"], "SSL private key can be specified only for PEM, but key store type is JKS."),
            (
                &["ssl.keystore.type=PEM", "ssl.keystore.key=k"],
                "SSL private key is specified, but certificate chain is not specified.",
            ),
            (
                &["ssl.keystore.type=PEM", "ssl.keystore.certificate.chain=c"],
                "SSL certificate chain is specified, but private key is not specified",
            ),
            (
                &["ssl.keystore.type=PEM", "ssl.keystore.location=/k", "ssl.keystore.password=p"],
                "SSL key store password cannot be specified with PEM format, only key password may be specified",
            ),
            (
                &["ssl.truststore.password=p"],
                "SSL trust store is not specified, but trust store password is specified.",
            ),
            (
                &["ssl.truststore.type=PEM", "ssl.truststore.location=/t", "ssl.truststore.password=p"],
                "SSL trust store password cannot be specified for PEM format.",
            ),
            (
                &["ssl.truststore.certificates=c"],
                "SSL trust store certs can be specified only for PEM, but trust store type is JKS.",
            ),
            (&["ssl.truststore.type=BCFKS"], "ssl.truststore.type=BCFKS is not supported yet: JKS, PKCS12 and PEM"),
            (&["ssl.enabled.protocols=TLSv1.1"], "ssl.enabled.protocols=TLSv1.1 is not supported yet"),
            (&["ssl.protocol=SSLv3"], "ssl.protocol=SSLv3 is not supported yet"),
            (&["ssl.endpoint.identification.algorithm=ldaps"], "write https, or nothing"),
        ];
        for (settings, expected) in cases {
            read(settings).unwrap();
            let with_tls: Vec<_> = settings.iter().copied().chain(["security.protocol=SSL"]).collect();
            let error = read(&with_tls).unwrap_err();
            assert!(error.contains(expected), "{settings:?}: {error}");
        }
    }

    #[test]
    fn old_versions_of_tls_are_left_out() {
        assert_eq!(read(&[]).unwrap().spoken_versions(), ["TLSv1.2", "TLSv1.3"]);
        assert_eq!(read(&["ssl.enabled.protocols=TLSv1.1,TLSv1.2"]).unwrap().spoken_versions(), ["TLSv1.2"]);
    }
}
