//! The next batch: read from the journal, compressed, sealed where that is wanted and possible, signed.

use crate::clock::Clock;
use crate::identity::Identity;
use crate::journal::Journal;
use sitewarden_protocol::batch::{self, Seal};
use sitewarden_protocol::chain::{Cursor, Position};
use sitewarden_protocol::snapshot::SealingKey;
use zeroize::Zeroizing;

/// The records after `after`, sealed to `sealing` if it is given; `None` if there are none. Not for an async thread.
pub(super) fn next_batch(
    journal: &Journal,
    identity: &Identity,
    clock: &Clock,
    after: Position,
    sealing: Option<SealingKey>,
) -> Result<Option<(Cursor, batch::Signed)>, String> {
    let Some(draft) = journal.read_after(after).map_err(|error| error.to_string())? else { return Ok(None) };
    let seal = sealing.map(seal).transpose()?;
    let agent = identity.names.agent;
    let make = |seal| batch::Signed::make_for(agent, &draft, clock.now(), &identity.signing_key, seal);
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
    use crate::identity::Names;
    use crate::journal::Settings;
    use sitewarden_protocol::id::{AgentId, SiteId};
    use sitewarden_protocol::message::ToHub;
    use sitewarden_protocol::record::{Body, Event, Record, Value};
    use sitewarden_protocol::sealing::OpeningKey;
    use sitewarden_protocol::signing::PrivateKey;
    use std::sync::Arc;
    use tempfile::TempDir;

    const AGENT: AgentId = AgentId::from_bytes([7; 16]);
    const PLAIN: &str = "the recipe of line one";

    struct Plant {
        journal: Journal,
        identity: Identity,
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
        let names = Names {
            agent: AGENT,
            site: SiteId::from_bytes([1; 16]),
            hub_host: "localhost".into(),
            hub_url: String::new(),
            sync_port: 1,
            authorities: vec![],
            signing_keys: vec![],
        };
        let signing_key = PrivateKey::from_seed(&[3; 32]);
        let identity =
            Identity { names, tls_key: Default::default(), certificate: vec![], signing_key: Arc::new(signing_key) };
        Plant { journal, identity, clock, _folder: temporary }
    }

    impl Plant {
        fn batch(&self, sealing: Option<SealingKey>) -> batch::Signed {
            let after = Position::default();
            next_batch(&self.journal, &self.identity, &self.clock, after, sealing).unwrap().unwrap().1
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
        let header = sealed.verify(&plant.identity.signing_key.public()).unwrap();
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
