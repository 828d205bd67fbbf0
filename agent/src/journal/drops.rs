//! Counts what was refused, until a record in the journal says so.
//!
//! Always true: what was refused since the last record is counted in the file beside the journal, with the position after
//! which it would have stood; the next record that is written there is the one that tells of it. So a file whose
//! position the journal has left behind is over and done with, and nothing is told twice. The file is written in place and
//! not synced: a killed process leaves it exact, a power cut may take the counts of the last seconds.

use super::store::Error;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::codec;
use sitewarden_protocol::record::{Dropped, Record, Run, kind};
use sitewarden_protocol::time::UnixMillis;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The file's length: a checksum, a length and an encoded [`State`] fit, and it never grows, so that a full disk can take
/// it.
const LENGTH: usize = 256;
const SUM: usize = 32;

/// What nobody brings again once it was refused. Everything else is kept by whoever made it, or its caller was told no.
const COUNTED: [u16; 4] = [kind::EVENT, kind::MEASUREMENT, kind::HOST, kind::HOST_HOURLY];

/// What was refused, and after which record.
struct State {
    after: Position,
    dropped: Dropped,
}

/// The counts.
pub(super) struct Drops {
    file: File,
    state: Option<State>,
}

impl Drops {
    /// Opens the file, or makes it in its full length. `written` is how far the journal was ever written.
    pub(super) fn open(journal: &Path, written: Position) -> Result<Self, Error> {
        let path = journal.join("dropped");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(Error::io("opening the count of refused records"))?;
        let mut bytes = [0; LENGTH];
        let state = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| decode(&bytes));
        let mut drops = Self { file, state: state.filter(|state| state.after >= written) };
        drops.write()?;
        Ok(drops)
    }

    /// Counts what was refused after the journal's last record. Answers how many that were.
    pub(super) fn count(&mut self, after: Position, records: &Run) -> Result<u64, Error> {
        let counted = |bytes| Record::decode(bytes).ok().filter(|record| COUNTED.contains(&record.kind));
        let mut number = 0;
        for record in records.iter().filter_map(counted) {
            let state = self.state.get_or_insert_with(|| State {
                after,
                dropped: Dropped { since: record.at, until: record.at, counts: Vec::new() },
            });
            state.add(record.kind, record.at);
            number += 1;
        }
        if number > 0 {
            self.write()?;
        }
        Ok(number)
    }

    /// What has to be told before anything else is written.
    pub(super) fn waiting(&self) -> Option<&Dropped> {
        self.state.as_ref().map(|state| &state.dropped)
    }

    /// A record tells of it now.
    pub(super) fn told(&mut self) -> Result<(), Error> {
        self.state = None;
        self.write()
    }

    fn write(&mut self) -> Result<(), Error> {
        self.file.write_all_at(&encode(self.state.as_ref()), 0).map_err(Error::io("counting refused records"))
    }
}

impl State {
    fn add(&mut self, kind: u16, at: UnixMillis) {
        let dropped = &mut self.dropped;
        (dropped.since, dropped.until) = (dropped.since.min(at), dropped.until.max(at));
        match dropped.counts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => dropped.counts.push((kind, 1)),
        }
    }
}

fn encode(state: Option<&State>) -> [u8; LENGTH] {
    let body = |state: &State| codec::encode(&(state.after.epoch, state.after.seq, state.dropped.clone()));
    let body = state.map(body).unwrap_or_default();
    let mut bytes = [0; LENGTH];
    // Four kinds with their counts take under 100 bytes.
    let end = SUM + 1 + body.len();
    if let (Ok(length), Some(place)) = (u8::try_from(body.len()), bytes.get_mut(SUM + 1..end)) {
        place.copy_from_slice(&body);
        bytes[SUM] = length;
    }
    let sum = blake3::hash(&bytes[SUM..]);
    bytes[..SUM].copy_from_slice(sum.as_bytes());
    bytes
}

/// `None` for nothing, or for what a power cut tore.
fn decode(bytes: &[u8; LENGTH]) -> Option<State> {
    let whole = blake3::hash(&bytes[SUM..]).as_bytes() == &bytes[..SUM];
    let length = usize::from(bytes[SUM]);
    let body = bytes.get(SUM + 1..SUM + 1 + length)?;
    if !whole || length == 0 {
        return None;
    }
    let (epoch, seq, dropped) = codec::decode(body).ok()?;
    Some(State { after: Position { epoch, seq }, dropped })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sitewarden_protocol::record::{Body, EpochBegun, Event};

    const HERE: Position = Position { epoch: 3, seq: 300 };

    fn event(at: i64) -> Vec<u8> {
        let event = Event {
            app: "EMS".into(),
            kind: "start".into(),
            environment: String::new(),
            outcome: String::new(),
            count: 1,
            attributes: vec![],
        };
        Record::encode(UnixMillis(at), &Body::Event(event)).unwrap()
    }

    #[test]
    fn what_was_refused_outlives_the_process_until_it_is_told() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut drops = Drops::open(folder.path(), Position::default()).unwrap();
        assert!(drops.waiting().is_none());
        let begun = Body::EpochBegun(EpochBegun { previous: 0, kept: 0, written: 0, cause: String::new() });
        let audited = Record::encode(UnixMillis(1), &begun).unwrap();
        let run: Run = [event(7), audited, event(5)].into_iter().collect();
        assert_eq!(drops.count(HERE, &run).unwrap(), 2, "only what nobody brings again");
        drop(drops);
        let mut drops = Drops::open(folder.path(), HERE).unwrap();
        let expected = Dropped { since: UnixMillis(5), until: UnixMillis(7), counts: vec![(kind::EVENT, 2)] };
        assert_eq!(drops.waiting(), Some(&expected));
        drops.told().unwrap();
        drop(drops);
        assert!(Drops::open(folder.path(), HERE).unwrap().waiting().is_none());
    }

    #[test]
    fn what_the_journal_has_gone_past_is_not_told_again_and_what_is_torn_not_at_all() {
        let folder = tempfile::TempDir::new().unwrap();
        let run: Run = [event(7)].into_iter().collect();
        let count = || Drops::open(folder.path(), Position::default()).unwrap().count(HERE, &run).unwrap();
        assert_eq!(count(), 1);
        assert!(Drops::open(folder.path(), Position { seq: 301, ..HERE }).unwrap().waiting().is_none());
        count();
        let path = folder.path().join("dropped");
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), LENGTH);
        bytes[SUM + 3] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(Drops::open(folder.path(), HERE).unwrap().waiting().is_none());
    }
}
