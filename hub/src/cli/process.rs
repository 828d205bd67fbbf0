//! The commands that are no requests to a running hub, and the runtime for those that are.

use super::{
    Output,
    arguments::{InitArgs, ServeArgs},
    failure::{FAILED, Failure, MISUSE},
};
use crate::{
    config::{Config, Flags},
    init::{self, ADMINISTRATOR, Plan},
    logging, server,
};
use serde_json::json;
use std::{future::Future, path::PathBuf};
use tokio::runtime;

/// Makes a hub.
pub(super) fn init(data_dir: PathBuf, args: InitArgs, output: Output) -> Result<(), Failure> {
    let plan = Plan { data_dir, admin_password_file: args.admin_password_file, hostnames: args.hostname };
    once(async {
        init::init(&plan).await.map_err(|error| Failure::of(error.exit_code(), &error))?;
        let made = json!({ "data_dir": plan.data_dir, "administrator": ADMINISTRATOR });
        let shown = plan.data_dir.display();
        Ok(output.print(&made, |_| {
            format!("Made a hub in {shown}; its administrator is {ADMINISTRATOR}.\nRun it: sitewarden-hub serve --data-dir {shown}")
        })?)
    })
}

/// Runs the hub until it is told to stop.
pub(super) fn serve(data_dir: PathBuf, args: &ServeArgs) -> Result<(), Failure> {
    let flags = Flags { https: args.https, http: args.http, sync: args.sync };
    let config = Config::load(&data_dir, flags).map_err(|error| Failure::of(MISUSE, &error))?;
    logging::start(config.log, config.log_level);
    server::serve(config).map_err(|error| Failure::of(error.exit_code(), &error))
}

/// Runs one request to its end.
pub(super) fn once(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::of(FAILED, &error))?.block_on(work)
}
