//! The plant licence API to the letter: each documented answer and each wrong input, one table an operation.

use crate::plant_world::{Answer, Request, World, error, without};
use reqwest::Method;
use serde_json::{Value, json};
use sitewarden_hub::store::{LicenseEdit, LicenseSelector, Role, Scope};
use sitewarden_protocol::id::LicenseId;
use sitewarden_protocol::license::Status;

const JSON: &str = "application/json";
const LICENSES: &str = "/_config/licenses";

#[tokio::test]
async fn who_calls_is_settled_before_anything_else() {
    let world = World::new().await;
    world.user("olga", Role::Operator, true).await;
    let unauthorised = error(401, "Unauthorised");
    let id = format!("{LICENSES}/{}", LicenseId::from_bytes([1; 16]));
    for (method, path) in [
        (Method::POST, LICENSES),
        (Method::PUT, &id),
        (Method::GET, &id),
        (Method::GET, "/_config/licenses/_list"),
        (Method::POST, "/_config/licenses/_activate"),
        (Method::GET, "/_config/licenses/_notification"),
        (Method::GET, "/_config/_notification/"),
        (Method::GET, "/_config/licenses/_verify"),
        (Method::GET, "/_config/nothing/here"),
        (Method::DELETE, LICENSES),
        (Method::GET, "/site_id=1&plant_id=2&app=CBM"),
    ] {
        for header in [None, Some("Basic "), Some("Basic !"), Some("Bearer x")] {
            let request =
                Request { method: method.clone(), path, user: "", authorization: header, ..Request::default() };
            assert_eq!(world.call(request).await, unauthorised, "{method} {path} {header:?}");
        }
    }
    for (method, path) in [(Method::POST, LICENSES), (Method::PUT, &id)] {
        let request = Request { method, path, user: "olga", ..Request::default() };
        assert_eq!(world.call(request).await, unauthorised, "{path} is for the vendor's administrators");
    }
}

#[tokio::test]
async fn wrong_passwords_make_one_wait() {
    let world = World::new().await;
    let right = Request { path: "/_config/licenses/_verify?app=LM", ..Request::default() };
    assert_eq!(world.call(right.clone()).await.0, 200);
    let wrong = Request { path: "/_config/licenses/_verify?app=LM", user: "admin:wrong", ..Request::default() };
    for _ in 0..5 {
        assert_eq!(world.call(wrong.clone()).await.0, 401);
    }
    assert_eq!(world.call(wrong).await, error(429, "Too many wrong passwords; try again later"));
    assert_eq!(world.call(right).await.0, 200, "who was right before does not wait for others");
}

#[tokio::test]
async fn wrong_methods_and_unknown_paths_are_told() {
    let world = World::new().await;
    let id = format!("{LICENSES}/{}", LicenseId::from_bytes([1; 16]));
    for (method, path) in [
        (Method::GET, LICENSES),
        (Method::DELETE, &id),
        (Method::POST, &id),
        (Method::PUT, "/_config/licenses/_list"),
        (Method::GET, "/_config/licenses/_activate"),
        (Method::POST, "/_config/licenses/_notification"),
        (Method::POST, "/_config/licenses/_verify"),
    ] {
        let request = Request { method: method.clone(), path, ..Request::default() };
        assert_eq!(world.call(request).await, error(405, "Method not allowed"), "{method} {path}");
    }
    for path in ["/_config/nothing", "/_config/licenses/a/b", "/_config/licenses/"] {
        assert_eq!(world.get(path).await, error(404, "Not found"), "{path}");
    }
}

#[tokio::test]
async fn a_license_is_generated_or_the_first_fault_is_told() {
    let world = World::new().await;
    let good = world.sample();
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body.to_string()
    };
    let other_plant = "0190c8a0-0000-7000-8000-000000000000";
    let (insufficient, data_type) = (error(400, "Insufficient inputs"), error(400, "Invalid input data type"));
    let (validity, app) = (error(400, "License validity is invalid"), error(400, "Invalid application name"));
    let (quota, place) =
        (error(400, "License quota must be a positive integer"), error(400, "Plant id or Site id not found"));
    let mut cases = vec![
        ("text/plain", String::new(), error(400, "Invalid content type")),
        ("application/x-www-form-urlencoded", good.to_string(), error(400, "Invalid content type")),
        ("", good.to_string(), error(400, "Invalid content type")),
        (JSON, String::new(), insufficient.clone()),
        (JSON, "{}".to_owned(), insufficient.clone()),
        (JSON, "{\"license_name\": ".to_owned(), data_type.clone()),
        (JSON, "[]".to_owned(), data_type.clone()),
        (JSON, with("license_name", json!(1)), data_type.clone()),
        (JSON, with("license_validity", json!(1)), data_type.clone()),
        (JSON, with("license_description", json!(1)), data_type.clone()),
        (JSON, with("license_quota", json!("100")), data_type.clone()),
        (JSON, with("license_quota", json!(1.5)), data_type.clone()),
        (JSON, with("license_quota", json!(0)), quota.clone()),
        (JSON, with("license_quota", json!(-1)), quota.clone()),
        (JSON, with("license_quota", json!(5_000_000_000_u64)), quota),
        (JSON, with("license_validity", json!("1w")), validity.clone()),
        (JSON, with("license_validity", json!("0y")), validity),
        (JSON, with("app", json!("XYZ")), app),
        (JSON, with("plant_id", json!(other_plant)), place.clone()),
        (JSON, with("site_id", json!("7a45d8sde5-92d2-46a7-92d3-85aa4bd57bba")), place.clone()),
        (JSON, with("site_id", json!(other_plant)), place),
        (JSON, "x".repeat(17 << 10), error(413, "The body is too large")),
    ];
    for name in ["license_name", "plant_id", "site_id", "license_validity", "app", "license_quota"] {
        cases.push((JSON, without(&good, name).to_string(), insufficient.clone()));
        cases.push((JSON, with(name, Value::Null), insufficient.clone()));
    }
    cases.push((JSON, with("license_name", json!(" ")), insufficient));
    for (content_type, body, expected) in cases {
        let answer = world.send(Method::POST, LICENSES, content_type, &body).await;
        assert_eq!(answer, expected, "{content_type} {body:.300}");
    }
    let (status, made) = world.send(Method::POST, LICENSES, "application/json; charset=utf-8", &good.to_string()).await;
    assert!(status == 200 && made["id"].as_str().unwrap().parse::<LicenseId>().is_ok(), "{made}");
    let clash = world.send(Method::POST, LICENSES, JSON, &good.to_string()).await;
    assert_eq!(clash, error(409, "License name L1 already exists"));
    let bare = without(&with("license_name", json!("L2")).parse().unwrap(), "license_description");
    assert_eq!(world.send(Method::POST, LICENSES, JSON, &bare.to_string()).await.0, 200);
}

#[tokio::test]
async fn a_license_is_updated_or_the_first_fault_is_told() {
    let world = World::new().await;
    let id = world.license("L1", "EMS").await;
    world.license("L2", "EMS").await;
    let path = format!("{LICENSES}/{id}");
    let unknown = format!("{LICENSES}/{}", LicenseId::from_bytes([1; 16]));
    let quota = error(400, "License quota must be a positive integer");
    let (updated, data_type): (Answer, Answer) =
        ((200, json!("License updated")), error(400, "Invalid input data type"));
    let (empty, invalid) =
        (error(400, "Invalid license data:Required fields cannot be empty"), error(400, "Invalid license"));
    let ended = error(400, "Cannot change status from 'Invalid' to any other value");
    let statuses = error(400, "Status must be one of Inactive, Active, Expired, Deactivated, Invalid");
    for (path, content_type, body, expected) in [
        (&path, "text/plain", json!({}), error(400, "Invalid content type")),
        (&unknown, JSON, json!({}), error(400, "Insufficient inputs")),
        (&path, JSON, json!({ "colour": "red" }), error(400, "Insufficient inputs")),
        (&path, JSON, json!([]), data_type.clone()),
        (&path, JSON, json!({ "license_name": 1 }), data_type.clone()),
        (&path, JSON, json!({ "status": 1 }), data_type),
        (&unknown, JSON, json!({ "license_quota": 0 }), invalid.clone()),
        (&format!("{LICENSES}/no-id"), JSON, json!({ "license_quota": 1 }), invalid),
        (&path, JSON, json!({ "license_quota": 0 }), quota.clone()),
        (&path, JSON, json!({ "license_quota": -5 }), quota.clone()),
        (&path, JSON, json!({ "license_quota": "ten" }), quota.clone()),
        (&path, JSON, json!({ "license_quota": 1.5 }), quota),
        (&path, JSON, json!({ "license_name": "L2" }), error(400, "License name L2 already exists")),
        (&path, JSON, json!({ "license_name": "" }), empty),
        (&path, JSON, json!({ "status": "" }), error(400, "Status cannot be empty")),
        (&path, JSON, json!({ "status": null }), error(400, "Status cannot be empty")),
        (&path, JSON, json!({ "status": "active" }), statuses),
        (&path, JSON, json!({ "license_validity": "x" }), error(400, "License validity is invalid")),
        (&path, JSON, json!({ "app": "XYZ" }), error(400, "Invalid application name")),
        (&path, JSON, json!({ "plant_id": "x" }), error(400, "Plant id or Site id not found")),
        (&path, JSON, json!({ "site_id": world.plant.to_string() }), error(400, "Plant id or Site id not found")),
        (&path, JSON, json!({ "license_quota": 7, "license_description": "" }), updated.clone()),
        (&path, JSON, json!({ "status": "Expired" }), error(400, "Cannot change status from 'Inactive' to 'Expired'")),
        (&path, JSON, json!({ "status": "Active", "license_validity": "2y" }), updated.clone()),
        (&path, JSON, json!({ "status": "Invalid" }), updated.clone()),
        (&path, JSON, json!({ "status": "Invalid" }), updated),
        (&path, JSON, json!({ "status": "Active" }), ended.clone()),
        (&path, JSON, json!({ "license_name": "L3", "status": "Inactive" }), ended),
    ] {
        let answer = world.send(Method::PUT, path, content_type, &body.to_string()).await;
        assert_eq!(answer, expected, "{content_type} {body}");
    }
    let (_, shown) = world.get(&path).await;
    assert_eq!(
        (&shown["license_name"], &shown["license_quota"], &shown["status"]),
        (&json!("L1"), &json!(7), &json!("Invalid"))
    );
    let history = world.store().license_history(Scope::default(), LicenseSelector::Uuid(id)).await.unwrap();
    assert_eq!(history.iter().map(|one| one.by.as_str()).collect::<Vec<_>>(), ["admin"; 4]);
}

#[tokio::test]
async fn a_license_is_updated_only_if_it_is_as_it_was_seen() {
    let world = World::new().await;
    let path = format!("{LICENSES}/{}", world.license("L1", "EMS").await);
    let client = world.hub().client();
    let call = async |method: Method, tag: Option<&str>, name: &str| {
        let request = client.request(method, world.hub().url(&path)).basic_auth("admin", Some("a long password"));
        let request = request.json(&json!({ "license_name": name }));
        let request = tag.into_iter().fold(request, |request, tag| request.header("if-match", tag));
        let answer = request.send().await.unwrap();
        let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (answer.status().as_u16(), tag, answer.json::<Value>().await.unwrap())
    };
    let seen = call(Method::GET, None, "").await.1.unwrap();
    assert_eq!(call(Method::PUT, Some(&seen), "L2").await.0, 200);
    let (status, _, refused) = call(Method::PUT, Some(&seen), "L3").await;
    assert_eq!((status, &refused["error"]["status"]), (412, &json!(412)), "{refused}");
    let (_, now, shown) = call(Method::GET, None, "").await;
    assert_eq!((now.as_deref(), &shown["license_name"]), (Some("\"2\""), &json!("L2")));
    assert_eq!(call(Method::PUT, None, "L3").await.0, 200, "without the header whatever there is is changed");
}

#[tokio::test]
async fn a_license_is_shown_with_every_documented_field() {
    let world = World::new().await;
    let id = world.license("License_abc1", "EMS").await;
    let path = format!("{LICENSES}/{id}");
    let (status, fresh) = world.get(&path).await;
    let key = fresh["license_key"].as_str().unwrap().to_owned();
    assert_eq!((status, key.len()), (200, 32));
    let expected = json!({
        "license_id": id, "license_key": key, "license_name": "License_abc1", "plant_id": world.plant,
        "site_id": world.site, "created_at": fresh["created_at"], "activated_at": null, "license_validity": "1y",
        "expiry_date": null, "app": "EMS", "license_quota": 100, "status": "Inactive",
        "license_description": "Description", "latest": false, "site_name": "Site", "plant_name": "Plant",
        "license_used": 0,
    });
    assert_eq!(fresh, expected);
    assert!(
        fresh["created_at"].as_i64().unwrap() > 1_700_000_000 && fresh["created_at"].as_i64().unwrap() < 20_000_000_000
    );
    let _line = world.reports("EMS", 11).await;
    world.activated(id).await;
    let (_, active) = world.get(&path).await;
    assert_eq!(
        (&active["status"], &active["latest"], &active["license_used"]),
        (&json!("Active"), &json!(true), &json!(11))
    );
    assert!(active["expiry_date"].as_i64().unwrap() - active["activated_at"].as_i64().unwrap() >= 365 * 86_400);
    for path in [
        format!("{LICENSES}/{}", LicenseId::from_bytes([1; 16])),
        format!("{LICENSES}/no-id"),
        format!("{LICENSES}/%ff"),
    ] {
        assert_eq!(world.get(&path).await, error(400, "Data not found"), "{path}");
    }
}

#[tokio::test]
async fn licenses_of_a_site_are_listed() {
    let world = World::new().await;
    let list = format!("{LICENSES}/_list");
    let place = format!("{list}?site_id={}&plant_id={}", world.site, world.plant);
    assert_eq!(world.get(&place).await, (200, json!([])));
    for (name, app) in [("L1", "EMS"), ("L2", "CBM")] {
        world.license(name, app).await;
    }
    let (_, all) = world.get(&place).await;
    let names: Vec<_> = all.as_array().unwrap().iter().map(|one| one["license_name"].clone()).collect();
    assert_eq!(names, [json!("L1"), json!("L2")]);
    let insufficient = error(400, "Insufficient inputs");
    for query in ["", "?site_id=x", "?plant_id=x", "?site_id=&plant_id="] {
        assert_eq!(world.get(&format!("{list}{query}")).await, insufficient, "{query}");
    }
    let no_place = error(400, "Plant id or Site id not found");
    for (site, plant) in [("x".to_owned(), "x".to_owned()), (world.plant.to_string(), world.site.to_string())] {
        assert_eq!(world.get(&format!("{list}?site_id={site}&plant_id={plant}")).await, no_place);
    }
    world.user("vera", Role::Viewer, true).await;
    world.elsewhere("eve").await;
    let (_, seen) = world.call(Request { path: &place, user: "vera", ..Request::default() }).await;
    assert_eq!((&seen[0]["license_name"], &seen[0]["license_key"]), (&json!("L1"), &json!("")));
    assert_eq!(world.call(Request { path: &place, user: "eve", ..Request::default() }).await, no_place);
}

#[tokio::test]
async fn a_key_is_activated_or_the_fault_is_told() {
    let world = World::new().await;
    let path = "/_config/licenses/_activate";
    let form = "application/x-www-form-urlencoded";
    let key = |id| world.key(id);
    let first = world.license("ABC Steel Company_HSM_CBM_L1", "CBM").await;
    let (insufficient, data_type) = (error(400, "Insufficient inputs"), error(400, "Invalid input data type"));
    let empty = error(400, "Invalid license data:Required fields cannot be empty");
    for (body, expected) in [
        (String::new(), insufficient.clone()),
        ("{}".to_owned(), insufficient.clone()),
        (json!({ "deactivate": "yes" }).to_string(), insufficient.clone()),
        (json!({ "license_key": null }).to_string(), insufficient),
        (json!({ "license_key": 5 }).to_string(), data_type.clone()),
        ("license_key=x".to_owned(), data_type.clone()),
        (json!({ "license_key": key(first).await, "deactivate": true }).to_string(), data_type),
        (json!({ "license_key": "" }).to_string(), empty.clone()),
        (json!({ "license_key": "  " }).to_string(), empty),
        (
            json!({ "license_key": "9[uY@]WT@zvoasdas?NweOZSBr2A8*ELr%t%" }).to_string(),
            error(400, "License does not exist"),
        ),
    ] {
        assert_eq!(world.send(Method::POST, path, form, &body).await, expected, "{body}");
    }
    let activate = async |id, deactivate: Option<&str>| {
        let body = json!({ "license_key": key(id).await, "deactivate": deactivate }).to_string();
        world.send(Method::POST, path, form, &body).await
    };
    let done: Answer = (200, json!("License activated successfully"));
    let spent = error(400, "License either in-use/expired/revoked");
    assert_eq!(activate(first, None).await, done);
    assert_eq!(activate(first, None).await, spent);
    let second = world.license("ABC Steel Company_HSM_CBM_L3", "CBM").await;
    let (status, question) = activate(second, Some("no")).await;
    let day = world.a_year_from_now();
    let one =
        |name: &str| json!({ "name": format!("ABC Steel Company_HSM_CBM_{name}"), "quota": 100, "expiry_date": day });
    let message = json!({ "app_name": "CBM", "current_license": one("L1"), "new_license": one("L3") });
    assert_eq!((status, question), (202, json!({ "error": { "status": 202, "message": message } })));
    assert_eq!(activate(second, Some("yes")).await, done);
    assert_eq!(world.status(first).await, Status::Deactivated);
    assert_eq!(activate(first, Some("yes")).await, spent);
    let revoked = world.license("L4", "EMS").await;
    let edit = LicenseEdit { status: Some(Status::Invalid), ..LicenseEdit::default() };
    world.store().edit_license(&crate::support::act(), LicenseSelector::Uuid(revoked), edit).await.unwrap().unwrap();
    assert_eq!(activate(revoked, None).await, spent);
}

#[tokio::test]
async fn a_quota_below_what_runs_is_refused_and_an_activation_is_pushed() {
    let world = World::new().await;
    let id = world.license_of("L1", "EMS", 10).await;
    let mut line = world.reports("EMS", 11).await;
    let body = json!({ "license_key": world.key(id).await }).to_string();
    let text = "Unable to activate the license as the current monitor count (11) exceeds the permitted count (10)";
    assert_eq!(world.send(Method::POST, "/_config/licenses/_activate", "", &body).await, error(409, text));
    let put = |body: Value| world.send_owned(Method::PUT, format!("{LICENSES}/{id}"), body);
    assert_eq!(put(json!({ "status": "Active" })).await, error(409, text));
    assert_eq!(put(json!({ "license_quota": 11 })).await.0, 200);
    assert_eq!(put(json!({ "status": "Active" })).await.0, 200);
    assert_eq!(world.pushed(&mut line, |license| license.status == Status::Active).await.limits.monitors, Some(11));
}

#[tokio::test]
async fn what_ends_is_notified_in_the_documented_words() {
    let world = World::new().await;
    world.user("olga", Role::Operator, true).await;
    world.user("vera", Role::Viewer, false).await;
    let path = "/_config/licenses/_notification";
    let ask = async |user, path: &str| world.call(Request { path, user, ..Request::default() }).await;
    let brief = |texts: Value| (200, json!({ "notification": texts }));
    assert_eq!(ask("olga", path).await, brief(json!("")));
    world.ended("E1", "CBM", "30d", 40).await;
    assert_eq!(ask("olga", path).await, brief(json!("")), "there is no text for what has expired");
    world.ended("E2", "EMS", "30d", 5).await;
    let soon = |app: &str| format!("The {app} license for Plant plant is about to expire");
    assert_eq!(ask("olga", path).await, brief(json!(soon("EMS"))));
    world.ended("E3", "CBM", "30d", 1).await;
    for alias in [path, "/_config/_notification/", "/_config/_notification"] {
        assert_eq!(ask("olga", alias).await, brief(json!([soon("CBM"), soon("EMS")])), "{alias}");
    }
    assert_eq!(ask("admin", path).await, error(403, "Admin user"));
    assert_eq!(ask("vera", path).await, error(403, "Admin user"), "who has no plant");
    let (site, plant) = (world.site.to_string(), world.plant.to_string());
    let text = |app: &str, what: &str, day: String| {
        format!("The {app} license {what} on {day}. Please contact your Administrator to renew your license.")
    };
    let expired = text("CBM", "has expired", world.day(-10));
    let (ems, cbm) =
        (text("EMS", "is about to expire", world.day(25)), text("CBM", "is about to expire", world.day(29)));
    for (app, texts) in
        [("LM", json!([&expired, &cbm, &ems])), ("EMS", json!([&ems])), ("CBM", json!([&expired, &cbm]))]
    {
        let query = format!("{path}?site_id={site}&plant_id={plant}&app={app}");
        let told = json!({ "notification": texts, "site_id": site, "plant_id": plant, "app": app });
        for user in ["admin", "olga"] {
            assert_eq!(ask(user, &query).await, (200, told.clone()), "{user} {app}");
        }
    }
    assert_eq!(ask("olga", &format!("{path}?app=EMS")).await, (200, json!({ "notification": [ems], "app": "EMS" })));
    assert_eq!(ask("olga", &format!("{path}?app=XYZ")).await, error(400, "Invalid application name"));
    let no_place = error(400, "Plant id or Site id not found");
    for query in ["site_id=x".to_owned(), format!("site_id={plant}"), format!("site_id={site}&plant_id={site}")] {
        assert_eq!(ask("admin", &format!("{path}?{query}")).await, no_place, "{query}");
    }
    world.elsewhere("eve").await;
    assert_eq!(ask("eve", path).await, brief(json!("")));
    assert_eq!(ask("eve", &format!("{path}?site_id={site}")).await, no_place);
}

#[tokio::test]
async fn access_is_verified() {
    let world = World::new().await;
    world.user("olga", Role::Operator, true).await;
    world.user("vera", Role::Viewer, false).await;
    world.user("adam", Role::Admin, true).await;
    let active = world.license("L1", "EMS").await;
    world.activated(active).await;
    world.license("L2", "CBM").await;
    let (authorised, unauthorised) = ((200, json!("Authorised")), error(401, "Unauthorised"));
    let no_app = error(400, "App not given");
    for (user, query, expected) in [
        ("admin", "?app=EMS", (200, json!("Admin user"))),
        ("admin", "?app=LM", (200, json!("Admin user"))),
        ("admin", "", no_app.clone()),
        ("olga", "?app=", no_app.clone()),
        ("olga", "?ap=EMS", no_app),
        ("olga", "?app=EMS", authorised.clone()),
        ("olga", "?app=LM", authorised.clone()),
        ("olga", "?app=CBM", unauthorised.clone()),
        ("olga", "?app=XYZ", unauthorised.clone()),
        ("adam", "?app=EMS", authorised.clone()),
        ("adam", "?app=CBM", unauthorised.clone()),
        ("vera", "?app=LM", authorised),
        ("vera", "?app=EMS", unauthorised),
    ] {
        let path = format!("/_config/licenses/_verify{query}");
        assert_eq!(world.call(Request { path: &path, user, ..Request::default() }).await, expected, "{user} {query}");
    }
}

#[tokio::test]
async fn the_job_expires_what_is_over_when_the_hub_starts() {
    let world = World::new().await;
    let id = world.ended("E1", "CBM", "30d", 40).await;
    assert_eq!(world.get(&format!("{LICENSES}/{id}")).await.1["status"], "Expired", "whether or not the job came by");
    let world = world.restarted().await;
    world.becomes(id, Status::Expired).await;
}
