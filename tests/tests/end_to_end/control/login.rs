//! Logging in, going on, and logging out.

use super::{ADMIN, BASE, add_people, log_in};
use serde_json::json;
use sitewarden_tests::harness::{Client, Line};

fn sees(line: &Line, access: &str) -> u16 {
    line.agent.client().unwrap().bearer(access).get(&format!("{BASE}/config")).unwrap().status
}

fn refresh(client: &mut Client, token: &str) -> (u16, serde_json::Value) {
    let body = json!({"refresh_token": token}).to_string();
    let answer = client.post("/api/v1/auth/refresh", body.as_bytes()).unwrap();
    (answer.status, answer.json())
}

#[test]
fn a_session_goes_on_by_its_refresh_token_and_ends_with_the_logout() {
    let mut line = Line::new(100).unwrap();
    add_people(&line);
    let tokens = log_in(&line.agent, ADMIN);
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("bearer"), &json!(900)));
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    assert_eq!(sees(&line, &access), 200);
    // A restart ends nothing.
    line.agent.stop().unwrap();
    line.agent.start().unwrap();
    assert_eq!(sees(&line, &access), 200);
    let mut client = line.agent.client().unwrap();
    let (status, next) = refresh(&mut client, tokens["refresh_token"].as_str().unwrap());
    assert_eq!(status, 200, "{next}");
    let access = next["access_token"].as_str().unwrap();
    let answer = line.agent.client().unwrap().bearer(access).post("/api/v1/auth/logout", b"").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(sees(&line, access), 401);
    assert_eq!(refresh(&mut client, next["refresh_token"].as_str().unwrap()).0, 401);
}

#[test]
fn a_used_refresh_token_ends_its_session() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let first = log_in(&line.agent, ADMIN);
    let mut client = line.agent.client().unwrap();
    let (_, second) = refresh(&mut client, first["refresh_token"].as_str().unwrap());
    assert_eq!(refresh(&mut client, first["refresh_token"].as_str().unwrap()).0, 401);
    assert_eq!(sees(&line, second["access_token"].as_str().unwrap()), 401);
}

#[test]
fn wrong_passwords_are_refused_in_one_word_and_have_to_wait() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let mut client = line.agent.client().unwrap();
    let mut attempt = |user: &str, password: &str| {
        let body = json!({"username": user, "password": password}).to_string();
        client.post("/api/v1/auth/login", body.as_bytes()).unwrap()
    };
    for user in [ADMIN, "nobody", "with:colon"] {
        let refused = attempt(user, "wrong password");
        assert_eq!((refused.status, refused.json()), (401, json!({"detail": "Incorrect username or password"})));
    }
    assert_eq!(attempt("", "x").status, 400);
    let waiting = (0..50).map(|_| attempt(ADMIN, "wrong password")).find(|answer| answer.status != 401).unwrap();
    assert_eq!(waiting.status, 429);
    assert!(waiting.retry_after.unwrap() >= 1);
}

#[test]
fn a_user_who_is_removed_or_has_a_new_password_is_logged_out() {
    let line = Line::new(100).unwrap();
    add_people(&line);
    let token = |user: &str| log_in(&line.agent, user)["access_token"].as_str().unwrap().to_owned();
    let (admin, operator) = (token(ADMIN), token(super::OPERATOR));
    let file = line.agent.folder().with_extension("new");
    std::fs::write(&file, "another password\n").unwrap();
    line.agent.command(&["user", "passwd", ADMIN, "--password-file", file.to_str().unwrap()]).unwrap();
    line.agent.command(&["user", "remove", super::OPERATOR]).unwrap();
    assert_eq!([sees(&line, &admin), sees(&line, &operator)], [401, 401]);
}
