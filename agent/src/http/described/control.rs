//! Telemetry and licence control, and logging in for it.

use super::{CONTROL, LOGIN};
use serde_json::{Value, json};
use sitewarden_openapi::shared::BEARER;
use sitewarden_openapi::{Operation, Shape};

const FREQUENCIES: &[&str] = &["twice_monthly", "weekly", "monthly", "daily"];
const TIMES: [&str; 2] = ["last_transmission_at", "next_scheduled_at"];

fn detail(message: &str) -> Shape {
    Shape::like(json!({ "detail": message }))
}

/// Whoever is logged in.
fn anybody(operation: Operation) -> Operation {
    operation.secured(&[BEARER]).answers(
        401,
        "No access token, or one that counts no more",
        detail("Not authenticated"),
    )
}

/// An operator or an administrator.
fn reader(operation: Operation) -> Operation {
    anybody(operation).answers(403, "Not for this role", detail("Only an operator or an administrator may do this"))
}

/// An administrator.
fn administrator(operation: Operation) -> Operation {
    anybody(operation).answers(403, "Not for this role", detail("Only an administrator may do this"))
}

fn tokens() -> Shape {
    Shape::like(json!({
        "access_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "token_type": "bearer", "expires_in": 900,
        "refresh_token": "c2VjcmV0",
    }))
}

const TOO_LARGE: (u16, &str) = (413, "The body is larger than 4 MiB");

pub(in crate::http) fn login() -> Operation {
    Operation::new(LOGIN, "Log in")
        .describe(
            "With a user of this agent. The access token lives shortly; the refresh token gets the next one, once.",
        )
        .takes(Shape::like(json!({ "username": "anna", "password": "correct horse battery staple" })).open())
        .answers(200, "Tokens", tokens())
        .refuses(
            &detail("Incorrect username or password"),
            &[
                (400, "A field is missing"),
                (401, "No such user, or a wrong password"),
                TOO_LARGE,
                (429, "Too many wrong passwords"),
                (500, "The session could not be stored; the log says why"),
                (503, "The agent is stopping"),
            ],
        )
        .with_header(429, "Retry-After", "Seconds")
}

pub(in crate::http) fn refresh() -> Operation {
    Operation::new(LOGIN, "New tokens for a refresh token")
        .describe("The refresh token is used up; used again, it ends the session.")
        .takes(Shape::like(json!({ "refresh_token": "c2VjcmV0" })).open())
        .answers(200, "Tokens", tokens())
        .refuses(
            &detail("Invalid or expired token"),
            &[
                (400, "A field is missing"),
                (401, "No session has this token"),
                TOO_LARGE,
                (500, "The session could not be stored; the log says why"),
                (503, "The agent is stopping"),
            ],
        )
}

pub(in crate::http) fn logout() -> Operation {
    let answer = Shape::like(json!({ "status": "success", "message": "Logged out" }));
    let operation = Operation::new(LOGIN, "Log out").answers(200, "The session is over", answer).refuses(
        &detail("the session could not be stored; see the agent's log"),
        &[(500, "The session could not be stored"), (503, "The agent is stopping")],
    );
    anybody(operation)
}

fn configuration() -> Shape {
    Shape::like(json!({
        "business_admin_url": "https://business-admin.controlcore.io", "api_key_configured": true, "enabled": true,
        "frequency": "twice_monthly", "encryption_enabled": true, "anonymization_enabled": true,
        "local_retention_days": 30, "last_transmission_at": "2025-11-12T10:00:00Z",
        "next_scheduled_at": "2025-11-15T02:00:00Z", "updated_at": "2025-11-10T08:30:00Z",
    }))
    .words("frequency", FREQUENCIES)
    .times(&TIMES)
    .times(&["updated_at"])
    .nullable(&TIMES)
    .nullable(&["updated_at"])
}

pub(in crate::http) fn config() -> Operation {
    reader(Operation::new(CONTROL, "Telemetry's settings").answers(200, "The settings", configuration()))
}

pub(in crate::http) fn change_config() -> Operation {
    let days = Shape::integer(0, 3_650);
    let body = Shape::like(json!({
        "business_admin_url": "https://business-admin.controlcore.io", "api_key": "your-api-key-here", "enabled": true,
        "frequency": "twice_monthly", "encryption_enabled": true, "anonymization_enabled": true,
        "local_retention_days": 30,
    }));
    let fields = [
        "business_admin_url",
        "api_key",
        "enabled",
        "frequency",
        "encryption_enabled",
        "anonymization_enabled",
        "local_retention_days",
    ];
    let body = body.words("frequency", FREQUENCIES).field("local_retention_days", days);
    let body = body.nullable(&fields).optional(&fields).open();
    let operation = Operation::new(CONTROL, "Change telemetry's settings")
        .describe("What is missing or null stays as it is. `api_key` is write-only, and encrypted on disk.")
        .takes(body)
        .answers(200, "The settings", configuration())
        .refuses(
            &detail("Invalid frequency. Must be one of: twice_monthly, weekly, monthly, daily"),
            &[(400, "A field cannot be; it is named"), TOO_LARGE, (500, "It could not be stored; the log says why")],
        );
    administrator(operation)
}

pub(in crate::http) fn test_connection() -> Operation {
    let answer = Shape::like(json!({
        "status": "success", "message": "Successfully connected to License Admin server",
        "url": "https://business-admin.controlcore.io", "timestamp": "2025-11-12T10:00:00Z",
    }));
    let answer = answer.words("status", &["success", "failed"]).times(&["timestamp"]);
    administrator(Operation::new(CONTROL, "Is there a line to the hub?").answers(200, "Whether there is", answer))
}

pub(in crate::http) fn preview() -> Operation {
    let sums = Shape::like(json!({
        "customer_id": "customer-123", "current_period": "2025-11-12", "policy_decision_count": 1250,
        "active_bouncer_count": 3, "total_events": 5432, "successful_decisions": 5200, "sandbox_events": 3200,
        "production_events": 2232, "health_status": "healthy", "deployment_version": "1.0.0", "tier": "custom",
        "note": "",
    }))
    .words("health_status", HEALTH)
    .nullable(&["current_period"])
    .optional(&["note"]);
    let raw = Shape::like(json!({
        "total": 1, "skip": 0, "limit": 100,
        "records": [{ "epoch": 1, "seq": 7, "at": "2025-11-12T02:00:00Z", "kind": "event", "body": {} }],
    }));
    let raw = raw.field("records[].body", Shape::schema(json!({})));
    let operation = Operation::new(CONTROL, "What would be sent now")
        .describe("Sums of what has not been sent; with `raw=true` the very records, after anonymization.")
        .query("raw", "The records in place of sums", Shape::flag())
        .query("skip", "Records to leave out, with `raw`", Shape::integer(0, i64::MAX))
        .query("limit", "Records in the answer, with `raw`", Shape::integer(1, 1_000))
        .answers(200, "Sums, or records", Shape::any_of([sums, raw]))
        .refuses(
            &detail("limit: 1 to 1000 is allowed"),
            &[(400, "A parameter cannot be"), (500, "The journal could not be read; the log says why")],
        );
    reader(operation)
}

pub(in crate::http) fn history() -> Operation {
    let row = Shape::like(json!({
        "id": 2, "transmission_date": "2025-11-01T02:00:00Z", "status": "failed", "records_sent": 0,
        "response_code": 500, "response_message": "Server error", "error_details": "Connection timeout",
        "retry_count": 2, "transmitted_at": null,
    }))
    .words("status", &["success", "failed", "in_progress"])
    .times(&["transmission_date", "transmitted_at"])
    .nullable(&["response_code", "error_details", "transmitted_at"]);
    let operation = Operation::new(CONTROL, "Transmissions, the newest first")
        .query("limit", "How many", Shape::integer(1, 1_000).example(json!(10)))
        .query("skip", "How many to leave out", Shape::integer(0, i64::MAX))
        .answers(200, "The transmissions", row.listed())
        .refuses(&detail("limit: 1 to 1000 is allowed"), &[(400, "A parameter cannot be")]);
    reader(operation)
}

const NOT_SENT: [(u16, &str); 2] =
    [(429, "Another transmission is in progress"), (500, "Transmission error: why it failed")];

pub(in crate::http) fn send_now() -> Operation {
    let answer = |status: &str, message: &str| {
        Shape::like(json!({
            "status": status, "message": message, "records_sent": 5432, "timestamp": "2025-11-12T10:00:00Z",
        }))
    };
    let operation = Operation::new(CONTROL, "Send now")
        .describe("Waits for the transmission up to 25 seconds; it goes on after that.")
        .answers(200, "It is sent", answer("success", "Telemetry transmitted successfully"))
        .answers(202, "It goes on", answer("in_progress", "Transmission in progress; see its history"))
        .refuses(&detail("Telemetry is not enabled"), &[(400, "Telemetry is not enabled")])
        .refuses(&detail("Transmission error: Connection timeout"), &NOT_SENT);
    administrator(operation)
}

pub(in crate::http) fn retry() -> Operation {
    let answer = |status: &str, message: &str| {
        Shape::like(json!({ "status": status, "message": message, "log_id": 2, "retry_count": 3 }))
    };
    let operation = Operation::new(CONTROL, "Try a failed transmission again")
        .path("log_id", "The transmission's number", Shape::integer(0, i64::MAX).example(json!(2)))
        .answers(200, "It is sent", answer("success", "Transmission retry successful"))
        .answers(202, "It goes on", answer("in_progress", "Transmission in progress; see its history"))
        .refuses(
            &detail("Transmission did not fail; there is nothing to retry"),
            &[(400, "It did not fail, it is in progress, or telemetry is not enabled"), (404, "No such transmission")],
        )
        .refuses(&detail("Transmission error: Connection timeout"), &NOT_SENT);
    administrator(operation)
}

pub(in crate::http) fn license_status() -> Operation {
    let nullable = ["trial_end_date", "trial_days_remaining", "last_verification", "warning", "promote_warning"];
    let answer = Shape::like(json!({
        "connected": true, "tier": "custom", "trial_expired": false, "trial_end_date": "2025-12-01T00:00:00Z",
        "trial_days_remaining": 19, "license_admin_url": "https://business-admin.controlcore.io",
        "api_key_configured": true, "last_verification": "2025-11-12T02:00:00Z", "can_test_policies": true,
        "can_promote_to_production": true, "features_gated": false, "warning": "", "promote_warning": "",
        "test_policies_message": "Policy testing enabled", "promote_message": "Production deployment enabled",
    }))
    .times(&["trial_end_date", "last_verification"])
    .nullable(&nullable);
    reader(Operation::new(CONTROL, "How the licences stand").answers(200, "How they stand", answer))
}

fn gate(summary: &str, message: &str) -> Operation {
    let answer = Shape::like(json!({
        "allowed": true, "reason": "License verified", "message": message, "trial_end_date": "2025-11-01T00:00:00Z",
    }))
    .times(&["trial_end_date"])
    .nullable(&["trial_end_date"])
    .optional(&["trial_end_date"])
    .example(json!({ "allowed": true, "reason": "License verified", "message": message }));
    anybody(Operation::new(CONTROL, summary).answers(200, "Whether they may", answer))
}

pub(in crate::http) fn test_policies() -> Operation {
    gate("May policies be tested?", "Policy testing enabled")
}

pub(in crate::http) fn promote_production() -> Operation {
    gate("May they go into production?", "Production deployment enabled")
}

const HEALTH: &[&str] = &["healthy", "warning", "unhealthy", "disabled", "not_configured"];

pub(in crate::http) fn health() -> Operation {
    let answer = Shape::like(json!({
        "status": "healthy", "enabled": true, "connection_status": "connected",
        "license_admin_url": "https://business-admin.controlcore.io", "api_key_configured": true,
        "last_transmission_at": "2025-11-12T02:00:00Z", "next_scheduled_at": "2025-11-15T02:00:00Z",
        "frequency": "twice_monthly", "recent_errors": [], "message": "Telemetry system is healthy",
    }))
    .words("status", HEALTH)
    .words("connection_status", &["connected", "disconnected"])
    .words("frequency", FREQUENCIES)
    .times(&TIMES)
    .nullable(&TIMES);
    reader(Operation::new(CONTROL, "How telemetry is").answers(200, "How it is", answer))
}

pub(in crate::http) fn scheduler() -> Operation {
    let answer = Shape::like(json!({
        "scheduler_running": true, "enabled": true, "frequency": "twice_monthly",
        "next_scheduled_at": "2025-11-15T02:00:00Z", "last_transmission_at": "2025-11-12T02:00:00Z",
        "message": "Scheduler active",
    }))
    .words("frequency", FREQUENCIES)
    .times(&TIMES)
    .nullable(&TIMES);
    reader(Operation::new(CONTROL, "How the scheduler is").answers(200, "How it is", answer))
}

/// The document's hint.
fn hint() -> Value {
    json!({
        "customer_id": "customer-123", "subscription_tier": "custom", "trial_end_date": "2025-12-01T00:00:00Z",
        "subscription_status": "active", "effective_date": "2025-11-12T00:00:00Z",
        "webhook_signature": "hmac-sha256-signature",
    })
}

pub(in crate::http) fn license_update() -> Operation {
    let optional = ["customer_id", "subscription_tier", "trial_end_date", "subscription_status"];
    let answer = Shape::like(json!({
        "status": "success", "message": "Subscription tier updated for 1 user(s)", "customer_id": "customer-123",
        "subscription_tier": "custom", "subscription_status": "active", "updated_users": 1,
        "timestamp": "2025-11-12T10:00:00Z",
    }));
    Operation::new(CONTROL, "The hub hints that licences have changed")
        .describe(
            "HMAC-SHA256 in hexadecimal over the body without `webhook_signature`, keys sorted, compact JSON. It is a hint: the \
             agent fetches the signed snapshot at once, and answers what that says.",
        )
        .takes(Shape::like(hint()).optional(&optional).open())
        .answers(200, "The snapshot was asked for", answer.nullable(&["customer_id"]))
        .refuses(
            &detail("Invalid webhook signature"),
            &[
                (400, "The body is no hint, or its date is stale"),
                (401, "The signature is wrong, or no secret is set"),
                (409, "It came before"),
                TOO_LARGE,
                (429, "Too many"),
            ],
        )
        .with_header(429, "Retry-After", "Seconds")
}
