//! Whoever repeats a POST under its key has it done once, however often the hub is killed in the middle of it.
//!
//! What is made may have the same name twice, and what is counted adds up, so that nothing but the key prevents a second one.
//! `SITEWARDEN_KILLS` sets how many kills, `SITEWARDEN_SEED` replays a run.

use super::exactly_once::{kills, seed};
use serde_json::{Value, json};
use sitewarden_tests::harness::{Client, Hub, Response, call, scratch, until};
use sitewarden_tests::simulation::random::Random;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

const CALLERS: u64 = 8;
/// Keys of one caller.
const KEYS: u64 = 120;
const KILLS: u64 = 15;
/// How long the hub may be away, or the callers may take to get from one kill to the next.
const LIMIT: Duration = Duration::from_secs(120);
/// Tests ask as often as they like.
const OFTEN: &str = "[api]\npublic_per_minute = 1000000\nadmin_per_minute = 1000000\nheartbeat_per_minute = 1000000";

/// What a caller asks for, one after the other.
const KINDS: [&str; 4] = ["note", "api key", "licence", "heartbeat"];

/// What callers know of their requests.
#[derive(Debug, Default)]
struct Told {
    /// Kind and name, with the answer of each that got one.
    answered: BTreeMap<(&'static str, String), Value>,
    /// Of these they were told that they were done, and that the answer is lost.
    lost: Vec<(&'static str, String)>,
    /// Calls that broke off.
    broken: u64,
    /// Answers that were given again.
    replayed: u64,
}

/// Where callers find the hub, and what they ask with.
struct Way<'a> {
    hub: &'a Path,
    credential: &'a str,
    license: &'a str,
}

impl Way<'_> {
    /// Waits until the hub is there.
    fn client(&self) -> Client {
        until(LIMIT, "the hub to be there", || {
            let address = fs::read_to_string(self.hub.join("run/http.addr")).unwrap_or_default();
            let Ok(address) = address.trim().parse::<SocketAddr>() else { return Ok(None) };
            let mut client = Client::new(address).bearer(self.credential);
            Ok(client.get("/healthz").is_ok().then_some(client))
        })
        .unwrap()
    }

    fn request(&self, kind: &str, name: &str, activation: &Value) -> (&'static str, Value) {
        match kind {
            "note" => ("/api/institutions/1/notes", json!({ "content": name })),
            "api key" => ("/api/v1/admin/api-keys", json!({ "purpose": "api", "name": name })),
            "licence" => ("/api/v1/admin/licenses", json!({ "customer_id": 1, "name": name, "type": "perpetual" })),
            _ => {
                let used = json!({ "counted": 1 });
                let body = json!({ "license_key": self.license, "activation_id": activation, "current_users": 1, "feature_usage": used });
                ("/api/v1/heartbeat", body)
            }
        }
    }
}

#[test]
fn each_key_makes_one_thing_while_the_hub_is_killed() {
    let seed = seed();
    println!("replay with SITEWARDEN_SEED={seed}");
    let folder = scratch().unwrap();
    let mut hub = Hub::init(&folder.path().join("hub")).unwrap();
    let file = hub.folder().join("hub.toml");
    let settings = fs::read_to_string(&file).unwrap();
    assert!(settings.contains("\n[api]\n"), "{settings}");
    fs::write(&file, settings.replace("[api]", OFTEN)).unwrap();
    hub.set_arguments(&["--http", "127.0.0.1:0"]);
    hub.start().unwrap();
    let data = hub.folder().to_owned();
    let made = |path: &str, body: Value| call(&data.join("run/admin.sock"), "POST", path, Some(&body)).unwrap();
    made("/api/v1/admin/customers", json!({ "name": "Acme" }));
    made("/api/institutions", json!({ "name": "Example University" }));
    let key = made("/api/v1/admin/api-keys", json!({ "purpose": "api", "role": "admin", "name": "callers" }));
    let license = made("/api/v1/admin/licenses", json!({ "customer_id": 1, "name": "machines", "type": "perpetual" }));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (credential, license) = (text(&key["key"]), text(&license["license_key"]));
    let (way, done, told) =
        (Way { hub: &data, credential: &credential, license: &license }, AtomicU64::new(0), Mutex::<Told>::default());
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (way, done, told) = (&way, &done, &told);
            scope.spawn(move || ask(way, caller, Random::new(seed ^ (caller + 1)), done, told));
        }
        kill_now_and_then(&mut hub, &done, Random::new(seed));
    });
    let told = told.into_inner().unwrap();
    println!(
        "{} answered, {} of which told again; {} done whose answer was lost; {} calls broken off by {} kills",
        told.answered.len(),
        told.replayed,
        told.lost.len(),
        told.broken,
        kills(KILLS)
    );
    assert!(told.broken > 0, "no kill met a request");
    assert_each_is_there_once(&mut way.client(), &told);
}

/// Asks for one thing under each key until it is known what became of it.
fn ask(way: &Way<'_>, caller: u64, mut random: Random, done: &AtomicU64, told: &Mutex<Told>) {
    let mut client = way.client();
    let machine = json!({ "license_key": way.license, "hardware_id": format!("machine {caller}") }).to_string();
    let activation = until(LIMIT, "an activation", || {
        let activated = client.post("/api/v1/activate", machine.as_bytes());
        Ok(activated.ok().filter(|answer| answer.status == 200).map(|answer| answer.json()["activation_id"].clone()))
    })
    .unwrap();
    for number in 0..KEYS {
        let (kind, name) = (random.pick(&KINDS), format!("{caller}-{number}"));
        let (path, body) = way.request(kind, &name, &activation);
        let body = body.to_string();
        let begun = Instant::now();
        let answer = loop {
            assert!(begun.elapsed() < LIMIT, "{kind} {name}: nobody says what became of it");
            match client.post_under_key(&name, path, body.as_bytes()) {
                Err(_) => {
                    told.lock().unwrap().broken += 1;
                    client = way.client();
                }
                Ok(answer) if again(&answer) => thread::park_timeout(Duration::from_millis(5)),
                Ok(answer) => break answer,
            }
        };
        let value = answer.json();
        if answer.status == 409 {
            assert_eq!(value["error"]["code"], "IDEMPOTENCY_ANSWER_LOST", "{kind} {name}: {value}");
            told.lock().unwrap().lost.push((kind, name));
        } else {
            assert!((200..300).contains(&answer.status), "{kind} {name}: {} {value}", answer.status);
            if random.chance(200)
                && let Ok(repeat) = client.post_under_key(&name, path, body.as_bytes())
            {
                assert_eq!((repeat.replayed, repeat.json()), (true, value.clone()), "{kind} {name}");
            }
            let mut told = told.lock().unwrap();
            told.replayed += u64::from(answer.replayed);
            told.answered.insert((kind, name), value);
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether it is still being done, or the hub stops.
fn again(answer: &Response) -> bool {
    answer.status >= 500 || answer.status == 409 && answer.json()["error"]["code"] == "IDEMPOTENCY_IN_DOUBT"
}

/// Kills the hub at random moments spread over the run.
fn kill_now_and_then(hub: &mut Hub, done: &AtomicU64, mut random: Random) {
    let step = CALLERS * KEYS / (kills(KILLS) + 1);
    for turn in 0..kills(KILLS) {
        let moment = turn * step + random.between(step / 4, step);
        until(LIMIT, "the callers to go on", || Ok((done.load(Ordering::Relaxed) >= moment).then_some(()))).unwrap();
        hub.kill();
        hub.start().unwrap();
    }
}

/// Of each key one thing is there, and it is the one that its caller was told of.
fn assert_each_is_there_once(client: &mut Client, told: &Told) {
    let mut there: BTreeMap<(&str, String), Vec<Value>> = BTreeMap::new();
    for (kind, list, per_page, items, name) in [
        ("note", "/api/institutions/1/notes", 500, "notes", "content"),
        ("licence", "/api/v1/admin/licenses", 500, "licenses", "name"),
    ] {
        for page in 1.. {
            let answer = client.get(&format!("{list}?page={page}&per_page={per_page}")).unwrap().json();
            let all = answer[items].as_array().unwrap_or_else(|| panic!("{answer}"));
            for one in all {
                there.entry((kind, one[name].as_str().unwrap().to_owned())).or_default().push(one["id"].clone());
            }
            if all.len() < per_page {
                break;
            }
        }
    }
    let keys = client.get("/api/v1/admin/api-keys?limit=1000").unwrap().json();
    assert_eq!(keys["next"], Value::Null, "more than one page");
    for one in keys["items"].as_array().unwrap() {
        there.entry(("api key", one["name"].as_str().unwrap().to_owned())).or_default().push(one["id"].clone());
    }
    // What was there before.
    there.remove(&("api key", "callers".to_owned()));
    there.remove(&("licence", "machines".to_owned()));
    let twice: Vec<_> = there.iter().filter(|(_, ids)| ids.len() != 1).collect();
    assert!(twice.is_empty(), "made more than once: {twice:?}");
    for (of, answer) in told.answered.iter().filter(|(of, _)| of.0 != "heartbeat") {
        assert_eq!(there.remove(of), Some(vec![answer["id"].clone()]), "{of:?} was answered with {answer}");
    }
    for of in told.lost.iter().filter(|of| of.0 != "heartbeat") {
        assert!(there.remove(of).is_some(), "{of:?} was said to be done");
    }
    assert!(there.is_empty(), "nobody asked for these: {there:?}");
    let heartbeats = told.answered.keys().chain(&told.lost).filter(|(kind, _)| *kind == "heartbeat").count();
    let statistics = client.get("/api/v1/admin/statistics").unwrap().json();
    assert_eq!(statistics["feature_usage"]["counted"], json!(heartbeats), "each heartbeat counts once");
}
