//! What leaves the site, and what of it is a pseudonym: the one door through which a record gets into the journal.
//!
//! Always true: records are made anonymous before they are encoded, so that the chain runs over the anonymous bytes, what
//! lies in the journal is what leaves, and a preview of the journal is exact. The key of the pseudonyms lies in
//! `state/anonymity.key` and never leaves; the same name has the same pseudonym as long as that file is there. Switching
//! it on or off counts for records from then on.
//!
//! # What becomes what
//! - **Pseudonyms**, `anon-` and 16 hexadecimal digits: users (who asked, who activated, who overrode, who released), the
//!   names of machines, and attributes and fields whose name says that they are one (the words are in `names.rs`).
//! - **Free text** loses mail addresses (`[email]`) and IP addresses (`[ip]`): attribute texts, reasons, causes, errors,
//!   texts that were measured.
//! - **As they are**: apps, monitors, licences, activations, products, versions and features, because the hub counts by
//!   them; kinds, environments and outcomes; digests of hardware; times and numbers; our own word [`OPERATOR`].
//!
//! A name inside free text is not recognised. A monitor that is called by an address keeps it: monitors are the site's own
//! state, and read back from the journal.

mod names;
mod redaction;
mod switches;

pub use switches::Switches;

use crate::folder::Folder;
use serde_json::{Map, Value as Json};
use sitewarden_certs::secret_file;
use sitewarden_protocol::record::{
    Activation, Body, Denial, Denials, Event, MachineActivated, MachineDeactivated, Measured, Override, Record,
    SessionEnd, SessionEnded, TooLarge, Transmission, Value,
};
use sitewarden_protocol::telemetry::Reading;
use sitewarden_protocol::time::UnixMillis;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Who acts over the operator's socket: a role and nobody's name.
pub const OPERATOR: &str = "operator";

const FILE: &str = "anonymity.key";
const PREFIX: &str = "anon-";
/// Bytes of a pseudonym's digest: 64 bits, so that even a million names do not meet.
const DIGEST: usize = 8;

/// Makes records anonymous and encodes them. Does not print its key.
pub struct Anonymity {
    key: Zeroizing<[u8; 32]>,
    switches: Arc<Switches>,
}

/// The key of the pseudonyms cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// It is no key.
    #[error("state/{FILE} must hold exactly 32 bytes; remove it, and names get new pseudonyms from then on")]
    Length,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl Anonymity {
    /// Reads the site's key; makes one the first time.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(folder: &Folder, switches: Arc<Switches>) -> Result<Self, Error> {
        let path = folder.state(FILE);
        let mut key = Zeroizing::new([0; 32]);
        if path.exists() {
            let stored = secret_file::read(&path)?;
            *key = stored.as_slice().try_into().map_err(|_| Error::Length)?;
        } else {
            getrandom::fill(key.as_mut_slice()).map_err(|_| Error::Random)?;
            secret_file::write(&path, key.as_slice())?;
        }
        Ok(Self { key, switches })
    }

    /// What may be switched.
    pub const fn switches(&self) -> &Arc<Switches> {
        &self.switches
    }

    /// A record's bytes, as they will be stored, hashed and sent.
    ///
    /// # Errors
    /// [`TooLarge`], also for a record that is too large only before it is made anonymous: that bounds the work.
    pub fn encode(&self, at: UnixMillis, body: &Body) -> Result<Vec<u8>, TooLarge> {
        let plain = Record::encode(at, body)?;
        if !self.switches.anonymizes() {
            return Ok(plain);
        }
        match self.anonymous(body) {
            Some(body) => Record::encode(at, &body),
            None => Ok(plain),
        }
    }

    /// A user's name as it may leave: a pseudonym, if names are made anonymous.
    pub fn name(&self, name: &str) -> String {
        if self.switches.anonymizes() { self.pseudonym(name) } else { name.to_owned() }
    }

    /// What a program sent of itself, as it may leave.
    pub fn reading(&self, reading: Reading) -> Reading {
        if !self.switches.anonymizes() {
            return reading;
        }
        let value = match reading.value {
            Measured::Text(text) => Measured::Text(redaction::redact(&text)),
            other => other,
        };
        let raw = serde_json::from_str::<Map<String, Json>>(&reading.raw).map(|fields| {
            let field = |(name, value): (String, Json)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (redaction::redact(&name), Json::String(self.field(&name, &text)))
            };
            Json::Object(fields.into_iter().map(field).collect()).to_string()
        });
        Reading {
            group: redaction::redact(&reading.group),
            value,
            user: self.pseudonym(&reading.user),
            // What is no JSON object is nothing at all.
            raw: raw.unwrap_or_default(),
            ..reading
        }
    }

    /// The body as it may leave; `None` if nothing in it has to change. Every kind is listed, so that no new one compiles
    /// without somebody having thought of it.
    fn anonymous(&self, body: &Body) -> Option<Body> {
        Some(match body {
            Body::Event(event) => Body::Event(self.event(event)),
            Body::LicenseActivated(activation) => {
                Body::LicenseActivated(Activation { by: self.pseudonym(&activation.by), ..activation.clone() })
            }
            Body::Denial(denial) => Body::Denial(Denial { cause: redaction::redact(&denial.cause), ..denial.clone() }),
            Body::Denials(denials) => Body::Denials(Denials {
                user: self.pseudonym(&denials.user),
                cause: redaction::redact(&denials.cause),
                ..denials.clone()
            }),
            Body::Override(begun) => Body::Override(Override {
                reason: redaction::redact(&begun.reason),
                by: self.pseudonym(&begun.by),
                ..begun.clone()
            }),
            Body::MachineActivated(machine) => Body::MachineActivated(MachineActivated {
                machine: self.pseudonym(&machine.machine),
                ..machine.clone()
            }),
            Body::MachineDeactivated(machine) => Body::MachineDeactivated(MachineDeactivated {
                reason: redaction::redact(&machine.reason),
                ..machine.clone()
            }),
            Body::SessionEnded(ended) => Body::SessionEnded(SessionEnded {
                cause: match &ended.cause {
                    SessionEnd::Lapsed => SessionEnd::Lapsed,
                    SessionEnd::Released { by } => SessionEnd::Released { by: self.pseudonym(by) },
                },
                ..ended.clone()
            }),
            Body::Transmission(sent) => {
                Body::Transmission(Transmission { error: sent.error.as_deref().map(redaction::redact), ..sent.clone() })
            }
            Body::Host(_)
            | Body::HostHourly(_)
            | Body::MonitorReserved(_)
            | Body::MonitorReleased(_)
            | Body::EpochBegun(_)
            | Body::Clock(_)
            | Body::Fingerprint(_)
            | Body::Overage(_)
            | Body::Excess(_)
            | Body::Heartbeat(_)
            // Sums of what was made anonymous before.
            | Body::Folded(_)
            | Body::Dropped(_)
            // Made anonymous as a whole, by `reading`: its long texts may be in several records.
            | Body::Measurement(_)
            | Body::Unknown => return None,
        })
    }

    fn event(&self, event: &Event) -> Event {
        let attribute = |(name, value): &(String, Value)| {
            let value = match value {
                Value::Text(text) => Value::Text(self.field(name, text)),
                Value::Integer(number) if names::numbers(name) => Value::Text(self.pseudonym(&number.to_string())),
                other => other.clone(),
            };
            (redaction::redact(name), value)
        };
        Event {
            kind: redaction::redact(&event.kind),
            environment: redaction::redact(&event.environment),
            outcome: redaction::redact(&event.outcome),
            attributes: event.attributes.iter().map(attribute).collect(),
            ..event.clone()
        }
    }

    /// A text by what its field is called.
    fn field(&self, name: &str, text: &str) -> String {
        if names::identifies(name) { self.pseudonym(text) } else { redaction::redact(text) }
    }

    /// Nothing stays nothing, and our own word stays what it is.
    fn pseudonym(&self, name: &str) -> String {
        if name.is_empty() || name == OPERATOR {
            return name.to_owned();
        }
        let digest = blake3::keyed_hash(&self.key, name.as_bytes());
        let digits = digest.as_bytes().iter().take(DIGEST).map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{PREFIX}{digits}")
    }
}

impl std::fmt::Debug for Anonymity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Anonymity({:?})", self.switches)
    }
}

#[cfg(test)]
mod tests;
