//! What the hub said in a bundle: taken by the same rules as over a line, whether or not there is one.

use super::{Action, Agent};
use crate::message::{EpochExtent, Refusal, Refused, ToAgent};
use crate::receipt::{self, Receipt};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a bundle's messages came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Receipts that are this hub's for this agent.
    pub receipts: usize,
    /// Receipts that are not.
    pub disbelieved: usize,
    /// The hub has more of this agent, or other records, than the journal here: this machine was rolled back or copied.
    pub fork: bool,
}

impl Agent {
    /// The hub's messages from one bundle, in their order; `epochs` is what the journal holds now. What is to be done with
    /// them comes from [`Agent::poll_action`].
    ///
    /// A bundle may be old, and may have been imported before: nothing in it takes back what was known since. Of refusals only
    /// those for a fork count: what is said of that epoch is of another history. Goodbyes belong to a session and change
    /// nothing here; nor do answers to what time it is, which count only at once.
    pub fn handle_carried(
        &mut self,
        now: Duration,
        random: u64,
        epochs: &[EpochExtent],
        messages: Vec<ToAgent>,
    ) -> Carried {
        let (mut receipts, mut forked) = (Vec::new(), None);
        for message in messages {
            match message {
                ToAgent::Welcome(welcome) => receipts.extend(welcome.receipts),
                ToAgent::Receipt(receipt) => receipts.push(receipt),
                ToAgent::Refused(Refused { first, refusal: Refusal::Fork, .. }) => {
                    forked = forked.or(Some(first.epoch))
                }
                ToAgent::Refused(_) | ToAgent::Goodbye(_) | ToAgent::Time(_) => {}
                other => self.handle_message(now, random, other),
            }
        }
        self.take_receipts(epochs, &receipts, forked)
    }

    fn take_receipts(&mut self, epochs: &[EpochExtent], receipts: &[receipt::Signed], forked: Option<u64>) -> Carried {
        let mut carried = Carried::default();
        let mut best: BTreeMap<u64, Receipt> = BTreeMap::new();
        for signed in receipts {
            let Ok(receipt) = self.believe(signed) else {
                carried.disbelieved += 1;
                continue;
            };
            carried.receipts += 1;
            let position = receipt.through.position;
            if best.get(&position.epoch).is_none_or(|known| known.through.position < position) {
                best.insert(position.epoch, receipt);
            }
        }
        // A receipt speaks for its epoch alone: one of a later epoch counts only if nothing before it is missing.
        for EpochExtent { head, .. } in epochs {
            let Some(receipt) = best.remove(&head.position.epoch) else {
                if head.position <= self.acknowledged {
                    continue;
                }
                break;
            };
            let through = receipt.through;
            let ahead = through.position > head.position && head.position.epoch >= self.head.epoch;
            let told = forked.is_some_and(|epoch| epoch <= head.position.epoch);
            if told || ahead || (through.position == head.position && through.chain != head.chain) {
                carried.fork = true;
                break;
            }
            self.confirm(receipt);
            if through.position < head.position {
                break;
            }
        }
        carried
    }

    /// While a session stands the hub itself says what it has, and a bundle may be from before it was restored.
    fn confirm(&mut self, receipt: Receipt) {
        if !self.is_up() && receipt.through.position > self.acknowledged {
            self.acknowledged = receipt.through.position;
            self.actions.push_back(Action::Acknowledge(receipt));
        }
    }
}
