//! Many agents on one hub: what an idle one costs, and how long all take to come back and have everything confirmed after
//! the hub was stopped.
//!
//! The agents are light ones in this process, see `peer`; the hub is a real one in its own.
//! `SITEWARDEN_BENCH_AGENTS` sets how many are idle (2,000); a quarter of them is the storm.

use super::peer::{Orders, Peer, Told};
use super::table::{Row, Table, Target};
use anyhow::{Context, Result, ensure};
use quinn::Endpoint;
use serde_json::json;
use sitewarden_certs::token::EnrolmentToken;
use sitewarden_tests::harness::{Hub, call, scratch};
use std::env;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Agents behind one address: below what the hub allows, and as many as may enrol from one at once.
const PER_ADDRESS: usize = 100;
/// How long the idle fleet is watched.
const SPAN: Duration = Duration::from_secs(30);
/// Records of each agent in the storm.
const RECORDS: u64 = 10;
/// How long the fleet may take for anything.
const LIMIT: Duration = Duration::from_secs(300);
const KIB: f64 = 1_024.0;

/// A hub and its fleet.
struct Fleet {
    hub: Hub,
    round: watch::Sender<u64>,
    told: mpsc::UnboundedReceiver<Told>,
    tasks: JoinSet<Result<()>>,
    runtime: Runtime,
}

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    let agents: usize = env::var("SITEWARDEN_BENCH_AGENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    let folder = scratch()?;
    idle(&folder.path().join("idle"), agents, table)?;
    storm(&folder.path().join("storm"), agents / 4, table)
}

fn idle(folder: &Path, agents: usize, table: &mut Table) -> Result<()> {
    let mut hub = Hub::init(folder)?;
    hub.start()?;
    let peers = enrolled(&hub, agents)?;
    let before = hub.resident()? as f64;
    let mut fleet = Fleet::gather(hub, peers)?;
    let begun = Instant::now();
    fleet.all(Told::Up, agents)?;
    let took = begun.elapsed().as_secs_f64();
    let busy = fleet.hub.processor()?;
    // Watching an idle fleet is waiting; what it costs meanwhile is measured.
    thread::park_timeout(SPAN);
    let share = (fleet.hub.processor()? - busy).as_secs_f64() / SPAN.as_secs_f64() * 100.0;
    let memory = (fleet.hub.resident()? as f64 - before) / agents as f64 / KIB;
    fleet.disband()?;
    let mut add = |what: String, figure| table.add(Row { what, figure, yardstick: None, target: Target::None });
    add(format!("{agents} agents connect at once, all welcomed"), (took, "s"));
    add(format!("hub's memory an idle agent, of {agents}"), (memory, "KiB"));
    add("  hub's processor, of one core".into(), (share, "%"));
    Ok(())
}

fn storm(folder: &Path, agents: usize, table: &mut Table) -> Result<()> {
    let mut hub = Hub::init(folder)?;
    hub.start()?;
    let peers = enrolled(&hub, agents)?;
    let mut fleet = Fleet::gather(hub, peers)?;
    fleet.all(Told::Up, agents)?;
    let code = fleet.hub.stop()?;
    ensure!(code == Some(0), "the hub ended with {code:?}");
    fleet.round.send_replace(RECORDS);
    fleet.hub.start()?;
    let begun = Instant::now();
    fleet.all(Told::Confirmed, agents)?;
    let took = begun.elapsed().as_secs_f64();
    fleet.disband()?;
    table.add(Row {
        what: format!("storm: {agents} agents back, {RECORDS} records each confirmed"),
        figure: (took, "s"),
        yardstick: None,
        target: Target::Below(60.0),
    });
    Ok(())
}

/// Enrols so many, side by side, a hundred from each address.
fn enrolled(hub: &Hub, agents: usize) -> Result<Vec<(Peer, IpAddr)>> {
    let customer = hub.add(&["customer", "add", "Acme"])?;
    let plant = hub.add(&["plant", "add", "North", "--customer", &customer])?;
    let site = hub.add(&["site", "add", "Line 1", "--plant", &plant])?;
    let (socket, sync) = (hub.folder().join("run/admin.sock"), hub.sync()?);
    let runtime = Runtime::new()?;
    let mut peers = Vec::with_capacity(agents);
    for number in 0..agents {
        let invited = call(&socket, "POST", "/api/v1/admin/agents/invite", Some(&json!({"site": site})))?;
        let token = EnrolmentToken::parse(invited["token"].as_str().context("no token")?)?;
        let from = address(number);
        peers.push((runtime.block_on(Peer::enrol(number as u64, &token, from, sync))?, from));
    }
    Ok(peers)
}

fn address(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, u8::try_from(number / PER_ADDRESS + 1).unwrap_or(u8::MAX)))
}

impl Fleet {
    /// Lets all connect.
    fn gather(hub: Hub, peers: Vec<(Peer, IpAddr)>) -> Result<Self> {
        let runtime = Runtime::new()?;
        let (round, rounds) = watch::channel(0);
        let (tell, told) = mpsc::unbounded_channel();
        let orders = Orders { round: rounds, told: tell };
        let mut tasks = JoinSet::new();
        let entered = runtime.enter();
        let mut endpoint: Option<(IpAddr, Endpoint)> = None;
        for (peer, from) in peers {
            let shared = match endpoint.take() {
                Some((at, endpoint)) if at == from => endpoint,
                _ => Endpoint::client(SocketAddr::new(from, 0))?,
            };
            endpoint = Some((from, shared.clone()));
            tasks.spawn(peer.live(shared, orders.clone()));
        }
        drop(entered);
        Ok(Self { hub, round, told, tasks, runtime })
    }

    /// Waits until so many have told this.
    fn all(&mut self, what: Told, agents: usize) -> Result<()> {
        let told = &mut self.told;
        let waiting = async {
            let mut seen = 0;
            while seen < agents {
                seen += usize::from(told.recv().await.context("all peers are gone")? == what);
            }
            Ok(())
        };
        self.runtime.block_on(async { timeout(LIMIT, waiting).await.with_context(|| format!("not all: {what:?}"))? })
    }

    fn disband(mut self) -> Result<()> {
        self.tasks.abort_all();
        self.hub.stop()?;
        Ok(())
    }
}
