//! `webhook-secret`: what the hub's webhook is signed with.

use super::Failure;
use super::client::Client;
use super::output::Output;
use crate::folder::{self, Folder};
use crate::http::WebhookSecretRequest;
use crate::telemetry;
use clap::Subcommand;
use serde_json::{Value, json};
use sitewarden_certs::secret_file;
use std::path::PathBuf;
use zeroize::Zeroizing;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Set the secret that was given to the hub's webhook.
    Set {
        /// A file with the secret, 32 characters or more, that only its owner may read; a line break at its end does not
        /// count. An empty one removes the secret.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) async fn run(folder: &Folder, command: Command, output: &mut Output) -> Result<(), Failure> {
    let Command::Set { file } = command;
    let secret = secret_file::read(&file).map_err(Failure::misuse)?;
    let secret = str::from_utf8(&secret).map_err(|_| Failure::misuse("the secret is no text in UTF-8"))?;
    let secret = Zeroizing::new(secret.trim().to_owned());
    folder.check_enrolled()?;
    match folder.lock() {
        Ok(_lock) => {
            folder.make("state")?;
            let settings = telemetry::open_settings(folder).map_err(Failure::failed)?;
            settings.set_webhook_secret(&secret).map_err(|error| match error {
                telemetry::ChangeError::Secret { .. } => Failure::misuse(error),
                error => Failure::failed(error),
            })?;
        }
        Err(folder::Error::InUse(_)) => {
            let request = WebhookSecretRequest { secret: secret.to_string() };
            let _: Value = Client::new(folder)?.post("/agent/v1/webhook-secret", &request).await?;
        }
        Err(error) => return Err(error.into()),
    }
    output.value(&json!({"message": "Webhook secret set"}), |_| "Webhook secret set.".to_owned())
}
