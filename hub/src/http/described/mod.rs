//! What each route takes and answers: the hub's OpenAPI document. What the agents serve too is in
//! `sitewarden_openapi::shared`. Paths of no table stand beside their handlers in `super::router`.

mod editions;
pub(super) mod operations;
pub(crate) mod plant;
mod repeatable;
pub(super) mod telemetry;

pub(crate) use editions::{if_match, tagged};
pub(crate) use repeatable::repeatable;

use serde_json::{Value, json};
use sitewarden_openapi::shared::{self, API_KEY, LICENSE_SERVER, LICENSES, MONITORS, TELEMETRY};
use sitewarden_openapi::{Head, Operation, Shape, Tag};

const STORED: &str = "What was sent";
const LOGIN: &str = "Login";
const LEADS: &str = "Leads";
const ANALYTICS: &str = "Analytics";
const WEBHOOKS: &str = "Webhooks";
const ADMINISTRATION: &str = "Administration";
const OPERATIONS: &str = "Operations";

const TAGS: &[Tag] = &[
    Tag { name: LOGIN, description: "Access tokens for everything below `Administration`, `Leads` and `Analytics`." },
    Tag {
        name: LICENSE_SERVER,
        description: "Machines come under a licence by its key. Whoever has the key may call; the agents serve the same four \
                      for their own site, without the hub.",
    },
    Tag {
        name: ADMINISTRATION,
        description: "Customers, their plants, sites, licences and agents, and who may do what.",
    },
    Tag {
        name: LEADS,
        description: "Institutions that may become customers, the people there, and what was said with them.",
    },
    Tag { name: ANALYTICS, description: "How licences are used, from sums that are kept as reports arrive." },
    Tag { name: WEBHOOKS, description: "Who is told of what happens, and what became of it." },
    Tag { name: LICENSES, description: "Licences of plants, for the vendor and for plants that call directly." },
    Tag { name: MONITORS, description: "Monitors in use at the sites. They are reserved and released at the agents." },
    Tag {
        name: TELEMETRY,
        description: "What programs send of themselves. An answer of 200 means that it is on disk.",
    },
    Tag { name: STORED, description: "What plants and programs sent, page by page, as sums, or as a file." },
    Tag { name: OPERATIONS, description: "How the hub is, agents' enrolment, and this document." },
];

/// What stands above the operations.
pub(super) fn head() -> Head {
    Head {
        title: "Sitewarden hub",
        version: env!("CARGO_PKG_VERSION"),
        description: "The API of the vendor's hub.\n\nErrors are `{\"error\": {\"code\", \"message\", \"details\"}}`: codes are \
                      stable, messages are for people. Two documented families keep forms of their own: plant licences and \
                      monitors have `{\"error\": {\"status\", \"message\"}}`, `send-telemetry-data` answers in a signed envelope. \
                      A path that there is not is 404 NOT_FOUND, a wrong method 405 METHOD_NOT_ALLOWED, a body that is too \
                      large 413, a request that takes more than 30 seconds 408 TIMEOUT. Times are RFC 3339 in UTC.",
        tags: TAGS,
        security: security(),
        own_tag: OPERATIONS,
    }
}

fn security() -> Value {
    let mut schemes = shared::security("this hub (`sitewarden-hub user add`)");
    schemes[API_KEY] = json!({
        "type": "apiKey", "in": "header", "name": "X-Api-Key",
        "description": "An API key of the hub's API; it may stand behind `Authorization: Bearer` instead.",
    });
    schemes
}

/// A refusal in the hub's own form.
pub(super) fn error(code: &str, message: &str) -> Shape {
    Shape::like(json!({ "error": { "code": code, "message": message, "details": {} } })).object(&["error.details"])
}

/// Refusals, each with its status, its code and its meaning.
pub(super) fn refuses(operation: Operation, refusals: &[(u16, &str, &str)]) -> Operation {
    refusals.iter().fold(operation, |operation, (status, code, what)| {
        operation.answers(*status, &format!("{code}: {what}"), error(code, what))
    })
}

/// What any request to the store may come to.
const STORE: [(u16, &str, &str); 2] = [
    (500, "INTERNAL", "the hub could not do that; its log says why"),
    (503, "UNAVAILABLE", "the hub's database is not available; nothing was changed"),
];
