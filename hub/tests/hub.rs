//! The hub as agents, browsers and operators meet it: a real one, in process, on ports of the system's choice.
//!
//! Nothing here sleeps: a test waits until something holds, and fails when it takes longer than `support::PATIENCE`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

#[path = "hub/audit.rs"]
mod audit;
#[path = "hub/auth.rs"]
mod auth;
#[path = "hub/bad_input.rs"]
mod bad_input;
#[path = "hub/command.rs"]
mod command;
#[path = "hub/described.rs"]
mod described;
#[path = "hub/development.rs"]
mod development;
#[path = "hub/enrolment.rs"]
mod enrolment;
#[path = "hub/every_endpoint.rs"]
mod every_endpoint;
#[path = "hub/flags.rs"]
mod flags;
#[path = "hub/http.rs"]
mod http;
#[path = "hub/https.rs"]
mod https;
#[path = "hub/idempotency.rs"]
mod idempotency;
#[path = "hub/leads.rs"]
mod leads;
#[path = "hub/license_admin.rs"]
mod license_admin;
#[path = "hub/license_server.rs"]
mod license_server;
#[path = "hub/lifecycle.rs"]
mod lifecycle;
#[path = "hub/limits.rs"]
mod limits;
#[path = "hub/log.rs"]
mod log;
#[path = "hub/plant_curl.rs"]
mod plant_curl;
#[path = "hub/plant_licenses.rs"]
mod plant_licenses;
#[path = "hub/plant_monitors.rs"]
mod plant_monitors;
#[path = "hub/plant_world.rs"]
mod plant_world;
#[path = "hub/questions.rs"]
mod questions;
#[path = "hub/receiver.rs"]
mod receiver;
#[path = "hub/recorded.rs"]
mod recorded;
#[path = "hub/renewal.rs"]
mod renewal;
#[path = "hub/sealing.rs"]
mod sealing;
#[path = "hub/secrets.rs"]
mod secrets;
#[path = "hub/send_telemetry.rs"]
mod send_telemetry;
#[path = "hub/sessions.rs"]
mod sessions;
#[path = "hub/settings.rs"]
mod settings;
#[path = "hub/stress.rs"]
mod stress;
#[path = "hub/support.rs"]
mod support;
#[path = "hub/telemetry.rs"]
mod telemetry;
#[path = "hub/telemetry_input.rs"]
mod telemetry_input;
#[path = "hub/telemetry_scope.rs"]
mod telemetry_scope;
#[path = "hub/users.rs"]
mod users;
#[path = "hub/waiting.rs"]
mod waiting;
#[path = "hub/webhooks.rs"]
mod webhooks;
