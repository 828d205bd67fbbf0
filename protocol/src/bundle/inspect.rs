//! What is in a file, for whoever has it: the head and the end to everybody, the messages to those whom it is for.

use super::{Content, End, Error, Head, Item, Manifest, Opened, Party, Reader};
use crate::message::{ToAgent, ToHub};
use crate::sealing::OpeningKey;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Looks at a file that is fed to it; nothing is believed and nothing is done.
pub struct Inspector {
    reader: Reader,
    keys: Arc<[OpeningKey]>,
    head: Option<Head>,
    found: Inspected,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Inspected {
    /// What the head says; `None` if the file ends before.
    pub manifest: Option<Manifest>,
    /// How many messages of each kind there are, as far as they can be opened.
    pub messages: BTreeMap<String, u64>,
    /// Messages that are sealed to somebody else.
    pub sealed: u64,
    /// What the end says; `None` if the file is cut.
    pub end: Option<End>,
    /// Why nothing after this was looked at, in words.
    pub problem: Option<String>,
}

impl Inspector {
    /// For one who has these keys.
    pub fn new(keys: Arc<[OpeningKey]>) -> Self {
        Self { reader: Reader::default(), keys, head: None, found: Inspected::default() }
    }

    /// The next bytes. After a problem nothing more is looked at.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.found.problem.is_some() {
            return;
        }
        self.reader.feed(bytes);
        loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.found.problem = Some(error.to_string());
                    return;
                }
            }
        }
    }

    /// What was found in all of it.
    pub fn finish(mut self) -> Inspected {
        if self.found.end.is_none() && self.found.problem.is_none() {
            self.found.problem = Some("the file is cut; what comes before the cut can be used".to_owned());
        }
        self.found
    }

    fn step(&mut self) -> Result<bool, Error> {
        let Some(item) = self.reader.take()? else { return Ok(false) };
        match (item, &self.head) {
            (Item::Head(head), _) => {
                let key = *head.manifest.from.key().ok_or(Error::Piece)?;
                self.found.manifest = Some(head.manifest.clone());
                // By the key that it names itself: whether that is a known one is for the receiver to know.
                head.verify(&key)?;
                self.head = Some(*head);
            }
            (Item::Piece(piece), Some(head)) => {
                let key = *head.manifest.from.key().ok_or(Error::Piece)?;
                head.check(&piece, &key)?;
                match head.open(piece, &key, &self.keys) {
                    Ok(Opened::Message(body)) => {
                        *self.found.messages.entry(kind(&head.manifest.content, &body)).or_default() += 1;
                    }
                    Ok(Opened::End(end)) => self.found.end = Some(end),
                    Err(Error::NoSuchKey(_) | Error::Sealed(_)) => self.found.sealed += 1,
                    Err(error) => return Err(error),
                }
            }
            (Item::Piece(_), None) => return Err(Error::Piece),
        }
        Ok(true)
    }
}

/// The word before the first bracket of a message's own name.
fn kind(content: &Content, body: &[u8]) -> String {
    let name = match content {
        Content::Report(_) => ToHub::from_body(body).map(|message| message.name()),
        Content::Word => ToAgent::from_body(body).map(|message| message.name()),
        Content::Enrolment => Ok("enrolment request"),
        Content::Admission => Ok("answer to an enrolment request"),
    };
    name.unwrap_or("of a newer version").to_owned()
}

impl Inspected {
    /// As JSON.
    pub fn json(&self) -> Value {
        let manifest = self.manifest.as_ref().map(|manifest| {
            let report = match &manifest.content {
                Content::Report(report) => Some(json!({
                    "after": report.after.to_string(),
                    "epochs": report.epochs.iter().map(|epoch| json!({
                        "oldest": epoch.oldest, "head": epoch.head.position.to_string(),
                    })).collect::<Vec<_>>(),
                    "one_way": report.one_way,
                })),
                _ => None,
            };
            json!({
                "bundle": hex(&manifest.bundle),
                "part": manifest.part,
                "made_at": manifest.made_at.to_string(),
                "program": manifest.program,
                "content": manifest.content.name(),
                "from": manifest.from.to_string(),
                "to": manifest.to.to_string(),
                "sealed_to_key": manifest.sealed_to,
                "report": report,
            })
        });
        let end = self.end.map(|end| {
            json!({
                "messages": end.messages, "records": end.records, "through": end.through.to_string(), "last": end.last,
            })
        });
        json!({
            "manifest": manifest, "messages": self.messages, "sealed_messages": self.sealed, "end": end,
            "whole": self.end.is_some(), "problem": self.problem,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let Some(manifest) = &self.manifest else {
            return self.problem.clone().unwrap_or_else(|| "the file is cut within its head".to_owned());
        };
        let part = match self.end {
            Some(End { last: true, .. }) => format!("{0} of {0}", manifest.part),
            Some(_) => format!("{}; more follow", manifest.part),
            None => manifest.part.to_string(),
        };
        let mut lines = vec![
            format!("Bundle    {} ({})", hex(&manifest.bundle), manifest.content.name()),
            format!("Part      {part}"),
            format!("Made      {} by version {}", manifest.made_at, manifest.program),
            format!("From      {}", manifest.from),
            format!("For       {}", manifest.to),
        ];
        if let (Content::Report(report), Some(end)) = (&manifest.content, &self.end) {
            let way = if report.one_way { "; nothing comes back to this site" } else { "" };
            lines.push(format!("Records   {} after {}, through {}{way}", end.records, report.after, end.through));
        }
        let opened = self.messages.iter().map(|(kind, count)| format!("{count} {kind}"));
        let sealed = (self.sealed > 0).then(|| format!("{} sealed to the receiver", self.sealed));
        let messages: Vec<_> = opened.chain(sealed).collect();
        lines.push(format!("Messages  {}", if messages.is_empty() { "none".to_owned() } else { messages.join(", ") }));
        lines.extend(self.problem.as_ref().map(|problem| format!("Problem   {problem}")));
        lines.join("\n")
    }
}

impl Content {
    /// In one word or two.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Report(_) => "report of an agent",
            Self::Word => "word of a hub",
            Self::Enrolment => "enrolment request",
            Self::Admission => "answer to an enrolment request",
        }
    }
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hub(key) => write!(f, "the hub that signs with {key}"),
            Self::Agent { agent, key } => write!(f, "agent {agent}, which signs with {key}"),
            Self::Machine(key) => write!(f, "a machine that is not enrolled, which signs with {key}"),
            Self::Authority(fingerprint) => write!(f, "the hub of authority {}", hex(fingerprint)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
