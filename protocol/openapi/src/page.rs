//! The document and the page that shows it: `/api/openapi.json` and `/api/docs`. The page is Swagger UI, which is in the
//! program; it loads nothing from elsewhere, and its headers forbid that.

use crate::shape::FAULT;
use crate::{Operation, Routes, Shape};
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use swagger_ui_redist::{SwaggerUi, SwaggerUiStaticFile};

/// What stands above the operations.
#[derive(Debug, Clone)]
pub struct Head {
    /// Whose API.
    pub title: &'static str,
    /// Of the program.
    pub version: &'static str,
    /// In Markdown.
    pub description: &'static str,
    /// What operations are grouped by, in order; a group without any is left out.
    pub tags: &'static [Tag],
    /// `components.securitySchemes`.
    pub security: Value,
    /// What the operations that serve the document are grouped under: one of the tags.
    pub own_tag: &'static str,
}

/// A group of operations.
#[derive(Debug, Clone, Copy)]
pub struct Tag {
    /// Its name.
    pub name: &'static str,
    /// What belongs to it.
    pub description: &'static str,
}

/// Nothing from elsewhere: not a script, not a style, not a picture, not a connection.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const START: &str = "window.onload = () => SwaggerUIBundle({\n  url: \"openapi.json\", dom_id: \"#swagger-ui\", \
     deepLinking: true, docExpansion: \"none\", filter: true, validatorUrl: null,\n});\n";

const FILES: [(&str, &str, SwaggerUiStaticFile); 2] = [
    ("swagger-ui.css", "text/css; charset=utf-8", SwaggerUiStaticFile::Css),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8", SwaggerUiStaticFile::Js),
];

/// The routes, and with them `/api/openapi.json`, which describes all of them, `/api/docs`, which shows it, and what that
/// page consists of.
pub fn described<S: Clone + Send + Sync + 'static>(routes: Routes<S>, head: &Head) -> Router<S> {
    let page: Arc<str> = html(head.title).into();
    let routes = routes
        .get("/api/docs", async move || file("text/html; charset=utf-8", page.to_string()), of_page(head))
        .get("/api/docs/{file}", async |Path(name): Path<String>| asset(&name), of_asset(head));
    let path = "/api/openapi.json";
    let own = Operation::new(head.own_tag, "This document")
        .describe("OpenAPI 3.1, made from the routes that are served.")
        .answers(200, "The document", Shape::schema(json!({ "type": "object" })));
    let (router, mut paths) = routes.into_parts();
    paths.entry(path.to_owned()).or_default().insert("get".to_owned(), own.at("get", path));
    let operations = || paths.values().flat_map(|operations| operations.values());
    let used = head.tags.iter().filter(|tag| operations().any(|operation| operation["tags"][0] == tag.name));
    let tags: Vec<_> = used.map(|tag| json!({ "name": tag.name, "description": tag.description })).collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": head.title, "version": head.version, "description": head.description },
        "tags": tags,
        "paths": paths,
        "components": { "securitySchemes": head.security },
    });
    let document: Arc<str> = document.to_string().into();
    let serve = async move || file("application/json", document.to_string());
    router.route(path, axum::routing::get(serve))
}

fn of_page(head: &Head) -> Operation {
    let html = Shape::text();
    Operation::new(head.own_tag, "This API to read and to try").answers_as("text/html", 200, "The page", html)
}

fn of_asset(head: &Head) -> Operation {
    let names = ["start.js", "swagger-ui.css", "swagger-ui-bundle.js"];
    Operation::new(head.own_tag, "What the page consists of")
        .path("file", "Which part", Shape::word(&names))
        .answers_as("text/javascript", 200, "The part", Shape::text())
        .answers_as("text/css", 200, "The part", Shape::text())
        .answers_as("text/plain", 404, "No such part", Shape::text())
}

fn asset(name: &str) -> Response {
    if name == "start.js" {
        return file("text/javascript; charset=utf-8", START);
    }
    let found = FILES.iter().find(|(known, _, _)| *known == name).and_then(|(_, media_type, which)| {
        let bytes = SwaggerUi::static_files().iter().find(|(file, _)| file == which).map(|(_, bytes)| *bytes);
        bytes.map(|bytes| file(media_type, bytes))
    });
    let nothing = || (StatusCode::NOT_FOUND, "the page has no such part\n").into_response();
    found.unwrap_or_else(nothing)
}

fn file(media_type: &'static str, body: impl IntoResponse) -> Response {
    const SNIFF: HeaderName = header::X_CONTENT_TYPE_OPTIONS;
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
        (SNIFF, "nosniff"),
    ];
    (headers, body).into_response()
}

fn html(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"docs/swagger-ui.css\">\n</head>\n<body>\n\
         <div id=\"swagger-ui\"></div>\n<script src=\"docs/swagger-ui-bundle.js\"></script>\n\
         <script src=\"docs/start.js\"></script>\n</body>\n</html>\n"
    )
}

/// Where a document contradicts itself: a field that its example has not, a part of a path that is not described, a group
/// or a way to log in that the head does not have.
pub fn faults(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(document, "", &mut found);
    let named = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|tag| tag["name"].as_str().map(str::to_owned)).collect()
    };
    let (tags, schemes) = (named(&document["tags"]), &document["components"]["securitySchemes"]);
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            if !tags.iter().any(|known| known == tag) {
                found.push(format!("{method} {path}: the tag {tag} is not in the head"));
            }
            let wanted = operation["security"].as_array().into_iter().flatten().filter_map(Value::as_object);
            for scheme in wanted.flat_map(|one| one.keys()).filter(|scheme| schemes[scheme.as_str()].is_null()) {
                found.push(format!("{method} {path}: the scheme {scheme} is not in the head"));
            }
        }
    }
    found
}

fn look(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(fault) = fields.get(FAULT) {
                found.push(format!("{path}: {fault}"));
            }
            fields.iter().for_each(|(name, value)| look(value, &format!("{path}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| look(value, &format!("{path}/{index}"), found));
        }
        _ => {}
    }
}
