//! The command line.
//!
//! Always true: what was asked for goes to standard output, everything else to standard error; the exit code says how it
//! went: 0 done, 1 failed, 2 misuse or bad configuration, 3 not initialised, 4 in use by another process.

mod agents;
mod api_keys;
mod apps;
mod arguments;
mod audit;
mod batches;
mod bundles;
mod client;
mod customers;
mod failure;
mod flags;
mod keys;
mod leads;
mod licenses;
mod monitors;
mod output;
mod plants;
mod process;
mod records;
mod settings;
mod sites;
mod users;
mod webhooks;

#[cfg(test)]
mod tests;

use arguments::{Cli, Command};
use clap::Parser;
use client::Client;
use failure::Failure;
use output::Output;
use std::process::ExitCode;

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come here too, with 0. If even this cannot be printed, nobody is there to read it.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::MISUSE } else { 0 });
        }
    };
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let data_dir = cli.data_dir();
    let output = Output::new(cli.json);
    match cli.command {
        Command::Init(init) => process::init(data_dir, init, output),
        Command::Serve(serve) => process::serve(data_dir, &serve),
        Command::Backup { file } => process::backup(&data_dir, &file, output),
        Command::Restore { file } => process::restore(&data_dir, &file, output),
        Command::Doctor => process::doctor(&data_dir, output),
        Command::Root => process::root(&data_dir, output),
        Command::Running(command) => process::once(async {
            let client = Client::new(&data_dir)?;
            match command {
                arguments::Running::Customer(command) => customers::run(&client, command, output).await,
                arguments::Running::Plant(command) => plants::run(&client, command, output).await,
                arguments::Running::Site(command) => sites::run(&client, command, output).await,
                arguments::Running::License(command) => licenses::run(&client, command, output).await,
                arguments::Running::Agent(command) => agents::run(&client, command, output).await,
                arguments::Running::Batch(command) => batches::run(&client, command, output).await,
                arguments::Running::Bundle(command) => bundles::run(&client, command, output).await,
                arguments::Running::Record(command) => records::run(&client, command, output).await,
                arguments::Running::Flag(command) => flags::run(&client, command, output).await,
                arguments::Running::Keys(command) => keys::run(&client, command, output).await,
                arguments::Running::Monitor(command) => monitors::run(&client, command, output).await,
                arguments::Running::Apikey(command) => api_keys::run(&client, command, output).await,
                arguments::Running::App(command) => apps::run(&client, command, output).await,
                arguments::Running::Institution(command) => leads::institutions(&client, command, output).await,
                arguments::Running::Contact(command) => leads::contacts(&client, command, output).await,
                arguments::Running::Note(command) => leads::notes(&client, command, output).await,
                arguments::Running::Audit(command) => audit::run(&client, command, output).await,
                arguments::Running::Settings(command) => settings::run(&client, command, output).await,
                arguments::Running::User(command) => users::run(&client, command, output).await,
                arguments::Running::Webhook(command) => webhooks::run(&client, command, output).await,
            }
        }),
    }
}
