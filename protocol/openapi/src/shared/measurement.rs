//! `send-telemetry-data`: what programs send of themselves. Its samples are the document's.

use super::{SENDING_KEY, TELEMETRY};
use crate::{Operation, Shape};
use serde_json::json;

/// `POST /api/v1/send-telemetry-data`.
pub fn send() -> Operation {
    let sample = json!({
        "api_key": "2964c3c9-0b5d-4d89-b3ac-4668f30bc492", "data_type": "numeric-single-value",
        "numeric_data_single_value": "50", "product_id": "1", "user_identifier": "554dddsqfqs4dqd5qsd74q",
        "license_key": "9cc2cc83-4c74-49f9-98f5-f0e1c1eb1541", "activation_identifier": "12135644",
        "product_version": "1.0.1", "data_group": "test_group",
    });
    // Whatever the fields hold is taken; what is wrong with it is in the answer.
    let body = || Shape::schema(json!({ "type": "object" })).example(sample.clone());
    Operation::new(TELEMETRY, "Send telemetry data")
        .describe(
            "JSON, form-urlencoded or multipart. Data that is wrong is saved too, and flagged: 831, with `errors`. No licence is \
             needed. `signature` is Ed25519 over the exact bytes that `response_base64` decodes to; the key is at \
             `/.well-known/sitewarden`.\n\nFields: `api_key`, `data_type` (`numeric-xy-axis`, `numeric-single-value`, `text`), \
             `numeric_data_single_value`, `numeric_data_x`, `numeric_data_y`, `text_data`, `product_id`, `user_identifier`, \
             `license_key`, `activation_identifier`, `product_version`, `data_group`.",
        )
        .secured(&[SENDING_KEY])
        .takes(body())
        .takes_as("application/x-www-form-urlencoded", body())
        .takes_as("multipart/form-data", body())
        .answers(200, "830, or 831: it is saved", envelope(830, "Correct format data saved"))
        .answers(400, "The body broke off", envelope(400, "The body could not be read"))
        .answers(401, "The API key is missing or wrong: nothing is saved", envelope(401, "Unauthorised"))
        .answers(413, "More than 64 KiB", envelope(413, "The body is too large"))
        .answers(503, "Busy, or about to stop", envelope(503, "The hub is busy, try again later"))
        .answers(408, "The body took too long", envelope(408, "The request took too long"))
        .answers(429, "Too many requests", envelope(429, "Too many requests"))
        .with_header(429, "Retry-After", "Seconds")
        .with_header(503, "Retry-After", "Seconds")
        .answers(500, "It could not be stored; the log says why", envelope(500, "The hub could not store it, its log says why"))
        .answers(507, "The agent's journal is full", envelope(507, "The agent's journal is full"))
}

fn envelope(code: u16, message: &str) -> Shape {
    let errors = json!({
        "anyOf": [
            { "type": "array", "maxItems": 0 },
            { "type": "object", "additionalProperties": { "type": "array", "items": { "type": "string" }, "minItems": 1 } },
        ],
    });
    Shape::like(json!({
        "response": { "code": code, "message": message, "errors": [], "timestamp": 1_708_999_140 },
        "response_base64": "eyJjb2RlIjo4MzAsIm1lc3NhZ2UiOiJDb3JyZWN0IGZvcm1hdCBkYXRhIHNhdmVkIiwiZXJyb3JzIjpbXSwidGltZXN0YW1wIjoxNzA4OTk5MTQwfQ==",
        "private_key_used": "global",
        "signature": "KdJsqHq3QQj7ekAd9+BOr8GI63Y/YAqo80qCZrAnuVaynpgPepvEsiQCAGxNAnyJESu7teLisvO+ts5Mu3q+9A==",
    }))
    .field("response.errors", Shape::schema(errors))
}
