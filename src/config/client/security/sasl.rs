//! `sasl.*`: who a client says it is.

use std::path::PathBuf;

use crate::config::error::ConfigError;
use crate::config::jaas::{self, LoginModule};
use crate::config::layers::Values;
use crate::config::value::Password;

/// How a client proves who it is (`sasl.mechanism`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// `PLAIN`
    Plain,
    /// `SCRAM-SHA-256`
    ScramSha256,
    /// `SCRAM-SHA-512`
    ScramSha512,
    /// `OAUTHBEARER`
    OAuthBearer,
}

/// What it proves it with.
#[derive(Debug, Clone, PartialEq)]
pub enum SaslCredentials {
    /// A name and a password.
    Password {
        /// By which mechanism.
        mechanism: SaslMechanism,
        /// The name, or the id of a delegation token.
        username: String,
        /// The password, or the token's HMAC.
        password: Password,
        /// Whether they are a delegation token's (`tokenauth`).
        is_token: bool,
    },
    /// A token.
    Token {
        /// Where it is from.
        source: TokenSource,
        /// What is sent along.
        extensions: Vec<(String, String)>,
    },
}

/// Where a token is from.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenSource {
    /// A file, read anew for each connection: somebody renews it.
    File(PathBuf),
    /// Made here, signed by nobody.
    Unsecured(UnsecuredToken),
}

/// A token that says what it is told to say.
#[derive(Debug, Clone, PartialEq)]
pub struct UnsecuredToken {
    /// `iat` and `exp` left out.
    pub claims: Vec<(String, Claim)>,
    /// Until it is over.
    pub lifetime_seconds: i64,
}

/// A value in a token.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// Text.
    Text(String),
    /// A number.
    Number(f64),
    /// Several texts.
    List(Vec<String>),
}

const JAAS: &str = "sasl.jaas.config";
const PLAIN_MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const SCRAM_MODULE: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const OAUTH_MODULE: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";

/// Prefix of the options that make a token here.
const UNSECURED: &str = "unsecuredLogin";

pub(super) fn credentials(values: &Values) -> Result<SaslCredentials, ConfigError> {
    let key = "sasl.mechanism";
    let name: String = values.read(key)?;
    let mechanism = match name.as_str() {
        "PLAIN" => SaslMechanism::Plain,
        "SCRAM-SHA-256" => SaslMechanism::ScramSha256,
        "SCRAM-SHA-512" => SaslMechanism::ScramSha512,
        "OAUTHBEARER" => SaslMechanism::OAuthBearer,
        "GSSAPI" => {
            let advice = "Kerberos is not spoken here; set sasl.mechanism to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or \
                          OAUTHBEARER";
            return Err(ConfigError::unsupported(key, name, advice));
        }
        _ => {
            let advice = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER are known here";
            return Err(ConfigError::unsupported(key, name, advice));
        }
    };
    let module = login_module(values)?;
    match (mechanism, module.class.as_str()) {
        (SaslMechanism::OAuthBearer, OAUTH_MODULE) => token(values, &module),
        // As in Kafka, either module gives a name and a password.
        (SaslMechanism::OAuthBearer, _) | (_, OAUTH_MODULE) => {
            Err(ConfigError::rule(JAAS, format!("sasl.mechanism {name} is not what {} is for", module.class)))
        }
        (_, PLAIN_MODULE | SCRAM_MODULE) => password(mechanism, module),
        (_, class) => {
            let advice = format!("the login modules known here are {PLAIN_MODULE}, {SCRAM_MODULE} and {OAUTH_MODULE}");
            Err(ConfigError::unsupported(JAAS, format!("{class} ..."), advice))
        }
    }
}

fn login_module(values: &Values) -> Result<LoginModule, ConfigError> {
    let Some(text) = values.read::<Option<Password>>(JAAS)? else {
        let message = "sasl.jaas.config is not set: it says who the client is, as in\n  sasl.jaas.config=\
                       org.apache.kafka.common.security.plain.PlainLoginModule required username=\"alice\" \
                       password=\"...\";";
        return Err(ConfigError::rule(JAAS, message));
    };
    let mut modules = jaas::parse(text.get()).map_err(|message| ConfigError::rule(JAAS, message))?;
    match (modules.pop(), modules.len()) {
        (Some(module), 0) => Ok(module),
        (_, others) => {
            let count = others + 1;
            let message = format!("JAAS config property contains {count} login modules, should be 1 module");
            Err(ConfigError::rule(JAAS, message))
        }
    }
}

fn password(mechanism: SaslMechanism, mut module: LoginModule) -> Result<SaslCredentials, ConfigError> {
    let mut take = |name: &str| {
        let missing = || ConfigError::rule(JAAS, format!("{} has no {name} in sasl.jaas.config", module.class));
        module.options.remove(name).ok_or_else(missing)
    };
    let (username, password) = (take("username")?, take("password")?);
    let tokenauth = module.options.get("tokenauth").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_token = tokenauth && module.class == SCRAM_MODULE && mechanism != SaslMechanism::Plain;
    Ok(SaslCredentials::Password { mechanism, username, password: Password::new(password), is_token })
}

fn token(values: &Values, module: &LoginModule) -> Result<SaslCredentials, ConfigError> {
    let key = "sasl.login.callback.handler.class";
    let handler: Option<String> = values.read(key)?;
    let class = handler.as_deref().and_then(|class| class.rsplit('.').next());
    match class {
        None | Some("OAuthBearerUnsecuredLoginCallbackHandler") => {
            let extensions = with_prefix(module, "unsecuredLoginExtension_");
            Ok(SaslCredentials::Token { source: TokenSource::Unsecured(unsecured(module)?), extensions })
        }
        Some("OAuthBearerLoginCallbackHandler") => {
            let extensions = with_prefix(module, "extension_");
            Ok(SaslCredentials::Token { source: TokenSource::File(token_file(values)?), extensions })
        }
        Some(_) => {
            let advice = "OAuthBearerLoginCallbackHandler and OAuthBearerUnsecuredLoginCallbackHandler of \
                          org.apache.kafka.common.security.oauthbearer are known here";
            Err(ConfigError::unsupported(key, handler.unwrap_or_default(), advice))
        }
    }
}

fn with_prefix(module: &LoginModule, prefix: &str) -> Vec<(String, String)> {
    let named = |(key, value): (&String, &String)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone()));
    module.options.iter().filter_map(named).collect()
}

/// The token of a file is used as it is; one that must be fetched is not.
fn token_file(values: &Values) -> Result<PathBuf, ConfigError> {
    let key = "sasl.oauthbearer.jwt.retriever.class";
    let retriever: String = values.read(key)?;
    if !matches!(retriever.rsplit('.').next(), Some("DefaultJwtRetriever" | "FileJwtRetriever")) {
        let advice = "tokens are taken from files here: FileJwtRetriever, with a file: URL";
        return Err(ConfigError::unsupported(key, retriever, advice));
    }
    let key = "sasl.oauthbearer.token.endpoint.url";
    let url: Option<String> = values.read(key)?;
    let url = url.ok_or_else(|| {
        ConfigError::rule(key, format!("{key} is not set: it says where the token is, as in file:/path/to/token"))
    })?;
    match url.strip_prefix("file:") {
        Some(path) => Ok(PathBuf::from(path.strip_prefix("//").unwrap_or(path))),
        None => {
            let advice = "tokens are not fetched here; have them written to a file and name it as file:/path/to/token";
            Err(ConfigError::unsupported(key, url, advice))
        }
    }
}

fn unsecured(module: &LoginModule) -> Result<UnsecuredToken, ConfigError> {
    let rule = |message: String| ConfigError::rule(JAAS, message);
    let lifetime = module.options.get("unsecuredLoginLifetimeSeconds").map_or(Ok(3600), |text| text.parse());
    let lifetime_seconds = lifetime.map_err(|_| rule("unsecuredLoginLifetimeSeconds is not a number".to_owned()))?;
    let mut claims = Vec::new();
    for (key, value) in &module.options {
        let Some((kind, name)) = key.strip_prefix(UNSECURED).and_then(|rest| rest.split_once("Claim_")) else {
            continue;
        };
        if name.is_empty() {
            continue;
        }
        if matches!(name, "iat" | "exp") {
            return Err(rule(format!("Cannot explicitly set the '{name}' claim")));
        }
        let claim = match kind {
            "String" => Claim::Text(value.clone()),
            "Number" => Claim::Number(value.trim().parse().map_err(|_| rule(format!("{key} is not a number")))?),
            "List" => Claim::List(list(value)),
            _ => continue,
        };
        claims.push((name.to_owned(), claim));
    }
    let principal = module.options.get("unsecuredLoginPrincipalClaimName").map(|name| name.trim());
    let principal = principal.filter(|name| !name.is_empty()).unwrap_or("sub");
    let has_principal = claims
        .iter()
        .any(|(name, claim)| name == principal && matches!(claim, Claim::Text(text) if !text.trim().is_empty()));
    if !has_principal {
        let message = format!(
            "OAuthBearerLoginModule makes a token that names nobody: set unsecuredLoginStringClaim_{principal} in \
             {JAAS}, or sasl.login.callback.handler.class for a token from a file"
        );
        return Err(rule(message));
    }
    Ok(UnsecuredToken { claims, lifetime_seconds })
}

/// The first character stands between the elements.
fn list(text: &str) -> Vec<String> {
    let Some(delimiter) = text.chars().next() else { return Vec::new() };
    let rest = text.trim_start_matches(delimiter);
    if rest.is_empty() { Vec::new() } else { rest.split(delimiter).map(str::to_owned).collect() }
}

#[cfg(test)]
mod tests;
