//! The plant licence API, and monitors in its manner. Its samples are the document's.

use super::{BASIC, LICENSES, MONITORS};
use crate::{Operation, Shape};
use serde_json::{Value, json};

/// The one form of errors.
pub fn error(status: u16, message: &str) -> Shape {
    Shape::like(json!({ "error": { "status": status, "message": message } }))
}

/// Who calls is settled before anything else.
pub fn known(operation: Operation) -> Operation {
    operation
        .secured(&[BASIC])
        .answers(401, "No user, a wrong password, or a user who may not", error(401, "Unauthorised"))
        .answers(429, "Too many wrong passwords", error(429, "Too many wrong passwords; try again later"))
        .with_header(429, "Retry-After", "Seconds")
}

/// Refusals; of several words for one status the first is the example.
pub fn refuses(operation: Operation, statuses: &[(u16, &str)]) -> Operation {
    statuses.iter().fold(operation, |operation, (status, what)| {
        let first = what.split(" · ").next().unwrap_or_default();
        operation.answers(*status, what, error(*status, first))
    })
}

/// What can go wrong where a record has to be on disk first.
const DISK: [(u16, &str); 2] =
    [(503, "the journal is busy, or the agent stops · nothing was changed"), (507, "the journal is full")];

fn app() -> Shape {
    Shape::text().example(json!("EMS"))
}

/// `GET /_config/licenses/_verify`.
pub fn verify() -> Operation {
    let operation = Operation::new(LICENSES, "May the caller use an app?")
        .describe(
            "`Authorised`, or `Admin user` for the vendor's own people. LM (licence management) needs no licence. Answered \
             from memory.\n\nWith a nonce, a yes and a no carry a proof: a JWS over app, user, nonce, decision, licence, \
             snapshot revision, time and a counter, signed by the agent; its certificates are at `/.well-known/sitewarden`.",
        )
        .required_query("app", "Which app", app())
        .query(
            "nonce",
            "Fresh random text, for a proof",
            Shape::schema(json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{16,128}$" })),
        )
        .answers(200, "It may be used", Shape::word(&["Authorised", "Admin user"]).example(json!("Authorised")))
        .with_header(200, "Sitewarden-Proof", "The proof, if a nonce was given");
    let denied = known(refuses(operation, &[(400, "App not given")]));
    denied.with_header(401, "Sitewarden-Proof", "The proof of a no, if a nonce was given")
}

/// `GET /_config/licenses/_explain`; what it answers, agent and hub tell each in its own shape.
pub fn explain(answer: Shape) -> Operation {
    let operation = Operation::new(LICENSES, "Why may an app be used or not, and when does that change?")
        .describe("For operators and administrators.")
        .required_query("app", "Which app", app())
        .query("at", "When, instead of now: a date, or a time in RFC 3339", Shape::text())
        .answers(200, "Why, and what will change", answer);
    known(refuses(operation, &[(400, "App not given")]))
}

/// `POST /_config/licenses/_activate`.
pub fn activate() -> Operation {
    let body = Shape::like(json!({ "license_key": "9[uY@]WT@zvoasdas?NweOZSBr2A8*ELr%t%", "deactivate": "yes" }));
    let body = body.optional(&["deactivate"]).open();
    let operation = Operation::new(LICENSES, "Activate a licence by its key")
        .describe(
            "Through the hub where there is a line, else here. The body is JSON whatever the content type says. Only exactly \
             `yes` gives an Active licence up. For operators and administrators.",
        )
        .takes(body)
        .answers(200, "Done", Shape::word(&["License activated successfully"]))
        .answers(202, "Another licence of the app is active; ask again with `deactivate`", question());
    known(refuses(
        operation,
        &[
            (
                400,
                "License does not exist · Insufficient inputs · Invalid input data type · Invalid license data:Required \
                 fields cannot be empty · License either in-use/expired/revoked",
            ),
            (409, "Unable to activate the license as the current monitor count (11) exceeds the permitted count (10)"),
            (413, "body: it could not be read to its end"),
            (500, "License activation failed"),
        ],
    ))
}

/// The documented 202.
fn question() -> Shape {
    let license = |name: &str, end: &str| json!({ "name": name, "quota": 100, "expiry_date": end });
    let message = json!({
        "app_name": "CBM",
        "current_license": license("ABC Steel Company_HSM_CBM_L1", "20/01/2026"),
        "new_license": license("ABC Steel Company_HSM_CBM_L3", "18/03/2026"),
    });
    let may_be_none = [
        "error.message.current_license.quota",
        "error.message.current_license.expiry_date",
        "error.message.new_license.quota",
        "error.message.new_license.expiry_date",
    ];
    Shape::like(json!({ "error": { "status": 202, "message": message } })).nullable(&may_be_none)
}

/// The documented sample.
fn license() -> Shape {
    let example = json!({
        "license_id": "a481bd3e-1d72-4df3-8556-425d7d988cc4", "license_key": "…NgLn", "license_name": "License_abc1",
        "plant_id": "2424f1ff-57f7-429a-a330-0d730e942d8e", "site_id": "2bf0396a-bbc9-4eee-8775-4d928f1ea3f8",
        "created_at": 1_742_299_610, "activated_at": 1_742_316_312, "license_validity": "1d",
        "expiry_date": 1_742_402_712, "app": "EMS", "license_quota": 10, "status": "Active", "license_description": "",
        "latest": true, "site_name": "TestSite", "plant_name": "PlantTest", "license_used": 2,
    });
    Shape::like(example).words("status", &["Inactive", "Active", "Expired", "Deactivated", "Invalid"]).nullable(&[
        "activated_at",
        "license_validity",
        "expiry_date",
        "license_quota",
    ])
}

/// `GET /_config/licenses/{id}`.
pub fn show() -> Operation {
    let operation = Operation::new(LICENSES, "One licence of this site")
        .describe("`license_key` has the key's last characters only. For operators and administrators.")
        .path("id", "The licence's id", Shape::text().example(json!("a481bd3e-1d72-4df3-8556-425d7d988cc4")))
        .answers(200, "The licence", license());
    known(refuses(operation, &[(400, "Data not found")]))
}

/// `GET` and `POST /_config/licenses/_list`.
pub fn list() -> Operation {
    let id = || Shape::text().example(json!("2bf0396a-bbc9-4eee-8775-4d928f1ea3f8"));
    let operation = Operation::new(LICENSES, "The licences of this site")
        .describe("GET and POST alike: the document's own curl line sends a POST. For operators and administrators.")
        .required_query("site_id", "This site", id())
        .required_query("plant_id", "Its plant", id())
        .answers(200, "The licences", license().listed());
    known(refuses(operation, &[(400, "Insufficient inputs · Plant id or Site id not found")]))
}

/// `GET /_config/licenses/_notification`.
pub fn notification() -> Operation {
    let told: Value =
        json!("The EMS license has expired on Feb 21 2025. Please contact your Administrator to renew your license.");
    let one_or_more = json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] });
    let example = json!({
        "notification": [told], "site_id": "2bf0396a-bbc9-4eee-8775-4d928f1ea3f8",
        "plant_id": "2424f1ff-57f7-429a-a330-0d730e942d8e", "app": "EMS",
    });
    let shape = Shape::like(example)
        .field("notification", Shape::schema(one_or_more))
        .optional(&["site_id", "plant_id", "app"]);
    let operation = Operation::new(LICENSES, "What has expired or is about to")
        .describe(
            "Without parameters: an empty text, one text, or a list of what is about to expire. With parameters: always a \
             list, and the parameters again. LM stands for all apps. \"About to\" begins 30 days before.",
        )
        .query("site_id", "This site", Shape::text())
        .query("plant_id", "Its plant", Shape::text())
        .query("app", "An app, or LM", Shape::text())
        .answers(200, "What there is to tell", shape);
    known(refuses(operation, &[(400, "Plant id or Site id not found · Insufficient inputs"), (403, "Admin user")]))
}

fn monitor(operation: Operation) -> Operation {
    operation
        .path("monitor", "The app's own name for it, 1 to 128 bytes", Shape::text().example(json!("pump-7")))
        .required_query("app", "Which app", app())
}

const NO_PLACE: [(u16, &str); 3] = [
    (400, "App not given · monitor_id: 1 to 128 bytes without control characters are allowed"),
    (403, "No licence of this app may be used"),
    (409, "Unable to reserve the monitor as the permitted count (10) is in use"),
];

/// `PUT /_config/monitors/{monitor}`.
pub fn reserve() -> Operation {
    let answer = Shape::like(
        json!({ "monitor_id": "pump-7", "app": "EMS", "reserved_before": false, "in_use": 3, "quota": 10 }),
    );
    let operation = Operation::new(MONITORS, "Take a unit of the quota for a monitor")
        .describe("On disk before the answer. Of a monitor that has one already nothing changes.");
    let operation = monitor(operation).answers(200, "It is reserved", answer.nullable(&["quota"]));
    known(refuses(refuses(operation, &NO_PLACE), &DISK))
}

/// `DELETE /_config/monitors/{monitor}`.
pub fn release() -> Operation {
    let answer = Shape::like(json!({ "monitor_id": "pump-7", "app": "EMS", "released": true }));
    let operation =
        Operation::new(MONITORS, "Give a monitor's unit back").describe("`released` is false if it had none.");
    let operation = monitor(operation).answers(200, "It has none now", answer);
    known(refuses(refuses(operation, &[(400, "App not given")]), &DISK))
}

/// `GET /_config/monitors/_list`.
pub fn monitors() -> Operation {
    let answer = Shape::like(json!({ "app": "EMS", "in_use": 1, "monitors": ["pump-7"] }));
    let operation = Operation::new(MONITORS, "The monitors of an app that are in use")
        .required_query("app", "Which app", app())
        .answers(200, "Their names", answer);
    known(refuses(operation, &[(400, "App not given"), (503, "the agent is stopping")]))
}

/// `POST /_config/monitors/_bulk`.
pub fn bulk() -> Operation {
    let names = json!({
        "type": "array", "items": { "type": "string", "minLength": 1, "maxLength": 128 }, "minItems": 1, "maxItems": 1000,
    });
    let body = Shape::like(json!({ "app": "EMS", "monitors": ["pump-7", "pump-8"], "mode": "all_or_nothing" }))
        .words("mode", &["all_or_nothing", "as_many_as_fit"])
        .field("monitors", Shape::schema(names))
        .optional(&["mode"]);
    let answer =
        Shape::like(json!({ "app": "EMS", "reserved": ["pump-7"], "refused": ["pump-8"], "in_use": 10, "quota": 10 }));
    let operation = Operation::new(MONITORS, "Reserve many monitors at once")
        .describe("By default all or none; `as_many_as_fit` takes them in the order given.")
        .takes(body)
        .answers(200, "What became of them", answer.nullable(&["quota"]));
    let body = [
        (413, "the body is larger than 4 MiB"),
        (415, "Expected request with `Content-Type: application/json`"),
        (422, "Failed to deserialize the JSON body into the target type"),
    ];
    known(refuses(refuses(refuses(operation, &NO_PLACE), &body), &DISK))
}
