//! Quotas of users, clients and addresses (KIP-546), and the SCRAM credentials of users (KIP-554).

use super::{Admin, checked};
use crate::client::{ApiError, ClientError};
use crate::net::ScramMechanism;
use crate::protocol::ErrorCode;
use crate::protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use crate::protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use crate::protocol::messages::describe_client_quotas_request::ComponentData;
use crate::protocol::messages::describe_user_scram_credentials_request::UserName;
use crate::protocol::messages::{
    AlterClientQuotasRequest, AlterUserScramCredentialsRequest, DescribeClientQuotasRequest,
    DescribeUserScramCredentialsRequest,
};

/// What a quota is for: pairs of a type (`user`, `client-id`, `ip`) and a name, `None` for all that have no quota of
/// their own.
pub type QuotaEntity = Vec<(String, Option<String>)>;

/// Which entities are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaMatch<'a> {
    /// The one of this name.
    Exact(&'a str),
    /// The default.
    Default,
    /// Each that is named, and the default.
    Any,
}

/// An entity with what is set for it, by key.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaEntry {
    /// What it is for.
    pub entity: QuotaEntity,
    /// Values by key.
    pub values: Vec<(String, f64)>,
}

/// A user's credential, without what is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScramCredentialInfo {
    /// Kafka's number of the mechanism.
    pub mechanism: i8,
    /// How often the password is hashed.
    pub iterations: i32,
}

/// A new credential. The password never leaves this program.
#[derive(Clone)]
pub struct NewScramCredential {
    /// The mechanism.
    pub mechanism: ScramMechanism,
    /// How often the password is hashed.
    pub iterations: i32,
    /// Random bytes that keep equal passwords from looking alike.
    pub salt: Vec<u8>,
    /// The password.
    pub password: Vec<u8>,
}

impl std::fmt::Debug for NewScramCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewScramCredential")
            .field("mechanism", &self.mechanism)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// The quotas of the entities that consist of exactly these types.
    ///
    /// # Errors
    /// No broker answers, or the request is refused.
    pub async fn describe_client_quotas(
        &self,
        components: &[(&str, QuotaMatch<'_>)],
    ) -> Result<Vec<QuotaEntry>, ClientError> {
        let component = |(entity_type, wanted): &(&str, QuotaMatch<'_>)| {
            let (match_type, text) = match wanted {
                QuotaMatch::Exact(name) => (0, Some((*name).to_owned())),
                QuotaMatch::Default => (1, None),
                QuotaMatch::Any => (2, None),
            };
            ComponentData { entity_type: (*entity_type).to_owned(), match_type, r#match: text, ..Default::default() }
        };
        let request = DescribeClientQuotasRequest {
            components: components.iter().map(component).collect(),
            strict: true,
            ..Default::default()
        };
        let response =
            self.call_any(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code))).await?;
        ApiError::check(response.error_code, response.error_message)?;
        let entries = response.entries.unwrap_or_default().into_iter().map(|entry| QuotaEntry {
            entity: entry.entity.into_iter().map(|entity| (entity.entity_type, entity.entity_name)).collect(),
            values: entry.values.into_iter().map(|value| (value.key, value.value)).collect(),
        });
        Ok(entries.collect())
    }

    /// Sets quotas of an entity, or (`None`) takes them away.
    ///
    /// # Errors
    /// No broker answers, or the change is refused.
    pub async fn alter_client_quotas(
        &self,
        entity: &QuotaEntity,
        changes: &[(String, Option<f64>)],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let named = |(entity_type, entity_name): &(String, Option<String>)| EntityData {
            entity_type: entity_type.clone(),
            entity_name: entity_name.clone(),
            ..Default::default()
        };
        let op = |(key, value): &(String, Option<f64>)| OpData {
            key: key.clone(),
            value: value.unwrap_or_default(),
            remove: value.is_none(),
            ..Default::default()
        };
        let entry = EntryData {
            entity: entity.iter().map(named).collect(),
            ops: changes.iter().map(op).collect(),
            ..Default::default()
        };
        let request = AlterClientQuotasRequest { entries: vec![entry], validate_only, ..Default::default() };
        let refused = |response: &crate::protocol::messages::AlterClientQuotasResponse| {
            response.entries.first().map(|entry| ErrorCode::from_code(entry.error_code))
        };
        let response = self.call_controller(|_| request.clone(), refused).await?;
        for entry in response.entries {
            ApiError::check(entry.error_code, entry.error_message)?;
        }
        Ok(())
    }

    /// The credentials of users, of all if none is named, in the broker's order.
    ///
    /// # Errors
    /// No broker answers, or the request is refused.
    pub async fn describe_user_scram_credentials(
        &self,
        users: &[String],
    ) -> Result<Vec<(String, Result<Vec<ScramCredentialInfo>, ApiError>)>, ClientError> {
        let named = |name: &String| UserName { name: name.clone(), ..Default::default() };
        let users = (!users.is_empty()).then(|| users.iter().map(named).collect());
        let request = DescribeUserScramCredentialsRequest { users, ..Default::default() };
        let response =
            self.call_any(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code))).await?;
        ApiError::check(response.error_code, response.error_message)?;
        let mut described = Vec::new();
        for user in response.results {
            let infos = user
                .credential_infos
                .iter()
                .map(|info| ScramCredentialInfo { mechanism: info.mechanism, iterations: info.iterations });
            let infos = infos.collect();
            described.push((user.user, checked(user.error_code, user.error_message, || infos)));
        }
        Ok(described)
    }

    /// Gives a user credentials, or takes some away.
    ///
    /// # Errors
    /// No broker answers, or the change is refused.
    pub async fn alter_user_scram_credentials(
        &self,
        user: &str,
        deleted: &[ScramMechanism],
        new: &[NewScramCredential],
    ) -> Result<(), ClientError> {
        let upsertion = |credential: &NewScramCredential| {
            let rounds = u32::try_from(credential.iterations).unwrap_or_default();
            let salted_password = credential.mechanism.salted_password(&credential.password, &credential.salt, rounds);
            ScramCredentialUpsertion {
                name: user.to_owned(),
                mechanism: credential.mechanism.number(),
                iterations: credential.iterations,
                salt: credential.salt.clone().into(),
                salted_password: salted_password.into(),
                ..Default::default()
            }
        };
        let deletion = |mechanism: &ScramMechanism| ScramCredentialDeletion {
            name: user.to_owned(),
            mechanism: mechanism.number(),
            ..Default::default()
        };
        let request = AlterUserScramCredentialsRequest {
            deletions: deleted.iter().map(deletion).collect(),
            upsertions: new.iter().map(upsertion).collect(),
            ..Default::default()
        };
        let refused = |response: &crate::protocol::messages::AlterUserScramCredentialsResponse| {
            response.results.first().map(|result| ErrorCode::from_code(result.error_code))
        };
        let response = self.call_controller(|_| request.clone(), refused).await?;
        for result in response.results {
            ApiError::check(result.error_code, result.error_message)?;
        }
        Ok(())
    }
}
