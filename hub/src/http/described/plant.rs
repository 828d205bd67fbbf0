//! The plant licence API: what the hub alone serves of it, and what it refuses beside what the agents do.

use super::if_match;
use serde_json::json;
use sitewarden_openapi::shared::plant::{error, known, refuses};
use sitewarden_openapi::shared::{LICENSES, MONITORS, plant};
use sitewarden_openapi::{Operation, Shape};

/// What any of its paths may refuse at the hub.
pub(in crate::http) fn at_hub(operation: Operation) -> Operation {
    operation
        .answers(408, "It took longer than 25 seconds", error(408, "The request took too long"))
        .answers(500, "The log says why", error(500, "The hub could not answer; its log says why"))
        .answers(503, "Try again later", error(503, "The hub is busy; try again later"))
        .with_header(503, "Retry-After", "Seconds")
}

const TOO_LARGE: (u16, &str) = (413, "The body is too large");

pub(in crate::http) fn generate() -> Operation {
    let body = Shape::like(json!({
        "license_name": "L1", "plant_id": "0190c8a0-0000-7000-8000-000000000001",
        "site_id": "0190c8a0-0000-7000-8000-000000000002", "license_validity": "1y", "app": "EMS", "license_quota": 100,
        "license_description": "Description",
    }))
    .field("license_validity", Shape::schema(json!({ "type": "string", "pattern": "^[1-9][0-9]{0,4}[ymd]$" })))
    .field("license_quota", Shape::integer(1, i64::from(u32::MAX)))
    .optional(&["license_description"])
    .open();
    let operation = Operation::new(LICENSES, "Generate a licence")
        .describe("For administrators of the whole hub. Its key is told by `GET /_config/licenses/{id}`.")
        .takes(body)
        .answers(200, "The licence's id", Shape::like(json!({ "id": "96978782-b0ea-49dc-9f87-2edf8ba2f126" })));
    let operation = refuses(
        operation,
        &[
            (
                400,
                "Insufficient inputs · Invalid content type · Invalid input data type · License validity is invalid · Invalid \
                 application name · License quota must be a positive integer · Plant id or Site id not found",
            ),
            (409, "License name License_ABC_Steel already exists"),
            TOO_LARGE,
        ],
    );
    at_hub(known(operation))
}

pub(in crate::http) fn update() -> Operation {
    let fields = [
        "license_name",
        "plant_id",
        "site_id",
        "license_validity",
        "app",
        "license_quota",
        "license_description",
        "status",
    ];
    let body = Shape::like(json!({
        "license_name": "L1", "plant_id": "0190c8a0-0000-7000-8000-000000000001",
        "site_id": "0190c8a0-0000-7000-8000-000000000002", "license_validity": "1y", "app": "EMS", "license_quota": 100,
        "license_description": "Description", "status": "Invalid",
    }))
    .words("status", &["Inactive", "Active", "Expired", "Deactivated", "Invalid"])
    .optional(&fields)
    .open();
    let operation = Operation::new(LICENSES, "Update a licence")
        .describe("For administrators of the whole hub. One field at least is needed.")
        .path("id", "The licence's id", Shape::text().example(json!("96978782-b0ea-49dc-9f87-2edf8ba2f126")))
        .takes(body)
        .answers(200, "Done", Shape::word(&["License updated"]));
    let operation = refuses(
        if_match(operation),
        &[
            (
                400,
                "Insufficient inputs · Invalid content type · Invalid license · License quota must be a positive integer · \
                 License name L2 already exists · Cannot change status from 'Invalid' to any other value · Status cannot be \
                 empty",
            ),
            (409, "another licence of the app is active, or more monitors run than the quota"),
            (412, "it is at revision 3 now, which is not the one that you saw; look at it again"),
            TOO_LARGE,
        ],
    );
    at_hub(known(operation))
}

/// What `_explain` answers at the hub.
pub(crate) fn explanation() -> Shape {
    let verdicts = ["allowed", "warned", "no_new", "denied"];
    Shape::like(json!({
        "app": "EMS", "at": "2026-01-31T08:00:00Z", "verdict": "warned", "allowed": true, "new_monitors": true,
        "license": "L1", "in_use": 3, "permitted": 10,
        "reasons": [{ "since": "2026-01-30T00:00:00Z", "text": "the licence L1 has expired" }],
        "changes": [{ "at": "2026-02-28T00:00:00Z", "verdict": "denied", "text": "EMS may not be used" }],
    }))
    .words("verdict", &verdicts)
    .words("changes[].verdict", &verdicts)
    .nullable(&["license", "permitted", "reasons[].since"])
}

pub(in crate::http) fn explain() -> Operation {
    let site = Shape::text().example(json!("0190c8a0-0000-7000-8000-000000000002"));
    at_hub(plant::explain(explanation()).required_query("site_id", "Which site", site))
}

pub(in crate::http) fn monitors() -> Operation {
    let id = || Shape::text().example(json!("0190c8a0-0000-7000-8000-000000000002"));
    let answer = Shape::like(json!({
        "site_id": "0190c8a0-0000-7000-8000-000000000002", "app": "CBM", "in_use": 2,
        "monitors": [{
            "monitor_id": "pump-1", "app": "CBM", "agent_id": "0190c8a0-0000-7000-8000-000000000003",
            "since": 1_769_846_400,
        }],
        "next": "cursor",
    }))
    .nullable(&["app", "next"]);
    let operation = Operation::new(MONITORS, "The monitors in use at a site")
        .describe("As far as its agent's records have arrived. `in_use` counts all pages.")
        .required_query("site_id", "Which site", id())
        .query("plant_id", "Its plant", id())
        .query("app", "Of that app only", Shape::text())
        .query("limit", "How many on a page; 100 if not given", Shape::integer(1, 1_000))
        .query("after", "What the page before gave as `next`", Shape::text())
        .answers(200, "A page of monitors", answer);
    let refused =
        "Insufficient inputs · Plant id or Site id not found · Invalid application name · Invalid input data type";
    at_hub(known(refuses(operation, &[(400, refused)])))
}
