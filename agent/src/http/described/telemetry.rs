//! What apps report.

use serde_json::json;
use sitewarden_openapi::shared::{BASIC, TELEMETRY};
use sitewarden_openapi::{Operation, Shape};

pub(in crate::http) fn events() -> Operation {
    let name = |least: u8| Shape::schema(json!({ "type": "string", "minLength": least, "maxLength": 64 }));
    let attribute = json!({ "type": ["string", "number", "boolean"] });
    let attributes = json!({ "type": "object", "additionalProperties": attribute, "maxProperties": 32 });
    let event = Shape::like(json!({
        "app": "EMS", "kind": "policy_decision", "environment": "production", "outcome": "success", "count": 1,
        "at": "2026-01-31T08:00:00Z", "attributes": { "bouncer": "b1" },
    }))
    .field("app", name(1))
    .field("kind", name(1))
    .field("environment", name(0))
    .field("outcome", name(0))
    .field("count", Shape::integer(1, 1_000_000_000))
    .field("attributes", Shape::schema(attributes))
    .times(&["at"])
    .nullable(&["at"])
    .optional(&["environment", "outcome", "count", "at", "attributes"]);
    let many = event.clone().listed_between(1, 1_000);
    Operation::new(TELEMETRY, "Report events")
        .describe(
            "One or up to 1,000 at once. `policy_decision` and `bouncer_seen` are kinds that the preview counts. 202 means \
             that they are on disk.",
        )
        .secured(&[BASIC])
        .takes(Shape::any_of([event, many]))
        .answers(
            202,
            "They are taken; `recorded` is false where telemetry is switched off",
            Shape::like(json!({ "accepted": 1, "recorded": false })).optional(&["recorded"]).example(json!({ "accepted": 1 })),
        )
        .refuses(
            &Shape::like(json!({ "detail": "kind: missing field `kind`" })),
            &[
                (400, "A field is missing or cannot be; it is named"),
                (401, "No user, or a wrong password"),
                (413, "The body is larger than 4 MiB, or an event than a record"),
                (429, "Too many wrong passwords"),
                (503, "The journal is busy, or the agent stops"),
                (507, "The journal is full"),
            ],
        )
        .with_header(429, "Retry-After", "Seconds")
}
