//! Licences and activations as they are shown: the documented fields, and ours beside them.

use crate::admin::time;
use crate::store::{LicenseDetail, LicenseRow, LicenseStanding, ListedActivation, ListedLicense};
use serde_json::{Value, json};
use sitewarden_protocol::{
    license::{Term, Validity, key_hint},
    license_server::activation_text,
    time::UnixMillis,
};

/// One licence, without what is used of it; without its key where it is not to be shown.
pub(super) fn license(license: &LicenseRow, key: Option<&str>, now: UnixMillis) -> Value {
    let (validity, from, until): (Option<Validity>, _, _) = match license.term {
        Term::Validity(validity) => (Some(validity), license.activated_at, license.expires_at),
        Term::Dates { from, until } => (None, Some(from), Some(until)),
        Term::Endless => (None, license.activated_at, None),
    };
    let status = license.status_at(now);
    let mut shown = json!({
        "id": license.id,
        "uuid": license.uuid,
        "customer_id": license.customer,
        "site": license.site,
        "app": license.app,
        "name": license.name,
        "description": license.description,
        "type": license.kind,
        "status": LicenseStanding::from(status).name(),
        "state": status.name(),
        "validity": validity,
        "valid_from": from.map(time::day),
        "valid_until": until.map(time::day),
        "from": from.map(time::text),
        "until": until.map(time::text),
        "max_monitors": license.limits.monitors,
        "max_users": license.limits.users,
        "max_activations": license.limits.activations,
        "features": license.features,
        "policy": license.policy,
        "thresholds": license.thresholds,
        "activated_at": license.activated_at.map(time::text),
        "expires_at": license.expires_at.map(time::text),
        "revision": license.revision,
        "created_at": time::text(license.created_at),
    });
    if let Some(key) = key {
        shown["license_key"] = json!(key);
    }
    shown
}

/// One licence on a list.
pub(super) fn listed(listed: &ListedLicense, sees_keys: bool, now: UnixMillis) -> Value {
    let mut shown = license(&listed.issued.license, Some(&key(listed, sees_keys)), now);
    shown["customer_name"] = json!(listed.customer_name);
    shown["current_activations"] = json!(listed.activations);
    shown
}

/// One licence with all that belongs to it.
pub(super) fn detail(detail: &LicenseDetail, sees_keys: bool, now: UnixMillis) -> Value {
    let mut shown = listed(&detail.listed, sees_keys, now);
    let customer = &detail.customer;
    shown["customer"] = json!({ "id": customer.id, "name": customer.name, "email": customer.email });
    shown["activations"] = detail.machines.iter().map(activation).collect();
    shown["usage_stats"] = json!({
        "total_users": detail.total_users, "peak_users": detail.peak_users, "feature_usage": detail.feature_usage,
    });
    shown
}

/// One activation.
pub(in crate::admin) fn activation(one: &ListedActivation) -> Value {
    json!({
        "id": activation_text(one.id),
        "license_id": one.license,
        "customer_id": one.customer,
        "site": one.site,
        "agent": one.agent,
        "machine_name": one.machine,
        "app_version": one.app_version,
        "activated_at": time::text(one.activated_at),
        "last_heartbeat": one.last_heartbeat.map(time::text),
        "users": one.users,
        "status": if one.deactivated_at.is_none() { "active" } else { "inactive" },
        "deactivated_at": one.deactivated_at.map(time::text),
        "reason": one.reason,
    })
}

fn key(listed: &ListedLicense, sees_keys: bool) -> String {
    if sees_keys { listed.issued.key.clone() } else { key_hint(&listed.issued.key) }
}
