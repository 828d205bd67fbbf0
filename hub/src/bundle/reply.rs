//! What goes back: what the session would have sent over a line, without what a later message says better.

use super::{Error, Parts};
use crate::store::Standing;
use serde_json::{Value, json};
use sitewarden_protocol::{
    bundle::{Content, End, Manifest, Party},
    chain::Position,
    codec,
    id::AgentId,
    message::{Goodbye, ToAgent},
    receipt::Receipt,
    sealing::key_of_signer,
};
use std::collections::BTreeMap;

/// The most bytes of a reply: less than an agent takes (16 MiB).
const MAX_BYTES: usize = 12 << 20;
/// Refusals that are sent back one by one; what they say repeats.
const MAX_REFUSALS: usize = 8;

/// When a revoked agent is to ask again at the earliest, seconds: it means something over a line only.
const COME_BACK_REVOKED: u32 = 3_600;

/// The messages for one agent.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    messages: Vec<ToAgent>,
    bytes: usize,
    refusals: usize,
}

impl Reply {
    /// One more message. Of what stands, a receipt replaces the one before it for its epoch, and a snapshot any.
    pub(super) fn add(&mut self, message: ToAgent) {
        if matches!(message, ToAgent::Refused(_)) {
            self.refusals += 1;
            if self.refusals > MAX_REFUSALS {
                return;
            }
        }
        let size = message.to_body().len();
        if let Some(before) = self.messages.iter_mut().find(|before| stands_for(before, &message)) {
            self.bytes = self.bytes.saturating_sub(before.to_body().len()) + size;
            *before = message;
        } else if self.bytes + size <= MAX_BYTES {
            self.bytes += size;
            self.messages.push(message);
        } else {
            tracing::warn!(kind = message.name(), "a reply is full; a message is left out and comes with the next one");
        }
    }

    /// For an agent that was revoked: what is known of its records, and that it is not trusted any more.
    pub(super) fn part(&mut self) {
        self.keep_the_past();
        let reason = "this agent was revoked".to_owned();
        self.add(ToAgent::Goodbye(Goodbye { reason, come_back_after: COME_BACK_REVOKED }));
    }

    /// Only what is known of records: for one who may ask for nothing.
    pub(super) fn keep_the_past(&mut self) {
        self.messages.retain(|message| {
            matches!(
                message,
                ToAgent::Keys(_)
                    | ToAgent::Welcome(_)
                    | ToAgent::Receipt(_)
                    | ToAgent::Refused(_)
                    | ToAgent::Goodbye(_)
            )
        });
    }

    /// How many messages of each kind there are.
    pub(super) fn summary(&self) -> Value {
        let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
        self.messages.iter().for_each(|message| *kinds.entry(message.name()).or_default() += 1);
        json!({ "messages": kinds, "refusals": self.refusals })
    }

    pub(super) fn extend(&mut self, other: Self) {
        other.messages.into_iter().for_each(|message| self.add(message));
    }
}

impl Parts {
    /// The file for an agent: signed by this hub, sealed to the key that the agent signs with.
    pub(super) fn word(
        &self,
        agent: AgentId,
        standing: &Standing,
        reply: &Reply,
    ) -> Result<([u8; 16], Vec<u8>), Error> {
        let to = Party::Agent { agent, key: standing.signing_key };
        let bodies: Vec<_> = reply.messages.iter().map(ToAgent::to_body).collect();
        self.file(to, Content::Word, &bodies)
    }

    /// A file with these messages.
    pub(super) fn file(&self, to: Party, content: Content, bodies: &[Vec<u8>]) -> Result<([u8; 16], Vec<u8>), Error> {
        let key = to.key().ok_or(Error::Internal)?;
        let seal_to = key_of_signer(key).map_err(sitewarden_protocol::bundle::Failed::from)?;
        let mut bundle = [0; 16];
        getrandom::fill(&mut bundle)?;
        let manifest = Manifest {
            bundle,
            part: 1,
            made_at: crate::wall_clock(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            from: Party::Hub(self.signer.public()),
            to,
            sealed_to: None,
            content,
        };
        let (mut writer, mut file) = self.signer.begin_bundle(manifest, seal_to);
        for body in bodies {
            let mut random = [0; 32];
            getrandom::fill(&mut random)?;
            file.extend(writer.message(body, random)?);
        }
        file.extend(writer.end(End { messages: 0, records: 0, through: Position::default(), last: true }));
        Ok((bundle, file))
    }
}

/// Whether `after` makes `before` superfluous.
fn stands_for(before: &ToAgent, after: &ToAgent) -> bool {
    match (before, after) {
        (ToAgent::Snapshot(_), ToAgent::Snapshot(_))
        | (ToAgent::Welcome(_), ToAgent::Welcome(_))
        | (ToAgent::Keys(_), ToAgent::Keys(_)) => true,
        (ToAgent::Receipt(before), ToAgent::Receipt(after)) => epoch(&before.bytes) == epoch(&after.bytes),
        _ => false,
    }
}

fn epoch(receipt: &[u8]) -> Option<u64> {
    codec::decode::<Receipt>(receipt).ok().map(|receipt| receipt.through.position.epoch)
}
