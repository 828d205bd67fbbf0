//! What the guarded routes take and answer. Each entry stands for one route of `admin::routes`; which callers a route needs,
//! and what any of them may be refused with, follows from that table.

mod audit;
mod bundles;
mod customers;
mod leads;
mod licenses;
mod login;
mod settings;
mod sites;
mod users;
mod webhooks;

use super::page::Page;
use crate::http::api::{Listed, Needs};
use crate::http::{if_match, repeatable, tagged};
use axum::http::Method;
use schemars::JsonSchema;
use serde_json::json;
use sitewarden_openapi::shared::{API_KEY, BEARER};
use sitewarden_openapi::{Operation, Shape};

const LOGIN: &str = "Login";
const ADMINISTRATION: &str = "Administration";
const LEADS: &str = "Leads";
const ANALYTICS: &str = "Analytics";

/// A route's method and path, and what it takes and answers.
type Entry = (&'static str, &'static str, fn() -> Operation);

const TABLES: [&[Entry]; 10] = [
    audit::TABLE,
    login::TABLE,
    customers::TABLE,
    sites::TABLE,
    licenses::TABLE,
    users::TABLE,
    settings::TABLE,
    leads::TABLE,
    webhooks::TABLE,
    bundles::TABLE,
];

/// The description of a route. One that has none is a fault of the document.
pub(crate) fn described(route: &Listed) -> Operation {
    let is_it = |entry: &&Entry| entry.0 == route.method.as_str() && entry.1 == route.path;
    let entry = TABLES.into_iter().flatten().find(is_it);
    let operation = entry.map_or_else(|| Operation::missing(ADMINISTRATION), |(_, _, told)| told());
    guarded(operation, route)
}

fn guarded(operation: Operation, route: &Listed) -> Operation {
    let operation = match route.needs {
        Some(needs) => known(operation, needs),
        None => {
            refuses(operation, &[(429, "RATE_LIMITED", "too many requests, or wrong credentials; try again later")])
        }
    };
    let operation = refuses(operation, &[(400, "INVALID", "a value cannot be taken; `details.field` names it")]);
    let (changes, brings) = (route.method != Method::GET, matches!(route.method.as_str(), "POST" | "PUT" | "PATCH"));
    // A list, too, if what it is asked to be of is not there.
    let operation = if route.needs.is_some() || route.path.contains('{') || brings {
        refuses(operation, &[(404, "NOT_FOUND", "there is no such thing, or it is another customer's")])
    } else {
        operation
    };
    let operation = if changes {
        refuses(operation, &[(409, "CONFLICT", "there is one of this name, or the rules forbid it")])
    } else {
        operation
    };
    let operation = if route.takes_key { repeatable(operation) } else { operation };
    let operation = if brings {
        let body = [
            (400, "BAD_BODY", "the body could not be read"),
            (413, "TOO_LARGE", "the body is larger than 64 KiB"),
            (415, "MEDIA_TYPE", "the body must be application/json"),
        ];
        refuses(operation, &body)
    } else {
        operation
    };
    refuses(
        operation,
        &[
            (500, "INTERNAL", "the hub could not do that; its log says why"),
            (503, "UNAVAILABLE", "the hub's database is not available; nothing was changed"),
        ],
    )
    .with_header(429, "Retry-After", "Seconds")
}

fn known(operation: Operation, needs: Needs) -> Operation {
    let operation = operation.describe_also(&needs.told()).secured(&[BEARER, API_KEY]);
    refuses(
        operation,
        &[
            (401, "UNAUTHORIZED", "log in with a user of this hub, or come with an API key that is valid"),
            (403, "FORBIDDEN", "another role is needed, or the whole hub"),
            (429, "RATE_LIMITED", "too many requests, or wrong credentials; try again later"),
        ],
    )
    .with_header(401, "WWW-Authenticate", "How to come")
}

/// Refusals, each with its status, its code and its meaning.
fn refuses(operation: Operation, refusals: &[(u16, &str, &str)]) -> Operation {
    refusals.iter().fold(operation, |operation, (status, code, what)| {
        let error = json!({ "error": { "code": code, "message": what, "details": {} } });
        let shape = Shape::like(error).object(&["error.details"]);
        operation.answers(*status, &format!("{code}: {what}"), shape)
    })
}

/// A list by cursor.
fn listed<Q: JsonSchema, V: JsonSchema>(tag: &str, summary: &str) -> Operation {
    let answer = Shape::of::<Page<V>>();
    Operation::new(tag, summary).queries::<Q>().answers(
        200,
        "A page; `next` is what to give as `after` for the next",
        answer,
    )
}

/// Something is made.
fn made<N: JsonSchema, V: JsonSchema>(tag: &str, summary: &str) -> Operation {
    Operation::new(tag, summary).takes(Shape::taken::<N>()).answers(201, "It is made", Shape::of::<V>())
}

/// Something is shown.
fn shown<V: JsonSchema>(tag: &str, summary: &str) -> Operation {
    Operation::new(tag, summary).answers(200, "As it is", Shape::of::<V>())
}

/// Something is changed.
fn changed<N: JsonSchema, V: JsonSchema>(tag: &str, summary: &str) -> Operation {
    Operation::new(tag, summary).takes(Shape::taken::<N>()).answers(200, "As it is now", Shape::of::<V>())
}

/// A change of the state that the caller saw.
fn seen(operation: Operation) -> Operation {
    refuses(if_match(operation), &[(412, "CHANGED", "it was changed in the meantime; look at it again")])
}

/// A change of what the caller saw, whose answer says which state it is in now.
fn edited(operation: Operation) -> Operation {
    tagged(seen(operation), 200)
}

/// A number in the path.
fn numbered(operation: Operation) -> Operation {
    operation.path("id", "Its number", Shape::integer(i64::MIN, i64::MAX).example(json!(1)))
}

/// A UUID in the path.
fn identified(operation: Operation) -> Operation {
    operation.path("id", "Its id", Shape::uuid().example(json!("0190c8a0-0000-7000-8000-000000000002")))
}

#[cfg(test)]
pub(super) fn entries() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLES.into_iter().flatten().map(|(method, path, _)| (*method, *path))
}
