//! How the hub is, how agents enrol, and what its word is verified with.

use super::{OPERATIONS, error};
use crate::http::well_known::Identity;
use sitewarden_openapi::{Operation, Shape};

const BINARY: &str = "application/octet-stream";

pub(in crate::http) fn healthz() -> Operation {
    Operation::new(OPERATIONS, "The process answers").answers_as("text/plain", 200, "`ok`", Shape::text())
}

pub(in crate::http) fn readyz() -> Operation {
    Operation::new(OPERATIONS, "The hub serves, and its database answers")
        .answers_as("text/plain", 200, "`ready`", Shape::text())
        .answers_as("text/plain", 503, "Why not", Shape::text())
}

pub(in crate::http) fn metrics() -> Operation {
    Operation::new(OPERATIONS, "Metrics")
        .answers_as("application/openmetrics-text", 200, "OpenMetrics", Shape::text())
        .answers(500, "They could not be written", plain("INTERNAL"))
}

pub(in crate::http) fn identity() -> Operation {
    Operation::new(OPERATIONS, "What to verify the hub's word with")
        .describe("Its signing keys, the one in use first, raw and as a JWK set, and the vendor's authorities.")
        .answers(200, "Keys and certificates", Shape::of::<Identity>())
}

pub(in crate::http) fn enroll() -> Operation {
    let frame = || Shape::schema(serde_json::json!({ "type": "string", "contentMediaType": BINARY }));
    Operation::new(OPERATIONS, "An agent with a one-time token becomes known")
        .describe("For agents: request and answer are frames of Sitewarden's own protocol.")
        .takes_as(BINARY, frame())
        .answers_as(BINARY, 200, "It is known: its certificate", frame())
        .answers_as(BINARY, 403, "No such token", frame())
        .answers_as(BINARY, 409, "The token was used by another", frame())
        .answers_as(BINARY, 410, "The token's time is over", frame())
        .answers_as(BINARY, 422, "The request cannot be", frame())
        .answers_as(BINARY, 503, "Try again later", frame())
        .answers(400, "BAD_BODY: the body is not an enrolment request", plain("BAD_BODY"))
        .answers(413, "TOO_LARGE: the body is larger than this path takes", plain("TOO_LARGE"))
        .answers(415, "MEDIA_TYPE: the body must be application/octet-stream", plain("MEDIA_TYPE"))
        .answers(500, "INTERNAL: the log says why", plain("INTERNAL"))
        .with_header(503, "Retry-After", "Seconds")
}

pub(in crate::http) fn renew() -> Operation {
    let frame = || Shape::schema(serde_json::json!({ "type": "string", "contentMediaType": BINARY }));
    Operation::new(OPERATIONS, "An agent gets its next certificate by proof of its signing key")
        .describe("For agents whose certificate is over: request and answer are frames of Sitewarden's own protocol.")
        .takes_as(BINARY, frame())
        .answers_as(BINARY, 200, "The certificate", frame())
        .answers_as(BINARY, 403, "No agent of this signing key, or one that was revoked", frame())
        .answers_as(BINARY, 409, "A challenge: ask again with it", frame())
        .answers_as(BINARY, 422, "The request cannot be", frame())
        .answers_as(BINARY, 503, "Try again later", frame())
        .answers(400, "BAD_BODY: the body is not a request for a certificate", plain("BAD_BODY"))
        .answers(413, "TOO_LARGE: the body is larger than this path takes", plain("TOO_LARGE"))
        .answers(415, "MEDIA_TYPE: the body must be application/octet-stream", plain("MEDIA_TYPE"))
        .answers(500, "INTERNAL: the log says why", plain("INTERNAL"))
}

pub(in crate::http) fn sync() -> Operation {
    let words = || Shape::text();
    Operation::new(OPERATIONS, "Where agents come in over HTTPS")
        .describe(
            "For agents: the connection becomes one of Sitewarden's own sync protocol. They show their certificate.",
        )
        .header("Upgrade", "What it becomes", Shape::text())
        .answers_empty(101, "It becomes that")
        .answers_as("text/plain", 403, "Not an agent of this hub, or TLS ended at a proxy", words())
        .answers_as("text/plain", 426, "Only agents come in here", words())
        .answers_as("text/plain", 503, "Too many at the same time", words())
        .with_header(426, "Upgrade", "What the connection has to become")
        .with_header(503, "Retry-After", "Seconds")
}

/// A refusal without details.
fn plain(code: &str) -> Shape {
    error(code, "in words").optional(&["error.details"])
}
