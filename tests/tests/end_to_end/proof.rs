//! An app tells a genuine agent from a false one: `?nonce=` on `_verify`, checked by another language's library down to
//! the vendor's root, as the recipe in `tests/proof/verify.py` has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sitewarden_certs::authority::{AGENT_LIFE, Authority};
use sitewarden_certs::request::TlsKey;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_tests::harness::{Answer, Line, python, run, workspace};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const NONCE: &str = "AZaz09-_AZaz09-_";
const WELL_KNOWN: &str = "/.well-known/sitewarden";

/// An agent whose signing key its hub has certified, and the hub's root.
struct Plant {
    line: Line,
    authority: Authority,
    root: PathBuf,
    well_known: PathBuf,
}

impl Plant {
    fn new() -> Self {
        let line = Line::new(1).unwrap();
        line.agent.command(&["activate", &line.key]).unwrap();
        let file = |name: &str| fs::read_to_string(line.hub.folder().join("keys").join(name)).unwrap();
        let authority = Authority::from_pem(&file("authority.pem"), &file("authority.key.pem")).unwrap();
        let place = |name: &str| line.agent.folder().with_extension(name);
        let (root, well_known) = (place("root.pem"), place("well-known.json"));
        // What an app's developer is given.
        let given = line.hub.command(&["root"]).unwrap().json().unwrap();
        fs::write(&root, given["certificate"].as_str().unwrap()).unwrap();
        fs::write(&well_known, line.agent.client().unwrap().get(WELL_KNOWN).unwrap().body).unwrap();
        Self { line, authority, root, well_known }
    }

    fn prove(&self, app: &str) -> (u16, String) {
        let path = format!("/_config/licenses/_verify?app={app}&nonce={NONCE}");
        let answer = self.line.app().unwrap().get(&path).unwrap();
        let text = answer.text();
        (answer.status, answer.proof.unwrap_or_else(|| panic!("no proof: {text}")))
    }

    fn check(&self, root: &Path, proof: &str, app: &str, nonce: &str) -> Answer {
        let mut command = python("cryptography").unwrap();
        command.arg(workspace().join("tests/proof/verify.py")).arg(root).arg(&self.well_known);
        command.args([proof, &self.line.site, app, nonce]);
        run(command).unwrap()
    }
}

fn now() -> UnixMillis {
    UnixMillis(0).after(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap())
}

fn authority() -> Authority {
    Authority::create("The vendor of the tests", now()).unwrap()
}

#[test]
fn a_genuine_answer_is_proved_down_to_the_root_and_nothing_else_is() {
    let plant = Plant::new();
    let (status, proof) = plant.prove("EMS");
    assert_eq!(status, 200);
    let told = plant.check(&plant.root, &proof, "EMS", NONCE).succeeded().unwrap().json().unwrap();
    assert_eq!((&told["decision"], &told["user"]), (&"Authorised".into(), &"ems".into()), "{told}");
    assert!(told["license"].is_string() && told["snapshot_revision"].as_u64() > Some(0), "{told}");

    let refused = |answer: Answer, why: &str| {
        assert_ne!(answer.code, Some(0), "{why}: {}", answer.output);
        assert!(answer.output.is_empty() && answer.error.contains(why), "{why}: {}", answer.error);
    };
    refused(plant.check(&plant.root, &proof, "EMS", "another-nonce-of-mine"), "it answers another question");
    refused(plant.check(&plant.root, &proof, "CBM", NONCE), "it answers another question");
    let other = plant.root.with_extension("other.pem");
    fs::write(&other, authority().cert_pem()).unwrap();
    refused(plant.check(&other, &proof, "EMS", NONCE), "InvalidSignature");
    // One character of the payload, and one of the signature; not the last, which may hold bits of no byte.
    for at in [proof.find('.').unwrap() + 20, proof.len() - 20] {
        let mut forged = proof.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        refused(plant.check(&plant.root, &String::from_utf8(forged).unwrap(), "EMS", NONCE), "InvalidSignature");
    }
}

#[test]
fn a_certificate_for_tls_proves_nothing() {
    let plant = Plant::new();
    let (_, proof) = plant.prove("EMS");
    let mut told: Value = serde_json::from_slice(&fs::read(&plant.well_known).unwrap()).unwrap();
    let request = TlsKey::generate().unwrap().csr_der().unwrap();
    let agent = plant.line.agent_id.parse().unwrap();
    let tls = plant.authority.issue_agent(&request, agent, AGENT_LIFE, now()).unwrap().cert_der;
    for (certificate, why) in [(tls.as_slice(), "for something else"), (plant.authority.cert_der(), "extendedKeyUsage")]
    {
        told["certificates"][0] = STANDARD.encode(certificate).into();
        fs::write(&plant.well_known, told.to_string()).unwrap();
        let answer = plant.check(&plant.root, &proof, "EMS", NONCE);
        assert!(answer.code != Some(0) && answer.error.contains(why), "{why}: {}", answer.error);
    }
}

#[test]
fn a_no_is_proved_too_and_each_proof_is_counted() {
    let plant = Plant::new();
    let (status, proof) = plant.prove("CBM");
    let no = plant.check(&plant.root, &proof, "CBM", NONCE);
    assert_eq!((status, no.code), (401, Some(1)), "{}", no.error);
    let no = no.json().unwrap();
    assert_eq!((&no["decision"], &no["license"]), (&"Unauthorised".into(), &Value::Null));
    let (_, proof) = plant.prove("LM");
    let yes = plant.check(&plant.root, &proof, "LM", NONCE).succeeded().unwrap().json().unwrap();
    assert_eq!((&yes["decision"], &yes["license"], &yes["run"]), (&"Authorised".into(), &Value::Null, &no["run"]));
    assert_eq!(yes["counter"].as_u64(), no["counter"].as_u64().map(|counter| counter + 1));
}

#[test]
fn a_bad_nonce_is_refused_and_without_one_and_for_strangers_nothing_is_signed() {
    let line = Line::new(1).unwrap();
    let mut app = line.app().unwrap();
    let verify = "/_config/licenses/_verify?app=LM";
    for bad in ["", "tooshort-15char", "an+other+alphabet", &"x".repeat(129)] {
        let answer = app.get(&format!("{verify}&nonce={bad}")).unwrap();
        assert_eq!((answer.status, &answer.proof), (400, &None), "{bad}: {}", answer.text());
        assert!(answer.text().contains("nonce"), "{}", answer.text());
    }
    let long = format!("/_config/licenses/_verify?app={}&nonce={NONCE}", "x".repeat(65));
    assert_eq!(app.get(&long).unwrap().status, 400);
    assert_eq!(app.get(verify).unwrap().proof, None);
    let mut stranger = line.agent.client().unwrap();
    let refused = stranger.get(&format!("{verify}&nonce={NONCE}")).unwrap();
    assert_eq!((refused.status, refused.proof), (401, None));
    // Anybody may ask who the agent is.
    let told = stranger.get(WELL_KNOWN).unwrap().json();
    assert_eq!((&told["agent"], &told["site"]), (&line.agent_id.as_str().into(), &line.site.as_str().into()), "{told}");
    assert_eq!((&told["keys"][0]["x"], &told["keys"][0]["kty"]), (&told["signing_key"], &"OKP".into()), "{told}");
    assert_eq!(told["certificates"].as_array().map(Vec::len), Some(2), "{told}");
}
