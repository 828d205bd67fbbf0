//! `_verify` at 64 kept connections: an agent with one licence and one with many licences and monitors, beside bare hyper
//! under the same clients; and how long one caller on an otherwise idle machine waits.
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
/// A round of one caller alone.
const ALONE: Duration = Duration::from_secs(1);
/// Rounds of each, in turn, so that neither has the quieter machine.
const ROUNDS: usize = 3;
const PATH: &str = "/_config/licenses/_verify?app=EMS";
/// The target, beside bare hyper.
const SHARE: f64 = 0.7;
/// What many licences and monitors may leave of the rate with few.
const CROWDED_SHARE: f64 = 0.9;
/// The target for one caller, ms.
const P99: f64 = 2.0;
const BARE: &str = "bare hyper, constant";

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

    fn of_agent(&mut self, line: &Line) -> Result<()> {
        let before = line.agent.processor()?;
        let load = load::run(CLIENTS, SPAN, 200, || line.app(), |client| client.get(PATH))?;
        self.take(&load, line.agent.processor()? - before);
        Ok(())
    }
}

pub(crate) fn measure(line: &Line, crowd: &Line, table: &mut Table) -> Result<()> {
    let (server, address) = bare::start(line.agent.folder())?;
    let (mut few, mut many, mut bare) = (Best::none(), Best::none(), Best::none());
    let client = || Ok(Client::new(address).basic(USER, PASSWORD));
    for _ in 0..ROUNDS {
        few.of_agent(line)?;
        many.of_agent(crowd)?;
        let before = server.processor()?;
        let load = load::run(CLIENTS, SPAN, 200, client, |client| client.get(PATH))?;
        bare.take(&load, server.processor()? - before);
    }
    let mut add = |what: &str, figure, yardstick, target| {
        table.add(Row { what: what.into(), figure, yardstick: Some(yardstick), target });
    };
    let share = Target::Share(SHARE);
    add("_verify with Basic auth, 64 connections", (few.rate, "/s"), (bare.rate, BARE), share);
    add("  p99 of an answer", (few.p99, "ms"), (bare.p99, BARE), Target::None);
    add("  server's processor time a request", (few.processor, "µs"), (bare.processor, BARE), Target::None);
    add("_verify, 10,000 monitors and 50 licences", (many.rate, "/s"), (bare.rate, BARE), share);
    let with_few = (few.rate, "with one licence and no monitor");
    add("  the same, beside an agent with few", (many.rate, "/s"), with_few, Target::Share(CROWDED_SHARE));
    add("  server's processor time a request", (many.processor, "µs"), (few.processor, "with few"), Target::None);
    let (mut alone, mut bare) = (Best::none(), Best::none());
    for _ in 0..ROUNDS {
        alone.take(&load::run(1, ALONE, 200, || crowd.app(), |client| client.get(PATH))?, Duration::ZERO);
        bare.take(&load::run(1, ALONE, 200, client, |client| client.get(PATH))?, Duration::ZERO);
    }
    add("  p99 for one caller, idle machine", (alone.p99, "ms"), (bare.p99, BARE), Target::Below(P99));
    Ok(())
}
