//! Leads. The samples are the document's.

use super::super::leads::{contacts, institutions, notes};
use super::{Entry, LEADS as TAG, changed, edited, numbered, refuses, seen, shown, tagged};
use schemars::JsonSchema;
use serde_json::{Value, json};
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/institutions", list),
    ("POST", "/api/institutions", || {
        made::<institutions::New, institutions::View>("Add an institution", university(), institution())
    }),
    ("GET", "/api/institutions/{id}", || {
        tagged(numbered(shown::<institutions::View>(TAG, "An institution")), 200).answers_example(200, institution())
    }),
    ("PUT", "/api/institutions/{id}", || {
        let operation = changed::<institutions::Edit, institutions::View>(TAG, "Change an institution");
        let operation = operation.describe("What is not named, or null, stays as it is.");
        edited(numbered(operation)).answers_example(200, institution())
    }),
    ("DELETE", "/api/institutions/{id}", || {
        let operation = removed("Remove an institution with its contacts and notes", "Institution");
        refuses(
            seen(numbered(operation)),
            &[(409, "IS_CUSTOMER", "one that is a customer stays; `details.customer` is which")],
        )
    }),
    ("POST", "/api/institutions/{id}/convert", convert),
    ("GET", "/api/institutions/{id}/contacts", || {
        numbered(paged::<contacts::View>("The contacts of an institution", "contacts"))
    }),
    ("POST", "/api/institutions/{id}/contacts", || {
        let operation = made::<contacts::New, contacts::View>("Add a contact", john(), Value::Null);
        refuses(numbered(operation), &[(409, "TOO_MANY_CONTACTS", "an institution has at most 200 contacts")])
    }),
    ("GET", "/api/institutions/{id}/contacts/{contact}", || {
        tagged(of("contact", shown::<contacts::View>(TAG, "A contact")), 200)
    }),
    ("PUT", "/api/institutions/{id}/contacts/{contact}", || {
        edited(of("contact", changed::<contacts::Edit, contacts::View>(TAG, "Change a contact")))
    }),
    ("DELETE", "/api/institutions/{id}/contacts/{contact}", || {
        seen(of("contact", removed("Remove a contact", "Contact")))
    }),
    ("GET", "/api/institutions/{id}/notes", || {
        numbered(paged::<notes::View>("The notes about an institution, the newest first", "notes"))
    }),
    ("POST", "/api/institutions/{id}/notes", || {
        numbered(made::<notes::New, notes::View>("Add a note", note(), Value::Null))
    }),
    ("GET", "/api/institutions/{id}/notes/{note}", || tagged(of("note", shown::<notes::View>(TAG, "A note")), 200)),
    ("PUT", "/api/institutions/{id}/notes/{note}", || {
        edited(of("note", changed::<notes::Edit, notes::View>(TAG, "Change a note")))
    }),
    ("DELETE", "/api/institutions/{id}/notes/{note}", || seen(of("note", removed("Remove a note", "Note")))),
];

fn list() -> Operation {
    paged::<institutions::View>("Institutions", "institutions")
        .describe(
            "Each word of `search` begins a word of the institution or of its contacts; it has all of the `tags`. Counted, and \
             paged through, up to 10,000.",
        )
        .query("search", "Words", Shape::text().example(json!("exam")))
        .query("tags", "Tags, with commas between them", Shape::text().example(json!("education,research")))
}

fn convert() -> Operation {
    let operation = Operation::new(TAG, "Make an institution a customer")
        .describe("It stays, with its contacts and notes. Name and address are its own unless others are given.")
        .takes(Shape::taken::<institutions::Convert>().example(json!({ "name": "Example University" })))
        .answers(201, "The customer", Shape::of::<institutions::Became>());
    refuses(seen(numbered(operation)), &[(409, "ALREADY_CUSTOMER", "it is one already; `details.customer` is which")])
}

/// A list whose pages have numbers.
fn paged<V: JsonSchema>(summary: &str, name: &str) -> Operation {
    let answer = Shape::like(json!({ name: [], "total": 100, "page": 1, "per_page": 50 }));
    Operation::new(TAG, summary)
        .query("page", "Which page, from 1", Shape::integer(1, 1_000_000))
        .query("per_page", "How many on a page; 50 if not given", Shape::integer(1, 500))
        .answers(200, "A page", answer.field(name, Shape::of::<V>().listed()))
}

fn made<N: JsonSchema, V: JsonSchema>(summary: &str, sample: Value, example: Value) -> Operation {
    let answer = Shape::of::<V>();
    let answer = if example.is_null() { answer } else { answer.example(example) };
    let operation = Operation::new(TAG, summary).takes(Shape::taken::<N>().example(sample));
    tagged(operation.answers(201, "It is made", answer), 201)
}

fn removed(summary: &str, what: &str) -> Operation {
    let answer = Shape::like(json!({ "id": 1, "message": format!("{what} deleted successfully") }));
    Operation::new(TAG, summary).answers(200, "It is gone", answer)
}

fn of(what: &str, operation: Operation) -> Operation {
    let number = Shape::integer(i64::MIN, i64::MAX).example(json!(1));
    operation.path("id", "The institution's number", number.clone()).path(what, "Its own number", number)
}

fn university() -> Value {
    json!({
        "name": "Example University", "type": "university", "address": "123 Main St", "tags": ["education", "research"],
        "metadata": { "student_count": 5000 },
    })
}

fn institution() -> Value {
    let mut shown = university();
    let more = json!({
        "id": 1, "customer_id": null, "created_at": "2026-01-31T08:00:00Z", "updated_at": "2026-01-31T08:00:00Z",
        "revision": 1,
    });
    if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), more) {
        shown.extend(more);
    }
    shown
}

fn john() -> Value {
    json!({
        "name": "John Doe", "email": "john@example.com", "phone": "+1234567890", "position": "IT Manager",
        "is_primary": true,
    })
}

fn note() -> Value {
    json!({ "content": "Discussed pricing options", "type": "meeting", "tags": ["sales", "followup"] })
}
