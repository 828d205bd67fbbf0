//! Logging in.

use super::{Entry, LOGIN, refuses};
use serde_json::{Value, json};
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("POST", "/api/v1/auth/login", login),
    ("POST", "/api/v1/auth/refresh", refresh),
    ("POST", "/api/v1/auth/logout", logout),
    ("GET", "/api/v1/auth/me", me),
];

fn login() -> Operation {
    let body = Shape::like(json!({ "username": "anna", "password": "correct horse battery staple" }));
    let operation = Operation::new(LOGIN, "Log in")
        .describe("With a user of this hub. The access token lives shortly; the refresh token gets the next one, once.")
        .takes(body)
        .answers(200, "Tokens", tokens());
    refuses(operation, &[(401, "UNAUTHORIZED", "wrong username or password")])
}

fn refresh() -> Operation {
    let operation = Operation::new(LOGIN, "New tokens for a refresh token")
        .describe("The refresh token is used up; used again, it ends the session.")
        .takes(Shape::like(json!({ "refresh_token": "c2VjcmV0" })))
        .answers(200, "Tokens", tokens());
    refuses(operation, &[(401, "UNAUTHORIZED", "no session has this token")])
}

fn logout() -> Operation {
    let answer = Shape::like(json!({ "message": "Logged out" }));
    Operation::new(LOGIN, "Log out").answers(200, "The session is over", answer)
}

fn me() -> Operation {
    Operation::new(LOGIN, "Who calls").answers(200, "Name, role and limits", Shape::like(somebody()).nullable(&LIMITS))
}

const LIMITS: [&str; 2] = ["customer", "site"];

fn somebody() -> Value {
    json!({
        "kind": "user", "name": "anna", "role": "admin", "customer": 1, "site": "0190c8a0-0000-7000-8000-000000000002",
    })
}

fn tokens() -> Shape {
    let answer = json!({
        "access_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "token_type": "Bearer", "expires_in": 900,
        "refresh_token": "c2VjcmV0", "user": somebody(),
    });
    Shape::like(answer).nullable(&["user.customer", "user.site"])
}
