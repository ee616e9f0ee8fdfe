//! Says who we are, on a connection that has just been made or again before the broker's patience is over (KIP-368).

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::{Inner, MAX_IN_FLIGHT};
use crate::client::retry::Deadline;
use crate::client::{AuthenticationFailure, ClientError, Security};
use crate::net::sasl::{Credentials, SaslError};
use crate::protocol::frame::read_response;
use crate::protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use crate::protocol::{ErrorCode, Request};

/// Answers that an exchange may take: SCRAM has two, with one more where something is wrong.
const MOST_STEPS: usize = 8;

impl Inner {
    /// Proves who we are; returns for how long that counts, if not for ever.
    ///
    /// Order: the handshake goes first, and no other request may come in between until all is said.
    pub(super) async fn authenticate(
        &self,
        security: &Security,
        deadline: Deadline,
    ) -> Result<Option<Duration>, ClientError> {
        let Some(credentials) = security.credentials() else { return Ok(None) };
        let credentials = credentials.map_err(|source| ClientError::Security { source })?;
        self.choose_mechanism(&credentials, deadline).await?;
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(|_| self.refused(&credentials, AuthenticationFailure::NoRandomness))?;
        let mut exchange = credentials.begin(nonce);
        let exchange_failed = |error: SaslError| self.refused(&credentials, AuthenticationFailure::Exchange(error));
        let mut said = Bytes::new();
        let mut lifetime = None;
        for _ in 0..MOST_STEPS {
            let Some(message) = exchange.step(&said).map_err(exchange_failed)? else {
                if !exchange.is_complete() {
                    return Err(exchange_failed(SaslError::Malformed("it ended too early")));
                }
                return Ok(lifetime);
            };
            let request = SaslAuthenticateRequest { auth_bytes: message.into(), ..Default::default() };
            let response = self.ask(&request, deadline).await?;
            match ErrorCode::from_code(response.error_code) {
                ErrorCode::None => {}
                code => {
                    let message = response.error_message.filter(|text| !text.is_empty());
                    let message = message.unwrap_or_else(|| code.name().to_owned());
                    return Err(self.refused(&credentials, AuthenticationFailure::Refused(message)));
                }
            }
            said = response.auth_bytes;
            lifetime = u64::try_from(response.session_lifetime_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
        }
        Err(exchange_failed(SaslError::Malformed("it does not end")))
    }

    async fn choose_mechanism(&self, credentials: &Credentials, deadline: Deadline) -> Result<(), ClientError> {
        let request = SaslHandshakeRequest { mechanism: credentials.mechanism().to_owned() };
        let response = match self.ask(&request, deadline).await {
            // Brokers that have no listener with SASL may not know the request.
            Err(ClientError::UnsupportedVersion { offered: None, .. }) => {
                return Err(self.refused(credentials, AuthenticationFailure::NotAsked));
            }
            response => response?,
        };
        match ErrorCode::from_code(response.error_code) {
            ErrorCode::None => Ok(()),
            ErrorCode::UnsupportedSaslMechanism => {
                let enabled = response.mechanisms;
                Err(self.refused(credentials, AuthenticationFailure::Mechanism { enabled }))
            }
            ErrorCode::IllegalSaslState => Err(self.refused(credentials, AuthenticationFailure::NotAsked)),
            code => Err(self.refused(credentials, AuthenticationFailure::Refused(code.name().to_owned()))),
        }
    }

    async fn ask<R: Request>(&self, request: &R, deadline: Deadline) -> Result<R::Response, ClientError> {
        let version = self.versions.pick::<R>(i16::MAX, &self.shared.address)?;
        let answer = self.queue(request, version, None, true)?;
        let frame = self.wait(answer, R::API, deadline).await?;
        read_response::<R>(&frame, version).map_err(|source| self.malformed(R::API, source))
    }

    fn refused(&self, credentials: &Credentials, failure: AuthenticationFailure) -> ClientError {
        let (address, mechanism) = (self.shared.address.clone(), credentials.mechanism());
        ClientError::Authentication { address, mechanism, source: failure }
    }
}

/// Proves who we are again whenever the time is near, until the connection is gone.
///
/// No other request is under way meanwhile: all permits are taken, so what callers have sent is answered first.
pub(super) async fn stay_authenticated(connection: Weak<Inner>, security: Security, mut lifetime: Duration) {
    loop {
        // Kafka's own share of the time: 85 to 95 percent, so that many clients do not come at once.
        tokio::time::sleep(lifetime.mul_f64(0.85 + 0.1 * fastrand::f64())).await;
        let Some(inner) = connection.upgrade() else { return };
        let everything = u32::try_from(MAX_IN_FLIGHT).unwrap_or(u32::MAX);
        let Ok(_permits) = Arc::clone(&inner.permits).acquire_many_owned(everything).await else { return };
        let deadline = Deadline::after(inner.request_timeout);
        match inner.authenticate(&security, deadline).await {
            Ok(Some(next)) => lifetime = next,
            Ok(None) => return,
            Err(error) => return inner.shared.close(error),
        }
    }
}
