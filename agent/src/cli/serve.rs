//! `serve`: runs the agent until it is told to stop, or its journal fails.

use super::Failure;
use crate::clock::Machine;
use crate::config::Config;
use crate::folder::Folder;
use crate::{logging, server};
use std::net::SocketAddr;
use tokio::signal::unix::{SignalKind, signal};

pub(super) async fn run(folder: &Folder, http: Option<SocketAddr>) -> Result<(), Failure> {
    folder.check_enrolled()?;
    let mut config = Config::load(folder, http).map_err(Failure::misuse)?;
    logging::start(&config.log).map_err(Failure::misuse)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
    loop {
        let running = server::start(folder, &config, Box::new(Machine::new())).await.map_err(|error| match error {
            server::Error::Folder(error) => error.into(),
            error => Failure::failed(error),
        })?;
        tracing::info!(http = %running.http, "the agent serves");
        let again = tokio::select! {
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
            () = running.anew() => true,
            // Nothing says what is on disk after a failed sync: end at once, so that the next start looks.
            reason = running.failed() => return Err(Failure::failed(format!("the journal has failed: {reason}"))),
        };
        tracing::info!(again, "the agent stops");
        // At the same place again: whoever uses it knows it.
        config.http = running.http;
        running.stop().await;
        if !again {
            return Ok(());
        }
    }
}
