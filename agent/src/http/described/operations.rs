//! How the agent is, and who it is.

use super::OPERATIONS;
use crate::http::well_known::Identity;
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

pub(in crate::http) fn healthz() -> Operation {
    Operation::new(OPERATIONS, "The process answers").answers(200, "It does", Shape::like(json!({ "status": "ok" })))
}

pub(in crate::http) fn readyz() -> Operation {
    let answer = Shape::like(json!({ "status": "ready", "snapshot_revision": 12 }));
    Operation::new(OPERATIONS, "It decides and takes records").answers(200, "It does", answer)
}

pub(in crate::http) fn metrics() -> Operation {
    let error = json!({ "error": { "status": 500, "message": "metrics are not available" } });
    Operation::new(OPERATIONS, "Metrics")
        .answers_as("application/openmetrics-text", 200, "OpenMetrics", Shape::text())
        .answers(500, "They could not be written", Shape::like(error))
}

pub(in crate::http) fn identity() -> Operation {
    Operation::new(OPERATIONS, "Who this agent is, and by whose word")
        .describe(
            "Its signing key, raw and as a JWK set, and its certificates. Whoever checks a proof starts from the vendor's root, \
             which comes from elsewhere.",
        )
        .answers(200, "Who it is", Shape::of::<Identity>())
}
