//! Webhooks leave a real hub, over its death, and reach a real agent.

use crate::control::BASE;
use serde_json::{Value, json};
use sitewarden_tests::harness::{Client, Line, until};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
const SECRET: &str = "a secret of the tests, long enough to be one";

/// A call: its headers in lower case, and its body.
type Call = (String, String);

/// What it does with a call: answers with this status and body, or not at all.
type Answering = dyn Fn(&Call) -> Option<(u16, String)> + Send + Sync;

/// Another system.
struct Receiver {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    /// Listens until the test's process ends.
    fn start(answering: Arc<Answering>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let kept = Arc::clone(&calls);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answering, kept) = (Arc::clone(&answering), Arc::clone(&kept));
                thread::spawn(move || serve(stream.unwrap(), &*answering, &kept));
            }
        });
        Self { address, calls }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn ids(&self) -> BTreeSet<String> {
        self.calls().iter().filter_map(|(head, _)| header(head, "webhook-id")).collect()
    }

    fn events(&self) -> Vec<Value> {
        self.calls().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }
}

fn serve(stream: TcpStream, answering: &Answering, calls: &Mutex<Vec<Call>>) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).unwrap_or(0) == 0 {
            return; // Whoever called is gone.
        }
    }
    let head = head.to_lowercase();
    let mut body = vec![0; header(&head, "content-length").unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    let call = (head, String::from_utf8(body).unwrap());
    calls.lock().unwrap().push(call.clone());
    let Some((status, body)) = answering(&call) else {
        let _ = stream.read(&mut [0]); // Until the caller has had enough.
        return;
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    let _ = stream.get_mut().write_all(answer.as_bytes());
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
}

/// A line whose hub may call loopback, and waits for nothing longer than it must.
fn line() -> Line {
    let mut line = Line::new(3).unwrap();
    let settings = ["webhooks.allowed_networks = [\"127.0.0.0/8\"]"];
    let pauses = ["webhooks.first_pause_seconds = 1", "webhooks.longest_pause_seconds = 2"];
    line.hub.set(&[&settings[..], &pauses[..]].concat().join("\n")).unwrap();
    line.hub.stop().unwrap();
    line.hub.start().unwrap();
    line
}

#[test]
fn a_hub_that_is_killed_while_it_sends_sends_again_under_the_same_ids() {
    let mut line = line();
    let mute = Receiver::start(Arc::new(|_| None));
    let id = line.hub.add(&["webhook", "add", &format!("http://{}/", mute.address)]).unwrap();
    let mut committed = BTreeSet::new();
    for _ in 0..6 {
        committed.insert(line.hub.add(&["webhook", "test", &id]).unwrap());
    }
    until(LIMIT, "calls to be under way", || Ok((!mute.calls().is_empty()).then_some(()))).unwrap();
    line.hub.kill();
    let begun = mute.ids();
    assert!(begun.is_subset(&committed) && !begun.is_empty());
    let good = Receiver::start(Arc::new(|_| Some((200, String::new()))));
    line.hub.start().unwrap();
    let started = Instant::now();
    line.hub.command(&["webhook", "edit", &id, "--url", &format!("http://{}/", good.address)]).unwrap();
    until(LIMIT, "all of them to arrive", || Ok(good.ids().is_superset(&committed).then_some(()))).unwrap();
    println!("six deliveries arrived {:?} after the hub was killed and started", started.elapsed());
    until(LIMIT, "the hub to know it", || {
        let all = line.hub.command(&["webhook", "deliveries", &id, "--status", "delivered"])?.list()?;
        Ok((all.len() == committed.len()).then_some(()))
    })
    .unwrap();
}

/// The hub's own HTTPS port is a server whose authority no system knows, unless it is told.
#[test]
fn over_tls_an_endpoint_is_called_whose_authority_the_system_knows_and_no_other() {
    let mut line = line();
    let url = format!("https://localhost:{}/hook", line.hub.https().unwrap().port());
    let id = line.hub.add(&["webhook", "add", &url]).unwrap();
    let delivery = line.hub.add(&["webhook", "test", &id]).unwrap();
    let shown = |line: &Line| line.hub.command(&["webhook", "deliveries", &id]).unwrap().list().unwrap()[0].clone();
    until(LIMIT, "the stranger to be refused", || Ok((!shown(&line)["last_error"].is_null()).then_some(()))).unwrap();
    let refused = shown(&line);
    assert!(refused["last_error"].as_str().unwrap().contains("UnknownIssuer"), "{refused}");
    assert!(refused["last_status"].is_null());

    let root = line.hub.command(&["root"]).unwrap().json().unwrap();
    let file = line.hub.folder().with_extension("pem");
    fs::write(&file, root["certificate"].as_str().unwrap()).unwrap();
    line.hub.set_variable("SSL_CERT_FILE", file.to_str().unwrap());
    line.hub.stop().unwrap();
    line.hub.start().unwrap();
    line.hub.command(&["webhook", "resend", &delivery]).unwrap();
    // Nothing is at this path, and that is an answer.
    until(LIMIT, "an answer over TLS", || Ok((shown(&line)["last_status"] == 404).then_some(()))).unwrap();
}

#[test]
fn an_agent_that_goes_and_comes_is_told_of_once_each() {
    let mut line = line();
    line.hub.command(&["settings", "edit", "agent_silent_seconds", "15"]).unwrap();
    let receiver = Receiver::start(Arc::new(|_| Some((204, String::new()))));
    let url = format!("http://{}/", receiver.address);
    line.hub.command(&["webhook", "add", &url, "--event", "agent.online", "--event", "agent.offline"]).unwrap();
    line.agent.kill();
    until(LIMIT, "the agent to be missed", || Ok((!receiver.calls().is_empty()).then_some(()))).unwrap();
    line.agent.start().unwrap();
    until(LIMIT, "the agent to be back", || Ok((receiver.calls().len() >= 2).then_some(()))).unwrap();
    let events = receiver.events();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["agent.offline", "agent.online"]);
    assert_eq!(
        (&events[0]["data"]["agent_id"], &events[0]["data"]["site_id"]),
        (&json!(line.agent_id), &json!(line.site))
    );
}

/// Hands each call on to an agent, and keeps what it answers.
fn forwarding(agent: SocketAddr, answers: Arc<Mutex<Vec<(u16, Value)>>>) -> Receiver {
    Receiver::start(Arc::new(move |(_, body)| {
        let path = format!("{BASE}/webhook/license-update");
        let answer = Client::new(agent).post(&path, body.as_bytes()).unwrap();
        answers.lock().unwrap().push((answer.status, answer.json()));
        Some((answer.status, answer.text()))
    }))
}

#[test]
fn an_agent_with_an_address_is_called_when_its_licence_is_edited_and_fetches_the_snapshot() {
    let line = line();
    line.agent.command(&["activate", &line.key]).unwrap();
    line.drained().unwrap();
    let file = line.hub.folder().with_extension("secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let file = file.to_str().unwrap();
    let answers = Arc::<Mutex<Vec<(u16, Value)>>>::default();
    let between = forwarding(line.agent.http().unwrap(), Arc::clone(&answers));
    let url = format!("http://{}/", between.address);
    let edit = ["site", "edit", &line.site, "--webhook-url", &url, "--webhook-secret-file", file];
    let site = line.hub.command(&edit).unwrap().json().unwrap();
    assert!(site["webhook"]["secret"].is_null(), "it is known already: {site}");
    let webhook = site["webhook"]["id"].to_string();
    let deliveries = |status: &str| {
        line.hub.command(&["webhook", "deliveries", &webhook, "--status", status]).unwrap().list().unwrap()
    };

    // The agent has no secret yet.
    line.hub.command(&["license", "edit", "1", "--quota", "4"]).unwrap();
    until(LIMIT, "the refusal to be recorded", || {
        let waiting = deliveries("waiting");
        Ok(waiting.iter().any(|delivery| delivery["last_status"] == 401).then_some(()))
    })
    .unwrap();
    assert_eq!(answers.lock().unwrap()[0], (401, json!({ "detail": "Invalid webhook signature" })));

    line.agent.command(&["webhook-secret", "set", "--file", file]).unwrap();
    until(LIMIT, "the delivery to succeed", || Ok((!deliveries("delivered").is_empty()).then_some(()))).unwrap();
    let (status, answer) = answers.lock().unwrap().last().unwrap().clone();
    assert_eq!((status, &answer["status"], &answer["customer_id"]), (200, &json!("success"), &json!("1")), "{answer}");
    assert_eq!((&answer["subscription_tier"], &answer["subscription_status"]), (&json!("custom"), &json!("active")));
    let revision = line.hub.command(&["site", "show", &line.site]).unwrap().json().unwrap()["revision"].clone();
    assert_eq!(line.agent.status().unwrap()["snapshot_revision"], revision);

    let (_, body) = between.calls().last().unwrap().clone();
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&told["subscription_tier"], &told["subscription_status"]), (&json!("custom"), &json!("active")));
    let path = format!("{BASE}/webhook/license-update");
    let replayed = line.agent.client().unwrap().post(&path, body.as_bytes()).unwrap();
    assert_eq!(replayed.status, 409, "it was taken before");

    let before = deliveries("delivered").len();
    line.hub.command(&["license", "revoke", "1"]).unwrap();
    until(LIMIT, "the next change to be told", || Ok((deliveries("delivered").len() > before).then_some(()))).unwrap();
    let (_, body) = between.calls().last().unwrap().clone();
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["subscription_status"], "inactive");
    line.hub.command(&["site", "edit", &line.site, "--webhook-url", "none"]).unwrap();
    assert_eq!(line.hub.command(&["webhook", "list"]).unwrap().list().unwrap().len(), 0);
}
