//! What a program sent of itself (`send-telemetry-data`), in the right format or not.
//!
//! A journal page holds records of at most [`MAX_BYTES`](super::MAX_BYTES), and texts of other scripts may take more. What
//! does not fit follows in records of its own, right behind the first one; they are appended in one go and stored in
//! order, so that whoever stores the first one finds it when the rest comes.

use super::{Body, Record, Run, TooLarge};
use crate::api_key::ApiKeyDigest;
use crate::codec::{Decode, Encode};
use crate::license::KeyDigest;
use crate::telemetry::Reading;
use crate::time::UnixMillis;

/// The most bytes of a text that one record of the rest takes.
const CHUNK: usize = 3_400;

/// A reading, or the rest of one.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Measurement {
    /// A reading, perhaps without its longest texts.
    Sent(Box<Sent>),
    /// More of one of these texts.
    Rest(Rest),
}

/// A reading as it was taken at a site.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Sent {
    /// The API key that it came with, as it is recognised.
    pub key: ApiKeyDigest,
    /// The licence key that was sent, as this site recognises it.
    pub license: Option<KeyDigest>,
    /// What was sent.
    pub reading: Reading,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Measured {
    /// A point; both numbers are finite.
    Point {
        /// Horizontal, often a moment.
        x: f64,
        /// Vertical.
        y: f64,
    },
    /// One finite number.
    Number(f64),
    /// A text.
    Text(String),
    /// Nothing that could be read.
    Nothing,
}

/// More of a text that did not fit.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Rest {
    /// How many records before this one the reading is, at least 1.
    pub back: u32,
    /// Which of its texts goes on.
    pub part: Part,
    /// How.
    pub text: String,
}

/// A text of a reading that may be long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Part {
    /// The fields that were wrong.
    Raw,
    /// What was measured, if it is a text.
    Text,
    /// Who uses the product.
    User,
}

impl Sent {
    /// The reading as encoded records: one, nearly always.
    ///
    /// # Errors
    /// [`TooLarge`] if the other texts are longer than a parsed reading's can be.
    pub fn into_records(mut self, at: UnixMillis) -> Result<Run, TooLarge> {
        let mut moved = Vec::new();
        let mut parts = [Part::Raw, Part::Text, Part::User].into_iter();
        let first = loop {
            match Record::encode(at, &Body::Measurement(Measurement::Sent(Box::new(self.clone())))) {
                Ok(first) => break first,
                Err(error) => {
                    let part = parts.next().ok_or(error)?;
                    moved.push((part, self.take(part)));
                }
            }
        };
        let chunks = moved.iter().flat_map(|(part, text)| chunks(text).map(move |chunk| (*part, chunk)));
        let rest = (1..).zip(chunks).map(|(back, (part, chunk))| {
            let rest = Rest { back, part, text: chunk.to_owned() };
            Record::encode(at, &Body::Measurement(Measurement::Rest(rest)))
        });
        std::iter::once(Ok(first)).chain(rest).collect()
    }

    fn take(&mut self, part: Part) -> String {
        match (part, &mut self.reading.value) {
            (Part::Raw, _) => std::mem::take(&mut self.reading.raw),
            (Part::Text, Measured::Text(text)) => std::mem::take(text),
            (Part::Text, _) => String::new(),
            (Part::User, _) => std::mem::take(&mut self.reading.user),
        }
    }
}

fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (chunk, after) = rest.split_at(rest.floor_char_boundary(CHUNK));
        rest = after;
        Some(chunk).filter(|chunk| !chunk.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::MAX_BYTES;
    use crate::telemetry::Fields;

    fn sent(body: &str) -> Sent {
        let reading = Fields::read(None, body.as_bytes()).parse().reading;
        Sent { key: ApiKeyDigest::of("a key"), license: None, reading }
    }

    fn put_together(run: &Run) -> Reading {
        let mut whole: Option<Reading> = None;
        for (at, bytes) in run.iter().enumerate() {
            assert!(bytes.len() <= MAX_BYTES);
            match (Record::decode(bytes).unwrap().decode_body().unwrap(), &mut whole) {
                (Body::Measurement(Measurement::Sent(sent)), None) => whole = Some(sent.reading),
                (Body::Measurement(Measurement::Rest(rest)), Some(reading)) => {
                    assert_eq!(rest.back as usize, at);
                    match (rest.part, &mut reading.value) {
                        (Part::Raw, _) => reading.raw += &rest.text,
                        (Part::User, _) => reading.user += &rest.text,
                        (Part::Text, Measured::Text(text)) => *text += &rest.text,
                        other => panic!("{other:?}"),
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        whole.unwrap()
    }

    #[test]
    fn the_longest_texts_of_the_longest_characters_come_back_whole() {
        let (id, text) = ("😀".repeat(255), "😀".repeat(2_000));
        let body = serde_json::json!({
            "data_type": "text", "text_data": text, "product_id": "x".repeat(64), "user_identifier": id,
            "license_key": "k", "activation_identifier": id, "product_version": id, "data_group": id,
        });
        let sent = sent(&body.to_string());
        assert_eq!(sent.reading.problems, []);
        let run = sent.clone().into_records(UnixMillis(i64::MAX)).unwrap();
        assert!(run.count() > 1);
        assert_eq!(put_together(&run), sent.reading);
    }

    #[test]
    fn a_long_text_of_plain_characters_is_one_record_and_a_wrong_one_of_any_length_is_kept() {
        let body = |length: usize| format!(r#"{{"data_type": "text", "text_data": "{}"}}"#, "x".repeat(length));
        assert_eq!(sent(&body(2_000)).into_records(UnixMillis(0)).unwrap().count(), 1);
        let long = sent(&body(60_000));
        assert_eq!(put_together(&long.clone().into_records(UnixMillis(0)).unwrap()), long.reading);
        assert!(long.reading.raw.len() > 60_000);
    }
}
