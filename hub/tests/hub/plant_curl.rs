//! The plant licence document's own curl lines: method, path, headers and body as printed there. Only host, ids, the key
//! and the credentials are other ones; where the document prints an id, it is put in for it here.

use crate::plant_world::World;
use serde_json::{Value, json};
use sitewarden_protocol::license::Status;

const GENERATE: &str = r#"curl --location 'https://app.4pointx.com/_config/licenses' \
--header 'Content-Type: application/json' \
--header 'Authorization: Basic ' \
--data '{ "license_name":"L1", "plant_id": "PLANT", "site_id": "SITE", "license_validity": "1y", "app":"EMS", "license_quota": 100, "license_description": "Description" }'"#;

const UPDATE: &str = r#"curl --location --request PUT 'https://app.4pointx.com/_config/licenses/LICENSE' \
--header 'Content-Type: application/json' \
--header 'Authorization: Basic <credentials>' \
--data ' { "license_name":"L1", "plant_id": "PLANT", "site_id": "SITE", "license_validity": "1y", "app":"EMS", "license_quota": 100, "license_description": "Description", "status": "Invalid" }'"#;

const GET: &str = r#"curl --location 'https://app.4pointx.com/_config/licenses/LICENSE' \
--header 'Authorization: Basic '"#;

/// With the blank before the address, and the empty data, which make curl send a POST; see below.
const LIST: &str = r#"curl --location ' https://app.4pointx.com/_config/licenses/_list?site_id=SITE&plant_id=PLANT' \
--header 'Authorization: Basic ' \
--data ''"#;

const ACTIVATE: &str = r#"curl --location 'https://app.4pointx.com/_config/licenses/_activate' \
--header 'Authorization: Basic ' \
--data '{ "license_key": "KEY" }'"#;

const ACTIVATE_AND_DEACTIVATE: &str = r#"curl --location 'https://app.4pointx.com/_config/licenses/_activate' \
--header 'Authorization: Basic ' \
--data '{ "license_key": "KEY", "deactivate": "yes" }'"#;

const NOTIFICATION: &str = r#"curl --location 'https://app.4pointx.com/_config/_notification/' \
--header 'Authorization: Basic '"#;

const NOTIFICATION_WITH_PARAMETERS: &str = r#"curl --location 'https://app.4pointx.com/site_id=SITE&plant_id=PLANT&app=CBM' \
--header 'Authorization: Basic '"#;

const VERIFY: &str = r#"curl --location 'https://app.4pointx.com/_config/licenses/_verify?app=LM' \
--header 'Authorization: Basic '"#;

/// What curl sends for a line: POST with a form's content type as soon as there is data, whatever the data is.
struct Curl {
    method: String,
    path: String,
    content_type: String,
    body: String,
}

impl Curl {
    fn parse(line: &str) -> Self {
        let words = words(line);
        let mut words = words.iter().map(String::as_str).skip(1);
        let (mut method, mut path, mut content_type, mut body) = (None, String::new(), None, None);
        while let Some(word) = words.next() {
            match word {
                "--location" => {}
                "--request" => method = words.next(),
                "--data" => body = words.next(),
                "--header" => {
                    let (name, value) = words.next().unwrap().split_once(": ").unwrap();
                    match name {
                        "Content-Type" => content_type = Some(value),
                        name => assert!(name == "Authorization" && value.starts_with("Basic "), "{name}: {value}"),
                    }
                }
                url => url.trim().strip_prefix("https://app.4pointx.com").unwrap().clone_into(&mut path),
            }
        }
        let by_data = body.map_or("GET", |_| "POST");
        let form = body.map_or("", |_| "application/x-www-form-urlencoded");
        Self {
            method: method.unwrap_or(by_data).to_owned(),
            path,
            content_type: content_type.unwrap_or(form).to_owned(),
            body: body.unwrap_or_default().to_owned(),
        }
    }
}

/// As a shell splits them: quotes group, a backslash before a line's end joins.
fn words(line: &str) -> Vec<String> {
    let joined = line.replace("\\\n", " ");
    let parts = joined.split('\'').enumerate();
    let of_part = |(index, part): (usize, &str)| -> Vec<String> {
        if index % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() }
    };
    parts.flat_map(of_part).collect()
}

impl World {
    /// What a line of the document is answered, as `user`.
    async fn curl(&self, user: &str, line: &str, license: &str, key: &str) -> (u16, Value) {
        let (site, plant) = (self.site.to_string(), self.plant.to_string());
        let line = line.replace("SITE", &site).replace("PLANT", &plant).replace("LICENSE", license).replace("KEY", key);
        let curl = Curl::parse(&line);
        let request = crate::plant_world::Request {
            method: curl.method.parse().unwrap(),
            path: &curl.path,
            user,
            content_type: &curl.content_type,
            body: &curl.body,
            ..Default::default()
        };
        self.call(request).await
    }
}

#[tokio::test]
async fn the_documents_own_curl_lines_work() {
    let world = World::new().await;
    world.user("olga", sitewarden_hub::store::Role::Operator, true).await;
    let (status, made) = world.curl("admin", GENERATE, "", "").await;
    assert_eq!(status, 200, "{made}");
    let id = made["id"].as_str().unwrap();
    let key = world.key(id.parse().unwrap()).await;

    let (status, shown) = world.curl("admin", GET, id, "").await;
    assert_eq!((status, &shown["license_key"]), (200, &json!(key)));
    let (status, list) = world.curl("admin", LIST, "", "").await;
    assert_eq!((status, &list[0]["license_id"]), (200, &json!(id)));

    let activated = json!("License activated successfully");
    assert_eq!(world.curl("admin", ACTIVATE, "", &key).await, (200, activated.clone()));
    let second = world.license("L2", "EMS").await;
    let key = world.key(second).await;
    assert_eq!(world.curl("olga", ACTIVATE, "", &key).await.0, 202);
    assert_eq!(world.curl("olga", ACTIVATE_AND_DEACTIVATE, "", &key).await, (200, activated));
    assert_eq!(world.status(id.parse().unwrap()).await, Status::Deactivated);

    assert_eq!(world.curl("olga", NOTIFICATION, "", "").await, (200, json!({ "notification": "" })));
    let asked = json!({ "notification": [], "site_id": world.site, "plant_id": world.plant, "app": "CBM" });
    assert_eq!(world.curl("olga", NOTIFICATION_WITH_PARAMETERS, "", "").await, (200, asked.clone()));
    assert_eq!(world.curl("admin", NOTIFICATION_WITH_PARAMETERS, "", "").await, (200, asked));
    assert_eq!(world.curl("olga", VERIFY, "", "").await, (200, json!("Authorised")));
    assert_eq!(world.curl("admin", VERIFY, "", "").await, (200, json!("Admin user")));

    assert_eq!(world.curl("admin", UPDATE, id, "").await, (200, json!("License updated")));
    assert_eq!(world.status(id.parse().unwrap()).await, Status::Invalid);
    assert_eq!(world.curl("admin", UPDATE, id, "").await, (200, json!("License updated")), "a repeat succeeds");
}

#[test]
fn lines_are_read_as_curl_does() {
    let update = Curl::parse(UPDATE);
    assert_eq!((update.method.as_str(), update.content_type.as_str()), ("PUT", "application/json"));
    let list = Curl::parse(LIST);
    assert_eq!((list.method.as_str(), list.body.as_str()), ("POST", ""));
    assert_eq!(Curl::parse(ACTIVATE).content_type, "application/x-www-form-urlencoded");
    assert_eq!(Curl::parse(VERIFY).method, "GET");
}
