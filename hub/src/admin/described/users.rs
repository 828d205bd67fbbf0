//! Who may do what: users and API keys.

use super::super::{api_keys, users};
use super::{ADMINISTRATION as TAG, Entry, changed, edited, listed, made, numbered, seen, shown, tagged};
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/users", || listed::<users::Query, users::View>(TAG, "Users")),
    ("POST", "/api/v1/admin/users", || tagged(made::<users::New, users::View>(TAG, "Add a user"), 201)),
    ("GET", "/api/v1/admin/users/{name}", || tagged(named(shown::<users::View>(TAG, "A user")), 200)),
    ("PATCH", "/api/v1/admin/users/{name}", || {
        edited(named(changed::<users::Edit, users::View>(TAG, "Change a user")))
    }),
    ("DELETE", "/api/v1/admin/users/{name}", || seen(named(shown::<users::View>(TAG, "Remove a user: as he was")))),
    ("GET", "/api/v1/admin/api-keys", || listed::<api_keys::Query, api_keys::View>(TAG, "API keys")),
    ("POST", "/api/v1/admin/api-keys", || {
        tagged(made::<api_keys::New, api_keys::Made>(TAG, "Make an API key; it is told this once"), 201)
    }),
    ("GET", "/api/v1/admin/api-keys/{id}", || tagged(numbered(shown::<api_keys::View>(TAG, "An API key")), 200)),
    ("POST", "/api/v1/admin/api-keys/{id}/rotate", || {
        let operation = made::<api_keys::Rotation, api_keys::Made>(TAG, "Replace an API key by a new one");
        tagged(seen(numbered(operation)), 201)
    }),
    ("POST", "/api/v1/admin/api-keys/{id}/revoke", || {
        edited(numbered(shown::<api_keys::View>(TAG, "Revoke an API key")))
    }),
];

fn named(operation: Operation) -> Operation {
    operation.path("name", "His name", Shape::text().example(json!("anna")))
}
