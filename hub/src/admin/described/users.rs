//! Who may do what: users and API keys.

use super::super::{api_keys, users};
use super::{ADMINISTRATION as TAG, Entry, changed, listed, made, numbered, shown};
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/users", || listed::<users::Query, users::View>(TAG, "Users")),
    ("POST", "/api/v1/admin/users", || made::<users::New, users::View>(TAG, "Add a user")),
    ("PATCH", "/api/v1/admin/users/{name}", || named(changed::<users::Edit, users::View>(TAG, "Change a user"))),
    ("DELETE", "/api/v1/admin/users/{name}", || named(shown::<users::View>(TAG, "Remove a user: as he was"))),
    ("GET", "/api/v1/admin/api-keys", || listed::<api_keys::Query, api_keys::View>(TAG, "API keys")),
    ("POST", "/api/v1/admin/api-keys", || {
        made::<api_keys::New, api_keys::Made>(TAG, "Make an API key; it is told this once")
    }),
    ("POST", "/api/v1/admin/api-keys/{id}/rotate", || {
        numbered(made::<api_keys::Rotation, api_keys::Made>(TAG, "Replace an API key by a new one"))
    }),
    ("POST", "/api/v1/admin/api-keys/{id}/revoke", || numbered(shown::<api_keys::View>(TAG, "Revoke an API key"))),
];

fn named(operation: Operation) -> Operation {
    operation.path("name", "His name", Shape::text().example(json!("anna")))
}
