//! `GET` and `PUT /api/v1/telemetry/config`.

use super::super::Api;
use super::super::error::Detail;
use super::caller::{Administrator, Reader};
use super::{Body, bad_request, internal, json_body, shown};
use crate::telemetry::{Change, ChangeError, Frequency, MAX_RETENTION_DAYS, UnknownFrequency};
use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// The longest URL, bytes.
const MAX_URL: usize = 2_048;

pub(super) async fn show(_: Reader, State(api): State<Api>) -> Json<Value> {
    Json(current(&api))
}

pub(super) async fn change(_: Administrator, State(api): State<Api>, body: Body) -> Result<Json<Value>, Detail> {
    let change = parse(&json_body(body)?).map_err(bad_request)?;
    match api.telemetry.change(change).await {
        Ok(()) => Ok(Json(current(&api))),
        Err(error @ ChangeError::Secret { .. }) => Err(bad_request(error.to_string())),
        Err(error) => Err(internal(&error, "the telemetry configuration could not be stored")),
    }
}

fn current(api: &Api) -> Value {
    let (settings, report) = (api.telemetry.settings(), api.telemetry.report());
    json!({
        "business_admin_url": api.telemetry.url(),
        "api_key_configured": settings.has_api_key(),
        "enabled": settings.enabled,
        "frequency": settings.frequency.name(),
        "encryption_enabled": settings.encryption_enabled,
        "anonymization_enabled": settings.anonymization_enabled,
        "local_retention_days": settings.local_retention_days,
        "last_transmission_at": shown(report.last_transmission),
        "next_scheduled_at": shown(report.next_scheduled),
        "updated_at": shown(settings.updated_at),
    })
}

/// What is missing or null stays as it is. The error names the field.
fn parse(body: &Map<String, Value>) -> Result<Change, String> {
    let given = |field: &str| body.get(field).filter(|value| !value.is_null());
    let flag = |field: &'static str| {
        given(field).map(|value| value.as_bool().ok_or_else(|| format!("{field}: true or false is needed"))).transpose()
    };
    let text = |field: &'static str| {
        given(field).map(|value| value.as_str().ok_or_else(|| format!("{field}: a text is needed"))).transpose()
    };
    let frequency = given("frequency").map(|value| value.as_str().unwrap_or_default().parse::<Frequency>());
    let days = given("local_retention_days").map(|value| {
        let days = value.as_u64().and_then(|days| u16::try_from(days).ok());
        days.filter(|days| *days <= MAX_RETENTION_DAYS)
            .ok_or_else(|| format!("local_retention_days: 0 to {MAX_RETENTION_DAYS} is allowed"))
    });
    Ok(Change {
        business_admin_url: text("business_admin_url")?.map(url).transpose()?,
        api_key: text("api_key")?.map(|key| Zeroizing::new(key.trim().to_owned())),
        enabled: flag("enabled")?,
        frequency: frequency.transpose().map_err(|error: UnknownFrequency| error.to_string())?,
        encryption_enabled: flag("encryption_enabled")?,
        anonymization_enabled: flag("anonymization_enabled")?,
        local_retention_days: days.transpose()?,
    })
}

fn url(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let is_url = |text: &str| {
        reqwest::Url::parse(text).is_ok_and(|url| {
            // A password in a URL would be shown to whoever may read.
            url.scheme() == "https" && url.has_host() && url.username().is_empty() && url.password().is_none()
        })
    };
    if text.is_empty() || (text.len() <= MAX_URL && is_url(text)) {
        return Ok(text.to_owned());
    }
    Err("business_admin_url: an https:// URL without a user is needed, such as https://business-admin.controlcore.io"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<Change, String> {
        parse(body.as_object().unwrap())
    }

    #[test]
    fn the_documents_body_is_taken() {
        let change = read(json!({
            "business_admin_url": "https://business-admin.controlcore.io", "api_key": "your-api-key-here",
            "enabled": true, "frequency": "twice_monthly", "encryption_enabled": true, "anonymization_enabled": true,
            "local_retention_days": 30, "something_newer": 1,
        }))
        .unwrap_or_default();
        assert_eq!(change.business_admin_url.as_deref(), Some("https://business-admin.controlcore.io"));
        assert_eq!(change.api_key.as_ref().map(|key| key.as_str()), Some("your-api-key-here"));
        assert_eq!((change.frequency, change.local_retention_days), (Some(Frequency::TwiceMonthly), Some(30)));
    }

    #[test]
    fn every_fault_names_its_field() {
        let documented = "Invalid frequency. Must be one of: twice_monthly, weekly, monthly, daily";
        for (body, message) in [
            (json!({"frequency": "hourly"}), documented),
            (json!({"frequency": 5}), documented),
            (json!({"enabled": "yes"}), "enabled: "),
            (json!({"encryption_enabled": 1}), "encryption_enabled: "),
            (json!({"local_retention_days": -1}), "local_retention_days: "),
            (json!({"local_retention_days": 3_651}), "local_retention_days: "),
            (json!({"api_key": 1}), "api_key: "),
            (json!({"business_admin_url": "http://plain.example"}), "business_admin_url: "),
            (json!({"business_admin_url": "https://a:b@host.example"}), "business_admin_url: "),
            (json!({"business_admin_url": "nowhere"}), "business_admin_url: "),
        ] {
            let error = read(body.clone()).err().unwrap_or_default();
            assert!(error.starts_with(message), "{body}: {error}");
        }
    }
}
