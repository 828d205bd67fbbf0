//! The audit log.

use super::super::audit;
use super::{ADMINISTRATION as TAG, Entry, listed};
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/audit", || listed::<audit::Query, audit::View>(TAG, "What was done, by whom, from where")),
    ("GET", "/api/v1/admin/audit/export", || {
        Operation::new(TAG, "All that was done, as JSON lines, the oldest first").queries::<audit::Query>().answers_as(
            "application/jsonl",
            200,
            "The file; a file that is cut breaks its connection",
            Shape::text(),
        )
    }),
    ("GET", "/api/v1/admin/audit/verify", || {
        let answer = json!({ "rows": 2, "broken": 0, "head": "00" });
        Operation::new(TAG, "Whether each row follows from the one before it").answers(
            200,
            "Rows that do; the first that does not, or null; the hash of the last one that does",
            Shape::like(answer).nullable(&["broken"]),
        )
    }),
];
