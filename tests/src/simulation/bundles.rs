//! The third carrier: what is queued is written into a bundle and carried, whether or not there is a line, and the hub's
//! reply is carried back. Either may come late, twice, or after what it says was said otherwise.

use super::Mutation;
use super::invariants::Broken;
use super::store::Laxity;
use super::world::{Event, World};
use sitewarden_protocol::batch;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::message::{Refusal, Refused, ToAgent};
use std::time::Duration;

/// Most batches in a bundle.
const BATCHES: usize = 20;

impl World {
    pub(super) fn schedule_exports(&mut self) {
        let end = u64::try_from(self.plan.calm_at.as_millis()).expect("minutes");
        for _ in 0..self.plan.bundles {
            let at = self.random.millis((0, end));
            self.after(at, Event::Export);
        }
    }

    /// What the hub has not confirmed, in batches, as the journal has it.
    pub(super) fn export(&mut self) {
        let mut after = self.plant.journal.acknowledged();
        let mut batches = vec![];
        while let Some(draft) = self.plant.journal.read(after, self.plan.batch)
            && batches.len() < BATCHES
        {
            let (header, signed) = self.plant.sign(&draft, self.wall());
            after = header.end().position;
            batches.push(signed);
        }
        let copies = 1 + u64::from(self.random.chance(200));
        for _ in 0..copies {
            let delay = self.random.millis(self.plan.carried);
            self.after(delay, Event::BundleAtHub { batches: batches.clone() });
        }
    }

    /// The hub takes a bundle in, each batch in a transaction, and its reply is carried back.
    pub(super) fn bundle_at_hub(&mut self, batches: &[batch::Signed]) -> Result<(), Broken> {
        if !self.vendor.is_up() {
            self.after(Duration::from_secs(1), Event::BundleAtHub { batches: batches.to_vec() });
            return Ok(());
        }
        let mut messages = vec![];
        for batch in batches {
            let key = self.plant.public_key();
            let opened = batch.verify(&key).and_then(|header| Ok((batch.open(&header)?, header)));
            let (run, header) = opened.map_err(|error| Broken::new(0, format!("a true bundle is invalid: {error}")))?;
            let before = self.vendor.store.cursor(self.plant.id, header.epoch);
            match self.vendor.store.take(&header, &run, Laxity::None) {
                Ok(cursor) => {
                    self.summary.carried += u32::from(cursor != before);
                    messages.push(ToAgent::Receipt(self.receipt(cursor)));
                }
                Err(Refusal::Fork) => {
                    self.call_administrator();
                    let position = |seq| Position { epoch: header.epoch, seq };
                    let (first, last) = (position(header.first), position(header.last));
                    messages.push(ToAgent::Refused(Refused { first, last, refusal: Refusal::Fork }));
                }
                // The rest joins on to what is not here: another bundle, or the line, brings it.
                Err(_) => {}
            }
        }
        if self.vendor.store.cleared > 0 {
            messages.push(ToAgent::Cleared(self.clearance()));
        }
        self.changed = true;
        let delay = self.random.millis(self.plan.carried);
        self.after(delay, Event::BundleAtAgent { messages });
        Ok(())
    }

    /// The plant takes the hub's reply in, whatever it knows already.
    pub(super) fn bundle_at_agent(&mut self, messages: Vec<ToAgent>) {
        let epochs = self.plant.journal.extents();
        if self.mutation == Mutation::BelievesEveryBundle {
            let key = [super::vendor::key().public()];
            for message in &messages {
                if let ToAgent::Receipt(signed) = message {
                    let through = signed.verify(&key).expect("the hub signs").through.position;
                    self.plant.journal.acknowledge(through);
                }
            }
            self.changed = true;
        }
        self.with_agent(|agent, (now, random)| {
            agent.handle_carried(now, random, &epochs, messages);
        });
    }
}
