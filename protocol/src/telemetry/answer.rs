//! The answer, and the envelope that it is signed in.

use super::{Field, Problem};
use crate::signing::PrivateKey;
use crate::time::UnixMillis;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// What the answer calls the key that signed it. No product has a key of its own so far.
pub const PRIVATE_KEY_USED: &str = "global";

/// What a sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 830, 831, or the HTTP status of a refusal.
    pub code: u16,
    /// The same in words, without characters that JSON escapes.
    pub message: &'static str,
    /// What was wrong.
    pub errors: Vec<(Field, Problem)>,
    /// When; whole seconds are told.
    pub at: UnixMillis,
}

impl Answer {
    /// The data is saved: 830, or 831 if anything is wrong with it.
    pub fn saved(problems: &[(Field, Problem)], at: UnixMillis) -> Self {
        let (code, message) =
            if problems.is_empty() { (830, "Correct format data saved") } else { (831, "Incorrect format data saved") };
        Self { code, message, errors: problems.to_vec(), at }
    }

    /// 401: the API key is missing, if none was `given`, or wrong, revoked or expired, which are not told apart.
    pub fn unauthorised(given: bool, at: UnixMillis) -> Self {
        let problem = if given { Problem::Invalid } else { Problem::Required };
        Self { code: 401, message: "Unauthorised", errors: vec![(Field::ApiKey, problem)], at }
    }

    /// The data is not saved, with the HTTP status why.
    pub const fn refused(status: u16, message: &'static str, at: UnixMillis) -> Self {
        Self { code: status, message, errors: Vec::new(), at }
    }

    /// The HTTP status that goes with it.
    pub const fn status(&self) -> u16 {
        if matches!(self.code, 830 | 831) { 200 } else { self.code }
    }

    /// The signed envelope, JSON. The signature is over the very bytes that stand in it.
    pub fn envelope(&self, key: &PrivateKey) -> String {
        let response = self.json();
        let encoded = STANDARD.encode(&response);
        let signature = STANDARD.encode(key.sign_object(&response).0);
        format!(
            r#"{{"response":{response},"response_base64":"{encoded}","private_key_used":"{PRIVATE_KEY_USED}","signature":"{signature}"}}"#
        )
    }

    /// In the documented order, and `[]` for no errors. All texts in it are our own and need no escapes.
    fn json(&self) -> String {
        let mut errors = String::new();
        for (field, problem) in &self.errors {
            let comma = if errors.is_empty() { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(errors, r#"{comma}"{}":["{}"]"#, field.name(), problem.message(*field));
        }
        let errors = if errors.is_empty() { "[]".to_owned() } else { format!("{{{errors}}}") };
        let (code, message, timestamp) = (self.code, self.message, self.at.seconds());
        format!(r#"{{"code":{code},"message":"{message}","errors":{errors},"timestamp":{timestamp}}}"#)
    }
}
