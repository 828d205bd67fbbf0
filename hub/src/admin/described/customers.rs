//! Customers, their plants, and the apps that are sold.

use super::super::{apps, customers, plants};
use super::{ADMINISTRATION as TAG, Entry, changed, identified, listed, made, numbered, shown};
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/customers", || listed::<customers::Query, customers::View>(TAG, "Customers")),
    ("POST", "/api/v1/admin/customers", || made::<customers::New, customers::View>(TAG, "Add a customer")),
    ("GET", "/api/v1/admin/customers/{id}", || numbered(shown::<customers::View>(TAG, "A customer"))),
    ("PATCH", "/api/v1/admin/customers/{id}", || {
        numbered(changed::<customers::Edit, customers::View>(TAG, "Change a customer"))
    }),
    ("GET", "/api/v1/admin/customers/{id}/retention", || {
        numbered(shown::<customers::Retention>(TAG, "How long a customer's raw telemetry is kept"))
    }),
    ("POST", "/api/v1/admin/customers/{id}/retention", || {
        numbered(changed::<customers::Retention, customers::Retention>(TAG, "Set how long raw telemetry is kept"))
    }),
    ("GET", "/api/v1/admin/plants", || listed::<plants::Query, plants::View>(TAG, "Plants")),
    ("POST", "/api/v1/admin/plants", || made::<plants::New, plants::View>(TAG, "Add a plant")),
    ("GET", "/api/v1/admin/plants/{id}", || identified(shown::<plants::View>(TAG, "A plant"))),
    ("GET", "/api/v1/admin/apps", apps),
    ("POST", "/api/v1/admin/apps/{code}/versions", add_version),
];

fn apps() -> Operation {
    let answer = json!({ "items": [{ "number": 1, "code": "EMS", "versions": ["1.0.0"] }], "next": "" });
    let answer = Shape::like(answer).field("next", Shape::schema(json!({ "type": "null" }))).example(json!({
        "items": [{ "number": 1, "code": "EMS", "versions": ["1.0.0"] }], "next": null,
    }));
    Operation::new(TAG, "Apps that are sold").answers(200, "All of them", answer)
}

fn add_version() -> Operation {
    Operation::new(TAG, "Say that a version of an app was released")
        .path("code", "The app", Shape::text().example(json!("EMS")))
        .takes(Shape::taken::<apps::NewVersion>())
        .answers(201, "It is known", Shape::like(json!({ "app": "EMS", "version": "1.0.0" })))
}
