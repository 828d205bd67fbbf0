//! What one route takes and answers.

use crate::Shape;
use crate::shape::FAULT;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// The media type of most bodies.
const JSON: &str = "application/json";

/// What one route takes and answers.
#[derive(Debug, Clone)]
pub struct Operation(Map<String, Value>);

impl Operation {
    /// An operation among others of its kind, in one line.
    pub fn new(tag: &str, summary: &str) -> Self {
        let fields = [
            ("tags", json!([tag])),
            ("summary", json!(summary)),
            ("parameters", json!([])),
            ("responses", json!({})),
            ("security", json!([])),
        ];
        Self(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// What the line does not say.
    #[must_use]
    pub fn describe(mut self, text: &str) -> Self {
        self.0.insert("description".to_owned(), text.into());
        self
    }

    /// One more paragraph of description.
    #[must_use]
    pub fn describe_also(mut self, text: &str) -> Self {
        let told = match self.0.get("description").and_then(Value::as_str) {
            Some(before) => format!("{before}\n\n{text}"),
            None => text.to_owned(),
        };
        self.0.insert("description".to_owned(), told.into());
        self
    }

    /// Who may call: any one of these schemes, which the document's head has.
    #[must_use]
    pub fn secured(mut self, schemes: &[&str]) -> Self {
        let one = |scheme: &&str| json!({ *scheme: [] });
        self.0.insert("security".to_owned(), schemes.iter().map(one).collect());
        self
    }

    /// A part of the path.
    #[must_use]
    pub fn path(self, name: &str, what: &str, shape: Shape) -> Self {
        self.parameter(("path", true), name, what, shape)
    }

    /// What may stand behind the question mark.
    #[must_use]
    pub fn query(self, name: &str, what: &str, shape: Shape) -> Self {
        self.parameter(("query", false), name, what, shape)
    }

    /// What may, or has to, stand behind the question mark: the fields of the type that it is read into.
    #[must_use]
    pub fn queries<T: JsonSchema>(mut self) -> Self {
        let shape = Shape::taken::<T>().schema;
        let required = shape["required"].as_array().cloned().unwrap_or_default();
        for (name, field) in shape["properties"].as_object().into_iter().flatten() {
            let mut schema = given(field);
            let what = match schema.as_object_mut().and_then(|schema| schema.remove("description")) {
                Some(Value::String(what)) => what,
                _ => name.replace('_', " "),
            };
            self = self.parameter(("query", required.contains(&json!(name))), name, &what, Shape::schema(schema));
        }
        self
    }

    /// What has to stand behind the question mark.
    #[must_use]
    pub fn required_query(self, name: &str, what: &str, shape: Shape) -> Self {
        self.parameter(("query", true), name, what, shape)
    }

    /// A header that may be given.
    #[must_use]
    pub fn header(self, name: &str, what: &str, shape: Shape) -> Self {
        self.parameter(("header", false), name, what, shape)
    }

    /// A JSON body.
    #[must_use]
    pub fn takes(self, shape: Shape) -> Self {
        self.takes_as(JSON, shape)
    }

    /// A JSON body that need not be there.
    #[must_use]
    pub fn may_take(self, shape: Shape) -> Self {
        let mut operation = self.takes(shape);
        operation.0["requestBody"]["required"] = false.into();
        operation
    }

    /// A body of some media type; may be said for several.
    #[must_use]
    pub fn takes_as(mut self, media_type: &str, shape: Shape) -> Self {
        let body = self.0.entry("requestBody").or_insert_with(|| json!({ "required": true, "content": {} }));
        body["content"][media_type] = content(shape);
        self
    }

    /// A JSON answer. Said for the same status again, it is one of several shapes.
    #[must_use]
    pub fn answers(self, status: u16, what: &str, shape: Shape) -> Self {
        self.answers_as(JSON, status, what, shape)
    }

    /// An answer of some media type.
    #[must_use]
    pub fn answers_as(mut self, media_type: &str, status: u16, what: &str, shape: Shape) -> Self {
        let response = &mut self.0["responses"][status.to_string()];
        let told = match response["description"].as_str() {
            Some(before) if before != what => format!("{before} · {what}"),
            _ => what.to_owned(),
        };
        response["description"] = told.into();
        let before = response["content"][media_type].take();
        response["content"][media_type] = match before {
            Value::Null => content(shape),
            before if before["schema"] == shape.schema => before,
            mut before => {
                let first = before["schema"].take();
                before["schema"] = json!({ "anyOf": [first, shape.schema] });
                before
            }
        };
        self
    }

    /// An example of a JSON answer that was said before.
    #[must_use]
    pub fn answers_example(mut self, status: u16, example: Value) -> Self {
        let response = &mut self.0["responses"][status.to_string()];
        if response["description"].is_null() {
            response[FAULT] = "an example of no answer".into();
        }
        response["content"][JSON]["example"] = example;
        self
    }

    /// An answer without a body.
    #[must_use]
    pub fn answers_empty(mut self, status: u16, what: &str) -> Self {
        self.0["responses"][status.to_string()]["description"] = what.into();
        self
    }

    /// A header of an answer that was said before.
    #[must_use]
    pub fn with_header(mut self, status: u16, name: &str, what: &str) -> Self {
        let response = &mut self.0["responses"][status.to_string()];
        if response["description"].is_null() {
            response[FAULT] = name.into();
        }
        response["headers"][name] = json!({ "description": what, "schema": { "type": "string" } });
        self
    }

    /// Refusals of the same shape: status and what it means.
    #[must_use]
    pub fn refuses(mut self, shape: &Shape, statuses: &[(u16, &str)]) -> Self {
        for (status, what) in statuses {
            self = self.answers(*status, what, shape.clone());
        }
        self
    }

    fn parameter(mut self, (place, required): (&str, bool), name: &str, what: &str, shape: Shape) -> Self {
        let mut parameter = json!({
            "name": name, "in": place, "required": required, "description": what, "schema": shape.schema,
        });
        if let Some(example) = shape.example {
            parameter["example"] = example;
        }
        if let Some(parameters) = self.0["parameters"].as_array_mut() {
            parameters.push(parameter);
        }
        self
    }

    /// In place of a description that is missing: a document with it has a fault.
    pub fn missing(tag: &str) -> Self {
        let mut operation = Self::new(tag, "Not described yet");
        operation.0.insert(FAULT.to_owned(), "it is not described".into());
        operation
    }

    /// The operation at its path, by a name of its own.
    pub(crate) fn at(mut self, method: &str, path: &str) -> Value {
        let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let id = std::iter::once(method).chain(words).collect::<Vec<_>>().join("_");
        // Two paths that differ only in their marks must not get the same name.
        let id = if path.ends_with('/') { id + "_" } else { id };
        self.0.insert("operationId".to_owned(), id.into());
        let named = |name: &str| {
            self.0["parameters"].as_array().into_iter().flatten().any(|one| one["in"] == "path" && one["name"] == name)
        };
        let missing =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).find(|part| !named(part));
        if let Some(missing) = missing.map(str::to_owned) {
            self.0.insert(FAULT.to_owned(), missing.into());
        }
        Value::Object(self.0)
    }
}

/// A field that is there: `null` cannot be said behind a question mark.
fn given(field: &Value) -> Value {
    let mut schema = field.clone();
    if let Some(types) = schema["type"].as_array().cloned() {
        let mut others = types.into_iter().filter(|one| one != "null");
        schema["type"] = match (others.next(), others.next()) {
            (Some(one), None) => one,
            _ => field["type"].clone(),
        };
    }
    if let Some(shapes) = schema["anyOf"].as_array().cloned() {
        let mut others = shapes.into_iter().filter(|one| one["type"] != "null");
        if let (Some(Value::Object(one)), None) = (others.next(), others.next()) {
            let fields = schema.as_object_mut();
            if let Some(fields) = fields {
                fields.remove("anyOf");
                fields.extend(one);
            }
        }
    }
    if let Some(fields) = schema.as_object_mut() {
        fields.retain(|name, value| name != "default" || !value.is_null());
        for name in ["type", "anyOf"] {
            if fields.get(name).is_some_and(Value::is_null) {
                fields.remove(name);
            }
        }
    }
    schema
}

fn content(shape: Shape) -> Value {
    match shape.example {
        Some(example) => json!({ "schema": shape.schema, "example": example }),
        None => json!({ "schema": shape.schema }),
    }
}
