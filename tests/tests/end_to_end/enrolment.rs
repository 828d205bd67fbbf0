//! A token enrols one agent, once; anything else is a clear message, an exit code, and a folder as it was.

use sitewarden_certs::fingerprint::Fingerprint;
use sitewarden_certs::token::EnrolmentToken;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_tests::harness::{Agent, Hub, scratch};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

struct Vendor {
    hub: Hub,
    site: String,
    folder: TempDir,
}

impl Vendor {
    fn new() -> Self {
        let folder = scratch().unwrap();
        let mut hub = Hub::init(&folder.path().join("hub")).unwrap();
        hub.start().unwrap();
        let customer = hub.add(&["customer", "add", "Acme"]).unwrap();
        let plant = hub.add(&["plant", "add", "North", "--customer", &customer]).unwrap();
        let site = hub.add(&["site", "add", "Line 1", "--plant", &plant]).unwrap();
        Self { hub, site, folder }
    }

    fn token(&self) -> EnrolmentToken {
        EnrolmentToken::parse(&self.hub.invite(&self.site).unwrap()).unwrap()
    }

    fn agent(&self, name: &str) -> Agent {
        Agent::new(&self.folder.path().join(name))
    }
}

/// Tries a token that must not work: exit code 1 (the hub refuses) or 2 (the token itself is no good), words, nothing
/// changed.
fn refused(agent: &Agent, token: &str, words: &str) {
    let before = contents(agent.folder());
    let answer = agent.enroll(token).unwrap();
    assert!(matches!(answer.code, Some(1 | 2)), "{:?}: {}{}", answer.code, answer.output, answer.error);
    let said = answer.error.to_lowercase();
    assert!(said.contains(words), "{words:?} is not in: {said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(!answer.error.contains(token), "the token is printed: {}", answer.error);
    assert_eq!(contents(agent.folder()), before);
}

/// Every file below a folder with its bytes; empty for one that is not there.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => waiting.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => drop(fs::read(&path).map(|bytes| files.insert(path.display().to_string(), bytes))),
        }
    }
    files
}

#[test]
fn a_used_token_enrols_no_second_machine() {
    let vendor = Vendor::new();
    let token = vendor.token().encode();
    vendor.agent("first").enroll(&token).unwrap().succeeded().unwrap();
    refused(&vendor.agent("second"), &token, "used already");
}

#[test]
fn an_expired_token_is_refused() {
    let vendor = Vendor::new();
    let mut token = vendor.token();
    token.expires = UnixMillis(1_000);
    refused(&vendor.agent("late"), &token.encode(), "expired");
}

#[test]
fn an_altered_token_is_refused_whether_mistyped_or_forged() {
    let vendor = Vendor::new();
    let mut token = vendor.token();
    let mut mistyped = token.encode();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'A' { 'B' } else { 'A' });
    refused(&vendor.agent("mistyped"), &mistyped, "damaged");
    token.secret[0] ^= 1;
    refused(&vendor.agent("forged"), &token.encode(), "does not know this token");
}

#[test]
fn a_hub_of_another_authority_is_not_believed() {
    let vendor = Vendor::new();
    let mut token = vendor.token();
    let mut other = *token.ca.as_bytes();
    other[0] ^= 1;
    token.ca = Fingerprint::from_bytes(other);
    refused(&vendor.agent("wary"), &token.encode(), "authority");
    // The token was not spent by that.
    token.ca = vendor.token().ca;
    vendor.agent("wary").enroll(&token.encode()).unwrap().succeeded().unwrap();
}

#[test]
fn an_enrolled_folder_is_not_enrolled_over() {
    let vendor = Vendor::new();
    let agent = vendor.agent("once");
    agent.enroll(&vendor.token().encode()).unwrap().succeeded().unwrap();
    let before = contents(agent.folder());
    let again = agent.enroll(&vendor.token().encode()).unwrap();
    assert_ne!(again.code, Some(0), "{}", again.output);
    assert_eq!(contents(agent.folder()), before);
}

#[test]
fn an_agent_that_is_not_enrolled_says_so() {
    let folder = scratch().unwrap();
    let agent = Agent::new(&folder.path().join("nobody"));
    let answer = agent.try_command(&["serve"]).unwrap();
    assert_eq!(answer.code, Some(3), "{}{}", answer.output, answer.error);
    assert!(answer.error.contains("enrol"), "{}", answer.error);
}
