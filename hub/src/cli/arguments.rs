//! What can be typed. Each resource's own commands are with the resource.

use super::{
    agents::AgentCommand,
    api_keys::ApiKeyCommand,
    apps::AppCommand,
    audit::AuditCommand,
    batches::BatchCommand,
    bundles::BundleCommand,
    customers::CustomerCommand,
    flags::FlagCommand,
    keys::KeyCommand,
    leads::{ContactCommand, InstitutionCommand, NoteCommand},
    licenses::LicenseCommand,
    monitors::MonitorCommand,
    plants::PlantCommand,
    records::RecordCommand,
    settings::SettingCommand,
    sites::SiteCommand,
    users::UserCommand,
    webhooks::WebhookCommand,
};
use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf};

/// Where packages put the hub's data.
const DATA_DIR: &str = "/var/lib/sitewarden/hub";
const DATA_DIR_VARIABLE: &str = "SITEWARDEN_HUB_DATA_DIR";

/// Sitewarden's hub: issues licences, takes in what agents send, answers what happened where.
#[derive(Debug, Parser)]
#[command(name = "sitewarden-hub", version, max_term_width = 100, arg_required_else_help = true)]
pub(super) struct Cli {
    /// The hub's data folder [default: $SITEWARDEN_HUB_DATA_DIR, else /var/lib/sitewarden/hub].
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON for programs in place of text for people.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Cli {
    pub(super) fn data_dir(&self) -> PathBuf {
        let from_environment = || std::env::var_os(DATA_DIR_VARIABLE).filter(|value| !value.is_empty());
        let given = self.data_dir.clone().or_else(|| from_environment().map(PathBuf::from));
        given.unwrap_or_else(|| PathBuf::from(DATA_DIR))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a new hub: configuration, authority, keys, database and the first administrator, `admin`.
    Init(InitArgs),
    /// Run the hub in the foreground until SIGTERM.
    Serve(ServeArgs),
    /// Write everything that is needed to come back (database, keys, settings) into one new file, while the hub runs or not.
    Backup {
        /// The file; only its owner can read it. Keep it as safe as the hub: whoever has it is the hub.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Make a hub out of a backup, in a data folder that does not exist yet or is empty. Agents send again what is not in it.
    Restore {
        /// The backup.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Look at everything the hub needs (folder, settings, keys, database, disk), running or not, and say what is wrong; ends
    /// with 1 if something is.
    Doctor,
    /// Print the hub's root certificate (PEM): what apps ship with, to tell genuine agents from false ones.
    Root,
    #[command(flatten)]
    Running(Running),
}

/// What is asked of the running hub.
#[derive(Debug, Subcommand)]
pub(super) enum Running {
    /// Add, list, show and change customers.
    #[command(subcommand)]
    Customer(CustomerCommand),
    /// Add, list, edit and show plants.
    #[command(subcommand)]
    Plant(PlantCommand),
    /// Add, list and show sites.
    #[command(subcommand)]
    Site(SiteCommand),
    /// Issue, list, show, change and withdraw licences.
    #[command(subcommand)]
    License(LicenseCommand),
    /// Invite, list, show and revoke agents.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// List, show and try again batches that could not be taken in.
    #[command(subcommand)]
    Batch(BatchCommand),
    /// Take in files from agents without a line, and write what goes back.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// List what agents sent.
    #[command(subcommand)]
    Record(RecordCommand),
    /// List, show and put aside red flags: signs of tampering or piracy.
    #[command(subcommand)]
    Flag(FlagCommand),
    /// List the hub's keys that agents seal batches to, and make new ones.
    #[command(subcommand)]
    Keys(KeyCommand),
    /// List the monitors in use at a site.
    #[command(subcommand)]
    Monitor(MonitorCommand),
    /// Make, list, show, rotate and revoke the API keys with which programs send telemetry or use the API.
    #[command(subcommand)]
    Apikey(ApiKeyCommand),
    /// List apps with their numbers, and say which versions were released.
    #[command(subcommand)]
    App(AppCommand),
    /// Add, list, show, change and remove institutions, which may become customers.
    #[command(subcommand)]
    Institution(InstitutionCommand),
    /// Add, list, show, change and remove the people at institutions.
    #[command(subcommand)]
    Contact(ContactCommand),
    /// Add, list, show, change and remove notes of what was said with institutions.
    #[command(subcommand)]
    Note(NoteCommand),
    /// List and show the hub's settings, and change those that can be changed while it runs.
    #[command(subcommand)]
    Settings(SettingCommand),
    /// Read, export and verify the audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Add, list, change and remove those who may log in at the hub.
    #[command(subcommand)]
    User(UserCommand),
    /// Have other systems told of what happens, see how that goes, and send again.
    #[command(subcommand)]
    Webhook(WebhookCommand),
}

/// How a hub is made.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// File with the first administrator's password; a newline at its end does not count.
    #[arg(long, value_name = "FILE")]
    pub(super) admin_password_file: PathBuf,
    /// Name or address that agents and browsers reach the hub by; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub(super) hostname: Vec<String>,
}

/// What a hub is served with. Each overrides hub.toml.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Where HTTPS listens; port 0 picks one [default: 127.0.0.1:8443].
    #[arg(long, value_name = "ADDR")]
    pub(super) https: Option<SocketAddr>,
    /// Where plain HTTP listens, for a reverse proxy on this machine [default: nowhere].
    #[arg(long, value_name = "ADDR")]
    pub(super) http: Option<SocketAddr>,
    /// Where agents come in over QUIC (UDP) [default: 0.0.0.0:4433].
    #[arg(long, value_name = "ADDR")]
    pub(super) sync: Option<SocketAddr>,
    /// For development: accept the test credentials of the licence server's document (licence key TEST-TEST-TEST-TEST, API
    /// key test_api_key_123, JWT secret test_jwt_secret). Only on loopback addresses, with plain HTTP on 127.0.0.1:8080 if
    /// nothing else is said. Never with data that matters: everybody knows them.
    #[arg(long)]
    pub(super) dev: bool,
}
