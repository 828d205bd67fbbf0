//! The commands that are no requests to a running hub, and the runtime for those that are.

use super::{
    Output,
    arguments::{InitArgs, ServeArgs},
    failure::{FAILED, Failure, MISUSE, NOT_INITIALISED},
    output::table,
};
use crate::{
    backup,
    config::{Config, Flags},
    doctor::{self, Finding, State},
    folder,
    init::{self, ADMINISTRATOR, Plan},
    keys::roots_pem,
    logging, server,
};
use serde_json::json;
use std::{
    future::Future,
    path::{Path, PathBuf},
};
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
    let flags = Flags { https: args.https, http: args.http, sync: args.sync, dev: args.dev };
    let config = Config::load(&data_dir, flags).map_err(|error| Failure::of(MISUSE, &error))?;
    logging::start(config.log, config.log_level);
    server::serve(config).map_err(|error| Failure::of(error.exit_code(), &error))
}

/// Writes a backup.
pub(super) fn backup(data_dir: &Path, file: &Path, output: Output) -> Result<(), Failure> {
    let bytes = backup::write(data_dir, file).map_err(|error| Failure::of(error.exit_code(), &error))?;
    Ok(output.print(&json!({ "file": file, "bytes": bytes }), |_| {
        format!("Wrote {} ({bytes} bytes). Keep it as safe as the hub itself.", file.display())
    })?)
}

/// Makes a hub out of a backup.
pub(super) fn restore(data_dir: &Path, file: &Path, output: Output) -> Result<(), Failure> {
    backup::restore(file, data_dir).map_err(|error| Failure::of(error.exit_code(), &error))?;
    let shown = data_dir.display();
    Ok(output.print(&json!({ "data_dir": data_dir, "file": file }), |_| {
        format!("Made a hub in {shown} out of {}.\nRun it: sitewarden-hub serve --data-dir {shown}", file.display())
    })?)
}

/// Looks at a hub.
pub(super) fn doctor(data_dir: &Path, output: Output) -> Result<(), Failure> {
    let findings = doctor::look(data_dir, Flags::default()).map_err(|error| {
        let code = if matches!(error, folder::Error::NotInitialised(_)) { NOT_INITIALISED } else { FAILED };
        Failure::of(code, &error)
    })?;
    let row = |finding: &Finding| json!({ "what": finding.what, "state": finding.state.name(), "told": finding.told });
    let shown = json!({ "findings": findings.iter().map(row).collect::<Vec<_>>() });
    output.print(&shown, |_| {
        let row = |finding: &Finding| vec![finding.what.into(), finding.state.name().into(), finding.told.clone()];
        table(&["WHAT", "STATE", ""], &findings.iter().map(row).collect::<Vec<_>>())
    })?;
    if findings.iter().any(|finding| finding.state == State::Wrong) {
        return Err(Failure::new(FAILED, "something is wrong with this hub; see above"));
    }
    Ok(())
}

/// Prints the certificates of the authorities that are in force, the oldest first.
pub(super) fn root(data_dir: &Path, output: Output) -> Result<(), Failure> {
    let place = data_dir.join("keys");
    let pem = roots_pem(&place).map_err(|error| {
        let code = if place.exists() { FAILED } else { NOT_INITIALISED };
        Failure::new(code, format!("{error}; is {} a hub's data folder?", data_dir.display()))
    })?;
    Ok(output.print(&json!({ "certificate": pem }), |_| pem.trim_end().to_owned())?)
}

/// Runs one request to its end.
pub(super) fn once(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::of(FAILED, &error))?.block_on(work)
}
