//! Customers, their plants, and the apps that are sold.

use super::super::{apps, customers, plants};
use super::{ADMINISTRATION as TAG, Entry, changed, edited, identified, listed, made, numbered, shown, tagged};
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/customers", || listed::<customers::Query, customers::View>(TAG, "Customers")),
    ("POST", "/api/v1/admin/customers", || tagged(made::<customers::New, customers::View>(TAG, "Add a customer"), 201)),
    ("GET", "/api/v1/admin/customers/{id}", || tagged(numbered(shown::<customers::View>(TAG, "A customer")), 200)),
    ("PATCH", "/api/v1/admin/customers/{id}", || {
        edited(numbered(changed::<customers::Edit, customers::View>(TAG, "Change a customer")))
    }),
    ("GET", "/api/v1/admin/customers/{id}/retention", || {
        let operation = shown::<customers::Retention>(TAG, "How long a customer's raw telemetry is kept");
        tagged(numbered(operation), 200)
    }),
    ("POST", "/api/v1/admin/customers/{id}/retention", || {
        let what = "Set how long raw telemetry is kept: an edit of the customer";
        edited(numbered(changed::<customers::Retention, customers::Retention>(TAG, what)))
    }),
    ("GET", "/api/v1/admin/plants", || listed::<plants::Query, plants::View>(TAG, "Plants")),
    ("POST", "/api/v1/admin/plants", || tagged(made::<plants::New, plants::View>(TAG, "Add a plant"), 201)),
    ("GET", "/api/v1/admin/plants/{id}", || tagged(identified(shown::<plants::View>(TAG, "A plant")), 200)),
    ("PATCH", "/api/v1/admin/plants/{id}", || {
        edited(identified(changed::<plants::Edit, plants::View>(TAG, "Call a plant by another name")))
    }),
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
