//! From `init` to the end.

use crate::support::{PATIENCE, TestHub, config, dial_at, endpoint, initialised, until};
use quinn::ConnectionError;
use sitewarden_hub::init::{self, Error, Plan};
use sitewarden_hub::{server, start};
use sitewarden_protocol::message::LiveStatus;
use sitewarden_protocol::message::{ToAgent, ToHub};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn init_refuses_a_folder_that_holds_a_hub_and_leaves_it_as_it_is() {
    let (folder, data_dir) = initialised().await;
    let before = fs::read(data_dir.join("keys/signing.key")).unwrap();
    let plan =
        Plan { data_dir: data_dir.clone(), admin_password_file: folder.path().join("password"), hostnames: vec![] };
    assert!(matches!(init::init(&plan).await, Err(Error::Exists(_))));
    assert_eq!(fs::read(data_dir.join("keys/signing.key")).unwrap(), before);
}

#[tokio::test]
async fn everything_init_makes_is_its_owners_alone() {
    let (_folder, data_dir) = initialised().await;
    for name in [".", "keys"] {
        assert_eq!(fs::metadata(data_dir.join(name)).unwrap().permissions().mode() & 0o777, 0o700, "{name}");
    }
    for name in ["hub.toml", "hub.sqlite", "keys/signing.key", "keys/authority.key.pem", "keys/store.key"] {
        assert_eq!(fs::metadata(data_dir.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn the_folder_is_in_use_until_the_hub_has_ended() {
    let hub = TestHub::start().await;
    let second = start(config(&hub.data_dir)).await.unwrap_err();
    assert_eq!(second.exit_code(), 4);
    hub.hub.shutdown().await.unwrap();
    start(config(&hub.data_dir)).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn a_folder_without_a_hub_names_the_command_that_makes_one() {
    let folder = tempfile::tempdir().unwrap();
    let error: server::Error = start(config(folder.path())).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("sitewarden-hub init"), "{error}");
}

#[tokio::test]
async fn the_addresses_are_there_while_it_serves_and_gone_after() {
    let hub = TestHub::start().await;
    let read = |name: &str| fs::read_to_string(hub.data_dir.join("run").join(name)).ok();
    assert_eq!(read("https.addr"), Some(hub.hub.https_addr().to_string()));
    assert_eq!(read("sync.addr"), Some(hub.hub.sync_addr().to_string()));
    assert_eq!(read("http.addr"), None);
    let socket = fs::metadata(hub.data_dir.join("run/admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let run = hub.data_dir.join("run");
    hub.hub.shutdown().await.unwrap();
    assert_eq!(fs::read_dir(run).unwrap().count(), 0);
}

#[tokio::test]
async fn a_drain_confirms_what_is_on_the_way_and_says_goodbye() {
    let hub = TestHub::start().await;
    let mut agent = hub.agent().await;
    let (mut line, _) = agent.session(&hub).await;
    let batch = agent.batch(500);
    line.send(ToHub::Batch(batch)).await;
    let metrics = std::sync::Arc::clone(hub.hub.metrics());
    until("the batch has arrived", || metrics.held_bytes.get() > 0 || metrics.records.get() > 0).await;
    let ended = tokio::spawn(hub.hub.shutdown());
    assert_eq!(agent.receipt(&mut line).await.through, agent.end);
    let Some(ToAgent::Goodbye(goodbye)) = line.receive().await else { panic!("no goodbye") };
    assert_eq!(goodbye.reason, "the hub is stopping");
    assert_eq!(line.closed().await, 1);
    ended.await.unwrap().unwrap();
}

/// The program itself, in a process of its own.
struct Process(Child);

impl Process {
    async fn serve(data_dir: &Path, sync: SocketAddr) -> (Self, SocketAddr) {
        let written = data_dir.join("run/sync.addr");
        let _ = fs::remove_file(&written);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sitewarden-hub"));
        command.arg("serve").arg("--data-dir").arg(data_dir).args(["--https", "127.0.0.1:0", "--sync"]);
        let child = command.arg(sync.to_string()).stderr(Stdio::null()).spawn().unwrap();
        until("the hub serves", || written.exists()).await;
        (Self(child), fs::read_to_string(written).unwrap().parse().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn after_a_kill_a_connected_agent_learns_at_once_that_its_connection_is_gone() {
    let hub = TestHub::start().await;
    let agent = hub.agent().await;
    let (data_dir, _folder) = hub.stop().await;
    let (killed, address) = Process::serve(&data_dir, "127.0.0.1:0".parse().unwrap()).await;
    let mut line = dial_at(endpoint(), address, agent.tls()).await.unwrap();
    line.send(ToHub::Hello(agent.hello())).await;
    assert!(matches!(line.receive().await, Some(ToAgent::Welcome(_))));
    drop(killed);
    let (_restarted, _) = Process::serve(&data_dir, address).await;
    line.send(ToHub::Status(LiveStatus::default())).await;
    let within = Duration::from_secs(10);
    assert!(within < PATIENCE, "well before the idle time-out");
    let gone = timeout(within, line.connection.closed()).await.expect("the agent was not told");
    assert!(matches!(gone, ConnectionError::Reset), "{gone}");
}
