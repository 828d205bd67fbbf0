//! Enrolment in two files: a request that is carried to the hub, and its answer.
//!
//! Always true: the request does not hold the token's secret, only what one who knows it could make; the answer is believed
//! because the authority that the token names vouches for the key that signed it; the keys made for the request stay in
//! `identity.pending/` until an answer fits them, however often it is tried.

use super::import::take_apart;
use super::{hex, random};
use crate::enrolment::{Error, Outcome, check, keys, request, room, take};
use crate::folder::{self, Folder};
use crate::{clock, host, identity};
use sitewarden_certs::hub_signing::hub_signing_key;
use sitewarden_certs::secret_file;
use sitewarden_certs::token::{EnrolmentToken, secret_digest};
use sitewarden_protocol::bundle::{self, Content, End, Manifest, Opened, Party, Writer};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::enrolment::{Admission, OfflineRequest};
use sitewarden_protocol::sealing::OpeningKey;
use sitewarden_protocol::signing::PrivateKey;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The token, beside the keys of a request whose answer has not come.
const TOKEN: &str = "token";

/// Whether an answer is waited for, and this may be it: an agent that is to be enrolled again takes other files meanwhile.
pub fn completes(folder: &Folder, file: &[u8]) -> bool {
    let admits = || matches!(take_apart(file), Ok((head, ..)) if head.manifest.content == Content::Admission);
    token_file(folder).exists() && (!folder.identity().exists() || admits())
}

/// The bytes of a request file for a token, and the bundle's number. The same keys are used again until an answer came;
/// `again` asks for other keys for the agent of the token, which goes on with those that it has until the answer is here.
///
/// # Errors
/// See [`Error`]; then there is no request.
pub fn request_file(folder: &Folder, token_text: &str, again: bool) -> Result<(Vec<u8>, String), Error> {
    let token = EnrolmentToken::parse(token_text)?;
    check(folder, &token, again)?;
    if !folder.path().exists() {
        secret_file::create_folder(folder.path())?;
    }
    let lock = folder.lock();
    match &lock {
        Ok(_) => identity::finish(folder)?,
        // An agent that runs is not disturbed: only what is pending is written.
        Err(folder::Error::InUse(_)) if again => {}
        Err(_) => drop(lock?),
    }
    room(folder, &token)?;
    let (tls_key, signing_key) = keys(folder)?;
    secret_file::write(&token_file(folder), Zeroizing::new(token.encode()).as_bytes())?;
    let request = request(&token, &tls_key, &signing_key)?;
    let message = OfflineRequest::new(request, &secret_digest(&token.secret));
    let bundle = random().map_err(|_| Error::Random)?;
    let manifest = Manifest {
        bundle,
        part: 1,
        made_at: clock::wall(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        from: Party::Machine(signing_key.public()),
        to: Party::Authority(*token.ca.as_bytes()),
        sealed_to: None,
        content: Content::Enrolment,
    };
    let (mut writer, mut file) = Writer::begin(manifest, Arc::new(signing_key), None);
    let random = random().map_err(|_| Error::Random)?;
    file.extend(writer.message(&message.to_body(), random).map_err(super::Error::from)?);
    file.extend(writer.end(End { messages: 0, records: 0, through: Position::default(), last: true }));
    Ok((file, hex(&bundle)))
}

/// Completes an enrolment with the hub's answer.
///
/// # Errors
/// See [`Error`]; then nothing has changed.
pub async fn complete(folder: &Folder, file: &[u8]) -> Result<Outcome, Error> {
    let _lock = folder.lock()?;
    let text = secret_file::read(&token_file(folder))?;
    let text = str::from_utf8(&text).map_err(|_| sitewarden_certs::token::Error::Damaged)?;
    let token = EnrolmentToken::parse(text)?;
    let (_, signing_key) = keys(folder)?;
    let (admission, head) = open(&signing_key, file)?;
    let hub = hub_signing_key(&admission.certificate, &admission.authority, token.ca).map_err(|_| Error::NotTheHub)?;
    head.verify(&hub).map_err(super::Error::from)?;
    let outcome = take(folder, &token, &admission.answer, &host::fingerprint()).await?;
    // What is left of the token is of no use to anybody.
    drop(fs::remove_file(folder.identity().join(TOKEN)));
    Ok(outcome)
}

fn open(own: &PrivateKey, file: &[u8]) -> Result<(Admission, bundle::Head), Error> {
    let no = |reason: &str| Error::from(super::Error::NotForHere(reason.to_owned()));
    let (head, pieces, _) = take_apart(file)?;
    let Manifest { content, from, to, .. } = &head.manifest;
    let key = match (content, from, to) {
        (Content::Admission, Party::Hub(key), Party::Machine(machine)) if *machine == own.public() => *key,
        (Content::Admission, ..) => return Err(no("this answers the request of another machine")),
        (Content::Enrolment, ..) => {
            return Err(no("this is the request itself; carry it to the hub, and its answer back"));
        }
        _ => return Err(no("this is no answer to an enrolment request")),
    };
    let opening = [OpeningKey::of_signer(own).map_err(bundle::Failed::from).map_err(super::Error::from)?];
    for piece in pieces {
        if let Opened::Message(body) = head.open(piece, &key, &opening).map_err(super::Error::from)? {
            let admission = Admission::from_body(&body).map_err(|error| no(&error.to_string()))?;
            return Ok((admission, head));
        }
    }
    Err(no("the file is cut; carry it again"))
}

fn token_file(folder: &Folder) -> PathBuf {
    folder.pending_identity().join(TOKEN)
}

impl From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        Self::Bundle(Box::new(error))
    }
}
