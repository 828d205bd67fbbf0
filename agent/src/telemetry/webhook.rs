//! The hub's webhook: a hint that licences have changed. It changes nothing by itself.
//!
//! The signature is HMAC-SHA256, in hex, over the body without `webhook_signature`: keys sorted, compact JSON, as
//! UTF-8 or with every other character than ASCII escaped (which Python does unless told otherwise).
//!
//! Always true: nothing is said about a body whose signature is wrong; what was taken once is not taken again; at most
//! [`MAX_A_MINUTE`] are looked at in a minute; every one that was looked at is in `state/webhooks.json`.

use chrono::{DateTime, Utc};
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sitewarden_certs::secret_file;
use sitewarden_protocol::time::UnixMillis;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Webhooks that are looked at in a minute, from whomever.
pub(super) const MAX_A_MINUTE: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// How old the date in a webhook may be: three days of retries, and some that was lying about.
const OLDEST: Duration = Duration::from_secs(7 * 86_400);
/// How far ahead it may be: a tier that begins with the next contract.
const FARTHEST: Duration = Duration::from_secs(366 * 86_400);
/// Attempts that are remembered.
const MAX_ATTEMPTS: usize = 500;
/// The longest customer id that is remembered, characters.
const MAX_CUSTOMER: usize = 64;

/// Why a webhook is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There were too many; how long is to be waited.
    #[error("Too many webhooks; try again later")]
    TooMany(Duration),
    /// It is no object, or lacks a field.
    #[error("Invalid webhook body")]
    Body,
    /// No secret is set, or it was signed with another one.
    #[error("Invalid webhook signature")]
    Signature,
    /// Its date is too far from now.
    #[error("effective_date is too far from now")]
    Stale,
    /// It was taken before.
    #[error("This webhook was received already")]
    Replayed,
}

/// A webhook that is genuine and new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// For whom, in the hub's words.
    pub customer_id: String,
}

/// One attempt, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Attempt {
    at: UnixMillis,
    customer_id: String,
    outcome: String,
    /// Of one that was taken: what recognises it, and until when its date would do.
    #[serde(default)]
    taken: Option<([u8; 32], UnixMillis)>,
}

/// What was received.
pub(super) struct Webhooks {
    file: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    attempts: Vec<Attempt>,
    /// Since when, and how many.
    window: Option<(Instant, u32)>,
}

impl Webhooks {
    /// Reads what was received; there need be nothing.
    ///
    /// # Errors
    /// If the file cannot be read. A damaged one is begun anew: it would only tell of the past.
    pub(super) fn load(file: PathBuf) -> Result<Self, secret_file::Error> {
        let attempts = if file.exists() {
            serde_json::from_slice(&secret_file::read(&file)?).unwrap_or_else(|error| {
                tracing::warn!(%error, "state/webhooks.json is damaged and begun anew");
                Vec::new()
            })
        } else {
            Vec::new()
        };
        Ok(Self { file, known: Mutex::new(Known { attempts, window: None }) })
    }

    /// Looks at a webhook and remembers it. Waits for the disk; not for an async thread.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(super) fn receive(&self, body: &[u8], secret: Option<&str>, now: UnixMillis) -> Result<Hint, Refusal> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .count(Instant::now())
            .inspect_err(|_| tracing::warn!("a webhook was not looked at: there are too many"))?;
        let checked = check(body, secret, now);
        let customer_id = checked.as_ref().map_or_else(|_| claimed(body), |checked| checked.customer_id.clone());
        let result = match checked {
            Ok(checked) if known.has_taken(&checked.digest) => Err(Refusal::Replayed),
            Ok(checked) => Ok(checked),
            Err(refusal) => Err(refusal),
        };
        let outcome = result.as_ref().map_or_else(ToString::to_string, |_| "taken".to_owned());
        tracing::info!(outcome, "a webhook about licences");
        let taken = result.as_ref().ok().map(|checked| (checked.digest, checked.until));
        known.remember(Attempt { at: now, customer_id: customer_id.clone(), outcome, taken }, now);
        // Texts and numbers always have a JSON form.
        if let Err(error) = secret_file::write(&self.file, &serde_json::to_vec(&known.attempts).unwrap_or_default()) {
            tracing::warn!(%error, "a webhook is in the log only");
        }
        result.map(|_| Hint { customer_id })
    }
}

impl Known {
    fn count(&mut self, now: Instant) -> Result<(), Refusal> {
        let (since, count) = self.window.filter(|(since, _)| now.duration_since(*since) < MINUTE).unwrap_or((now, 0));
        if count >= MAX_A_MINUTE {
            return Err(Refusal::TooMany(MINUTE.saturating_sub(now.duration_since(since))));
        }
        self.window = Some((since, count + 1));
        Ok(())
    }

    fn has_taken(&self, digest: &[u8; 32]) -> bool {
        self.attempts.iter().any(|attempt| attempt.taken.is_some_and(|(taken, _)| taken == *digest))
    }

    /// Makes room: first by what needs not be recognised any more, then by what is oldest.
    fn remember(&mut self, attempt: Attempt, now: UnixMillis) {
        if self.attempts.len() >= MAX_ATTEMPTS {
            let needed = |attempt: &Attempt| attempt.taken.is_some_and(|(_, until)| now < until);
            let dispensable = self.attempts.iter().position(|attempt| !needed(attempt)).unwrap_or_default();
            self.attempts.remove(dispensable);
        }
        self.attempts.push(attempt);
    }
}

struct Checked {
    customer_id: String,
    digest: [u8; 32],
    until: UnixMillis,
}

fn check(body: &[u8], secret: Option<&str>, now: UnixMillis) -> Result<Checked, Refusal> {
    let mut body: Map<String, Value> = serde_json::from_slice(body).map_err(|_| Refusal::Body)?;
    let Some(Value::String(signature)) = body.remove("webhook_signature") else { return Err(Refusal::Signature) };
    // Keys come sorted: the map is a tree.
    let signed = serde_json::to_string(&body).map_err(|_| Refusal::Body)?;
    let signature = unhex(&signature).ok_or(Refusal::Signature)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.ok_or(Refusal::Signature)?.as_bytes());
    let fits = |text: &str| hmac::verify(&key, text.as_bytes(), &signature).is_ok();
    if !fits(&signed) && !fits(&ascii(&signed)) {
        return Err(Refusal::Signature);
    }
    let text = |field: &str| body.get(field).and_then(Value::as_str).ok_or(Refusal::Body);
    let customer_id = text("customer_id")?.chars().take(MAX_CUSTOMER).collect();
    let effective = DateTime::parse_from_rfc3339(text("effective_date")?).map_err(|_| Refusal::Body)?;
    let effective = UnixMillis::from(effective.with_timezone(&Utc));
    if now.since(effective) > OLDEST || effective.since(now) > FARTHEST {
        return Err(Refusal::Stale);
    }
    Ok(Checked { customer_id, digest: *blake3::hash(signed.as_bytes()).as_bytes(), until: effective.after(OLDEST) })
}

/// What a body whose signature is wrong says of itself: for the log of attempts.
fn claimed(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(MAX_CUSTOMER).collect();
    body["customer_id"].as_str().map(plain).unwrap_or_default()
}

fn ascii(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |index: usize| u8::from_str_radix(text.get(index..index + 2)?, 16).ok();
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| (0..text.len()).step_by(2).map(pair).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    /// 2025-11-12, noon.
    const NOW: UnixMillis = UnixMillis(1_762_948_800_000);
    /// By Python: `hmac.new(SECRET, json.dumps(body, sort_keys=True, separators=(',', ':')).encode(), 'sha256')`.
    const GENUINE: &str = r#"{"customer_id": "customer-123", "subscription_tier": "custom",
        "trial_end_date": "2025-12-01T00:00:00Z", "subscription_status": "active",
        "effective_date": "2025-11-12T00:00:00Z", "webhook_signature": "b697d566a2d6775436ddac307d5fde89d1aeeac896f2700bffd45e3181b3e3cc"}"#;
    /// The same with `ensure_ascii` and a customer that has an umlaut and an emoji.
    const ESCAPED: &str = r#"{"customer_id": "Küche 😀", "subscription_tier": "custom",
        "subscription_status": "active", "effective_date": "2025-11-12T00:00:00Z", "webhook_signature": "df3fc4eb0dfcce645bb7729c40d1bd9847b00940a4b686599a6b71a463328a13"}"#;

    fn webhooks(folder: &tempfile::TempDir) -> Webhooks {
        Webhooks::load(folder.path().join("webhooks.json")).unwrap()
    }

    fn signed(effective: &str) -> String {
        let body = format!(r#"{{"customer_id":"c","effective_date":"{effective}"}}"#);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body.as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!(r#"{{"webhook_signature":"{hex}","effective_date":"{effective}","customer_id":"c"}}"#)
    }

    #[test]
    fn the_documents_body_signed_by_another_language_is_taken_once_also_after_a_restart() {
        let folder = tempfile::TempDir::new().unwrap();
        let hint = webhooks(&folder).receive(GENUINE.as_bytes(), Some(SECRET), NOW).unwrap();
        assert_eq!(hint.customer_id, "customer-123");
        let again = webhooks(&folder);
        assert_eq!(again.receive(GENUINE.as_bytes(), Some(SECRET), NOW), Err(Refusal::Replayed));
        assert_eq!(again.receive(ESCAPED.as_bytes(), Some(SECRET), NOW).unwrap().customer_id, "Küche 😀");
    }

    #[test]
    fn a_changed_body_another_secret_and_none_are_refused_alike() {
        let folder = tempfile::TempDir::new().unwrap();
        let webhooks = webhooks(&folder);
        let changed = GENUINE.replace("customer-123", "customer-124");
        let unsigned = GENUINE.replace("webhook_signature", "signature");
        for (body, secret) in [
            (changed.as_str(), Some(SECRET)),
            (unsigned.as_str(), Some(SECRET)),
            (GENUINE, Some("another secret of enough characters")),
            (GENUINE, None),
        ] {
            assert_eq!(webhooks.receive(body.as_bytes(), secret, NOW), Err(Refusal::Signature));
        }
        assert_eq!(webhooks.receive(b"[1]", Some(SECRET), NOW), Err(Refusal::Body));
        assert_eq!(webhooks.known.lock().unwrap().attempts.len(), 5, "every attempt is remembered");
    }

    #[test]
    fn a_date_far_from_now_is_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        let webhooks = webhooks(&folder);
        for (date, taken) in [
            ("2025-11-06T00:00:00Z", true),
            ("2025-11-05T00:00:00Z", false),
            ("2026-11-01T00:00:00+01:00", true),
            ("2027-01-01T00:00:00Z", false),
        ] {
            assert_eq!(webhooks.receive(signed(date).as_bytes(), Some(SECRET), NOW).is_ok(), taken, "{date}");
        }
    }

    #[test]
    fn more_than_a_few_in_a_minute_are_not_looked_at_and_the_memory_is_bounded() {
        let folder = tempfile::TempDir::new().unwrap();
        let webhooks = webhooks(&folder);
        for _ in 0..MAX_A_MINUTE {
            assert_eq!(webhooks.receive(b"{}", Some(SECRET), NOW), Err(Refusal::Signature));
        }
        assert!(matches!(webhooks.receive(b"{}", Some(SECRET), NOW), Err(Refusal::TooMany(_))));
        let mut known = webhooks.known.lock().unwrap();
        let attempt = |taken| Attempt { at: NOW, customer_id: String::new(), outcome: String::new(), taken };
        known.remember(attempt(Some(([1; 32], NOW.after(OLDEST)))), NOW);
        (0..2 * MAX_ATTEMPTS).for_each(|_| known.remember(attempt(None), NOW));
        assert_eq!((known.attempts.len(), known.has_taken(&[1; 32])), (MAX_ATTEMPTS, true));
    }
}
