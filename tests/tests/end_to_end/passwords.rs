//! Wrong passwords at the agent: who guesses waits, and nobody else does.

use sitewarden_tests::harness::{Line, PASSWORD, Response, USER};

const VERIFY: &str = "/_config/licenses/_verify?app=EMS";
const EVENTS: &str = "/api/v1/telemetry/events";
const EVENT: &[u8] = br#"{"app": "EMS", "kind": "run", "count": 1}"#;
const WORDS: &str = "Too many wrong passwords; try again later";
const OTHER: (&str, &str) = ("operator", "an operator of the tests");

/// How many guesses were refused before one had to wait, and what that one was told.
fn guess(mut attempt: impl FnMut(&str) -> Response) -> (usize, Response) {
    for refused in 0..100 {
        let answer = attempt(&format!("guess {refused}"));
        if answer.status == 429 {
            return (refused, answer);
        }
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    panic!("a hundred guesses, and none had to wait");
}

#[test]
fn who_guesses_has_to_wait_and_an_app_that_is_known_and_other_users_do_not() {
    let line = Line::new(1).unwrap();
    let client = |user: &str, password: &str| line.agent.client().unwrap().basic(user, password);
    line.agent.add_user(OTHER.0, "operator", OTHER.1).unwrap();
    assert_eq!(client(USER, PASSWORD).post(EVENTS, EVENT).unwrap().status, 202);
    let (refused, answer) = guess(|password| client(USER, password).get(VERIFY).unwrap());
    assert!(refused >= 5, "only {refused} wrong ones were free");
    assert_eq!(answer.json(), serde_json::json!({"error": {"status": 429, "message": WORDS}}));
    assert!(answer.retry_after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{:?}", answer.retry_after);
    let (_, answer) = guess(|password| client(USER, password).post(EVENTS, EVENT).unwrap());
    assert_eq!(answer.json(), serde_json::json!({"detail": WORDS}));
    assert!(answer.retry_after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{:?}", answer.retry_after);
    assert_eq!(client(USER, PASSWORD).post(EVENTS, EVENT).unwrap().status, 202, "the app is remembered");
    assert_eq!(client(OTHER.0, OTHER.1).post(EVENTS, EVENT).unwrap().status, 202);
}
