//! Makes a new hub: settings, authority, keys, database and the first administrator.
//!
//! Always true: everything is made in a folder beside the target, synced, and renamed into place as the last step. So an
//! interrupted `init` leaves no hub, and never half of one; what it leaves beside is removed by the next try.

use crate::folder::{self, CONFIGURATION, Folder};
use crate::keys::{self, Keys};
use crate::password;
use crate::store::{self, Act, Store};
use sitewarden_certs::{authority, secret_file};
use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The name of the first administrator.
pub const ADMINISTRATOR: &str = "admin";
/// What a new hub is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where it is to be. Must not exist, or be empty.
    pub data_dir: PathBuf,
    /// The file whose content, less one newline at its end, is the administrator's password.
    pub admin_password_file: PathBuf,
    /// Names and addresses that agents and browsers will call it by.
    pub hostnames: Vec<String>,
}

/// Why no hub was made. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one.
    #[error("{0} holds a hub already")]
    Exists(String),
    /// There is something else.
    #[error("{0} is not empty; name a folder that does not exist yet, or an empty one")]
    NotEmpty(String),
    /// The password cannot be taken.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// A host name is neither a DNS name nor an IP address.
    #[error(transparent)]
    Hostname(authority::Error),
    /// A folder or file cannot be made.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder beside the target cannot be used; another `init` may be at work.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// The keys cannot be made.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The database cannot be made.
    #[error("the database cannot be made")]
    Store(#[from] store::Error),
}

impl Error {
    /// What the process ends with: 2 for what was asked wrongly, 4 if another `init` is at work, otherwise 1.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Folder(folder::Error::InUse(_)) => 4,
            Self::Password(error) => error.exit_code(),
            Self::Exists(_) | Self::NotEmpty(_) | Self::Hostname(_) => 2,
            _ => 1,
        }
    }
}

/// Makes a hub. Blocks for the second that hashing the password takes.
///
/// # Errors
/// Any of [`Error`]; nothing has changed then.
pub async fn init(plan: &Plan) -> Result<(), Error> {
    check_target(&plan.data_dir)?;
    let password_hash = password::hash_file(&plan.admin_password_file)?;
    let beside = Beside::make(&plan.data_dir)?;
    fill(&beside, plan, &password_hash).await?;
    beside.rename_to(&plan.data_dir)
}

async fn fill(beside: &Beside, plan: &Plan, password_hash: &str) -> Result<(), Error> {
    let now = crate::wall_clock();
    let keys = Keys::create(&beside.folder.keys(), now)?;
    // Made for nobody: it shows now, and not at the first start, that the names can be put into a certificate.
    keys.authorities.serving().issue_hub(&plan.hostnames, now).map_err(Error::Hostname)?;
    let settings = settings(&plan.hostnames);
    secret_file::write(&beside.folder.path().join(CONFIGURATION), settings.as_bytes())?;
    let store = Store::create(&beside.folder.database(), keys.store_secrets()).await?;
    let act = Act::local(now);
    let added = store.add_first_administrator(&act, ADMINISTRATOR, password_hash).await;
    // Closed in any case, so that no half-written log is renamed, nor a file removed under the writer.
    store.close().await;
    Ok(added?)
}

pub(crate) fn check_target(target: &Path) -> Result<(), Error> {
    let shown = || target.display().to_string();
    if folder::is_hub(target)? {
        return Err(Error::Exists(shown()));
    }
    match fs::read_dir(target) {
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| Err(Error::NotEmpty(shown()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::Io { doing: "look into", path: shown(), source }),
    }
}

/// The folder in which a hub is made; removed when dropped, unless it was renamed.
pub(crate) struct Beside {
    folder: Folder,
    renamed: bool,
}

impl Beside {
    pub(crate) fn make(target: &Path) -> Result<Self, Error> {
        let path = beside(target)?;
        if path.exists() {
            // Of an init that was interrupted, or of one that is at work: then its lock is held.
            drop(Folder::lock(&path)?);
            fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
        }
        secret_file::create_folder(&path)?;
        Ok(Self { folder: Folder::lock(&path)?, renamed: false })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Puts it into its place, on disk when this returns.
    pub(crate) fn rename_to(mut self, target: &Path) -> Result<(), Error> {
        let path = self.folder.path();
        sync(path)?;
        fs::rename(path, target).map_err(failed("rename the finished folder to", target))?;
        self.renamed = true;
        sync(&parent(target))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.renamed {
            // The error to tell is the one that led here.
            let _ = fs::remove_dir_all(self.folder.path());
        }
    }
}

fn beside(target: &Path) -> Result<PathBuf, Error> {
    let name = target.file_name().ok_or_else(|| failed("make", target)(io::ErrorKind::InvalidInput.into()))?;
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(".init");
    Ok(parent(target).join(beside))
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, path: path.display().to_string(), source }
}

/// The settings file of a new hub: everything at its default, in comments.
fn settings(hostnames: &[String]) -> String {
    format!(
        r#"# Settings of this hub. The environment (SITEWARDEN_HUB_HTTPS, SITEWARDEN_HUB_SYNC__ADDRESS, …) wins over this
# file, flags win over both, and what was edited with `sitewarden-hub settings` wins over all. What is commented out is the
# default.

# Names and addresses that the hub's certificate is made for, beside localhost.
hostnames = {hostnames:?}

# Where HTTPS is served.
# https = "127.0.0.1:8443"

# Where plain HTTP is served, for a reverse proxy on this machine; nowhere by default.
# http = "127.0.0.1:8080"
# Only with this may it be another address than a loopback one: passwords then cross the network in the clear.
# http_anywhere = false

# What new enrolment tokens name as the hub; by default the first host name and the HTTPS port.
# invite_address = "hub.example.com:8443"

# Days that a plant may rely on its licences without hearing from this hub, 1 to 3650.
# fresh_days = 30

# Days that a plant may run in an emergency although a licence has ended or this hub was not heard of, in any 365 days;
# each override is recorded and shown here. 0 to 365.
# override_days = 7

# Days before its end from which on a licence is said to be about to expire, 1 to 365.
# notice_days = 30
# agent_certificate = "90d"

# "auto" is text on a terminal and JSON otherwise; or "text", "json".
# log = "auto"
# "error", "warn", "info", "debug" or "trace".
# log_level = "info"

[api]
# Requests a minute, each 1 to 1000000: of one address where nobody is asked who he is, of one token or API key, and
# heartbeats of one activation.
# public_per_minute = 100
# admin_per_minute = 1000
# heartbeat_per_minute = 1
# The header in which a reverse proxy names the client, such as "x-forwarded-for" (its last address counts), and the
# proxies that are trusted with it. Without it, the address of the proxy is the client's.
# client_address_header = ""
# trusted_proxies = ["127.0.0.1", "::1"]

[sync]
# Where agents come in (UDP).
# address = "0.0.0.0:4433"
# Agents connected at the same time, 1 to 65536, in all and from one address.
# max_connections = 4096
# max_per_address = 256
# Silence after which an agent is given up, 5 to 300 s, and after which it is asked; less than half of it.
# idle_seconds = 30
# keep_alive_seconds = 10
# Some virtual network cards break large sends; then set this to false.
# segmentation_offload = true
"#
    )
}

#[cfg(test)]
mod tests;
