//! How the document tells of editions.

use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

/// An answer says which state it shows.
pub(crate) fn tagged(operation: Operation, status: u16) -> Operation {
    operation.with_header(status, "ETag", "Its revision, for If-Match")
}

/// A change that may name the state that the caller saw. What it is refused with is each dialect's own.
pub(crate) fn if_match(operation: Operation) -> Operation {
    let tag = Shape::schema(json!({ "type": "string", "pattern": "^([*]|\"[0-9]{1,18}\")$" }));
    operation.header("If-Match", "Only if it is still in the state with this ETag", tag)
}
