//! Writing what the hub has not confirmed into a bundle.

use super::stream::{Chunk, Exported, PartDone};
use super::{Bundles, Error, Mark, Parts, hex, random, time};
use crate::sync::reading::next_batch;
use crate::sync::{hello, live_status};
use serde::{Deserialize, Serialize};
use sitewarden_protocol::batch;
use sitewarden_protocol::bundle::{Content, End, Manifest, Party, Report, Writer};
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::message::{Activate, EpochExtent, ToHub};
use tokio::sync::mpsc;

/// Chunks that wait for the command line: each is one batch at most.
const WAITING: usize = 2;
/// The smallest part: hello, status, questions, and one batch of the largest size.
pub const MIN_SPLIT: u64 = 2 << 20;
/// The most parts of a bundle; their files have three digits.
const MAX_PARTS: u32 = 999;
/// What a batch takes in a file beyond its payload: header, signatures, seal and frame.
const BESIDE_PAYLOAD: u64 = 1_024;
/// The most licence keys that are asked about in one bundle.
const MAX_KEYS: usize = 16;

/// What is to be exported.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// The most bytes of one part; `None` for one part however large.
    pub split: Option<u64>,
    /// Where to begin.
    pub start: Start,
    /// Licence keys that the hub is to activate for this site.
    pub activate: Vec<String>,
    /// Whether they may take the place of licences in force for the same app.
    pub replace: bool,
}

/// Where an export begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// After the last record that the hub confirmed; in the one-way mode after the last one that was exported.
    Unconfirmed,
    /// After the last record that was exported.
    Continue,
    /// After this record (epoch, number): also what was confirmed, as far as it is still here.
    After(u64, u64),
}

impl Bundles {
    /// Begins an export; its pieces come out of the channel.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn export(&self, request: ExportRequest) -> Result<mpsc::Receiver<Chunk>, Error> {
        let running = std::sync::Arc::clone(&self.0.running).try_acquire_owned().map_err(|_| Error::Busy)?;
        let (chunks, waiting) = mpsc::channel(WAITING);
        let bundles = self.clone();
        tokio::task::spawn_blocking(move || {
            let parts = bundles.parts();
            let result = Export::new(parts, request, &chunks).and_then(Export::run);
            let last = match result {
                Ok(exported) => {
                    tracing::info!(
                        bundle = exported.bundle,
                        records = exported.records,
                        parts = exported.parts,
                        "exported"
                    );
                    Chunk::Done(exported)
                }
                Err(error) => Chunk::Failed(error.to_string()),
            };
            // Whoever has gone needs no last word.
            drop(chunks.blocking_send(last));
            drop(running);
        });
        Ok(waiting)
    }

    /// A part's file is whole and on its disk. In the one-way mode its records now count as delivered.
    ///
    /// # Errors
    /// If the mark cannot be stored.
    pub async fn exported(&self, part: &PartDone) -> Result<(), Error> {
        let parts = self.parts();
        let through = Position { epoch: part.through.0, seq: part.through.1 };
        if part.records == 0 || through > *parts.journal.head().borrow() {
            return Ok(());
        }
        let (folder, bundle) = (parts.folder.clone(), part.bundle.clone());
        let stored = tokio::task::spawn_blocking(move || {
            let known = Mark::load(&folder).map(|mark| mark.position()).unwrap_or_default();
            if through <= known {
                return Ok(());
            }
            Mark::new(through, bundle, crate::clock::wall()).store(&folder)
        });
        stored.await.map_err(|_| Error::Stopping)??;
        if parts.one_way {
            parts.line.delivered(through).await.ok_or(Error::Stopping)?;
        }
        Ok(())
    }
}

struct Export<'a> {
    parts: &'a Parts,
    request: ExportRequest,
    out: &'a mpsc::Sender<Chunk>,
    bundle: [u8; 16],
    epochs: Vec<EpochExtent>,
    /// Nothing is read past this: what comes while the export runs goes with the next one.
    head: Position,
    after: Position,
    /// Read, and too large for the part before.
    held: Option<(Cursor, batch::Signed)>,
    records: u64,
}

impl<'a> Export<'a> {
    fn new(parts: &'a Parts, request: ExportRequest, out: &'a mpsc::Sender<Chunk>) -> Result<Self, Error> {
        let acknowledged = parts.line.known().acknowledged;
        let exported = || Mark::load(&parts.folder).map(|mark| mark.position()).unwrap_or_default();
        let after = match request.start {
            Start::Unconfirmed if !parts.one_way => acknowledged,
            Start::Unconfirmed | Start::Continue => acknowledged.max(exported()),
            Start::After(epoch, seq) => Position { epoch, seq },
        };
        let (epochs, head) = (parts.journal.extents(), *parts.journal.head().borrow());
        Ok(Self { parts, request, out, bundle: random()?, epochs, head, after, held: None, records: 0 })
    }

    fn run(mut self) -> Result<Exported, Error> {
        let first_after = self.after;
        for part in 1..=MAX_PARTS {
            if self.part(part)? {
                let (bundle, one_way) = (hex(&self.bundle), self.parts.one_way);
                let sealed = self.parts.enforcement.state().snapshot.sealing_key.is_some();
                let (after, through) = (first_after.to_string(), self.after.to_string());
                return Ok(Exported { bundle, parts: part, records: self.records, after, through, sealed, one_way });
            }
        }
        Err(Error::TooManyParts(MAX_PARTS))
    }

    /// Writes one part; whether it is the last.
    fn part(&mut self, number: u32) -> Result<bool, Error> {
        let parts = self.parts;
        let seal_to = parts.enforcement.state().snapshot.sealing_key;
        let (mut writer, head) = Writer::begin(self.manifest(number), parts.signing_key.clone(), seal_to);
        self.send(head)?;
        for message in self.opening(number == 1)? {
            self.write(&mut writer, &message)?;
        }
        let (mut records, mut through) = (0, Position::default());
        let last = loop {
            let Some((end, batch)) = self.next_batch()? else { break true };
            let size = batch.payload.len() as u64 + BESIDE_PAYLOAD;
            if records > 0 && self.request.split.is_some_and(|most| writer.written() + size > most) {
                self.held = Some((end, batch));
                break false;
            }
            let header = batch.peek().map_err(|error| Error::Journal(error.to_string()))?;
            self.write(&mut writer, &ToHub::Batch(batch))?;
            records += header.last - header.first + 1;
            (self.after, through) = (end.position, end.position);
        };
        self.send(writer.end(End { messages: 0, records, through, last }))?;
        self.records += records;
        let through = (through.epoch, through.seq);
        let done = PartDone { bundle: hex(&self.bundle), part: number, records, through, last };
        self.out.blocking_send(Chunk::Part(done)).map_err(|_| Error::Abandoned)?;
        Ok(last)
    }

    fn manifest(&self, part: u32) -> Manifest {
        let parts = self.parts;
        let report = Report { after: self.after, epochs: self.epochs.clone(), one_way: parts.one_way };
        let hub = parts.trusted().first().copied().map_or(Party::Authority([0; 32]), Party::Hub);
        Manifest {
            bundle: self.bundle,
            part,
            made_at: crate::clock::wall(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            from: parts.party(),
            to: hub,
            sealed_to: None,
            content: Content::Report(report),
        }
    }

    /// What each part begins with, so that it can be imported by itself; questions are in the first only.
    fn opening(&self, first: bool) -> Result<Vec<ToHub>, Error> {
        let parts = self.parts;
        let state = parts.enforcement.state();
        let mut hello = hello(parts.names.agent, &state.snapshot, &parts.journal);
        hello.epochs.clone_from(&self.epochs);
        let status = live_status(&parts.journal, &state);
        let mut messages = vec![ToHub::Hello(hello), ToHub::Status(status)];
        if first {
            messages.push(ToHub::AskTime(time::ask(parts)?));
            messages.extend(parts.line.renewal_due().map(ToHub::Renew));
            let in_use: Vec<_> = state.quotas().into_iter().map(|quota| (quota.app, quota.used)).collect();
            let keys = self.request.activate.iter().take(MAX_KEYS).zip(1..);
            messages.extend(keys.map(|(key, question)| {
                let (key, by, replace) = (key.clone(), crate::anonymity::OPERATOR.to_owned(), self.request.replace);
                ToHub::Activate(Activate { question, key, replace, by, in_use: in_use.clone() })
            }));
        }
        Ok(messages)
    }

    fn next_batch(&mut self) -> Result<Option<(Cursor, batch::Signed)>, Error> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        if self.after >= self.head {
            return Ok(None);
        }
        let parts = self.parts;
        let sealing = parts.enforcement.state().snapshot.sealing_key.filter(|_| parts.switches.seals());
        let signer = (parts.names.agent, parts.signing_key.as_ref());
        next_batch(&parts.journal, signer, &parts.clock, self.after, sealing).map_err(Error::Journal)
    }

    fn write(&self, writer: &mut Writer, message: &ToHub) -> Result<(), Error> {
        let bytes = writer.message(&message.to_body(), random()?)?;
        self.send(bytes)
    }

    fn send(&self, bytes: Vec<u8>) -> Result<(), Error> {
        self.out.blocking_send(Chunk::Bytes(bytes)).map_err(|_| Error::Abandoned)
    }
}
