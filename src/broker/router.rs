//! The one table of what is served: API key, versions, handler. ApiVersions answers from it, so that nothing is
//! advertised that is not served.

use bytes::Bytes;
use tracing::{debug, error};

use super::api;
use super::context::RequestContext;
use crate::protocol::frame::{RequestStart, read_request_body, response_frame};
use crate::protocol::{ApiKey, DecodeError, Message, Request, VersionRange};

/// What becomes of a connection after a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The pieces of the answer's frame are to be written.
    Answer(Vec<Bytes>),
    /// There is no answer: a produce request with `acks=0`.
    #[allow(dead_code, reason = "produce comes next")]
    Silent,
    /// The connection is to be closed, as Kafka does for what it can't parse or does not serve.
    Close,
}

macro_rules! routes {
    ($($api:ident $min:literal..=$max:literal => $handler:path;)*) => {
        /// The served APIs with their versions, in the order of the keys.
        pub(super) const SERVED: &[(ApiKey, VersionRange)] = &[$((ApiKey::$api, VersionRange::new($min, $max)),)*];

        async fn call(ctx: &RequestContext, start: &RequestStart, frame: &Bytes) -> Outcome {
            match start.api {
                // Boxed, so that a connection's task is not as large as the largest handler.
                $(ApiKey::$api => Box::pin(run(ctx, start, frame, $handler)).await,)*
                _ => Outcome::Close,
            }
        }
    };
}

routes! {
    ApiVersions 0..=4 => api::api_versions::handle;
}

/// Answers one request.
pub(super) async fn dispatch(ctx: &RequestContext, start: &RequestStart, frame: &Bytes) -> Outcome {
    let served = SERVED.iter().find(|(api, _)| *api == start.api).map(|(_, versions)| *versions);
    match served {
        Some(versions) if versions.contains(start.version) => call(ctx, start, frame).await,
        // The client learns from this answer which versions there are (KIP-511).
        _ if start.api == ApiKey::ApiVersions => encode(&api::api_versions::unsupported(), ctx, start, 0),
        _ => {
            debug!(api = %start.api, version = start.version, "not served");
            Outcome::Close
        }
    }
}

async fn run<R: Request>(
    ctx: &RequestContext,
    start: &RequestStart,
    frame: &Bytes,
    handler: impl AsyncFnOnce(&RequestContext, R) -> R::Response,
) -> Outcome {
    match decode::<R>(start, frame) {
        Ok(request) => encode(&handler(ctx, request).await, ctx, start, start.version),
        Err(error) => {
            debug!(api = %start.api, version = start.version, %error, "malformed request");
            Outcome::Close
        }
    }
}

fn decode<R: Request>(start: &RequestStart, frame: &Bytes) -> Result<R, DecodeError> {
    read_request_body(frame, start)
}

fn encode<M: Message>(response: &M, ctx: &RequestContext, start: &RequestStart, version: i16) -> Outcome {
    match response_frame(response, start.api, version, start.correlation_id) {
        Ok(pieces) => Outcome::Answer(pieces),
        Err(error) => {
            error!(api = %start.api, version, client_id = ctx.client_id, %error, "an answer can't be written");
            Outcome::Close
        }
    }
}
