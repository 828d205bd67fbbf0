//! `settings`.

use super::{
    Client, Failure, Output,
    client::escaped,
    output::{field, pairs, table},
};
use clap::Subcommand;
use serde_json::{Value, json};

/// What can be done with settings.
#[derive(Debug, Subcommand)]
pub(super) enum SettingCommand {
    /// List all settings, with where their values are from and which can be changed while the hub runs.
    List,
    /// Show one setting.
    Show {
        /// Its key, such as notice_days or api.public_per_minute.
        key: String,
    },
    /// Change one while the hub runs. It counts at once, and after a restart too, whatever hub.toml says.
    Edit {
        /// Its key.
        key: String,
        /// The number that it is to be.
        value: u32,
    },
    /// Take a change back: what hub.toml, the environment or the command line says counts again, at once.
    Reset {
        /// Its key.
        key: String,
    },
}

pub(super) async fn run(client: &Client, command: SettingCommand, output: Output) -> Result<(), Failure> {
    match command {
        SettingCommand::List => Ok(output.print(&client.all("settings", &[]).await?, many)?),
        SettingCommand::Show { key } => Ok(output.print(&client.get(&path(&key), &[]).await?, one)?),
        SettingCommand::Edit { key, value } => {
            Ok(output.print(&client.put(&path(&key), &json!({ "value": value })).await?, one)?)
        }
        SettingCommand::Reset { key } => Ok(output.print(&client.delete(&path(&key)).await?, one)?),
    }
}

fn path(key: &str) -> String {
    format!("settings/{}", escaped(key))
}

fn source(setting: &Value) -> String {
    let by = field(&setting["edited"], "by");
    if by.is_empty() { field(&setting["configured"], "source") } else { format!("edited by {by}") }
}

fn one(setting: &Value) -> String {
    pairs(&[
        ("setting", field(setting, "key")),
        ("value", field(setting, "value")),
        ("from", source(setting)),
        ("edited", field(&setting["edited"], "at")),
        ("without the edit", field(&setting["configured"], "value")),
        ("allowed", field(setting, "allowed")),
        ("changed", changed(setting).to_owned()),
    ])
}

fn changed(setting: &Value) -> &'static str {
    if setting["changeable"] == true { "while the hub runs" } else { "in hub.toml" }
}

fn many(settings: &Value) -> String {
    let row = |setting: &Value| {
        vec![field(setting, "key"), field(setting, "value"), source(setting), changed(setting).to_owned()]
    };
    let rows: Vec<_> = settings.as_array().into_iter().flatten().map(row).collect();
    table(&["KEY", "VALUE", "FROM", "CHANGED"], &rows)
}
