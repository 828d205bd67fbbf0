//! Licences, as the command line has them.

use super::super::licenses::{self, edit, explain};
use super::{ADMINISTRATION as TAG, Entry, changed, listed, made, shown};
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/licenses", || listed::<licenses::Query, licenses::View>(TAG, "Licences")),
    ("POST", "/api/v1/admin/licenses", || {
        made::<licenses::New, licenses::View>(TAG, "Issue a licence; its key is in the answer")
    }),
    ("GET", "/api/v1/admin/licenses/explain", explained),
    ("GET", "/api/v1/admin/licenses/{id}", || selected(shown::<licenses::View>(TAG, "A licence with its key"))),
    ("PATCH", "/api/v1/admin/licenses/{id}", || {
        selected(changed::<edit::Edit, licenses::View>(TAG, "Change a licence; what is not given stays as it is"))
    }),
    ("POST", "/api/v1/admin/licenses/{id}/revoke", || selected(shown::<licenses::View>(TAG, "Withdraw a licence"))),
    ("GET", "/api/v1/admin/licenses/{id}/history", || {
        let states = Shape::of::<edit::Revision>().listed();
        selected(Operation::new(TAG, "Every change of a licence").answers(200, "The changes, in order", states))
    }),
];

fn selected(operation: Operation) -> Operation {
    operation.path("id", "Its number or its UUID", Shape::text().example(json!("1")))
}

fn explained() -> Operation {
    Operation::new(TAG, "Why an app may be used at a site or not, and when that changes")
        .queries::<explain::Query>()
        .answers(200, "Why, and what will change", crate::http::explanation())
}
