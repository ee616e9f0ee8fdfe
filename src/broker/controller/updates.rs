//! Changes of the cluster itself, as methods: feature levels, and brokers that are no more.

use tracing::info;

use super::error::{ApiError, ControllerError};
use super::feature_updates::{self, FeatureChange, Own};
use super::registration;
use super::runtime::{Controller, RECORDS_PER_BATCH, Writer};
use crate::metadata::{MetadataRecord, MetadataVersion};
use crate::protocol::ErrorCode;
use crate::protocol::messages::update_features_response::UpdatableFeatureResult;
use crate::protocol::messages::{
    UnregisterBrokerRecord, UnregisterBrokerRequest, UnregisterBrokerResponse, UpdateFeaturesRequest,
    UpdateFeaturesResponse,
};
use crate::types::{NodeId, Uuid};

/// Up to this version the answer has a part for each feature.
const LAST_WITH_RESULTS: i16 = 1;

impl Controller {
    /// UpdateFeatures.
    pub(in crate::broker) fn update_features(
        &self,
        request: &UpdateFeaturesRequest,
        version: i16,
        now_ms: i64,
    ) -> UpdateFeaturesResponse {
        let refused = |error: ApiError| UpdateFeaturesResponse {
            error_code: error.code.code(),
            error_message: Some(format!(
                "The update failed for all features since the following feature had an error: {}",
                error.message.unwrap_or_default()
            )),
            ..Default::default()
        };
        match self.try_update_features(request, now_ms) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return refused(error),
            Err(error) => return refused(error.to_api_error()),
        }
        let result = |feature: &String| UpdatableFeatureResult {
            feature: feature.clone(),
            error_message: Some("NONE".to_owned()),
            ..Default::default()
        };
        let results = request.feature_updates.iter().filter(|_| version <= LAST_WITH_RESULTS);
        let results = results.map(|update| result(&update.feature)).collect();
        UpdateFeaturesResponse { error_message: None, results, ..Default::default() }
    }

    fn try_update_features(
        &self,
        request: &UpdateFeaturesRequest,
        now_ms: i64,
    ) -> Result<Result<(), ApiError>, ControllerError> {
        let mut writer = self.writer();
        let own = Own { node_id: self.node_id(), kraft_version: self.kraft_version(), config: self.config() };
        let planned = feature_updates::plan(&self.cache().read(), own, request);
        let FeatureChange { records, raises_kraft_version } = match planned {
            Ok(change) => change,
            Err(error) => return Ok(Err(error)),
        };
        if raises_kraft_version {
            self.raise_kraft_version(&mut writer, now_ms)?;
        }
        let before = self.level();
        if !records.is_empty() {
            self.append(&mut writer, &records, now_ms)?;
        }
        self.register_at_new_level(&mut writer, before, now_ms)?;
        self.flush(&mut writer)?;
        for update in request.feature_updates.iter().filter(|_| !request.validate_only) {
            info!(feature = update.feature, level = update.max_version_level, "feature level set");
        }
        Ok(Ok(()))
    }

    /// Registers again what registers with more at the new level of `metadata.version`.
    fn register_at_new_level(
        &self,
        writer: &mut Writer,
        before: MetadataVersion,
        now_ms: i64,
    ) -> Result<(), ControllerError> {
        let level = self.level();
        let mut records = Vec::new();
        if level.has_controller_registration() && !before.has_controller_registration() {
            let listeners = &self.config().advertised_controller_listeners;
            records.push(registration::register_controller(self.node_id(), Uuid::random(), listeners));
        }
        if level.register_broker_record() > before.register_broker_record() {
            records.extend(self.registration_again(writer, records.len()));
        }
        if records.is_empty() { Ok(()) } else { self.append(writer, &records, now_ms) }
    }

    /// The registration of this node's broker, which goes on as it is, with a new epoch: its place behind so many records.
    fn registration_again(&self, writer: &mut Writer, records_before: usize) -> Option<MetadataRecord> {
        writer.broker_epoch?;
        let epoch = writer.log.end_offset().plus(i64::try_from(records_before).unwrap_or_default()).get();
        let record =
            registration::register_again(&self.cache().read(), self.node_id(), &writer.broker_directories, epoch)?;
        writer.broker_epoch = Some(epoch);
        Some(record)
    }

    /// UnregisterBroker. This node's own broker, which runs, is registered again at once.
    pub(in crate::broker) fn unregister_broker(
        &self,
        request: &UnregisterBrokerRequest,
        now_ms: i64,
    ) -> UnregisterBrokerResponse {
        let refused = |ApiError { code, message }| UnregisterBrokerResponse {
            error_code: code.code(),
            error_message: message,
            ..Default::default()
        };
        match self.try_unregister_broker(NodeId(request.broker_id), now_ms) {
            Ok(true) => UnregisterBrokerResponse { error_message: None, ..Default::default() },
            Ok(false) => {
                let text = format!("Broker ID {} is not currently registered", request.broker_id);
                refused(ApiError::new(ErrorCode::BrokerIdNotRegistered, text))
            }
            Err(error) => refused(error.to_api_error()),
        }
    }

    fn try_unregister_broker(&self, id: NodeId, now_ms: i64) -> Result<bool, ControllerError> {
        let mut writer = self.writer();
        let image = self.cache().read();
        let Some(broker_epoch) = image.brokers().get(&id).map(|broker| broker.broker_epoch) else { return Ok(false) };
        let gone = UnregisterBrokerRecord { broker_id: id.get(), broker_epoch, ..Default::default() };
        let mut records = Vec::new();
        if id == self.node_id() && writer.broker_epoch.is_some() {
            records.push(gone.into());
            records.extend(self.registration_again(&mut writer, records.len()));
        } else {
            records = registration::leave(&image, id);
            records.push(gone.into());
        }
        drop(image);
        for some in records.chunks(RECORDS_PER_BATCH) {
            self.append(&mut writer, some, now_ms)?;
        }
        self.flush(&mut writer)?;
        info!(broker = %id, "broker unregistered");
        Ok(true)
    }
}
