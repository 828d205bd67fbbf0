//! Webhooks, and what is sent to them.

use super::super::webhooks::{Address, DeliveryQuery, DeliveryView, Edit, Made, New, Nothing, Query, Rotation, View};
use super::{Entry, changed, edited, identified, listed, made, numbered, seen, shown, tagged};
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

const TAG: &str = "Webhooks";

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/webhooks", || listed::<Query, View>(TAG, "Webhooks, and how they do")),
    ("POST", "/api/v1/admin/webhooks", add),
    ("GET", "/api/v1/admin/webhooks/{id}", || tagged(numbered(shown::<View>(TAG, "A webhook")), 200)),
    ("PATCH", "/api/v1/admin/webhooks/{id}", || edited(numbered(changed::<Edit, View>(TAG, "Change a webhook")))),
    ("DELETE", "/api/v1/admin/webhooks/{id}", || {
        seen(numbered(shown::<View>(TAG, "Remove a webhook, with what waits for it")))
    }),
    ("POST", "/api/v1/admin/webhooks/{id}/rotate", || {
        let operation = changed::<Rotation, Made>(TAG, "Make a new secret, which is shown this once");
        let operation = operation.describe(
            "For `overlap` hours what is sent is signed with the one before too. What a site's agent gets has one signature: \
             there the new one counts at once.",
        );
        edited(numbered(operation))
    }),
    ("POST", "/api/v1/admin/webhooks/{id}/test", || {
        numbered(made::<Nothing, DeliveryView>(TAG, "Send a test: the event `webhook.test`"))
    }),
    ("GET", "/api/v1/admin/webhooks/{id}/deliveries", || {
        numbered(listed::<DeliveryQuery, DeliveryView>(TAG, "What was sent to a webhook, or waits; the newest first"))
    }),
    ("GET", "/api/v1/admin/webhook-deliveries/{id}", || delivery(shown::<DeliveryView>(TAG, "A delivery"))),
    ("POST", "/api/v1/admin/webhook-deliveries/{id}/resend", || {
        delivery(changed::<Nothing, DeliveryView>(TAG, "Send a delivery again, under its own id"))
    }),
    ("PUT", "/api/v1/admin/sites/{id}/webhook", || {
        let operation = changed::<Address, Made>(TAG, "Set where a site's agent is called when its licences change");
        edited(identified(operation.describe("A first secret that is not given is made, and shown this once.")))
    }),
    ("DELETE", "/api/v1/admin/sites/{id}/webhook", || {
        seen(identified(shown::<View>(TAG, "Have a site's agent not called any more")))
    }),
];

fn add() -> Operation {
    let operation = made::<New, Made>(TAG, "Have another system told of events").describe(
        "It gets `{\"event\", \"timestamp\", \"data\"}` by POST, with `webhook-id`, `webhook-timestamp` and \
         `webhook-signature` as Standard Webhooks says. The secret is shown this once.",
    );
    tagged(operation, 201)
}

fn delivery(operation: Operation) -> Operation {
    operation.path("id", "Its id", Shape::text().example(json!("msg_0198f2c0a1b24c5d8e9f00112233445a")))
}
