//! `sessions`: machines and their floating users.

use super::client::Client;
use super::output::Output;
use super::{Failure, text};
use crate::folder::Folder;
use crate::http::SessionRequest;
use clap::{Args, Subcommand};
use serde_json::Value;

const SESSIONS: &str = "/agent/v1/sessions";
const ACTIVATIONS: &str = "/agent/v1/activations";

#[derive(Subcommand)]
pub(super) enum Sessions {
    /// List the machines that are activated, each with its users.
    List {
        /// Only those of this app, such as EMS.
        #[arg(long)]
        app: Option<String>,
    },
    /// Take a machine's users away, so that others may log in at once. The machine stays activated; it is told with its
    /// next heartbeat and may claim users again.
    Release(OneActivation),
    /// Forget a machine that will not come back: its users and its activation are free for another one.
    Forget(OneActivation),
}

#[derive(Args)]
pub(super) struct OneActivation {
    /// The activation, as `sessions list` shows it: act_ and 32 digits.
    activation: String,
}

pub(super) async fn run(folder: &Folder, command: Sessions, output: &mut Output) -> Result<(), Failure> {
    let client = Client::new(folder)?;
    let request = |OneActivation { activation }| SessionRequest { activation };
    match command {
        Sessions::List { app } => {
            let query: Vec<_> = app.iter().map(|app| ("app", app.as_str())).collect();
            let answer: Value = client.get(SESSIONS, &query).await?;
            output.value(&answer, list)
        }
        Sessions::Release(one) => {
            let answer: Value = client.delete(SESSIONS, &request(one)).await?;
            output.value(&answer, |answer| {
                format!("{}: {} users released.", text(answer, "activation_id"), answer["users_released"])
            })
        }
        Sessions::Forget(one) => {
            let answer: Value = client.delete(ACTIVATIONS, &request(one)).await?;
            output.value(&answer, |answer| format!("{}: forgotten.", text(answer, "activation_id")))
        }
    }
}

fn list(answer: &Value) -> String {
    let rows = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let of = |used: &Value, most: &Value| most.as_u64().map_or(format!("{used}"), |most| format!("{used} of {most}"));
    let mut lines = Vec::new();
    for license in rows("licenses") {
        let users = of(&license["users"], &license["max_users"]);
        let machines = of(&license["activations"], &license["max_activations"]);
        let (app, name) = (text(&license, "app"), text(&license, "license"));
        lines.push(format!("{app} {name}: users {users}, machines {machines}"));
        for session in rows("sessions").iter().filter(|session| session["license"] == license["license"]) {
            lines.push(format!(
                "  {}  {:>5} users  heard {}  {} {}",
                text(session, "activation_id"),
                session["users"].to_string(),
                text(session, "last_heartbeat"),
                text(session, "machine_name"),
                text(session, "app_version"),
            ));
        }
    }
    if lines.is_empty() { "There are no licenses for it here.".to_owned() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn machines_stand_below_their_licence_and_only_limits_that_there_are_are_told() {
        let session = json!({
            "activation_id": "act_1", "app": "EMS", "license": "L1", "machine_name": "PC-1", "app_version": "1.0.0",
            "users": 5, "last_heartbeat": "2026-01-31T08:00:00Z",
        });
        let license = json!({
            "app": "EMS", "license": "L1", "users": 5, "max_users": 10, "activations": 1, "max_activations": null,
        });
        assert_eq!(
            list(&json!({"sessions": [session], "licenses": [license]})),
            "EMS L1: users 5 of 10, machines 1\n  act_1      5 users  heard 2026-01-31T08:00:00Z  PC-1 1.0.0"
        );
    }
}
