//! Records, read back.

use super::{
    AdminState,
    error::Error,
    extract::Parameters,
    page::{Limit, Page},
    time,
};
use crate::store::{RecordFilter, RecordOrder, StoredRecord};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    record::{self, Body, Measured, Measurement, Record, SessionEnd, kind},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    site: Option<SiteId>,
    agent: Option<AgentId>,
    /// A kind's name, or its number.
    kind: Option<String>,
    #[serde(default)]
    order: Order,
    after: Option<String>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Newest,
    Oldest,
}

#[derive(Debug, Serialize)]
pub(super) struct View {
    agent: AgentId,
    epoch: u64,
    seq: u64,
    at: String,
    received_at: String,
    kind: &'static str,
    kind_number: u16,
    app: Option<String>,
    /// By kind; null for one that this hub cannot read, which is kept as it came.
    body: Value,
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let of = match (query.site, query.agent) {
        (Some(site), None) => RecordFilter::Site(site),
        (None, Some(agent)) => RecordFilter::Agent(agent),
        _ => return Err(Error::invalid("site", "give either site or agent")),
    };
    let kind = query.kind.as_deref().map(wanted_kind).transpose()?;
    let after = query.after.map(|text| text.parse()).transpose();
    let after = after.map_err(|error| Error::invalid("after", format!("{error}")))?;
    let order = match query.order {
        Order::Newest => RecordOrder::NewestFirst,
        Order::Oldest => RecordOrder::OldestFirst,
    };
    let page = state.store.list_records(of, kind, order, after, query.limit.rows()).await?;
    let items = page.records.into_iter().map(View::from).collect();
    Ok(Json(Page { items, next: page.next.map(|cursor| cursor.to_string()) }))
}

fn wanted_kind(text: &str) -> Result<u16, Error> {
    let kind = kind::by_name(text).or_else(|| text.parse().ok());
    kind.ok_or_else(|| Error::invalid("kind", "kind must be a kind of record, such as event, or its number"))
}

impl From<StoredRecord> for View {
    fn from(stored: StoredRecord) -> Self {
        let record = Record { at: stored.at, kind: stored.kind, body: stored.body };
        Self {
            agent: stored.agent,
            epoch: stored.epoch,
            seq: stored.seq,
            at: time::text(stored.at),
            received_at: time::text(stored.received_at),
            kind: kind::name(stored.kind),
            kind_number: stored.kind,
            app: stored.app,
            body: record.decode_body().map_or(Value::Null, |body| shown(&body)),
        }
    }
}

fn shown(body: &Body) -> Value {
    match body {
        Body::Event(event) => json!({
            "app": event.app, "kind": event.kind, "environment": event.environment, "outcome": event.outcome,
            "count": event.count, "attributes": attributes(&event.attributes),
        }),
        Body::Host(host) => json!({
            "cpu_permille": host.cpu_permille, "memory_used": host.memory_used, "memory_total": host.memory_total,
            "disk_free": host.disk_free, "disk_total": host.disk_total, "uptime": host.uptime,
            "agent_memory": host.agent_memory,
        }),
        Body::MonitorReserved(change) | Body::MonitorReleased(change) => {
            json!({ "app": change.app, "monitor": change.monitor })
        }
        Body::LicenseActivated(activation) => {
            json!({ "license": activation.license, "replaces": activation.replaces, "by": activation.by })
        }
        Body::Denial(denial) => json!({ "app": denial.app, "action": denial.action, "cause": denial.cause }),
        Body::EpochBegun(begun) => json!({
            "previous": begun.previous, "kept": begun.kept, "written": begun.written, "cause": begun.cause,
        }),
        Body::Denials(denials) => json!({
            "app": denials.app, "action": denials.action, "user": denials.user, "cause": denials.cause,
            "count": denials.count, "since": time::text(denials.since),
        }),
        Body::Clock(change) => json!({
            "cause": change.cause, "wall": time::text(change.wall), "before": time::text(change.before),
            "after": time::text(change.after),
        }),
        Body::Fingerprint(change) => json!({
            "same_machine": change.same_machine, "matched": change.matched, "of": change.of, "changed": change.changed,
        }),
        Body::Override(begun) => json!({
            "days": begun.days, "until": time::text(begun.until), "reason": begun.reason, "by": begun.by,
        }),
        Body::Overage(over) => json!({
            "app": over.app, "license": over.license, "in_use": over.in_use, "quota": over.quota,
        }),
        Body::Excess(excess) => json!({
            "app": excess.app, "license": excess.license, "in_use": excess.in_use, "permitted": excess.permitted,
        }),
        Body::MachineActivated(_) | Body::MachineDeactivated(_) | Body::Heartbeat(_) | Body::SessionEnded(_) => {
            floating(body)
        }
        Body::Measurement(measured) => measurement(measured),
        Body::Transmission(sent) => json!({
            "number": sent.number, "due": time::text(sent.due), "manual": sent.manual,
            "started": time::text(sent.started), "records": sent.records, "retries": sent.retries, "error": sent.error,
        }),
        Body::Unknown => Value::Null,
    }
}

fn measurement(measured: &Measurement) -> Value {
    let value = match &measured.value {
        Measured::Point { x, y } => json!({ "x": x, "y": y }),
        Measured::Number(number) => json!(number),
        Measured::Text(text) => json!(text),
        Measured::Nothing => Value::Null,
    };
    json!({
        "group": measured.group, "value": value, "product": measured.product, "version": measured.version,
        "user": measured.user, "activation": measured.activation, "errors": measured.errors, "raw": measured.raw,
    })
}

/// What machines with floating users did.
fn floating(body: &Body) -> Value {
    match body {
        Body::MachineActivated(machine) => json!({
            "license": machine.license, "activation": machine.activation, "machine": machine.machine,
            "app_version": machine.app_version,
        }),
        Body::MachineDeactivated(machine) => json!({
            "license": machine.license, "activation": machine.activation, "reason": machine.reason,
        }),
        Body::Heartbeat(beat) => json!({
            "license": beat.license, "activation": beat.activation, "users": beat.users,
            "features": beat.features.iter().map(|(name, count)| (name.clone(), (*count).into())).collect::<Map<_, Value>>(),
        }),
        Body::SessionEnded(ended) => {
            let (cause, by) = match &ended.cause {
                SessionEnd::Lapsed => ("lapsed", None),
                SessionEnd::Released { by } => ("released", Some(by)),
            };
            json!({
                "license": ended.license, "activation": ended.activation, "users": ended.users, "cause": cause, "by": by,
            })
        }
        _ => Value::Null,
    }
}

fn attributes(attributes: &[(String, record::Value)]) -> Map<String, Value> {
    let value = |value: &record::Value| match value {
        record::Value::Text(text) => text.clone().into(),
        record::Value::Integer(number) => (*number).into(),
        record::Value::Number(number) => (*number).into(),
        record::Value::Flag(flag) => (*flag).into(),
    };
    attributes.iter().map(|(name, attribute)| (name.clone(), value(attribute))).collect()
}
