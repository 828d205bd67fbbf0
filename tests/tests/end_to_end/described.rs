//! Hub and agent answer as their OpenAPI documents say, whatever they are asked: schemathesis makes requests from the served
//! document, right ones and wrong ones, and looks at each answer: no server error, no status, content type, header or body
//! that is not in the document, no method that is not. Bounded in requests; `SITEWARDEN_SEED=N` replays a run. In a network of its own,
//! because some of what is asked makes a process call others: nothing leaves this machine.

use sitewarden_tests::harness::{ADMIN_PASSWORD, Line, run_within, scratch, with_loopback_only, workspace};
use std::process::Command;
use std::time::Duration;

/// Where chance begins, unless `SITEWARDEN_SEED` says otherwise: the same on every machine, so that who changes something else
/// does not run into what an unlucky number finds.
const SEED: &str = "20261";
/// Requests that are made up for each operation, beside those at the bounds of its fields.
const EXAMPLES: &str = "8";
/// How long a run may take on a machine that has much else to do.
const LIMIT: Duration = Duration::from_secs(900);
/// How long an answer may take, seconds: more than the servers give themselves.
const ANSWER: &str = "45";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method";
/// What calls an address that a made-up request has set, or sets one that is called: left out where that would go out.
const CALLS_OUT: [&str; 4] = [
    "post_api_v1_telemetry_test_connection",
    "post_api_v1_admin_webhooks",
    "patch_api_v1_admin_webhooks_id",
    "put_api_v1_admin_sites_id_webhook",
];

/// Who calls, and where.
struct Tried<'a> {
    config: &'a str,
    base: String,
    user: &'a str,
    password: &'a str,
    sending_key: String,
    /// Whether nothing that is called is elsewhere.
    alone: bool,
}

#[test]
fn the_agent_answers_as_its_document_says() {
    with_loopback_only("described::the_agent_answers_as_its_document_says", |alone| {
        agent(alone);
        Ok(())
    })
    .unwrap();
}

fn agent(alone: bool) {
    let line = Line::new(100).unwrap();
    line.agent.add_user("anna", "admin", "of the schemathesis test").unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    let sending_key = sending_key(&line);
    let base = format!("http://{}", line.agent.http().unwrap());
    check(&Tried {
        config: "agent.toml",
        base,
        user: "anna",
        password: "of the schemathesis test",
        sending_key,
        alone,
    });
}

#[test]
fn the_hub_answers_as_its_document_says() {
    with_loopback_only("described::the_hub_answers_as_its_document_says", |alone| {
        hub(alone);
        Ok(())
    })
    .unwrap();
}

fn hub(alone: bool) {
    let mut line = Line::new(100).unwrap();
    // So many requests as are made here are refused otherwise, and never looked at.
    let path = line.hub.folder().join("hub.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let limits = "\n[api]\npublic_per_minute = 1000000\nadmin_per_minute = 1000000\n";
    // Without TLS: among what is asked is to retire the authority that its certificate is from.
    let config = config.replacen("# http = \"127.0.0.1:8080\"", "http = \"127.0.0.1:0\"", 1);
    std::fs::write(&path, config.replacen("\n[api]\n", limits, 1)).unwrap();
    line.hub.stop().unwrap();
    line.hub.start().unwrap();
    let address = std::fs::read_to_string(line.hub.folder().join("run/http.addr")).unwrap();
    let (base, sending_key) = (format!("http://{}", address.trim()), sending_key(&line));
    check(&Tried { config: "hub.toml", base, user: "admin", password: ADMIN_PASSWORD, sending_key, alone });
}

fn sending_key(line: &Line) -> String {
    let made = line.hub.command(&["apikey", "add", "--customer", "1"]).unwrap().json().unwrap();
    made["key"].as_str().unwrap().to_owned()
}

fn check(tried: &Tried<'_>) {
    let tester = workspace().join("target/tools/schemathesis/bin/schemathesis");
    assert!(tester.exists(), "{} is missing; install it with: tests/prerequisites", tester.display());
    let seed = seed();
    println!("SITEWARDEN_SEED={seed}");
    // What it remembers of a run is of no use to the next one, and not to lie about.
    let folder = scratch().unwrap();
    let mut command = Command::new(tester);
    command.current_dir(folder.path());
    command.arg("--config-file").arg(workspace().join("tests/schemathesis").join(tried.config));
    command.args(["run", &format!("{}/api/openapi.json", tried.base), "--checks", CHECKS, "--seed", &seed]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--request-timeout", ANSWER]);
    for operation in CALLS_OUT.into_iter().filter(|_| !tried.alone) {
        command.args(["--exclude-operation-id", operation]);
    }
    command.args(["--request-retries", "2"]);
    command.args(["--continue-on-failure", "--no-shrink", "--suppress-health-check", "all", "--warnings", "off"]);
    command.env("API_USER", tried.user).env("API_PASSWORD", tried.password).env("SENDING_KEY", &tried.sending_key);
    let answer = run_within(LIMIT, command).unwrap();
    println!("{}", answer.output);
    assert_eq!(answer.code, Some(0), "{}", answer.error);
}

fn seed() -> String {
    std::env::var("SITEWARDEN_SEED").unwrap_or_else(|_| SEED.to_owned())
}
