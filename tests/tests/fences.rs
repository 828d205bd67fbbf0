//! The fences of the house, read from its sources: each engine is named in one module only, `protocol` stays pure, and
//! crates depend on each other only along the arrows of ARCHITECTURE.md. Comments and texts may name what they like, and
//! so may integration tests (`*/tests/`), which have to speak to an engine from outside.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where what it relies on is not so")]

use std::fs;
use std::path::{Path, PathBuf};

/// An engine's name in code, and the only places that may say it.
const ENGINES: [(&str, &[&str]); 8] = [
    ("sled", &["agent/src/journal/"]),
    ("quinn", &["agent/src/sync/quic.rs", "hub/src/sync/quic/"]),
    ("rusqlite", &["hub/src/store/"]),
    ("rusqlite_migration", &["hub/src/store/"]),
    ("sysinfo", &["agent/src/host.rs"]),
    ("tokio_cron_scheduler", &["agent/src/schedule.rs"]),
    ("bincode", &["protocol/src/codec.rs"]),
    ("hpke", &["protocol/src/sealing.rs"]),
];
/// What the pure crate must not depend on.
const IMPURE_CRATES: [&str; 11] =
    ["tokio", "quinn", "axum", "sled", "rusqlite", "hyper", "rand", "getrandom", "reqwest", "rustls", "sysinfo"];
/// What the pure crate must not say: clocks, randomness, I/O.
const IMPURE_NAMES: [&str; 12] = [
    "SystemTime::now",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "now_v7",
    "new_v4",
    "std::net",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "getrandom",
];
/// Which of our crates each may depend on.
const ARROWS: [(&str, &[&str]); 5] = [
    ("protocol", &[]),
    ("certs", &["sitewarden-protocol"]),
    ("protocol/openapi", &[]),
    ("agent", &["sitewarden-certs", "sitewarden-openapi", "sitewarden-protocol"]),
    ("hub", &["sitewarden-certs", "sitewarden-openapi", "sitewarden-protocol"]),
];

/// Who adds routes to a router of axum's own, and why that is all right.
const ROUTERS: [(&str, &str); 3] = [
    ("agent/src/http/mod.rs", "the operator's socket, which the command line alone talks to"),
    ("hub/src/http/api/routes.rs", "the table of guarded routes, which a test compares with the document"),
    ("hub/src/http/plant/mod.rs", "a path whose every method is refused"),
];

#[test]
fn each_engine_is_named_in_its_own_module_only() {
    let mut seen = 0;
    for (path, code) in sources(&["agent/src", "hub/src", "certs/src", "protocol/src"]) {
        seen += 1;
        let strangers = strangers(&path, &code);
        assert!(strangers.is_empty(), "{path} names {strangers:?}, which live elsewhere (see ENGINES in this test)");
    }
    assert!(seen > 20, "only {seen} sources found: the test looks in the wrong place");
}

/// What an agent records leaves the site: it is made anonymous where it is encoded, and is encoded nowhere else. The journal's
/// own first record of an epoch names nobody.
#[test]
fn an_agents_records_are_encoded_where_they_are_made_anonymous_only() {
    let doors = ["agent/src/anonymity/mod.rs", "agent/src/journal/"];
    let mut seen = 0;
    for (path, code) in sources(&["agent/src"]) {
        let dense: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let encodes = dense.contains("Record::encode");
        seen += usize::from(encodes);
        let allowed = doors.iter().any(|door| path.starts_with(door)) || path.ends_with("tests.rs");
        assert!(allowed || !encodes, "{path} encodes a record past agent/src/anonymity/");
    }
    assert!(seen > 1, "the test looks for the wrong words");
}

/// What is served is described: `sitewarden_openapi::Routes` takes no route without its description, and nothing goes past it.
#[test]
fn no_route_is_added_past_its_description() {
    let mut seen = 0;
    for (path, code) in sources(&["agent/src/http", "hub/src/http", "hub/src/admin"]) {
        let dense: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let routes = dense.contains(".route(") || dense.contains(".route_service(");
        seen += usize::from(routes);
        let known = ROUTERS.iter().any(|(known, _)| path == *known);
        assert!(
            known || !routes,
            "{path} adds a route of which the OpenAPI document knows nothing: see CONTRIBUTING.md"
        );
    }
    assert_eq!(seen, ROUTERS.len(), "the list names routers that there are not");
}

#[test]
fn protocol_is_pure() {
    for (path, code) in sources(&["protocol/src"]) {
        let found = impurities(&code);
        assert!(found.is_empty(), "{path} names {found:?}; pass time and randomness in as arguments");
    }
    let dependencies = dependencies("protocol");
    let impure: Vec<_> = dependencies.iter().filter(|name| IMPURE_CRATES.contains(&name.as_str())).collect();
    assert!(impure.is_empty(), "protocol depends on {impure:?}");
}

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    for (name, allowed) in ARROWS {
        let crossed = crossed(&dependencies(name), allowed);
        assert!(crossed.is_empty(), "{name} depends on {crossed:?}; it may on {allowed:?}");
    }
}

/// A fault whose test was renamed or taken away is not survived any more, whatever the table says.
#[test]
fn every_test_in_the_table_of_faults_is_there() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, faults) = text.split_once("\n## Faults\n").unwrap();
    let faults = faults.split("\n## ").next().unwrap();
    let tests: Vec<_> = faults.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
    assert!(tests.len() > 10, "the test looks for the wrong words");
    let folders =
        ["tests/tests", "tests/src", "agent/src", "agent/tests", "hub/src", "hub/tests", "certs/src", "protocol"];
    let code: String = sources(&folders).into_iter().map(|(_, code)| code).collect();
    for test in tests {
        let (_, name) = test.rsplit_once("::").unwrap();
        let name = name.split('…').next().unwrap();
        assert!(code.contains(&format!("fn {name}")), "ARCHITECTURE.md names the test {test}, which is not there");
    }
}

#[test]
fn the_fences_can_be_run_into() {
    let offending = code_of("/* no */ use sled::Db; // a comment\nlet c = '\"'; quinn::Endpoint::client(a)");
    assert_eq!(strangers("hub/src/fleet.rs", &offending), ["sled", "quinn"]);
    assert_eq!(strangers("agent/src/journal/page.rs", &offending), ["quinn"]);
    assert_eq!(strangers("hub/src/sync/session.rs", &offending), ["sled", "quinn"]);
    assert_eq!(strangers("hub/src/store/rows.rs", &code_of("use rusqlite_migration::M; rusqlite::Row")), [""; 0]);
    assert_eq!(strangers("hub/src/cli.rs", &code_of("use rusqlite_migration::M;")), ["rusqlite_migration"]);
    assert_eq!(impurities(&code_of("let t = std::time::Instant :: now();")), ["Instant::now"]);
    assert_eq!(crossed(&names("[dependencies]\nsitewarden-hub.workspace = true\n"), &[]), ["sitewarden-hub"]);
    assert_eq!(names("[package]\nname = \"x\"\n[dev-dependencies]\nrand = \"1\"\n[lints]\na.b = 1\n"), ["rand"]);
}

#[test]
fn comments_and_texts_may_name_anything() {
    for harmless in [
        "//! kept in sled\nfn f() {}",
        "let a = \"sled \\\" quinn\"; let b: &'static str = r#\"quinn \" \"#;",
        "/* sled /* quinn */ sled */ fn sledge(quinn_like: u8) {}",
    ] {
        assert_eq!(strangers("hub/src/fleet.rs", &code_of(harmless)), [""; 0], "{harmless}");
    }
}

fn strangers(path: &str, code: &str) -> Vec<&'static str> {
    let words: Vec<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let elsewhere = |homes: &[&str]| !homes.iter().any(|home| path.starts_with(home));
    let named = ENGINES.iter().filter(|(engine, homes)| elsewhere(homes) && words.contains(engine));
    named.map(|(engine, _)| *engine).collect()
}

fn impurities(code: &str) -> Vec<&'static str> {
    let dense: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    IMPURE_NAMES.into_iter().filter(|name| dense.contains(name)).collect()
}

fn crossed(dependencies: &[String], allowed: &[&str]) -> Vec<String> {
    let ours = dependencies.iter().filter(|name| name.starts_with("sitewarden-"));
    ours.filter(|name| !allowed.contains(&name.as_str())).cloned().collect()
}

fn dependencies(of: &str) -> Vec<String> {
    names(&fs::read_to_string(root().join(of).join("Cargo.toml")).unwrap())
}

/// The keys of a manifest's dependency tables, of all kinds.
fn names(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = vec![];
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']']).ends_with("dependencies");
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            names.extend(line.split(['.', '=', ' ']).next().map(str::to_owned));
        }
    }
    names
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust source below these folders, as its path from the root and its code.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = vec![];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let from_root = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push((from_root, code_of(&fs::read_to_string(&path).unwrap())));
        }
    }
    found
}

/// A source without its comments and texts.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else if rest.starts_with('"') {
            text(rest)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            raw_text(rest)
        } else {
            0
        };
        let taken = if skipped > 0 { ' ' } else { next };
        code.push(taken);
        rest = &rest[if skipped > 0 { skipped } else { next.len_utf8() }..];
    }
    code
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"…"` and `r#"…"#`; a raw identifier such as `r#type` is no text.
fn raw_text(rest: &str) -> usize {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    if !rest[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let body = 2 + hashes;
    rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
}
