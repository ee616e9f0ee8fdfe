use super::*;
use crate::config::{AdminConfig, Client, ClientProperties};

fn read(settings: &[&str]) -> Result<SaslCredentials, String> {
    let mut properties = ClientProperties::new(Client::Admin);
    properties.set("bootstrap.servers", "a:1");
    properties.add_option("security.protocol=SASL_SSL");
    settings.iter().for_each(|setting| properties.add_option(setting));
    match AdminConfig::new(&properties) {
        Ok(config) => Ok(config.common.security.sasl.unwrap()),
        Err(error) => Err(error.to_string()),
    }
}

fn jaas(class: &str, options: &str) -> String {
    format!("sasl.jaas.config=org.apache.kafka.common.security.{class} required {options};")
}

#[test]
fn a_password_is_read_for_each_mechanism() {
    for (name, mechanism) in [
        ("PLAIN", SaslMechanism::Plain),
        ("SCRAM-SHA-256", SaslMechanism::ScramSha256),
        ("SCRAM-SHA-512", SaslMechanism::ScramSha512),
    ] {
        let setting = format!("sasl.mechanism={name}");
        // As in Kafka, the module's name does not matter as long as it knows passwords.
        for class in ["plain.PlainLoginModule", "scram.ScramLoginModule"] {
            let config = jaas(class, "username=\"alice\" password=\"secret\"");
            let expected = SaslCredentials::Password {
                mechanism,
                username: "alice".to_owned(),
                password: Password::new("secret"),
                is_token: false,
            };
            assert_eq!(read(&[&setting, &config]), Ok(expected));
        }
    }
    let token = jaas("scram.ScramLoginModule", "username=\"id\" password=\"hmac\" tokenauth=\"true\"");
    let found = read(&["sasl.mechanism=SCRAM-SHA-256", &token]).unwrap();
    assert!(matches!(found, SaslCredentials::Password { is_token: true, .. }));
}

#[test]
fn a_token_is_made_or_taken_from_a_file() {
    let unsecured = jaas(
        "oauthbearer.OAuthBearerLoginModule",
        "unsecuredLoginStringClaim_sub=\"alice\" unsecuredLoginNumberClaim_n=\"2\" \
         unsecuredLoginListClaim_scope=\"|a|b\" unsecuredLoginLifetimeSeconds=\"60\" unsecuredLoginExtension_x=\"y\"",
    );
    let SaslCredentials::Token { source: TokenSource::Unsecured(token), extensions } =
        read(&["sasl.mechanism=OAUTHBEARER", &unsecured]).unwrap()
    else {
        panic!("no token")
    };
    assert_eq!(token.lifetime_seconds, 60);
    let list = Claim::List(vec!["a".to_owned(), "b".to_owned()]);
    let (n, sub) = (Claim::Number(2.0), Claim::Text("alice".to_owned()));
    assert_eq!(token.claims, [("scope".to_owned(), list), ("n".to_owned(), n), ("sub".to_owned(), sub)]);
    assert_eq!(extensions, [("x".to_owned(), "y".to_owned())]);

    let class = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler";
    let handler = format!("sasl.login.callback.handler.class={class}");
    let module = jaas("oauthbearer.OAuthBearerLoginModule", "extension_a=b");
    let url = "sasl.oauthbearer.token.endpoint.url=file:///run/token";
    let found = read(&["sasl.mechanism=OAUTHBEARER", &handler, &module, url]).unwrap();
    let extensions = vec![("a".to_owned(), "b".to_owned())];
    assert_eq!(found, SaslCredentials::Token { source: TokenSource::File("/run/token".into()), extensions });
}

#[test]
fn what_says_nobody_is_told() {
    let bearer = jaas("oauthbearer.OAuthBearerLoginModule", "");
    let class = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler";
    let handler = format!("sasl.login.callback.handler.class={class}");
    let plain = jaas("plain.PlainLoginModule", "username=\"alice\"");
    let kerberos = "sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required;";
    let https = "sasl.oauthbearer.token.endpoint.url=https://example.org/token";
    let cases: &[(&[&str], &str)] = &[
        (&[], "sasl.mechanism=GSSAPI is not supported yet: Kerberos"),
        (&["sasl.mechanism=AWS_MSK_IAM"], "sasl.mechanism=AWS_MSK_IAM is not supported yet"),
        (&["sasl.mechanism=PLAIN"], "sasl.jaas.config is not set"),
        (&["sasl.mechanism=PLAIN", &plain], "PlainLoginModule has no password"),
        (&["sasl.mechanism=PLAIN", kerberos], "Krb5LoginModule ... is not supported yet"),
        (&["sasl.mechanism=PLAIN", &bearer], "is not what org.apache.kafka.common.security.oauthbearer"),
        (&["sasl.mechanism=PLAIN", "sasl.jaas.config=A required; B required;"], "contains 2 login modules"),
        (&["sasl.mechanism=OAUTHBEARER", &bearer], "set unsecuredLoginStringClaim_sub"),
        (&["sasl.mechanism=OAUTHBEARER", &bearer, &handler], "token.endpoint.url is not set"),
        (&["sasl.mechanism=OAUTHBEARER", &bearer, &handler, https], "tokens are not fetched here"),
        (&["sasl.mechanism=OAUTHBEARER", &bearer, "sasl.login.callback.handler.class=a.B"], "are known here"),
    ];
    for (settings, expected) in cases {
        let error = read(settings).unwrap_err();
        assert!(error.contains(expected), "{settings:?}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
