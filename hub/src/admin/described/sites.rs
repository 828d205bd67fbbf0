//! Sites, their agents, and what those sent.

use super::super::{agents, evidence, flags, invite, keys, monitors, records, sites};
use super::{ADMINISTRATION as TAG, Entry, changed, edited, identified, listed, made, numbered, shown, tagged};
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/sites", || listed::<sites::Query, sites::View>(TAG, "Sites")),
    ("POST", "/api/v1/admin/sites", || tagged(made::<sites::New, sites::View>(TAG, "Add a site"), 201)),
    ("GET", "/api/v1/admin/sites/{id}", || tagged(identified(shown::<sites::View>(TAG, "A site")), 200)),
    ("PATCH", "/api/v1/admin/sites/{id}", || {
        edited(identified(changed::<sites::Edit, sites::View>(TAG, "Change a site")))
    }),
    ("GET", "/api/v1/admin/agents", || listed::<agents::Query, agents::View>(TAG, "Agents, and how they are")),
    ("POST", "/api/v1/admin/agents/invite", || {
        made::<invite::New, invite::View>(
            TAG,
            "Make a one-time token for a new agent of a site, or for one that is to be enrolled again",
        )
    }),
    ("GET", "/api/v1/admin/agents/{id}", || tagged(identified(shown::<agents::View>(TAG, "An agent")), 200)),
    ("PATCH", "/api/v1/admin/agents/{id}", || {
        edited(identified(changed::<agents::Edit, agents::View>(TAG, "Call an agent by another name")))
    }),
    ("POST", "/api/v1/admin/agents/{id}/revoke", || {
        let what = "Revoke an agent: it may not come in any more";
        edited(identified(changed::<agents::Withdrawal, agents::View>(TAG, what)))
    }),
    ("POST", "/api/v1/admin/agents/{id}/clear", || {
        let what = "Let an agent go on in a fresh epoch after a fork";
        edited(identified(changed::<agents::Word, agents::View>(TAG, what)))
    }),
    ("GET", "/api/v1/admin/records", || listed::<records::Query, records::View>(TAG, "What agents sent")),
    ("GET", "/api/v1/admin/monitors", || listed::<monitors::Query, monitors::View>(TAG, "Monitors in use at a site")),
    ("GET", "/api/v1/admin/flags", || {
        listed::<flags::Query, flags::View>(TAG, "Red flags: signs of tampering or piracy")
    }),
    ("GET", "/api/v1/admin/flags/{id}", || tagged(numbered(shown::<flags::View>(TAG, "A red flag")), 200)),
    ("POST", "/api/v1/admin/flags/{id}/resolve", || {
        edited(numbered(changed::<flags::Resolution, flags::View>(TAG, "Put a red flag aside, with a note")))
    }),
    ("GET", "/api/v1/admin/flags/{id}/evidence", || {
        numbered(shown::<evidence::View>(TAG, "What proves a fork: both halves that the agent signed"))
    }),
    ("GET", "/api/v1/admin/keys/trusted", trusted_keys),
    ("POST", "/api/v1/admin/keys/authority/rotate", || rotated("Make the next authority")),
    ("POST", "/api/v1/admin/keys/authority/retire", || retired("End the oldest authority")),
    ("POST", "/api/v1/admin/keys/signing/rotate", || rotated("Make the next signing key")),
    ("POST", "/api/v1/admin/keys/signing/retire", || retired("End the oldest signing key")),
    ("GET", "/api/v1/admin/keys/sealing", sealing_keys),
    ("POST", "/api/v1/admin/keys/sealing/rotate", || {
        Operation::new(TAG, "Make a new key that agents seal batches to").answers(
            201,
            "It is made, and sites are told",
            Shape::of::<keys::View>(),
        )
    }),
];

fn sealing_keys() -> Operation {
    let answer = json!({ "items": [{ "id": 1, "public": "5f…", "newest": true }], "next": "" });
    let none = Shape::schema(json!({ "type": "null" }));
    Operation::new(TAG, "Keys that agents seal batches to").answers(200, "All", Shape::like(answer).field("next", none))
}

fn trusted_keys() -> Operation {
    let key = json!({ "kind": "authority", "number": 1, "name": "5f…", "state": "trusted" });
    let none = Shape::schema(json!({ "type": "null" }));
    let answer = Shape::like(json!({ "items": [key], "next": "" })).field("next", none);
    Operation::new(TAG, "The authorities and signing keys that agents trust").answers(200, "All", answer)
}

fn rotated(summary: &str) -> Operation {
    Operation::new(TAG, summary).answers(201, "It is made, and sites are told", Shape::of::<keys::Key>())
}

fn retired(summary: &str) -> Operation {
    let relied_on = "RELIED_ON: agents or tokens still rely on it; wait, or force it";
    let error = json!({ "error": { "code": "RELIED_ON", "message": "…", "details": { "agents": 1, "tokens": 0 } } });
    changed::<keys::Retirement, keys::Key>(TAG, summary).answers(
        409,
        relied_on,
        Shape::like(error).object(&["error.details"]),
    )
}
