//! Feature levels of the cluster (KIP-584).

use std::collections::BTreeMap;

use super::Admin;
use crate::client::cluster::{AutoCreate, Lane, TopicScope};
use crate::client::{ApiError, ClientError};
use crate::protocol::ErrorCode;
use crate::protocol::messages::UpdateFeaturesRequest;
use crate::protocol::messages::update_features_request::FeatureUpdateKey;
use crate::types::NodeId;

/// A feature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeatureLevels {
    /// Lowest level that the node supports.
    pub min: i16,
    /// Highest level that the node supports.
    pub max: i16,
    /// The level that the cluster uses; 0 if it does not use the feature.
    pub finalized: i16,
}

/// What a node says of features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureDescription {
    /// By name.
    pub features: BTreeMap<String, FeatureLevels>,
    /// How far the node's metadata is; `None` if it does not tell.
    pub epoch: Option<i64>,
}

/// Which way a feature's level may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum UpgradeType {
    /// Up.
    Upgrade = 1,
    /// Down, if nothing is lost by it.
    SafeDowngrade = 2,
    /// Down, whatever is lost.
    UnsafeDowngrade = 3,
}

impl Admin {
    /// The features that a node (`None`: any) supports and the cluster uses.
    ///
    /// # Errors
    /// The node is not known, or does not answer.
    pub async fn describe_features(&self, node: Option<NodeId>) -> Result<FeatureDescription, ClientError> {
        let deadline = self.cluster.api_deadline();
        let connection = match node {
            None => self.cluster.any(deadline).await?,
            Some(node) => {
                self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
                self.cluster.node(node, Lane::General, deadline).await?
            }
        };
        let versions = connection.api_versions();
        let mut features: BTreeMap<String, FeatureLevels> = BTreeMap::new();
        for supported in &versions.supported_features {
            let entry = features.entry(supported.name.clone()).or_default();
            (entry.min, entry.max) = (supported.min_version, supported.max_version);
        }
        for finalized in &versions.finalized_features {
            features.entry(finalized.name.clone()).or_default().finalized = finalized.max_version_level;
        }
        let epoch = Some(versions.finalized_features_epoch).filter(|epoch| *epoch >= 0);
        Ok(FeatureDescription { features, epoch })
    }

    /// Sets levels of features, all or none of them from 4.0 on.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn update_features(
        &self,
        updates: &BTreeMap<String, (i16, UpgradeType)>,
        validate_only: bool,
    ) -> Result<BTreeMap<String, Result<(), ApiError>>, ClientError> {
        let build = |version: i16| UpdateFeaturesRequest {
            timeout_ms: self.request_timeout_ms(),
            feature_updates: updates
                .iter()
                .map(|(feature, (level, upgrade_type))| FeatureUpdateKey {
                    feature: feature.clone(),
                    max_version_level: *level,
                    allow_downgrade: version == 0 && *upgrade_type != UpgradeType::Upgrade,
                    upgrade_type: *upgrade_type as i8,
                    ..Default::default()
                })
                .collect(),
            validate_only,
            ..Default::default()
        };
        let response = self.call_controller(build, |response| Some(ErrorCode::from_code(response.error_code))).await?;
        let whole = ApiError::check(response.error_code, response.error_message);
        let mut results: BTreeMap<_, _> = updates.keys().map(|feature| (feature.clone(), whole.clone())).collect();
        for result in response.results {
            results.insert(result.feature, ApiError::check(result.error_code, result.error_message));
        }
        Ok(results)
    }
}
