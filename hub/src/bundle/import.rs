//! Taking a file in.

use super::file::Incoming;
use super::reply::Reply;
use super::{Bundles, Error, Parts, SESSION_TIMEOUT, Upload, hex};
use crate::store::{Act, AgentStatus, BundleRow, Direction, Standing};
use crate::sync::{Ending, Peer, carried};
use serde::Serialize;
use sitewarden_certs::authority::Authority;
use sitewarden_protocol::{
    announcement::Announcement,
    bundle::{Content, Manifest, Party},
    chain::Position,
    codec,
    enrolment::{Admission, Answer, OfflineRequest},
    frame::{self, HEADER, Header},
    id::AgentId,
    message::{Refusal, ToAgent, ToHub},
    sealing::OpeningKey,
    signing::PublicKey,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    sync::mpsc,
    time::timeout,
};

/// What a pipe to the session holds: little, because the session asks for the next message only when it has room.
const PIPE: usize = 64 << 10;
/// Messages between two words about how far it is.
const PROGRESS_EVERY: u64 = 32;

/// What became of one file.
#[derive(Debug, Serialize)]
pub(crate) struct Imported {
    /// The bundle, hexadecimal.
    pub(crate) bundle: String,
    /// Which part of it.
    pub(crate) part: u32,
    /// What it is.
    pub(crate) content: &'static str,
    /// Whose; that which was enrolled, for a request.
    pub(crate) agent: Option<AgentId>,
    /// Whether the file was whole. If not, what came before the cut was taken, and the rest may come later.
    pub(crate) whole: bool,
    /// Whether the same part was imported before.
    pub(crate) again: bool,
    /// Messages that were taken.
    pub(crate) messages: u64,
    /// Records that were not here before.
    pub(crate) new_records: u64,
    /// How far this hub is in each epoch, as epoch and number.
    pub(crate) through: Vec<String>,
    /// Why batches were not taken, and how many.
    pub(crate) refused: BTreeMap<String, u64>,
    /// What else there is to know, in words.
    pub(crate) notes: Vec<String>,
}

/// For whom a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addressee {
    Agent(AgentId),
    Machine(PublicKey),
}

/// One file's result, and what goes back.
pub(crate) struct Taken {
    pub(crate) imported: Imported,
    pub(crate) to: Addressee,
    reply: Reply,
    admission: Option<Vec<u8>>,
}

/// How far a file is.
pub(crate) type Progress = mpsc::Sender<u64>;

impl Bundles {
    /// Takes one file in. A file that is cut or altered is taken up to there.
    pub(crate) async fn import(&self, act: &Act, upload: &mut Upload, progress: &Progress) -> Result<Taken, Error> {
        let file = Incoming::open(upload).await?;
        match &file.head.manifest.content {
            Content::Report(_) => self.0.report(act, file, progress).await,
            Content::Enrolment => self.0.enrol(act, file).await,
            Content::Word | Content::Admission => {
                Err(Error::NotForHere("a hub made this bundle; it is to be imported at the site".to_owned()))
            }
        }
    }

    /// The file that goes back for these, if they are all for the same one.
    pub(crate) async fn reply(&self, act: &Act, taken: Vec<Taken>) -> Result<Vec<u8>, Error> {
        let Some(to) = taken.first().map(|taken| taken.to) else { return Err(Error::Empty) };
        if taken.iter().any(|taken| taken.to != to) {
            let message = "these bundles are of several agents, and a reply is for one: import them one by one";
            return Err(Error::NotForHere(message.to_owned()));
        }
        let Addressee::Agent(agent) = to else {
            let admission = taken.into_iter().rev().find_map(|taken| taken.admission);
            return admission.ok_or(Error::Internal);
        };
        let mut reply = Reply::default();
        taken.into_iter().for_each(|taken| reply.extend(taken.reply));
        self.0.sent(act, agent, &reply).await
    }
}

impl Parts {
    async fn report(&self, act: &Act, mut file: Incoming<'_>, progress: &Progress) -> Result<Taken, Error> {
        let Manifest { bundle, part, from, to, .. } = file.head.manifest.clone();
        let Party::Agent { agent, key } = from else { return Err(Error::NotForHere("no agent made it".to_owned())) };
        let standing = self.store.agent_standing(agent).await?.ok_or(Error::UnknownAgent(agent))?;
        if !standing.signers().contains(&key) {
            return Err(Error::OtherKey(agent));
        }
        let earlier = standing.signing_key != key;
        file.head.verify(&key)?;
        self.is_ours(&to)?;
        let one_way = matches!(&file.head.manifest.content, Content::Report(report) if report.one_way);
        let before = self.store.count_records(agent).await?;
        let talk = self.converse(agent, (&standing, key), &mut file, progress).await;
        let mut imported = Imported {
            bundle: hex(&bundle),
            part,
            content: file.head.manifest.content.name(),
            agent: Some(agent),
            whole: file.end.is_some(),
            again: false,
            messages: talk.messages,
            new_records: self.store.count_records(agent).await?.saturating_sub(before),
            through: self.through(agent).await?,
            refused: talk.heard.refused,
            notes: talk.heard.notes,
        };
        if let (true, Some((have, first))) = (one_way, talk.heard.missing) {
            // Over a line or with a reply the agent would send them again by itself.
            self.store.flag_missing(crate::wall_clock(), agent, have, first).await?;
            imported.notes.push(format!(
                "records between {have} and {first} have not arrived, and the site does not hear of it: import the file that \
                 holds them, or have the site run: sitewarden-agent bundle export FILE --after {have}"
            ));
        }
        let mut reply = talk.heard.reply;
        if earlier {
            imported.notes.push(
                "it was made before this agent was enrolled again, or by somebody who has its old key: its records are kept and \
                 not taken in; sitewarden-hub batch list shows them"
                    .to_owned(),
            );
            reply.keep_the_past();
        }
        if standing.status == AgentStatus::Revoked {
            imported.notes.push("this agent was revoked; the reply tells it so".to_owned());
            reply.part();
        }
        if !imported.whole && talk.problem.is_none() {
            imported
                .notes
                .push("the file is cut; what came before the cut was taken, and the rest may come later".to_owned());
        }
        imported.notes.extend(talk.problem);
        self.remember(act, &mut imported, Direction::In, (bundle, file.digest())).await?;
        Ok(Taken { imported, to: Addressee::Agent(agent), reply, admission: None })
    }

    /// Whether a bundle is for this hub: by a key that it signs with, or did before, or by one of its authorities.
    fn is_ours(&self, to: &Party) -> Result<(), Error> {
        let announced = |key: &PublicKey| {
            let chain = self.signer.chain();
            let said = chain.iter().filter_map(|link| codec::decode::<Announcement>(&link.bytes).ok());
            said.into_iter().any(|said| said.key == *key || said.previous == *key)
        };
        let ours = match to {
            Party::Hub(key) => self.signer.trust().signing_keys.contains(key) || announced(key),
            Party::Authority(fingerprint) => self.authority(fingerprint).is_some(),
            Party::Agent { .. } | Party::Machine(_) => false,
        };
        if ours {
            Ok(())
        } else {
            Err(Error::NotForHere("the bundle is for another hub; nothing of it was taken".to_owned()))
        }
    }

    /// The authority that a token names.
    fn authority(&self, fingerprint: &[u8; 32]) -> Option<Arc<Authority>> {
        let all = self.authorities.all().into_iter().map(|one| one.authority);
        all.into_iter().find(|one| one.fingerprint().as_bytes() == fingerprint)
    }

    /// Has a session with the file in place of a line.
    async fn converse(
        &self,
        agent: AgentId,
        (standing, key): (&Standing, PublicKey),
        file: &mut Incoming<'_>,
        progress: &Progress,
    ) -> Talk {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let peer = Peer::of_file(agent, standing);
        let session = tokio::spawn(carried(theirs, peer, Arc::clone(&self.backing)));
        let (hears, says) = tokio::io::split(ours);
        let heard = tokio::spawn(listen(hears));
        let keys = self.sealing.all();
        let mut messages = 0;
        let present = standing.status == AgentStatus::Active && standing.signing_key == key;
        let passes: fn(&[u8]) -> bool = if present { |_| true } else { is_of_the_past };
        let said = say(says, file, (&key, &keys), (&mut messages, passes), progress).await;
        let mut problem = said.err().map(|error| error.to_string());
        match timeout(SESSION_TIMEOUT, session).await {
            Ok(Ok(Ending::Finished)) => {}
            Ok(Ok(ending)) => problem = Some(Error::Session(ending).to_string()),
            Ok(Err(_)) | Err(_) => problem = Some(Error::Internal.to_string()),
        }
        let heard = timeout(SESSION_TIMEOUT, heard).await.ok().and_then(Result::ok).unwrap_or_default();
        Talk { messages, heard, problem }
    }

    async fn through(&self, agent: AgentId) -> Result<Vec<String>, Error> {
        let epochs = self.store.show_agent(agent).await?.epochs;
        Ok(epochs.iter().map(|epoch| format!("{}:{}", epoch.epoch, epoch.through)).collect())
    }

    /// Notes the import, and finds out whether it is one more of the same.
    pub(super) async fn remember(
        &self,
        act: &Act,
        imported: &mut Imported,
        direction: Direction,
        (bundle, digest): ([u8; 16], [u8; 32]),
    ) -> Result<(), Error> {
        let row = BundleRow {
            bundle,
            part: imported.part,
            direction,
            agent: imported.agent,
            content: imported.content.to_owned(),
            digest,
            outcome: serde_json::to_value(&*imported).unwrap_or_default(),
        };
        let times = self.store.note_bundle(act, row).await?;
        imported.again = times > 1;
        Ok(())
    }

    async fn enrol(&self, act: &Act, mut file: Incoming<'_>) -> Result<Taken, Error> {
        let Manifest { bundle, part, from, to, .. } = file.head.manifest.clone();
        let Party::Machine(key) = from else { return Err(Error::NotForHere("no machine made it".to_owned())) };
        file.head.verify(&key)?;
        self.is_ours(&to)?;
        let body = file.message(&key, &[]).await?.ok_or(Error::Empty)?;
        let request = OfflineRequest::from_body(&body).map_err(|error| Error::NotForHere(error.to_string()))?;
        if request.request.signing_key != key {
            return Err(Error::NotForHere(
                "the request is for another key than the one that signed the file".to_owned(),
            ));
        }
        let answer = self.enrolment.answer_offline(request).await;
        // The one that the token names, though the hub may have come to another since.
        let Party::Authority(fingerprint) = to else { return Err(Error::Internal) };
        let authority = self.authority(&fingerprint).ok_or(Error::Internal)?;
        let certificate = authority.issue_hub_signing(&self.signer.public(), crate::wall_clock())?;
        let (agent, note) = match &answer {
            Answer::Enrolled(enrolled) => (Some(enrolled.agent), None),
            Answer::Again(again) => {
                let note = "the agent is enrolled again: its key and certificate from before are of no use any more";
                (Some(again.enrolled.agent), Some(note.to_owned()))
            }
            Answer::Refused(refused) => (None, Some(format!("not enrolled: {refused}"))),
        };
        let admission = Admission { authority: authority.cert_der().to_vec(), certificate, answer };
        let (_, admission) = self.file(Party::Machine(key), Content::Admission, &[admission.to_body()])?;
        let mut imported = Imported {
            bundle: hex(&bundle),
            part,
            content: file.head.manifest.content.name(),
            agent,
            whole: true,
            again: false,
            messages: 1,
            new_records: 0,
            through: Vec::new(),
            refused: BTreeMap::new(),
            notes: note.into_iter().collect(),
        };
        self.remember(act, &mut imported, Direction::In, (bundle, file.digest())).await?;
        Ok(Taken { imported, to: Addressee::Machine(key), reply: Reply::default(), admission: Some(admission) })
    }
}

/// What a session over a file came to.
#[derive(Debug, Default)]
struct Talk {
    messages: u64,
    heard: Heard,
    problem: Option<String>,
}

/// What a session said: folded as it comes, because a file may have any number of batches.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) reply: Reply,
    refused: BTreeMap<String, u64>,
    /// The first place at which records were missing: what is here, and where the batch begins.
    missing: Option<(Position, Position)>,
    notes: Vec<String>,
}

impl Heard {
    fn hear(&mut self, message: ToAgent) {
        match &message {
            ToAgent::Refused(refused) => {
                let reason = match &refused.refusal {
                    Refusal::Missing(have) => {
                        self.missing.get_or_insert((have.position, refused.first));
                        "records before them have not arrived; import the file that holds those first".to_owned()
                    }
                    other => other.to_string(),
                };
                *self.refused.entry(reason).or_default() += 1;
            }
            // At most one, at the end.
            ToAgent::Goodbye(goodbye) => self.notes.push(goodbye.reason.clone()),
            _ => {}
        }
        self.reply.add(message);
    }
}

/// Whether a message only tells what was. A revoked agent, or an earlier key, may do that, each batch being judged by itself; it may ask for
/// nothing.
fn is_of_the_past(body: &[u8]) -> bool {
    matches!(ToHub::from_body(body), Ok(ToHub::Hello(_) | ToHub::Batch(_)))
}

/// Puts the file's messages on the pipe, as frames, and ends it.
async fn say(
    mut says: WriteHalf<DuplexStream>,
    file: &mut Incoming<'_>,
    (key, keys): (&PublicKey, &[OpeningKey]),
    (messages, passes): (&mut u64, fn(&[u8]) -> bool),
    progress: &Progress,
) -> Result<(), Error> {
    let result = loop {
        let body = match file.message(key, keys).await {
            Ok(Some(body)) if passes(&body) => body,
            Ok(Some(_)) => continue,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        if says.write_all(&frame::encode(&body)).await.is_err() {
            // The session has ended, and says itself why.
            break Ok(());
        }
        *messages += 1;
        if *messages % PROGRESS_EVERY == 0 {
            // Who does not listen is not waited for.
            let _ = progress.try_send(*messages);
        }
    };
    // Without this the session would wait for more. One that is gone needs no end.
    let _ = says.shutdown().await;
    result
}

/// Takes what the session says, as long as it says anything.
pub(super) async fn listen(mut hears: ReadHalf<DuplexStream>) -> Heard {
    let (mut heard, mut head) = (Heard::default(), [0; HEADER]);
    while hears.read_exact(&mut head).await.is_ok() {
        let Ok(header) = Header::parse(&head) else { break };
        let mut body = vec![0; header.length()];
        if hears.read_exact(&mut body).await.is_err() || header.check(&body).is_err() {
            break;
        }
        if let Ok(message) = ToAgent::from_body(&body) {
            heard.hear(message);
        }
    }
    heard
}
