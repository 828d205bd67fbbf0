//! What each route takes and answers: the agent's OpenAPI document. What the hub serves too is in
//! `sitewarden_openapi::shared`. `super::app_routes` puts each description beside its handler, and no route can be there
//! without one.

pub(super) mod control;
pub(super) mod operations;
pub(super) mod telemetry;

#[cfg(test)]
mod tests;

use sitewarden_openapi::shared::{self, LICENSE_SERVER, LICENSES, MONITORS, TELEMETRY};
use sitewarden_openapi::{Head, Tag};

const CONTROL: &str = "Telemetry and licence control";
const LOGIN: &str = "Login";
const OPERATIONS: &str = "Operations";

const TAGS: &[Tag] = &[
    Tag { name: LICENSES, description: "May an app be used, and until when. From memory, without the hub." },
    Tag { name: MONITORS, description: "How apps take and give back units of their quota." },
    Tag {
        name: LICENSE_SERVER,
        description: "Floating users: machines come under a licence by its key. The same endpoints as at the hub, for \
                      this site, without it. Whoever has a licence's key may call.",
    },
    Tag { name: TELEMETRY, description: "What apps report. An answer of 200 or 202 means that it is on disk." },
    Tag { name: CONTROL, description: "Telemetry's settings, transmissions and health, and what the licences permit." },
    Tag { name: LOGIN, description: "Access tokens for `Telemetry and licence control`." },
    Tag { name: OPERATIONS, description: "How the agent is, who it is, and this document." },
];

/// What stands above the operations.
pub(super) fn head() -> Head {
    Head {
        title: "Sitewarden agent",
        version: env!("CARGO_PKG_VERSION"),
        description: "The local API of the agent at a plant, on loopback. It decides and records without the hub.\n\n\
                      Each family of endpoints keeps the form of errors of its own document: \
                      `{\"error\": {\"status\", \"message\"}}` (plant licences, monitors), \
                      `{\"error\": {\"code\", \"message\", \"details\"}}` (licence server), `{\"detail\"}` (telemetry), a signed \
                      envelope (send-telemetry-data). A path that there is not is 404, a wrong method 405, a body that is \
                      too large 413. A request that takes more than 30 seconds is cut off with an empty 503.",
        tags: TAGS,
        security: shared::security("this agent (`sitewarden-agent user add`)"),
        own_tag: OPERATIONS,
    }
}
