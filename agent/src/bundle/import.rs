//! Taking what the hub said in a bundle.

use super::{Bundles, Error, Parts, hex, time};
use serde::{Deserialize, Serialize};
use sitewarden_protocol::announcement;
use sitewarden_protocol::bundle::{self, Content, Head, Item, Manifest, Opened, Party, Piece, Reader};
use sitewarden_protocol::message::{ActivationOutcome, ToAgent};
use sitewarden_protocol::sealing::OpeningKey;
use sitewarden_protocol::signing::PublicKey;
use sitewarden_protocol::snapshot::Version;

/// The most bytes of a file that the hub made (16 MiB): receipts, a snapshot, certificates and answers.
pub const MAX_FILE: usize = 16 << 20;

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The bundle, hexadecimal.
    pub bundle: String,
    /// When the hub made it.
    pub made_at: String,
    /// Whether the file was whole; if not, what came before the cut was taken.
    pub whole: bool,
    /// Messages that were in it.
    pub messages: usize,
    /// Records that the hub confirmed with it and that were not confirmed before.
    pub confirmed: u64,
    /// Records that are still to be sent.
    pub backlog: u64,
    /// The revision of the snapshot in force now.
    pub snapshot_revision: u64,
    /// Whether that came with this bundle.
    pub snapshot_taken: bool,
    /// What else there is to know, in words.
    pub notes: Vec<String>,
}

impl Bundles {
    /// Takes a file that the hub made for this agent.
    ///
    /// # Errors
    /// If nothing of it can be used.
    pub async fn import(&self, file: &[u8]) -> Result<Outcome, Error> {
        let parts = self.parts();
        let Opening { manifest, messages, unknown, whole } = open(parts, file)?;
        let mut outcome = Outcome {
            bundle: hex(&manifest.bundle),
            made_at: manifest.made_at.to_string(),
            whole,
            messages: messages.len(),
            confirmed: 0,
            backlog: 0,
            snapshot_revision: 0,
            snapshot_taken: false,
            notes: Vec::new(),
        };
        if !whole {
            outcome.notes.push(
                "the file is cut; what comes before the cut was taken, and the rest is to be carried again".to_owned(),
            );
        }
        if unknown > 0 {
            outcome
                .notes
                .push(format!("{unknown} messages are of a newer version and were passed over; update the agent"));
        }
        messages.iter().for_each(|message| outcome.notes.extend(worth_telling(message)));
        let times =
            messages.iter().filter_map(|message| if let ToAgent::Time(time) = message { Some(time) } else { None });
        outcome.notes.extend(times.filter_map(|answer| time::answered(parts, answer)));
        let (before, had) = (parts.journal.size().backlog, parts.enforcement.state().snapshot.version);
        let offered = messages.iter().filter_map(snapshot_version).max();
        let carried = parts.line.carry(messages).await.ok_or(Error::Stopping)?;
        if carried.fork {
            let fork = "the hub has another history of this agent: this machine was rolled back or copied, and an \
                        administrator of the hub has to decide";
            outcome.notes.push(fork.to_owned());
        }
        if carried.disbelieved > 0 {
            outcome.notes.push(format!("{} receipts are not this hub's for this agent", carried.disbelieved));
        }
        let (size, has) = (parts.journal.size(), parts.enforcement.state().snapshot.version);
        outcome.confirmed = before.saturating_sub(size.backlog);
        outcome.backlog = size.backlog;
        (outcome.snapshot_revision, outcome.snapshot_taken) = (has.revision, has > had);
        if let Some(offered) = offered.filter(|offered| *offered < had) {
            outcome.notes.push(format!("its snapshot (revision {}) is older than the one in force", offered.revision));
        } else if offered.is_some_and(|offered| offered > has) {
            outcome.notes.push("its snapshot was not taken; the agent's log says why".to_owned());
        }
        tracing::info!(bundle = outcome.bundle, confirmed = outcome.confirmed, revision = has.revision, "imported");
        Ok(outcome)
    }
}

struct Opening {
    manifest: Manifest,
    messages: Vec<ToAgent>,
    /// Messages of a newer version.
    unknown: usize,
    whole: bool,
}

/// Reads a file as far as it can be read. What was altered is an error; what was cut is not.
fn open(parts: &Parts, file: &[u8]) -> Result<Opening, Error> {
    let (head, pieces, damage) = take_apart(file)?;
    let key = sender(parts, &head)?;
    head.verify(&key)?;
    let own = OpeningKey::of_signer(&parts.signing_key).map_err(bundle::Failed::from)?;
    let (mut messages, mut unknown, mut whole) = (Vec::new(), 0, false);
    for piece in pieces {
        match head.open(piece, &key, std::slice::from_ref(&own))? {
            Opened::Message(body) => match ToAgent::from_body(&body) {
                Ok(message) => messages.push(message),
                // Signed by the hub, so of a newer one. What this version knows is taken.
                Err(_) => unknown += 1,
            },
            Opened::End(_) => whole = true,
        }
    }
    if !whole && messages.is_empty() {
        return Err(damage
            .map_or_else(|| Error::NotForHere("the file is cut before its first message".to_owned()), Error::from));
    }
    believe(parts, &key, &messages)?;
    Ok(Opening { manifest: head.manifest, messages, unknown, whole })
}

/// The pieces up to a cut or to damage, and what the damage was.
pub(super) fn take_apart(file: &[u8]) -> Result<(Head, Vec<Piece>, Option<bundle::Error>), Error> {
    let mut reader = Reader::default();
    reader.feed(file);
    let head = match reader.take()? {
        Some(Item::Head(head)) => *head,
        _ => return Err(Error::NotForHere("the file is cut within its head".to_owned())),
    };
    let mut pieces = Vec::new();
    loop {
        match reader.take() {
            Ok(Some(Item::Piece(piece))) => pieces.push(piece),
            Ok(_) => return Ok((head, pieces, None)),
            Err(error) => return Ok((head, pieces, Some(error))),
        }
    }
}

/// The key that the sender says it signs with, if the bundle is for this agent.
fn sender(parts: &Parts, head: &Head) -> Result<PublicKey, Error> {
    let Manifest { from, to, content, .. } = &head.manifest;
    let no = |reason: &str| Err(Error::NotForHere(reason.to_owned()));
    match (content, from, to) {
        (Content::Word, Party::Hub(key), Party::Agent { agent, .. }) if *agent == parts.names.agent => Ok(*key),
        (Content::Word, _, Party::Agent { agent, .. }) => {
            Err(Error::NotForHere(format!("the bundle is for agent {agent}, and this is agent {}", parts.names.agent)))
        }
        (Content::Report(_), ..) => no("an agent made this bundle; it is to be imported at the hub"),
        (Content::Enrolment, ..) => no("this is an enrolment request; it is to be imported at the hub"),
        (Content::Admission, ..) => no("this answers an enrolment request, and this agent is enrolled"),
        (Content::Word, ..) => no("the bundle is for nobody"),
    }
}

/// Whether the key is this hub's: one that is trusted, or that the bundle itself announces under such a one.
fn believe(parts: &Parts, key: &PublicKey, messages: &[ToAgent]) -> Result<(), Error> {
    let mut trusted = parts.trusted();
    for message in messages {
        if let ToAgent::Keys(chain) = message {
            announcement::follow(&mut trusted, chain);
        }
    }
    if trusted.contains(key) { Ok(()) } else { Err(Error::NotForHere("another hub made this bundle".to_owned())) }
}

fn snapshot_version(message: &ToAgent) -> Option<Version> {
    let signed = match message {
        ToAgent::Snapshot(signed) => signed,
        ToAgent::Activated(activated) => activated.snapshot.as_ref()?,
        _ => return None,
    };
    signed.read().ok().map(|snapshot| snapshot.version)
}

/// What a person has to hear of a message.
fn worth_telling(message: &ToAgent) -> Option<String> {
    match message {
        ToAgent::Refused(refused) => {
            Some(format!("records {} to {} were refused: {}", refused.first, refused.last, refused.refusal))
        }
        ToAgent::Goodbye(goodbye) => Some(format!("the hub says: {}", goodbye.reason)),
        ToAgent::Activated(activated) => Some(match &activated.outcome {
            ActivationOutcome::Activated(license) => format!("license {license} is activated"),
            ActivationOutcome::Refused(refused) => format!("a license key was refused: {refused}"),
            ActivationOutcome::Unavailable => "the hub could not decide about a license key; carry it again".to_owned(),
        }),
        _ => None,
    }
}
