//! ApiVersions (key 18), versions 0-4.
//!
//! Behaviour: lists what the router serves, so nothing else is ever advertised; from v3 the client names its software
//! (refused with `INVALID_REQUEST` if the name is malformed, as Kafka does) and learns the cluster's features. To a version that
//! is not known the answer is version 0 with `UNSUPPORTED_VERSION` and this API's own range (KIP-511).
//! Produce is advertised from version 0 although it is served from 3: old librdkafka decides by it which codecs it may use
//! (KAFKA-18659), and never sends those versions.

use crate::broker::context::RequestContext;
use crate::broker::router::SERVED;
use crate::metadata::features::{FEATURES, KRAFT_VERSION};
use crate::protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use crate::protocol::messages::{ApiKey, ApiVersionsRequest};
use crate::protocol::{ErrorCode, VersionRange};

pub(in crate::broker) async fn handle(ctx: &RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse {
    let named = ctx.version >= 3;
    if named && !(is_software_name(&request.client_software_name) && is_software_name(&request.client_software_version))
    {
        return ApiVersionsResponse { error_code: ErrorCode::InvalidRequest.code(), ..Default::default() };
    }
    let on_listener = SERVED.iter().filter(|(api, _)| ctx.is_served_here(*api));
    let kraft_version = ctx.broker.controller.kraft_version();
    let image = ctx.broker.metadata.read();
    // Its level stands in the quorum's own records, not in the image, and counts from 1 on.
    let finalized = (kraft_version > 0).then_some((KRAFT_VERSION, kraft_version));
    let features = image.features().iter().map(|(name, level)| (name.as_str(), *level)).chain(finalized);
    ApiVersionsResponse {
        api_keys: on_listener.map(|(api, versions)| advertised(*api, *versions)).collect(),
        supported_features: FEATURES
            .iter()
            // Clients of version 3 refuse a feature that begins at 0 (KAFKA-17011).
            .filter(|feature| feature.min > 0 || ctx.version >= 4)
            .map(|feature| SupportedFeatureKey {
                name: feature.name.to_owned(),
                min_version: feature.min,
                max_version: feature.max,
                ..Default::default()
            })
            .collect(),
        finalized_features_epoch: image.position().offset.get(),
        finalized_features: features
            .map(|(name, level)| FinalizedFeatureKey {
                name: name.to_owned(),
                max_version_level: level,
                min_version_level: level,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

/// The answer to a version that is not served; written as version 0.
pub(in crate::broker) fn unsupported() -> ApiVersionsResponse {
    let own = SERVED.iter().filter(|(api, _)| *api == ApiKey::ApiVersions);
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: own.map(|(api, versions)| advertised(*api, *versions)).collect(),
        ..Default::default()
    }
}

fn advertised(api: ApiKey, versions: VersionRange) -> ApiVersion {
    let min_version = if api == ApiKey::Produce { 0 } else { versions.min };
    ApiVersion { api_key: api.get(), min_version, max_version: versions.max, ..Default::default() }
}

/// Letters and digits, with dots and dashes between them (KIP-511).
fn is_software_name(name: &str) -> bool {
    let alphanumeric = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    alphanumeric(name.chars().next())
        && alphanumeric(name.chars().next_back())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_checked_as_kafka_does() {
        for good in ["apache-kafka-java", "4.3.1", "a", "librdkafka"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "é"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_within_what_exists() {
        assert!(SERVED.is_sorted_by_key(|(api, _)| *api));
        for (api, versions) in SERVED {
            let stable = api.info().stable_versions();
            assert_eq!(versions.and(stable), Some(*versions), "{api}");
        }
    }
}
