//! `POST /api/v1/telemetry/events`: apps report what happened. 202 means that it is on disk.

use super::Api;
use super::error::Detail;
use super::who::TelemetryUser;
use crate::anonymity::Anonymity;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value as Json_, json};
use sitewarden_protocol::record::{Body, Event, Run, Value};
use sitewarden_protocol::time::UnixMillis;
use std::collections::BTreeMap;

/// Events in one request.
const MAX_EVENTS: usize = 1_000;
/// Attributes of one event.
const MAX_ATTRIBUTES: usize = 32;
/// The highest count of one event.
const MAX_COUNT: u64 = 1_000_000_000;
/// The longest name of an app, a kind, an environment or an outcome, bytes.
const MAX_NAME: usize = 64;

/// An event as apps send it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reported {
    app: String,
    kind: String,
    #[serde(default)]
    environment: String,
    #[serde(default)]
    outcome: String,
    #[serde(default = "one")]
    count: u64,
    at: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, Attribute>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, a number, true or false")]
enum Attribute {
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

const fn one() -> u64 {
    1
}

pub(super) async fn events(
    _user: TelemetryUser,
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Json_>), Detail> {
    let body = body.map_err(|rejection| Detail(rejection.status(), too_large_or_cut(rejection.status())))?;
    let records =
        parse(&body, &api.anonymity, api.clock.now()).map_err(|reason| Detail(StatusCode::BAD_REQUEST, reason))?;
    let accepted = records.count();
    if !api.telemetry.is_enabled() {
        // The app has done its part and is not to try again; what is not recorded cannot leave later.
        return Ok((StatusCode::ACCEPTED, Json(json!({"accepted": 0, "recorded": false}))));
    }
    let folded = api.journal.report(records).await?;
    let mut answer = json!({"accepted": accepted});
    if folded {
        answer["folded"] = true.into();
    }
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

fn too_large_or_cut(status: StatusCode) -> String {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        format!("body: at most {} bytes are taken; send fewer events at a time", super::MAX_BODY)
    } else {
        "body: it could not be read to its end".to_owned()
    }
}

/// One event or an array of them, as encoded records. The error names the field.
fn parse(body: &[u8], anonymity: &Anonymity, now: UnixMillis) -> Result<Run, String> {
    let many = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let reported: Vec<Reported> = if many { read(body)? } else { vec![read(body)?] };
    if reported.is_empty() || reported.len() > MAX_EVENTS {
        return Err(format!("events: 1 to {MAX_EVENTS} are taken at a time, not {}", reported.len()));
    }
    let record = |(index, event): (usize, Reported)| {
        let named = |field_reason: String| if many { format!("[{index}].{field_reason}") } else { field_reason };
        let at = event.at.as_deref().map_or(Ok(now), time).map_err(named)?;
        let event = check(event).map_err(named)?;
        anonymity.encode(at, &Body::Event(event)).map_err(|error| named(format!("attributes: {error}")))
    };
    reported.into_iter().enumerate().map(record).collect()
}

fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, reason) = (error.path().to_string(), error.inner().to_string());
        if path == "." { reason } else { format!("{path}: {reason}") }
    })?;
    json.end().map_err(|error| error.to_string())?;
    Ok(value)
}

fn time(text: &str) -> Result<UnixMillis, String> {
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|_| "at: a time as in RFC 3339 is needed, such as 2026-01-31T08:00:00Z".to_owned())?;
    Ok(time.with_timezone(&Utc).into())
}

fn check(event: Reported) -> Result<Event, String> {
    for (field, text, required) in [
        ("app", &event.app, true),
        ("kind", &event.kind, true),
        ("environment", &event.environment, false),
        ("outcome", &event.outcome, false),
    ] {
        if (required && text.is_empty()) || text.len() > MAX_NAME || text.chars().any(char::is_control) {
            let least = u8::from(required);
            return Err(format!("{field}: {least} to {MAX_NAME} bytes without control characters are allowed"));
        }
    }
    if !(1..=MAX_COUNT).contains(&event.count) {
        return Err(format!("count: 1 to {MAX_COUNT} is allowed, not {}", event.count));
    }
    if event.attributes.len() > MAX_ATTRIBUTES {
        return Err(format!("attributes: at most {MAX_ATTRIBUTES} are taken, not {}", event.attributes.len()));
    }
    let attribute = |(name, value): (String, Attribute)| {
        let value = match value {
            Attribute::Flag(flag) => Value::Flag(flag),
            Attribute::Integer(number) => Value::Integer(number),
            Attribute::Number(number) => Value::Number(number),
            Attribute::Text(text) => Value::Text(text),
        };
        (name, value)
    };
    Ok(Event {
        app: event.app,
        kind: event.kind,
        environment: event.environment,
        outcome: event.outcome,
        count: event.count,
        attributes: event.attributes.into_iter().map(attribute).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use sitewarden_protocol::record::Record;
    use std::sync::Arc;

    fn parsed(body: &str) -> Result<Run, String> {
        let temporary = tempfile::TempDir::new().unwrap();
        let folder = Folder::at(temporary.path());
        folder.make("state").unwrap();
        parse(body.as_bytes(), &Anonymity::load(&folder, Arc::default()).unwrap(), UnixMillis(5))
    }

    fn error(body: &str) -> String {
        parsed(body).unwrap_err()
    }

    #[test]
    fn one_event_and_many_are_taken() {
        assert_eq!(parsed(r#"{"app": "EMS", "kind": "start"}"#).unwrap().count(), 1);
        let many = parsed(
            r#" [{"app": "EMS", "kind": "a", "at": "2026-01-31T08:00:00Z", "attributes": {"x": 1, "y": "z", "n": null_}}]"#,
        );
        assert!(many.is_err());
        let many = parsed(r#"[{"app": "EMS", "kind": "a", "at": "2026-01-31T08:00:00Z", "attributes": {"x": 1.5, "y": "z"}}, {"app": "EMS", "kind": "b"}]"#).unwrap();
        let record = Record::decode(many.iter().next().unwrap()).unwrap();
        assert_eq!(record.at.to_string(), "2026-01-31T08:00:00Z");
        let Body::Event(event) = record.decode_body().unwrap() else { panic!("not an event") };
        assert_eq!(event.attributes, [("x".into(), Value::Number(1.5)), ("y".into(), Value::Text("z".into()))]);
    }

    #[test]
    fn every_fault_names_its_field() {
        for (body, field) in [
            (r#"{"kind": "a"}"#, "app"),
            (r#"{"app": "EMS"}"#, "kind"),
            (r#"{"app": 5, "kind": "a"}"#, "app"),
            (r#"{"app": "", "kind": "a"}"#, "app"),
            (r#"{"app": "EMS", "kind": "a", "count": 0}"#, "count"),
            (r#"{"app": "EMS", "kind": "a", "count": -1}"#, "count"),
            (r#"{"app": "EMS", "kind": "a", "at": "yesterday"}"#, "at"),
            (r#"{"app": "EMS", "kind": "a", "colour": "red"}"#, "colour"),
            (r#"{"app": "EMS", "kind": "a", "attributes": {"x": [1]}}"#, "attributes.x"),
            (r#"[{"app": "EMS", "kind": "a"}, {"app": "EMS"}]"#, "[1]"),
            (r#"[]"#, "events"),
            (r#"{"app": "EMS", "kind": "a"} x"#, "trailing"),
            ("", "EOF"),
        ] {
            let message = error(body);
            assert!(message.contains(field), "{body}: {message}");
        }
    }

    #[test]
    fn a_record_too_large_for_a_page_is_refused() {
        let body = format!(r#"{{"app": "EMS", "kind": "a", "attributes": {{"x": "{}"}}}}"#, "y".repeat(4_000));
        assert!(error(&body).contains("attributes"));
    }
}
