//! The next batch: read from the journal, compressed, sealed where that is wanted and possible, signed.

use crate::clock::Clock;
use crate::journal::Journal;
use sitewarden_protocol::batch::{self, Seal};
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::snapshot::SealingKey;
use zeroize::Zeroizing;

/// The records after `after`, sealed to `sealing` if it is given; `None` if there are none. Not for an async thread.
pub(crate) fn next_batch(
    journal: &Journal,
    (agent, key): (AgentId, &PrivateKey),
    clock: &Clock,
    after: Position,
    sealing: Option<SealingKey>,
) -> Result<Option<(Cursor, batch::Signed)>, String> {
    let Some(draft) = journal.read_after(after).map_err(|error| error.to_string())? else { return Ok(None) };
    let seal = sealing.map(seal).transpose()?;
    let make = |seal| batch::Signed::make_for(agent, &draft, clock.now(), key, seal);
    let made = match make(seal) {
        // The hub's own word, over a line that is its own: a mistake there must not stop the stream.
        Err(batch::Error::SealingKey(error)) => {
            tracing::warn!(%error, "a batch goes unsealed");
            make(None)
        }
        made => made,
    };
    made.map(|(header, signed)| Some((header.end(), signed))).map_err(|error| error.to_string())
}

fn seal(key: SealingKey) -> Result<Seal, String> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(random.as_mut_slice()).map_err(|error| format!("nothing can be sealed: {error}"))?;
    Ok(Seal { key, random: *random })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anonymity::Anonymity;
    use crate::clock::{Machine, wall};
    use crate::folder::Folder;
    use crate::journal::Settings;
    use sitewarden_protocol::message::ToHub;
    use sitewarden_protocol::record::{Body, Event, Record, Value};
    use sitewarden_protocol::sealing::OpeningKey;
    use tempfile::TempDir;

    const AGENT: AgentId = AgentId::from_bytes([7; 16]);
    const PLAIN: &str = "the recipe of line one";

    struct Plant {
        journal: Journal,
        key: PrivateKey,
        clock: Clock,
        _folder: TempDir,
    }

    /// An agent's journal with one event in it.
    async fn plant() -> Plant {
        let temporary = TempDir::new().unwrap();
        let folder = Folder::at(temporary.path());
        folder.make("state").unwrap();
        let settings = Settings { quota: 1 << 40, reserve: 0 };
        let (start, counters) = (Position::default(), Default::default());
        let journal = Journal::open(&folder.journal(), AGENT, settings, start, counters, wall()).unwrap();
        let clock = Clock::start(&folder, wall(), Default::default(), Box::new(Machine::new())).unwrap();
        let event = Event {
            app: "EMS".into(),
            kind: "start".into(),
            environment: String::new(),
            outcome: String::new(),
            count: 1,
            attributes: vec![("what".into(), Value::Text(PLAIN.into()))],
        };
        let anonymity = Anonymity::load(&folder, Default::default()).unwrap();
        let record = anonymity.encode(clock.now(), &Body::Event(event)).unwrap();
        journal.append([record].into_iter().collect()).await.unwrap();
        let key = PrivateKey::from_seed(&[3; 32]);
        Plant { journal, key, clock, _folder: temporary }
    }

    impl Plant {
        fn batch(&self, sealing: Option<SealingKey>) -> batch::Signed {
            let after = Position::default();
            next_batch(&self.journal, (AGENT, &self.key), &self.clock, after, sealing).unwrap().unwrap().1
        }
    }

    /// Whether the event's text can be read in the very bytes that are sent.
    fn readable(batch: &batch::Signed) -> bool {
        let frame = ToHub::Batch(batch.clone()).to_frame();
        frame.windows(PLAIN.len()).any(|window| window == PLAIN.as_bytes())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_sent_sealed_can_be_read_by_the_hub_only() {
        let (plant, hub) = (plant().await, OpeningKey::from_seed(5, &[1; 32]));
        assert!(readable(&plant.batch(None)), "the test looks for what is never there");
        let sealed = plant.batch(Some(hub.public()));
        assert!(!readable(&sealed));
        let header = sealed.verify(&plant.key.public()).unwrap();
        let run = sealed.open_with(&header, &[hub]).unwrap();
        let bodies: Vec<_> = run.iter().map(|record| Record::decode(record).unwrap().decode_body().unwrap()).collect();
        let texts = bodies
            .iter()
            .filter(|body| matches!(body, Body::Event(event) if event.attributes[0].1 == Value::Text(PLAIN.into())));
        assert_eq!(texts.count(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_two_batches_are_sealed_with_the_same_randomness() {
        let (plant, hub) = (plant().await, OpeningKey::from_seed(5, &[1; 32]).public());
        let [one, two] = [0, 1].map(|_| plant.batch(Some(hub)).payload);
        assert_ne!(one[..32], two[..32]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_that_nothing_can_be_sealed_to_does_not_stop_the_stream() {
        let plant = plant().await;
        let batch = plant.batch(Some(SealingKey { id: 0, public: [0; 32] }));
        assert_eq!(batch.peek().unwrap().encoding, batch::Encoding::Zstd);
    }
}
