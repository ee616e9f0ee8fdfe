//! Delegation tokens (KIP-48): credentials that somebody hands on to programs, and that end.

use super::Admin;
use crate::client::{ApiError, ClientError};
use crate::protocol::ErrorCode;
use crate::protocol::messages::create_delegation_token_request::CreatableRenewers;
use crate::protocol::messages::describe_delegation_token_request::DescribeDelegationTokenOwner;
use crate::protocol::messages::{
    CreateDelegationTokenRequest, DescribeDelegationTokenRequest, ExpireDelegationTokenRequest,
    RenewDelegationTokenRequest,
};

/// Somebody, as `User:alice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// `User`
    pub principal_type: String,
    /// `alice`
    pub name: String,
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.principal_type, self.name)
    }
}

/// A token. The times are milliseconds since 1970.
#[derive(Clone, PartialEq, Eq)]
pub struct DelegationToken {
    /// Its id, which is a user's name to SASL.
    pub token_id: String,
    /// Its secret, which is a password to SASL.
    pub hmac: Vec<u8>,
    /// Whom it stands for.
    pub owner: Principal,
    /// Who asked for it.
    pub requester: Principal,
    /// Who else may renew it.
    pub renewers: Vec<Principal>,
    /// When it was made.
    pub issue_timestamp: i64,
    /// When it ends, unless it is renewed.
    pub expiry_timestamp: i64,
    /// When it ends in any case.
    pub max_timestamp: i64,
}

impl std::fmt::Debug for DelegationToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DelegationToken").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}

impl Admin {
    /// Makes a token, for `owner` or for who asks.
    ///
    /// # Errors
    /// No broker answers, or the request is refused.
    pub async fn create_delegation_token(
        &self,
        owner: Option<&Principal>,
        renewers: &[Principal],
        max_lifetime_ms: i64,
    ) -> Result<DelegationToken, ClientError> {
        let request = CreateDelegationTokenRequest {
            owner_principal_type: owner.map(|owner| owner.principal_type.clone()),
            owner_principal_name: owner.map(|owner| owner.name.clone()),
            renewers: renewers
                .iter()
                .map(|renewer| CreatableRenewers {
                    principal_type: renewer.principal_type.clone(),
                    principal_name: renewer.name.clone(),
                    ..Default::default()
                })
                .collect(),
            max_lifetime_ms,
            ..Default::default()
        };
        let response = self
            .call_controller(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code)))
            .await?;
        ApiError::check(response.error_code, None)?;
        let owner = Principal { principal_type: response.principal_type, name: response.principal_name };
        let requester = Principal {
            principal_type: response.token_requester_principal_type,
            name: response.token_requester_principal_name,
        };
        Ok(DelegationToken {
            token_id: response.token_id,
            hmac: response.hmac.to_vec(),
            // Brokers before 3.3 make tokens for who asks alone.
            requester: if requester.name.is_empty() { owner.clone() } else { requester },
            owner,
            renewers: renewers.to_vec(),
            issue_timestamp: response.issue_timestamp_ms,
            expiry_timestamp: response.expiry_timestamp_ms,
            max_timestamp: response.max_timestamp_ms,
        })
    }

    /// Puts off a token's end; returns the new one.
    ///
    /// # Errors
    /// No broker answers, or the request is refused.
    pub async fn renew_delegation_token(&self, hmac: &[u8], period_ms: i64) -> Result<i64, ClientError> {
        let request = RenewDelegationTokenRequest {
            hmac: hmac.to_vec().into(),
            renew_period_ms: period_ms,
            ..Default::default()
        };
        let response = self
            .call_controller(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code)))
            .await?;
        ApiError::check(response.error_code, None)?;
        Ok(response.expiry_timestamp_ms)
    }

    /// Sets a token's end, at once if the period is negative; returns it.
    ///
    /// # Errors
    /// No broker answers, or the request is refused.
    pub async fn expire_delegation_token(&self, hmac: &[u8], period_ms: i64) -> Result<i64, ClientError> {
        let request = ExpireDelegationTokenRequest {
            hmac: hmac.to_vec().into(),
            expiry_time_period_ms: period_ms,
            ..Default::default()
        };
        let response = self
            .call_controller(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code)))
            .await?;
        ApiError::check(response.error_code, None)?;
        Ok(response.expiry_timestamp_ms)
    }

    /// The tokens of these owners, or all that the caller may see.
    ///
    /// # Errors
    /// No broker answers, or the request is refused.
    pub async fn describe_delegation_tokens(
        &self,
        owners: Option<&[Principal]>,
    ) -> Result<Vec<DelegationToken>, ClientError> {
        let owner = |owner: &Principal| DescribeDelegationTokenOwner {
            principal_type: owner.principal_type.clone(),
            principal_name: owner.name.clone(),
            ..Default::default()
        };
        let request = DescribeDelegationTokenRequest {
            owners: owners.map(|owners| owners.iter().map(owner).collect()),
            ..Default::default()
        };
        let response =
            self.call_any(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code))).await?;
        ApiError::check(response.error_code, None)?;
        let principal = |principal_type: String, name: String| Principal { principal_type, name };
        let token = |token: crate::protocol::messages::describe_delegation_token_response::DescribedDelegationToken| {
            let owner = principal(token.principal_type, token.principal_name);
            let requester = principal(token.token_requester_principal_type, token.token_requester_principal_name);
            DelegationToken {
                token_id: token.token_id,
                hmac: token.hmac.to_vec(),
                requester: if requester.name.is_empty() { owner.clone() } else { requester },
                owner,
                renewers: token
                    .renewers
                    .into_iter()
                    .map(|renewer| principal(renewer.principal_type, renewer.principal_name))
                    .collect(),
                issue_timestamp: token.issue_timestamp,
                expiry_timestamp: token.expiry_timestamp,
                max_timestamp: token.max_timestamp,
            }
        };
        Ok(response.tokens.into_iter().map(token).collect())
    }
}
