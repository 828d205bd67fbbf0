//! Licences, activations, statistics and analytics. The samples are the document's.

use super::super::licenses::{Given, explain, history};
use super::{ADMINISTRATION as TAG, ANALYTICS, Entry, edited, tagged};
use serde_json::{Value, json};
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/licenses", list),
    ("POST", "/api/v1/admin/licenses", issue),
    ("GET", "/api/v1/admin/licenses/explain", explained),
    ("GET", "/api/v1/admin/licenses/{id}", || {
        let operation = Operation::new(TAG, "A licence, its machines and what they use");
        tagged(selected(operation.answers(200, "As it is", detail())), 200)
    }),
    ("PUT", "/api/v1/admin/licenses/{id}", edit),
    ("DELETE", "/api/v1/admin/licenses/{id}", || {
        let answer = license(json!({ "message": "License revoked successfully" }));
        edited(selected(Operation::new(TAG, "Withdraw a licence for good").answers(200, "It is revoked", answer)))
    }),
    ("GET", "/api/v1/admin/licenses/{id}/history", || {
        let states = Shape::of::<history::Revision>().listed();
        selected(Operation::new(TAG, "Every change of a licence").answers(200, "The changes, newest first", states))
    }),
    ("GET", "/api/v1/admin/activations", activations),
    ("GET", "/api/v1/admin/statistics", statistics),
    ("GET", "/api/v1/analytics/usage", usage),
    ("GET", "/api/v1/analytics/features", features),
];

const SITE: &str = "0190c8a0-0000-7000-8000-000000000002";
const STANDINGS: &[&str] = &["active", "inactive", "expired", "revoked"];
const NULLABLE: &[&str] = &[
    "site",
    "validity",
    "valid_from",
    "valid_until",
    "from",
    "until",
    "max_monitors",
    "max_users",
    "max_activations",
    "activated_at",
    "expires_at",
];

/// A licence, with more fields.
fn license(more: Value) -> Shape {
    let mut example = json!({
        "id": 1, "uuid": "0190c8a0-0000-7000-8000-000000000001", "customer_id": 123, "site": SITE, "app": "GENERAL",
        "name": "License of 2025-01-01T00:00:00Z", "description": "", "type": "subscription", "status": "active",
        "state": "Active", "validity": "1y", "valid_from": "2025-01-01", "valid_until": "2026-01-01",
        "from": "2025-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z", "max_monitors": 100, "max_users": 10,
        "max_activations": 5, "features": ["feature1", "feature2"],
        "policy": {}, "thresholds": [80, 100],
        "activated_at": "2025-01-01T10:00:00Z", "expires_at": "2026-01-01T00:00:00Z", "revision": 2,
        "created_at": "2025-01-01T00:00:00Z",
    });
    if let (Some(fields), Value::Object(more)) = (example.as_object_mut(), more) {
        fields.extend(more);
    }
    Shape::like(example)
        .words("status", STANDINGS)
        .words("state", &["Inactive", "Active", "Expired", "Deactivated", "Invalid"])
        .words("type", &["perpetual", "subscription", "trial"])
        .object(&["policy"])
        .nullable(NULLABLE)
}

fn listed() -> Value {
    json!({ "license_key": "XXXX-XXXX-XXXX-XXXX", "customer_name": "ACME Corp", "current_activations": 3 })
}

fn detail() -> Shape {
    let mut more = listed();
    more["customer"] = json!({ "id": 123, "name": "ACME Corp", "email": "admin@acme.com" });
    more["activations"] = json!([]);
    more["usage_stats"] =
        json!({ "total_users": 150, "peak_users": 10, "feature_usage": { "feature1": 5000, "feature2": 2500 } });
    license(more)
        .nullable(&["customer.email"])
        .map(&["usage_stats.feature_usage"])
        .field("activations", activation().listed())
}

fn activation() -> Shape {
    let example = json!({
        "id": "act_000102030405060708090a0b0c0d0eff", "license_id": 1, "customer_id": 123, "site": SITE, "agent": SITE,
        "machine_name": "DESKTOP-ABC123", "app_version": "1.0.0", "activated_at": "2025-01-01T10:00:00Z",
        "last_heartbeat": "2025-06-19T14:30:00Z", "users": 5, "status": "active",
        "deactivated_at": "2025-07-01T08:00:00Z", "reason": "System upgrade",
    });
    Shape::like(example).words("status", &["active", "inactive"]).nullable(&[
        "site",
        "agent",
        "last_heartbeat",
        "deactivated_at",
        "reason",
    ])
}

fn list() -> Operation {
    let operation = Operation::new(TAG, "Licences, in the order of their numbers")
        .describe("Whoever may only look sees the end of a key. Pages go 100,000 rows deep; `after` has no end.")
        .query("status", "Where they are in their life", Shape::word(STANDINGS))
        .query("customer_id", "Of one customer", number())
        .query("site", "Of one site", Shape::uuid())
        .query("license_key", "The one with this key", Shape::text())
        .query("after", "Those with higher numbers", number());
    paged(operation, "licenses", license(listed()))
}

fn issue() -> Operation {
    let sample = json!({
        "customer_id": 123, "type": "subscription", "valid_from": "2025-01-01", "valid_until": "2026-01-01",
        "max_activations": 5, "max_users": 10, "features": ["feature1", "feature2"],
    });
    let more = json!({ "license_key": "NEW1-NEW2-NEW3-NEW4", "message": "License created successfully" });
    let operation = Operation::new(TAG, "Sell a licence; its key is in the answer")
        .describe(
            "To a customer, or to one of its sites. It has fixed dates, of which `valid_until` is the first day that is not \
             covered any more, or a `validity` that begins with its activation, or no end.",
        )
        .takes(Shape::taken::<Given>().example(sample))
        .answers(201, "It is made", license(more));
    tagged(operation, 201)
}

fn edit() -> Operation {
    let sample = json!({
        "valid_until": "2027-01-01", "max_activations": 10, "features": ["feature1", "feature2", "feature3"],
    });
    let operation = Operation::new(TAG, "Change a licence; what is not given stays as it is")
        .takes(Shape::taken::<Given>().example(sample))
        .answers(200, "As it is now", license(json!({})));
    edited(selected(operation))
}

fn activations() -> Operation {
    let operation = Operation::new(TAG, "Machines under licences, the newest first")
        .query("license_id", "Of one licence", number())
        .query("customer_id", "Of one customer", number())
        .query("status", "In use, or given back", Shape::word(&["active", "inactive"]))
        .query("from_date", "Made from this date, or the hour of this time, on", date())
        .query("to_date", "Made up to this date and with it", date());
    paged(operation, "activations", activation())
}

fn statistics() -> Operation {
    let answer = Shape::like(json!({
        "summary": {
            "total_licenses": 100, "active_licenses": 85, "total_activations": 250, "active_activations": 240,
            "active_users": 1500,
        },
        "usage_trends": [{ "date": "2025-06-01", "active_users": 1200, "new_activations": 5 }],
        "feature_usage": { "feature1": 50000, "feature2": 25000 },
    }));
    let operation = Operation::new(ANALYTICS, "Everything at a glance").describe(
        "The summary is of now: `total_activations` are all that were ever made, `active_users` those of machines whose \
         heartbeat goes on. A day's `active_users` are those of its busiest hour: the most that each machine had in it, summed.",
    );
    ranged(operation).query("customer_id", "Of one customer", number()).answers(
        200,
        "At a glance",
        answer.map(&["feature_usage"]),
    )
}

fn usage() -> Operation {
    let answer = Shape::like(json!({
        "period": { "from": "2025-06-01T00:00:00Z", "to": "2025-06-19T23:59:59Z" },
        "metrics": {
            "total_heartbeats": 50000, "unique_activations": 150, "average_users_per_activation": 8.5,
            "peak_concurrent_users": 1200,
        },
        "time_series": [{
            "timestamp": "2025-06-01T00:00:00Z", "active_users": 800, "heartbeat_count": 2500, "new_activations": 5,
        }],
    }));
    let operation = Operation::new(ANALYTICS, "What machines use").describe(
        "`unique_activations` are different machines on the days of the range: exact up to 512 a day, else within 2.3 per cent. \
         `average_users_per_activation` is what heartbeats said, on the average. `peak_concurrent_users` are the active users \
         of the busiest hour.",
    );
    ranged(operation)
        .query("customer_id", "Of one customer", number())
        .query("granularity", "How long a point is; a day if not given", Shape::word(&["hour", "day", "week", "month"]))
        .answers(200, "What was used", answer.nullable(&["metrics.average_users_per_activation"]))
}

fn features() -> Operation {
    let answer = Shape::like(json!({
        "features": [{ "name": "feature1", "total_usage": 150000, "unique_users": 500, "usage_trend": "increasing" }],
    }))
    .words("features[].usage_trend", &["increasing", "stable", "decreasing"]);
    let operation = Operation::new(ANALYTICS, "Which features are used").describe(
        "`unique_users` are different machines: who sits behind one is only counted. `usage_trend` compares with as many days \
         before; within 5 per cent is stable.",
    );
    ranged(operation).query("customer_id", "Of one customer", number()).answers(200, "The most used first", answer)
}

fn ranged(operation: Operation) -> Operation {
    operation
        .query("from_date", "A date or a time; 30 days before the end if not given", date())
        .query("to_date", "A date, and with it, or a time; now if not given", date())
        .query("license_id", "Of one licence", number())
        .describe_also("A range has 366 days at most; spans in which nothing happened are left out.")
}

fn paged(operation: Operation, name: &str, one: Shape) -> Operation {
    let answer = Shape::like(json!({ name: [], "total": 100, "page": 1, "per_page": 50 }));
    operation
        .query("page", "Which page, from 1", Shape::integer(1, 1_000_000))
        .query("per_page", "How many on a page; 50 if not given", Shape::integer(1, 500))
        .answers(200, "A page", answer.field(name, one.listed()))
}

fn number() -> Shape {
    Shape::integer(i64::MIN, i64::MAX).example(json!(1))
}

fn date() -> Shape {
    Shape::text().example(json!("2025-06-01"))
}

fn selected(operation: Operation) -> Operation {
    operation.path("id", "Its number or its UUID", Shape::text().example(json!("1")))
}

fn explained() -> Operation {
    Operation::new(TAG, "Why an app may be used at a site or not, and when that changes")
        .queries::<explain::Query>()
        .answers(200, "Why, and what will change", crate::http::explanation())
}
