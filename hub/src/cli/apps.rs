//! `app`.

use super::{
    Client, Failure, Output,
    client::escaped,
    output::{field, pairs, table},
};
use clap::Subcommand;
use serde_json::{Value, json};

/// What can be done with apps.
#[derive(Debug, Subcommand)]
pub(super) enum AppCommand {
    /// List apps with their numbers, and the versions that were released.
    List,
    /// Say which versions were released.
    #[command(subcommand)]
    Version(VersionCommand),
}

/// What can be done with versions.
#[derive(Debug, Subcommand)]
pub(super) enum VersionCommand {
    /// Say that a version of an app was released. From the first one on, telemetry of any other version is flagged.
    Add {
        /// The app's code.
        app: String,
        /// The version as programs send it.
        version: String,
    },
}

pub(super) async fn run(client: &Client, command: AppCommand, output: Output) -> Result<(), Failure> {
    match command {
        AppCommand::List => output.print(&client.all("apps", &[]).await?, many)?,
        AppCommand::Version(VersionCommand::Add { app, version }) => {
            let path = format!("apps/{}/versions", escaped(&app));
            let added = client.post(&path, &json!({ "version": version })).await?;
            output
                .print(&added, |added| pairs(&[("app", field(added, "app")), ("version", field(added, "version"))]))?;
        }
    }
    Ok(())
}

fn many(apps: &Value) -> String {
    let row = |app: &Value| ["number", "code", "versions"].map(|name| field(app, name)).to_vec();
    let rows: Vec<_> = apps.as_array().into_iter().flatten().map(row).collect();
    table(&["NUMBER", "APP", "VERSIONS"], &rows)
}
