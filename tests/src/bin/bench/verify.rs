//! `_verify` at 64 kept connections, beside bare hyper under the same clients.
//!
//! The clients share the processors with the server, which makes slow and fast servers look more alike; so the
//! server's own processor time for a request stands beside the rate.

use super::bare;
use super::load::{self, Load};
use super::table::{Row, Table, Target};
use anyhow::Result;
use sitewarden_tests::harness::{Client, Line, PASSWORD, USER};
use std::time::Duration;

const CLIENTS: usize = 64;
const SPAN: Duration = Duration::from_secs(3);
/// Rounds of each, in turn, so that neither has the quieter machine.
const ROUNDS: usize = 3;
const PATH: &str = "/_config/licenses/_verify?app=EMS";
/// The target.
const SHARE: f64 = 0.7;

/// The best of some rounds.
struct Best {
    rate: f64,
    p99: f64,
    processor: f64,
}

impl Best {
    const fn none() -> Self {
        Self { rate: 0.0, p99: f64::INFINITY, processor: f64::INFINITY }
    }

    fn take(&mut self, load: &Load, processor: Duration) {
        self.rate = self.rate.max(load.rate);
        self.p99 = self.p99.min(load.p99);
        self.processor = self.processor.min(processor.as_secs_f64() * 1e6 / load.answers as f64);
    }
}

pub(crate) fn measure(line: &Line, table: &mut Table) -> Result<()> {
    let (server, address) = bare::start(line.agent.folder())?;
    let (mut ours, mut bare) = (Best::none(), Best::none());
    let get = |client: &mut Client| client.get(PATH);
    for _ in 0..ROUNDS {
        let before = line.agent.processor()?;
        let load = load::run(CLIENTS, SPAN, 200, || line.app(), get)?;
        ours.take(&load, line.agent.processor()? - before);
        let before = server.processor()?;
        let load = load::run(CLIENTS, SPAN, 200, || Ok(Client::new(address).basic(USER, PASSWORD)), get)?;
        bare.take(&load, server.processor()? - before);
    }
    let mut add = |what: &str, figure, yardstick, target| {
        table.add(Row { what: what.into(), figure, yardstick: Some(yardstick), target });
    };
    add(
        "_verify with Basic auth, 64 connections",
        (ours.rate, "/s"),
        (bare.rate, "bare hyper, constant"),
        Target::Share(SHARE),
    );
    add("  p99 of an answer", (ours.p99, "ms"), (bare.p99, "bare hyper, constant"), Target::None);
    let yardstick = (bare.processor, "bare hyper, constant");
    add("  server's processor time a request", (ours.processor, "µs"), yardstick, Target::None);
    Ok(())
}
