//! The documented fields of a body, each checked as it is asked for. Fields that nobody asks for are not looked at.

use super::error::Refused;
use super::hardware;
use super::{Limits, activation_of};
use crate::enforcement::SeatError;
use crate::http::Api;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use sitewarden_protocol::fingerprint::Parts;
use sitewarden_protocol::id::ActivationId;
use sitewarden_protocol::license::seats::{MAX_USERS, Refusal};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The longest key, bytes; ours have 32 characters at most.
const MAX_KEY: usize = 64;
/// The longest activation, bytes; ours have 36.
const MAX_ACTIVATION: usize = 64;
/// Features in one heartbeat: with the longest names they fit into one record.
const MAX_FEATURES: usize = 32;
/// The longest name of a feature, bytes.
const MAX_FEATURE: usize = 64;
/// The highest count of one feature.
const MAX_COUNT: u64 = 1_000_000_000;

/// A body, and the key in it, which is this site's.
pub(super) struct Fields {
    fields: Map<String, Value>,
    /// The licence's key.
    pub(super) key: String,
    pub(super) limits: Arc<Limits>,
}

impl FromRequest<Api> for Fields {
    type Rejection = Refused;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refused> {
        let (mut parts, body) = request.into_parts();
        let limits = Extension::<Arc<Limits>>::from_request_parts(&mut parts, api).await;
        let Extension(limits) = limits.map_err(|_| Refused::plain(StatusCode::SERVICE_UNAVAILABLE, "not ready"))?;
        if !is_json(&parts.headers) {
            let message = "the body has to be JSON, with content-type: application/json";
            return Err(Refused::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip().to_canonical());
        let bytes = Bytes::from_request(Request::from_parts(parts, body), api).await;
        let bytes = bytes.map_err(|rejection| {
            let message = format!("body: at most {} bytes are taken, and all that were announced", super::MAX_BODY);
            Refused::plain(rejection.status(), &message)
        })?;
        let fields = serde_json::from_slice(&bytes)
            .map_err(|_| Refused::field("body", "format_invalid", "a JSON object is needed"))?;
        let key = key(&fields)?;
        if api.enforcement.state().licensed(&key).is_none() {
            limits.strangers.take(from)?;
        }
        Ok(Self { fields, key, limits })
    }
}

/// A page in a browser cannot send this type elsewhere without being allowed to.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn key(fields: &Map<String, Value>) -> Result<String, Refused> {
    let wrong = |reason| Refused::key(StatusCode::BAD_REQUEST, reason);
    let given = fields.get("license_key").filter(|value| !value.is_null()).ok_or_else(|| wrong("required"))?;
    let key = given.as_str().map(str::trim).ok_or_else(|| wrong("format_invalid"))?;
    let well_formed = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if well_formed { Ok(key.to_owned()) } else { Err(wrong("format_invalid")) }
}

impl Fields {
    /// The activation that is named; one that cannot be is unknown.
    pub(super) fn activation(&self) -> Result<ActivationId, Refused> {
        let text = self.text("activation_id", MAX_ACTIVATION)?.ok_or_else(|| required("activation_id"))?;
        activation_of(text).ok_or_else(|| SeatError::from(Refusal::UnknownActivation).into())
    }

    /// A text of so many bytes at most.
    pub(super) fn text(&self, name: &str, longest: usize) -> Result<Option<&str>, Refused> {
        let Some(value) = self.given(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| Refused::field(name, "type_invalid", "a text is needed"))?;
        if text.len() > longest || text.chars().any(char::is_control) {
            let message = format!("at most {longest} bytes without control characters are allowed");
            return Err(Refused::field(name, "value_invalid", &message));
        }
        Ok(Some(text))
    }

    /// The machine's parts.
    pub(super) fn hardware(&self) -> Result<Parts, Refused> {
        hardware::parts(self.given("hardware_id").ok_or_else(|| required("hardware_id"))?)
    }

    /// `current_users`, if it is given.
    pub(super) fn users(&self) -> Result<Option<u32>, Refused> {
        let Some(value) = self.given("current_users") else { return Ok(None) };
        let users = value.as_u64().and_then(|users| u32::try_from(users).ok()).filter(|users| *users <= MAX_USERS);
        let message = format!("a whole number from 0 to {MAX_USERS} is needed");
        users.map(Some).ok_or_else(|| Refused::field("current_users", "value_invalid", &message))
    }

    /// `current_users`.
    pub(super) fn required_users(&self) -> Result<u32, Refused> {
        self.users()?.ok_or_else(|| required("current_users"))
    }

    /// `feature_usage`; empty if it is not given.
    pub(super) fn features(&self) -> Result<Vec<(String, u64)>, Refused> {
        const NAME: &str = "feature_usage";
        let Some(value) = self.given(NAME) else { return Ok(vec![]) };
        let object = value.as_object().ok_or_else(|| Refused::field(NAME, "type_invalid", "an object is needed"))?;
        if object.len() > MAX_FEATURES {
            return Err(Refused::field(NAME, "too_many", &format!("at most {MAX_FEATURES} features are taken")));
        }
        let feature = |(name, count): (&String, &Value)| {
            let named = (1..=MAX_FEATURE).contains(&name.len()) && !name.chars().any(char::is_control);
            let count = count.as_u64().filter(|count| named && *count <= MAX_COUNT);
            let message = format!("names of 1 to {MAX_FEATURE} bytes and counts of 0 to {MAX_COUNT} are allowed");
            count.map(|count| (name.clone(), count)).ok_or_else(|| Refused::field(NAME, "value_invalid", &message))
        };
        object.iter().map(feature).collect()
    }

    fn given(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }
}

fn required(name: &str) -> Refused {
    Refused::field(name, "required", "it is required")
}
