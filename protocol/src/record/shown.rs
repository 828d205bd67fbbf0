//! Records as people and programs read them: every field of every kind, by its name. Hub and agent show the same, so that
//! what a site's administrator sees before it leaves is what the vendor sees when it has arrived.

use super::{
    Body, Dropped, Event, FingerprintChange, Folded, Heartbeat, HostHour, HostSample, MachineActivated, Measured,
    Measurement, Part, Sent, SessionEnd, SessionEnded, Total, Value, kind,
};
use crate::telemetry::Reading;
use crate::time::UnixMillis;
use chrono::SecondsFormat;
use serde_json::{Map, Value as Json, json};

impl Body {
    /// The body as a JSON object; null for a kind that is not known here. Times are RFC 3339 in UTC, digests hexadecimal.
    pub fn shown(&self) -> Json {
        match self {
            Self::Event(event) => event_shown(event),
            Self::Host(host) => host_shown(host),
            Self::HostHourly(hour) => hour_shown(hour),
            Self::MonitorReserved(change) | Self::MonitorReleased(change) => {
                json!({ "app": change.app, "monitor": change.monitor })
            }
            Self::LicenseActivated(activation) => {
                json!({ "license": activation.license, "replaces": activation.replaces, "by": activation.by })
            }
            Self::Denial(denial) => json!({ "app": denial.app, "action": denial.action, "cause": denial.cause }),
            Self::EpochBegun(begun) => json!({
                "previous": begun.previous, "kept": begun.kept, "written": begun.written, "cause": begun.cause,
            }),
            Self::Denials(denials) => json!({
                "app": denials.app, "action": denials.action, "user": denials.user, "cause": denials.cause,
                "count": denials.count, "since": time(denials.since),
            }),
            Self::Clock(change) => json!({
                "cause": change.cause, "wall": time(change.wall), "before": time(change.before),
                "after": time(change.after),
            }),
            Self::Fingerprint(change) => fingerprint_shown(change),
            Self::Override(begun) => json!({
                "days": begun.days, "until": time(begun.until), "reason": begun.reason, "by": begun.by,
            }),
            Self::Overage(over) => json!({
                "app": over.app, "license": over.license, "in_use": over.in_use, "quota": over.quota,
            }),
            Self::Excess(excess) => json!({
                "app": excess.app, "license": excess.license, "in_use": excess.in_use, "permitted": excess.permitted,
            }),
            Self::MachineActivated(machine) => machine_shown(machine),
            Self::MachineDeactivated(machine) => json!({
                "license": machine.license, "activation": machine.activation, "reason": machine.reason,
            }),
            Self::Heartbeat(beat) => heartbeat_shown(beat),
            Self::SessionEnded(ended) => session_shown(ended),
            Self::Measurement(measurement) => measurement_shown(measurement),
            Self::Transmission(sent) => json!({
                "number": sent.number, "due": time(sent.due), "manual": sent.manual, "started": time(sent.started),
                "records": sent.records, "retries": sent.retries, "error": sent.error,
            }),
            Self::Folded(folded) => folded_shown(folded),
            Self::Dropped(dropped) => dropped_shown(dropped),
            Self::Unknown => Json::Null,
        }
    }
}

impl Measured {
    /// A number, a text, an object of x and y, or null.
    pub fn shown(&self) -> Json {
        match self {
            Self::Point { x, y } => json!({ "x": x, "y": y }),
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Nothing => Json::Null,
        }
    }
}

fn event_shown(event: &Event) -> Json {
    let value = |value: &Value| match value {
        Value::Text(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Number(number) => json!(number),
        Value::Flag(flag) => json!(flag),
    };
    let attributes: Map<_, _> = event.attributes.iter().map(|(name, is)| (name.clone(), value(is))).collect();
    json!({
        "app": event.app, "kind": event.kind, "environment": event.environment, "outcome": event.outcome,
        "count": event.count, "attributes": attributes,
    })
}

fn host_shown(host: &HostSample) -> Json {
    json!({
        "cpu_permille": host.cpu_permille, "memory_used": host.memory_used, "memory_total": host.memory_total,
        "disk_free": host.disk_free, "disk_total": host.disk_total, "uptime": host.uptime,
        "agent_memory": host.agent_memory,
    })
}

fn hour_shown(hour: &HostHour) -> Json {
    json!({
        "hour": time(hour.hour), "samples": hour.samples,
        "cpu_average_permille": hour.cpu_average_permille, "cpu_max_permille": hour.cpu_max_permille,
        "memory_average": hour.memory_average, "memory_max": hour.memory_max, "memory_total": hour.memory_total,
        "disk_free_min": hour.disk_free_min, "disk_total": hour.disk_total, "uptime": hour.uptime,
        "agent_uptime": hour.agent_uptime, "agent_memory_max": hour.agent_memory_max,
        "backlog_max": hour.backlog_max, "journal_bytes_max": hour.journal_bytes_max,
        "wall_offset_ms": hour.wall_offset,
    })
}

fn folded_shown(folded: &Folded) -> Json {
    match &folded.total {
        Total::Events(total) => json!({
            "set": folded.set, "place": folded.place, "hour": time(total.hour), "app": total.app, "kind": total.kind,
            "environment": total.environment, "outcome": total.outcome, "events": total.events, "count": total.count,
        }),
        Total::Readings(total) => json!({
            "set": folded.set, "place": folded.place, "hour": time(total.hour), "group": total.group,
            "product": total.product, "version": total.version, "points": total.points, "count": total.count,
            "sum": total.sum, "min": total.min, "max": total.max, "last": total.last, "last_at": time(total.last_at),
            "api_key_digest": hex(total.key.as_bytes()), "license_key_digest": total.license,
        }),
    }
}

fn dropped_shown(dropped: &Dropped) -> Json {
    let counts = dropped.counts.iter().map(|(number, count)| (kind::name(*number).to_owned(), json!(count)));
    json!({
        "since": time(dropped.since), "until": time(dropped.until), "counts": counts.collect::<Map<_, _>>(),
    })
}

fn fingerprint_shown(change: &FingerprintChange) -> Json {
    json!({
        "same_machine": change.same_machine, "matched": change.matched, "of": change.of, "changed": change.changed,
        "parts": parts(&change.parts),
    })
}

fn machine_shown(machine: &MachineActivated) -> Json {
    json!({
        "license": machine.license, "activation": machine.activation, "hardware": parts(&machine.hardware),
        "machine": machine.machine, "app_version": machine.app_version,
    })
}

fn heartbeat_shown(beat: &Heartbeat) -> Json {
    let features: Map<_, _> = beat.features.iter().map(|(name, count)| (name.clone(), json!(count))).collect();
    json!({ "license": beat.license, "activation": beat.activation, "users": beat.users, "features": features })
}

fn session_shown(ended: &SessionEnded) -> Json {
    let (cause, by) = match &ended.cause {
        SessionEnd::Lapsed => ("lapsed", None),
        SessionEnd::Released { by } => ("released", Some(by)),
    };
    json!({
        "license": ended.license, "activation": ended.activation, "users": ended.users, "cause": cause, "by": by,
    })
}

fn measurement_shown(measurement: &Measurement) -> Json {
    let Sent { key, license, reading } = match measurement {
        Measurement::Sent(sent) => &**sent,
        Measurement::Rest(rest) => {
            let part = match rest.part {
                Part::Raw => "raw",
                Part::Text => "value",
                Part::User => "user",
            };
            return json!({ "rest_of": rest.back, "part": part, "text": rest.text });
        }
    };
    let Reading { group, value, product, version, user, activation, problems, raw } = reading;
    let errors = problems.iter().map(|(field, problem)| (field.name(), problem.message(*field)));
    json!({
        "api_key_digest": hex(key.as_bytes()), "license_key_digest": license, "group": group, "value": value.shown(),
        "product": product, "version": version, "user": user, "activation": activation,
        "errors": errors.collect::<Vec<_>>(), "raw": raw,
    })
}

fn parts(parts: &[(String, [u8; 32])]) -> Map<String, Json> {
    parts.iter().map(|(kind, digest)| (kind.clone(), json!(hex(digest)))).collect()
}

fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}

/// With milliseconds, so that it comes back as it was; in the plain form where there are none.
fn time(at: UnixMillis) -> String {
    let format = if at.0 % 1_000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
    at.calendar().map_or_else(|| at.to_string(), |time| time.to_rfc3339_opts(format, true))
}
