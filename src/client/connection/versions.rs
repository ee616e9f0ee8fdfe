//! What a broker speaks, and which version of a request to use with it.

use crate::client::{Address, ClientError};
use crate::protocol::messages::ApiVersionsResponse;
use crate::protocol::messages::api_versions_response::{FinalizedFeatureKey, SupportedFeatureKey};
use crate::protocol::{ApiKey, Request, VersionRange};

/// A broker's answer to ApiVersions.
#[derive(Debug, Clone, Default)]
pub struct ApiVersions {
    /// By API key, in ascending order; keys that this program does not know included.
    ranges: Vec<(i16, VersionRange)>,
    /// Features that the broker supports.
    pub supported_features: Vec<SupportedFeatureKey>,
    /// Features that the cluster uses.
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// Counts changes of them; -1 if not known.
    pub finalized_features_epoch: i64,
}

impl ApiVersions {
    pub(super) fn from_response(response: ApiVersionsResponse) -> Self {
        let mut ranges: Vec<_> = response
            .api_keys
            .iter()
            .map(|api| (api.api_key, VersionRange::new(api.min_version, api.max_version)))
            .collect();
        ranges.sort_unstable_by_key(|(key, _)| *key);
        Self {
            ranges,
            supported_features: response.supported_features,
            finalized_features: response.finalized_features,
            finalized_features_epoch: response.finalized_features_epoch,
        }
    }

    /// All APIs with their versions, by key, also of APIs that this program does not know.
    pub fn iter(&self) -> impl Iterator<Item = (i16, VersionRange)> + '_ {
        self.ranges.iter().copied()
    }

    /// The versions of an API, if the broker serves it.
    #[must_use]
    pub fn get(&self, api: ApiKey) -> Option<VersionRange> {
        let at = self.ranges.binary_search_by_key(&api.get(), |(key, _)| *key).ok()?;
        self.ranges.get(at).map(|(_, range)| *range)
    }

    /// The highest version of `R` that both ends have, at most `cap`.
    pub(super) fn pick<R: Request>(&self, cap: i16, address: &Address) -> Result<i16, ClientError> {
        let stable = R::API.info().stable_versions();
        let wanted = VersionRange::new(stable.min, stable.max.min(cap));
        let offered = self.get(R::API);
        match offered.and_then(|offered| offered.and(wanted)) {
            Some(both) => Ok(both.max),
            None => Err(ClientError::UnsupportedVersion { address: address.clone(), api: R::API, wanted, offered }),
        }
    }
}
