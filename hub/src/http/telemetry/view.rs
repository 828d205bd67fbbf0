//! One row, as JSON and as CSV. The columns of both are the same.

use crate::store::{MeasuredRow, ReportedRow, TelemetryRow};
use chrono::SecondsFormat;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    record::{Measured, Record, kind},
    time::UnixMillis,
};

/// A row as programs read it; null for what it does not have.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct View {
    at: String,
    received_at: String,
    kind: &'static str,
    customer: i64,
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    #[schemars(with = "Option<String>")]
    agent: Option<AgentId>,
    epoch: Option<u64>,
    seq: Option<u64>,
    app: Option<String>,
    group: Option<String>,
    /// A number, a text, or an object of x and y.
    value: Value,
    flagged: bool,
    /// Kinds of red flags.
    flags: Vec<String>,
    /// Of measurements the other fields; of other records what they say.
    body: Value,
}

/// The first line of a CSV file (RFC 4180).
pub(super) const HEAD: &str =
    "at,received_at,kind,customer,site,agent,epoch,seq,app,group,x,y,text,flagged,flags,body\r\n";

impl From<TelemetryRow> for View {
    fn from(row: TelemetryRow) -> Self {
        match row {
            TelemetryRow::Measured(row) => Self::measured(*row),
            TelemetryRow::Reported(row) => Self::reported(*row),
        }
    }
}

impl View {
    fn measured(row: MeasuredRow) -> Self {
        Self {
            at: time(row.at),
            received_at: time(row.received_at),
            kind: kind::name(kind::MEASUREMENT),
            customer: row.customer,
            site: row.site,
            agent: row.agent,
            epoch: row.place.map(|(epoch, _)| epoch),
            seq: row.place.map(|(_, seq)| seq),
            app: Some(row.app).filter(|app| !app.is_empty()),
            group: Some(row.group),
            value: row.value.shown(),
            flagged: !row.signs.is_empty(),
            flags: row.signs,
            body: json!({
                "id": row.id, "product_id": row.product, "product_version": row.version, "user_identifier": row.user,
                "activation_identifier": row.activation, "license": row.license, "api_key": row.api_key,
                "data_type": data_type(&row.value), "errors": row.errors, "raw": row.raw,
            }),
        }
    }

    fn reported(row: ReportedRow) -> Self {
        let stored = row.record;
        let record = Record { at: stored.at, kind: stored.kind, body: stored.body };
        Self {
            at: time(stored.at),
            received_at: time(stored.received_at),
            kind: kind::name(stored.kind),
            customer: row.customer,
            site: Some(row.site),
            agent: Some(stored.agent),
            epoch: Some(stored.epoch),
            seq: Some(stored.seq),
            app: stored.app,
            group: None,
            value: Value::Null,
            flagged: false,
            flags: Vec::new(),
            body: record.decode_body().map_or(Value::Null, |body| body.shown()),
        }
    }

    /// One line of CSV.
    pub(super) fn csv(&self) -> String {
        let (x, y, text) = match &self.value {
            Value::Object(point) => (cell(point.get("x")), cell(point.get("y")), String::new()),
            Value::String(text) => (String::new(), String::new(), quoted(text)),
            number => (String::new(), cell(Some(number)), String::new()),
        };
        let id = |id: Option<String>| id.unwrap_or_default();
        let number = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
        let cells = [
            self.at.clone(),
            self.received_at.clone(),
            self.kind.to_owned(),
            self.customer.to_string(),
            id(self.site.map(|id| id.to_string())),
            id(self.agent.map(|id| id.to_string())),
            number(self.epoch),
            number(self.seq),
            quoted(self.app.as_deref().unwrap_or_default()),
            quoted(self.group.as_deref().unwrap_or_default()),
            x,
            y,
            text,
            self.flagged.to_string(),
            quoted(&self.flags.join(" ")),
            quoted(&self.body.to_string()),
        ];
        cells.join(",") + "\r\n"
    }

    /// One line of JSON.
    pub(super) fn json_line(&self) -> String {
        json!(self).to_string() + "\n"
    }
}

const fn data_type(value: &Measured) -> Option<&'static str> {
    match value {
        Measured::Point { .. } => Some("numeric-xy-axis"),
        Measured::Number(_) => Some("numeric-single-value"),
        Measured::Text(_) => Some("text"),
        Measured::Nothing => None,
    }
}

fn cell(value: Option<&Value>) -> String {
    value.filter(|value| !value.is_null()).map_or(String::new(), Value::to_string)
}

/// In quotes where it has to be. What a spreadsheet would take for a formula gets an apostrophe: texts come from anywhere.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// With milliseconds, so that it comes back as it was.
pub(super) fn time(at: UnixMillis) -> String {
    at.calendar().map_or_else(|| at.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_no_formulas() {
        assert_eq!(quoted("a"), "a");
        assert_eq!(quoted("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
        assert_eq!(quoted("=cmd()"), "'=cmd()");
    }
}
