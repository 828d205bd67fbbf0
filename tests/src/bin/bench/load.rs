//! Clients that ask as fast as they are answered, over kept connections.

use anyhow::{Context, Result, ensure};
use sitewarden_tests::harness::{Client, Response};
use std::io;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// What a number of clients got.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Answers a second, of all clients together.
    pub(crate) rate: f64,
    /// The time that 99 of 100 answers stay below, ms.
    pub(crate) p99: f64,
    /// Answers in all.
    pub(crate) answers: u64,
}

/// Asks from so many clients for so long; every answer must have the status.
pub(crate) fn run(
    clients: usize,
    span: Duration,
    status: u16,
    client: impl Fn() -> Result<Client>,
    ask: impl Fn(&mut Client) -> io::Result<Response> + Sync,
) -> Result<Load> {
    let made: Vec<Client> = (0..clients).map(|_| client()).collect::<Result<_>>()?;
    let start = Barrier::new(clients);
    let one = |mut client: Client| -> Result<Vec<Duration>> {
        let first = ask(&mut client)?; // Connects, and lets the server learn the credentials.
        ensure!(first.status == status, "answered {}: {}", first.status, first.text());
        start.wait();
        let (begun, mut times) = (Instant::now(), Vec::new());
        while begun.elapsed() < span {
            let asked = Instant::now();
            let answer = ask(&mut client)?;
            times.push(asked.elapsed());
            ensure!(answer.status == status, "answered {}: {}", answer.status, answer.text());
        }
        Ok(times)
    };
    let mut times = thread::scope(|scope| -> Result<Vec<Duration>> {
        let threads: Vec<_> = made.into_iter().map(|client| scope.spawn(|| one(client))).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().ok().context("a client panicked")??);
        }
        Ok(all)
    })?;
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).context("no answer at all")?.as_secs_f64() * 1_000.0;
    Ok(Load { rate: times.len() as f64 / span.as_secs_f64(), p99, answers: times.len() as u64 })
}
