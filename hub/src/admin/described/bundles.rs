//! Files from agents without a line, and batches that wait.

use super::super::{batches, bundles};
use super::{ADMINISTRATION as TAG, Entry, listed, numbered, refuses, shown};
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/batches", || {
        listed::<batches::Query, batches::View>(TAG, "Batches that wait: set aside, or one half of a fork")
    }),
    ("GET", "/api/v1/admin/batches/{id}", || numbered(shown::<batches::View>(TAG, "A batch that waits"))),
    ("POST", "/api/v1/admin/batches/{id}/replay", || {
        numbered(shown::<batches::Tried>(TAG, "Try a batch again that waits"))
    }),
    ("GET", "/api/v1/admin/bundles", || {
        listed::<bundles::Query, bundles::View>(TAG, "Bundles that were imported or made")
    }),
    ("POST", "/api/v1/admin/bundles/import", import),
    ("GET", "/api/v1/admin/bundles/export", || {
        let operation = Operation::new(TAG, "Make a bundle with what a site's agent is to hear");
        let operation = operation.queries::<bundles::Export>();
        let operation = operation.answers(200, "The file", Shape::of::<bundles::Exported>());
        refuses(operation, &[(409, "CONFLICT", "the site has no agent that could read it")])
    }),
];

fn import() -> Operation {
    let file = || Shape::schema(json!({ "type": "string", "format": "binary" }));
    Operation::new(TAG, "Take in a bundle")
        .describe(
            "The body is one bundle as it is, or several, each behind its length (eight bytes, little-endian). The answer \
             comes while it is taken in, one JSON value a line: `progress`, then `file` or `failed` for each file, and last \
             `done`, with the reply in base64 if one was asked for.",
        )
        .queries::<bundles::Import>()
        .takes_as("application/octet-stream", file())
        .answers_as("application/jsonl", 200, "What became of it", file())
}
