//! What plants and programs sent, for those who may see it.

use super::{STORE, STORED, refuses};
use crate::http::telemetry::RecordPage;
use serde_json::json;
use sitewarden_openapi::shared::{API_KEY, BASIC, BEARER};
use sitewarden_openapi::{Operation, Shape};

/// Any user, whichever way he comes.
fn looks(operation: Operation) -> Operation {
    let operation = operation.secured(&[BEARER, API_KEY, BASIC]);
    let operation = refuses(
        operation,
        &[
            (400, "INVALID", "a parameter cannot be, or is not known; `details.field` names it"),
            (401, "UNAUTHORIZED", "no user of this hub"),
            (429, "RATE_LIMITED", "too many wrong credentials; try again later"),
        ],
    );
    refuses(operation, &STORE).with_header(401, "WWW-Authenticate", "How to come").with_header(
        429,
        "Retry-After",
        "Seconds",
    )
}

fn filtered(operation: Operation) -> Operation {
    operation
        .query("customer", "Of this customer", Shape::integer(i64::MIN, i64::MAX))
        .query("plant", "Of this plant", Shape::uuid())
        .query("site", "Of this site", Shape::uuid())
        .query("app", "Of this app", Shape::text())
        .query("kind", "Of this kind, such as `measurement` or `event`", Shape::text())
        .query("group", "Measurements of this data group", Shape::text())
        .query("from", "Not before", Shape::time())
        .query("to", "Before", Shape::time())
        .query("flagged", "With red flags, or without", Shape::flag())
}

pub(in crate::http) fn records() -> Operation {
    let operation = filtered(Operation::new(STORED, "Records, page by page"))
        .query("cursor", "What the page before gave as `next`", Shape::text())
        .query("limit", "How many on a page; 100 if not given", Shape::integer(1, 1_000))
        .answers(200, "A page; it may be short, and still have a next", Shape::of::<RecordPage>());
    looks(operation)
}

pub(in crate::http) fn export() -> Operation {
    let operation = filtered(Operation::new(STORED, "Records, as a file"))
        .required_query("format", "Which", Shape::word(&["csv", "jsonl"]).example(json!("csv")))
        .answers_as("text/csv", 200, "The file; a file that is cut breaks its connection", Shape::text())
        .answers_as("application/jsonl", 200, "The file; a file that is cut breaks its connection", Shape::text());
    looks(operation).with_header(200, "Content-Disposition", "A name for the file")
}

pub(in crate::http) fn series() -> Operation {
    let spans = ["hour", "day", "week", "month"];
    let point = json!({
        "start": "2026-01-31T08:00:00Z", "count": 60, "sum": 3000.0, "min": 40.0, "max": 60.0, "last": 50.0,
        "last_at": "2026-01-31T08:59:00Z",
    });
    let answer = Shape::like(json!({ "group": "temperature", "granularity": "hour", "points": [point] }))
        .words("granularity", &spans)
        .times(&["points[].start", "points[].last_at"]);
    let operation = Operation::new(STORED, "The numbers of a data group, by hour, day, week or month")
        .describe("From sums that stay when the raw data is removed. Weeks begin on Mondays; all in UTC.")
        .required_query("group", "Which data group", Shape::text().example(json!("temperature")))
        .query("granularity", "By what; by the hour if not given", Shape::word(&spans))
        .query("from", "Not before", Shape::time())
        .query("to", "Before", Shape::time())
        .query("site", "Of this site", Shape::uuid())
        .query("customer", "Of this customer", Shape::integer(i64::MIN, i64::MAX))
        .query("flagged", "With red flags, or without", Shape::flag())
        .answers(200, "Sums", answer);
    looks(operation)
}

pub(in crate::http) fn transmissions() -> Operation {
    let item = json!({
        "agent": "0190c8a0-0000-7000-8000-000000000003", "number": 7, "due_at": "2026-02-01T02:00:00Z", "manual": false,
        "started_at": "2026-02-01T02:00:00Z", "finished_at": "2026-02-01T02:00:15Z", "records": 5432, "retries": 0,
        "status": "success", "error": "",
    });
    let answer = Shape::like(json!({ "items": [item], "next": "cursor" }))
        .words("items[].status", &["success", "failed"])
        .nullable(&["items[].error", "next"]);
    let operation = Operation::new(STORED, "The transmissions of a site, the newest first")
        .required_query("site", "Which site", Shape::uuid().example(json!("0190c8a0-0000-7000-8000-000000000002")))
        .query("cursor", "What the page before gave as `next`", Shape::text())
        .query("limit", "How many on a page; 100 if not given", Shape::integer(1, 1_000))
        .answers(200, "A page", answer);
    looks(operation)
}
