//! Floating users: the licence server's four public endpoints.

use super::LICENSE_SERVER;
use crate::{Operation, Shape};
use serde_json::{Value, json};

const KEY: &str = "XXXX-XXXX-XXXX-XXXX";
const ACTIVATION: &str = "act_000102030405060708090a0b0c0d0eff";

/// The one form of errors. Codes are stable.
fn error() -> Shape {
    Shape::like(json!({
        "error": {
            "code": "INVALID_LICENSE", "message": "The provided license key is invalid",
            "details": { "field": "license_key", "reason": "format_invalid" },
        }
    }))
    .object(&["error.details"])
    .words("error.code", CODES)
}

/// What the errors are called.
pub const CODES: &[&str] = &[
    "ACTIVATION_LIMIT",
    "HARDWARE_MISMATCH",
    "INTERNAL",
    "INVALID_LICENSE",
    "INVALID_REQUEST",
    "LICENSE_CONFLICT",
    "LICENSE_EXPIRED",
    "LICENSE_INACTIVE",
    "LICENSE_NOT_STARTED",
    "LICENSE_REVOKED",
    "LICENSE_STALE",
    "METHOD_NOT_ALLOWED",
    "MONITOR_LIMIT",
    "NOT_FOUND",
    "PAYLOAD_TOO_LARGE",
    "RATE_LIMITED",
    "SESSION_RELEASED",
    "STORAGE_FULL",
    "TIMEOUT",
    "UNAVAILABLE",
    "UNSUPPORTED_MEDIA_TYPE",
    "USER_LIMIT",
];

/// What every one of the four may refuse.
fn refuses(operation: Operation) -> Operation {
    operation
        .refuses(
            &error(),
            &[
                (400, "INVALID_REQUEST or INVALID_LICENSE: a field is missing or cannot be; `details` names it"),
                (
                    403,
                    "LICENSE_EXPIRED, LICENSE_REVOKED, LICENSE_INACTIVE, LICENSE_NOT_STARTED, LICENSE_STALE, \
                     HARDWARE_MISMATCH, INVALID_LICENSE, MONITOR_LIMIT",
                ),
                (404, "INVALID_LICENSE: no such licence; NOT_FOUND: no such activation"),
                (409, "ACTIVATION_LIMIT, USER_LIMIT, LICENSE_CONFLICT, MONITOR_LIMIT, SESSION_RELEASED"),
                (408, "TIMEOUT: the body took too long"),
                (413, "PAYLOAD_TOO_LARGE: more than 64 KiB"),
                (415, "UNSUPPORTED_MEDIA_TYPE: the content type is not JSON"),
                (429, "RATE_LIMITED"),
                (500, "INTERNAL: it could not be answered; the log says why"),
                (503, "UNAVAILABLE: the journal or the database is busy, or the process stops"),
                (507, "STORAGE_FULL: the journal is full"),
            ],
        )
        .with_header(429, "Retry-After", "Seconds")
        .with_header(429, "RateLimit-Limit", "Calls in the window")
        .with_header(429, "RateLimit-Remaining", "Calls that are left of it")
        .with_header(429, "RateLimit-Reset", "Seconds until all are back")
}

/// The document's machine.
fn hardware() -> Value {
    json!({
        "mac_address": "00:1B:44:11:3A:B7", "cpu_id": "BFEBFBFF000906EA",
        "system_uuid": "4C4C4544-0052-3410-8036-B8C04F303832",
    })
}

fn body(example: Value, optional: &[&str]) -> Shape {
    let shape = Shape::like(example.clone()).optional(optional).open();
    if example["hardware_id"].is_null() {
        return shape;
    }
    let hardware = json!({
        "anyOf": [{ "type": "string", "minLength": 1 }, { "type": "object", "minProperties": 1, "maxProperties": 32 }],
    });
    shape.field("hardware_id", Shape::schema(hardware))
}

/// `POST /api/v1/activate`.
pub fn activate() -> Operation {
    let sample = json!({
        "license_key": KEY, "hardware_id": hardware(), "machine_name": "DESKTOP-ABC123", "app_version": "1.0.0",
    });
    let answer = Shape::like(json!({
        "success": true, "activation_id": ACTIVATION, "features": ["feature1", "feature2"], "max_users": 10,
        "valid_until": "2026-01-01T00:00:00Z",
    }));
    let operation = Operation::new(LICENSE_SERVER, "Bring a machine under a licence")
        .describe(
            "The same hardware again gets the same activation. `hardware_id` is a text, or an object of the machine's parts, \
             of which some may change. The first machine activates the licence too.",
        )
        .takes(body(sample, &["machine_name", "app_version"]))
        .answers(200, "The machine is under the licence", answer.nullable(&["max_users", "valid_until"]));
    refuses(operation)
}

/// `POST /api/v1/validate`.
pub fn validate() -> Operation {
    let sample = json!({
        "license_key": KEY, "activation_id": ACTIVATION, "hardware_id": hardware(), "current_users": 5,
        "app_version": "1.0.0",
    });
    let answer = Shape::like(json!({
        "valid": true, "features": ["feature1", "feature2"], "max_users": 10, "message": "License valid",
        "code": "LICENSE_EXPIRED", "details": {},
    }))
    .object(&["details"])
    .words("code", CODES)
    .nullable(&["max_users"])
    .optional(&["code", "details"])
    .example(json!({
        "valid": true, "features": ["feature1", "feature2"], "max_users": 10, "message": "License valid",
    }));
    let operation = Operation::new(LICENSE_SERVER, "May a machine go on?")
        .describe("A licence that may not be used is an answer: `valid` is false, `code` and `message` say why.")
        .takes(body(sample, &["current_users", "app_version"]))
        .answers(200, "Whether it may", answer);
    refuses(operation)
}

/// `POST /api/v1/heartbeat`.
pub fn heartbeat() -> Operation {
    let sample = json!({
        "license_key": KEY, "activation_id": ACTIVATION, "current_users": 5,
        "feature_usage": { "feature1": 150, "feature2": 75 },
    });
    let answer = Shape::like(json!({ "success": true, "next_heartbeat": "2025-01-01T12:30:00Z" }));
    let operation = Operation::new(LICENSE_SERVER, "A machine is alive, and has so many users")
        .describe("`feature_usage` counts since the last heartbeat. One a minute for each activation.")
        .takes(body(sample, &["feature_usage"]).map(&["feature_usage"]))
        .answers(200, "It is on disk", answer.times(&["next_heartbeat"]))
        .with_header(200, "RateLimit-Limit", "Calls in the window")
        .with_header(200, "RateLimit-Remaining", "Calls that are left of it")
        .with_header(200, "RateLimit-Reset", "Seconds until all are back");
    refuses(operation)
}

/// `POST /api/v1/deactivate`.
pub fn deactivate() -> Operation {
    let sample = json!({ "license_key": KEY, "activation_id": ACTIVATION, "reason": "System upgrade" });
    let answer = Shape::like(json!({ "success": true, "message": "License deactivated successfully" }));
    let operation = Operation::new(LICENSE_SERVER, "Give a machine's activation back, with its users")
        .takes(body(sample, &["reason"]))
        .answers(200, "It is given back", answer);
    refuses(operation)
}
