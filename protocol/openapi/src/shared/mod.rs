//! What agent and hub both serve, described once: the plant licence API, the licence server's public endpoints and
//! `send-telemetry-data`. Where one of them refuses less, its description is the longer one of the other.

pub mod license_server;
pub mod measurement;
pub mod plant;

use serde_json::{Value, json};

/// A name and a password, as HTTP has it.
pub const BASIC: &str = "basic";
/// An access token from `/api/v1/auth/login`.
pub const BEARER: &str = "bearer";
/// An API key of the hub's API, in a header.
pub const API_KEY: &str = "api_key";
/// A key with which programs send telemetry, in a header.
pub const SENDING_KEY: &str = "sending_key";

/// The tag of the plant licence API.
pub const LICENSES: &str = "Plant licences";
/// The tag of monitors.
pub const MONITORS: &str = "Monitors";
/// The tag of the licence server's public endpoints.
pub const LICENSE_SERVER: &str = "Licence server";
/// The tag of what programs send.
pub const TELEMETRY: &str = "Telemetry";

/// `components.securitySchemes`: ways to say who calls. `whose` users are meant.
pub fn security(whose: &str) -> Value {
    json!({
        BASIC: {
            "type": "http", "scheme": "basic",
            "description": format!("A user of {whose}. Wrong passwords make the caller wait."),
        },
        BEARER: {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "An access token from `/api/v1/auth/login`.",
        },
        SENDING_KEY: {
            "type": "apiKey", "in": "header", "name": "X-Api-Key",
            "description": "A customer's key, made at the hub (`apikey add`); it may stand in the body as `api_key` instead.",
        },
    })
}
