//! How the document tells of `Idempotency-Key`.

use super::refuses;
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

/// A POST that may be sent again under a key.
pub(crate) fn repeatable(operation: Operation) -> Operation {
    let what = "One that is sent again with the same key and body is answered again, and not done again, for a day";
    let operation = operation.header("Idempotency-Key", what, Shape::text().example(json!("order-4711")));
    refuses(
        operation,
        &[
            (409, "IDEMPOTENCY_IN_DOUBT", "a request with this key has begun, and nobody has seen its end"),
            (409, "IDEMPOTENCY_ANSWER_LOST", "it was done, but its answer is lost; look at what it made"),
            (422, "IDEMPOTENCY_MISMATCH", "this key was used for another request"),
        ],
    )
}
