//! What a value looks like: JSON Schema 2020-12, as OpenAPI 3.1 has it, and an example.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// What a value looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub(crate) schema: Value,
    pub(crate) example: Option<Value>,
}

/// Marks what the description of a route gets wrong; a document must not have one.
pub(crate) const FAULT: &str = "x-fault";

impl Shape {
    /// The shape of an example: of objects all fields are required and no others are there; of lists every item is like the
    /// first one. What differs from that is said by the methods below. `null` stands for anything.
    pub fn like(example: Value) -> Self {
        Self { schema: like(&example), example: Some(example) }
    }

    /// What serde writes of a type.
    pub fn of<T: JsonSchema>() -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let mut shape = Self::from_settings::<T>(settings);
        close(&mut shape.schema);
        shape
    }

    /// What serde reads into a type.
    pub fn taken<T: JsonSchema>() -> Self {
        Self::from_settings::<T>(SchemaSettings::draft2020_12().for_deserialize())
    }

    fn from_settings<T: JsonSchema>(settings: SchemaSettings) -> Self {
        let settings = settings.with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
        plain(&mut schema);
        Self { schema, example: None }
    }

    /// A schema as it is.
    pub const fn schema(schema: Value) -> Self {
        Self { schema, example: None }
    }

    /// Any text.
    pub fn text() -> Self {
        Self::schema(json!({ "type": "string" }))
    }

    /// A whole number within bounds.
    pub fn integer(least: i64, most: i64) -> Self {
        Self::schema(json!({ "type": "integer", "minimum": least, "maximum": most }))
    }

    /// True or false.
    pub fn flag() -> Self {
        Self::schema(json!({ "type": "boolean" }))
    }

    /// One of these words.
    pub fn word(words: &[&str]) -> Self {
        Self::schema(json!({ "type": "string", "enum": words }))
    }

    /// A time as RFC 3339 writes it.
    pub fn time() -> Self {
        Self::schema(json!({ "type": "string", "format": "date-time" }))
    }

    /// A UUID.
    pub fn uuid() -> Self {
        Self::schema(json!({ "type": "string", "format": "uuid" }))
    }

    /// A list of such.
    #[must_use]
    pub fn listed(self) -> Self {
        let example = self.example.map(|example| json!([example]));
        Self { schema: json!({ "type": "array", "items": self.schema }), example }
    }

    /// A list of so many of them.
    #[must_use]
    pub fn listed_between(self, least: usize, most: usize) -> Self {
        let mut shape = self.listed();
        (shape.schema["minItems"], shape.schema["maxItems"]) = (least.into(), most.into());
        shape
    }

    /// Any of several; the first one's example.
    pub fn any_of(shapes: impl IntoIterator<Item = Self>) -> Self {
        let mut example = None;
        let schemas: Vec<_> = shapes
            .into_iter()
            .map(|shape| {
                if example.is_none() {
                    example = shape.example;
                }
                shape.schema
            })
            .collect();
        Self { schema: json!({ "anyOf": schemas }), example }
    }

    /// With another example.
    #[must_use]
    pub fn example(self, example: Value) -> Self {
        Self { example: Some(example), ..self }
    }

    /// These fields may be null. A field is named by its path, such as `customer.email` or `items[].value`.
    #[must_use]
    pub fn nullable(self, fields: &[&str]) -> Self {
        self.each(fields, |schema| {
            let was = schema.take();
            *schema = json!({ "anyOf": [was, { "type": "null" }] });
        })
    }

    /// These fields may be missing.
    #[must_use]
    pub fn optional(mut self, fields: &[&str]) -> Self {
        for field in fields {
            let (parent, name) = field.rsplit_once('.').unwrap_or(("", field));
            let required = at(&mut self.schema, parent).and_then(|parent| parent.get_mut("required")?.as_array_mut());
            match required.map(|required| (required.len(), required)) {
                Some((before, required)) => {
                    required.retain(|required| required != name);
                    if required.len() == before {
                        self.schema[FAULT] = json!(field);
                    }
                }
                None => self.schema[FAULT] = json!(field),
            }
        }
        self
    }

    /// These are objects with any names, whose values are like the first one shown.
    #[must_use]
    pub fn map(self, fields: &[&str]) -> Self {
        self.each(fields, |schema| {
            let of = schema["properties"].as_object().and_then(|fields| fields.values().next().cloned());
            *schema = json!({ "type": "object", "additionalProperties": of.unwrap_or_else(|| json!({})) });
        })
    }

    /// These are objects of which nothing is known.
    #[must_use]
    pub fn object(self, fields: &[&str]) -> Self {
        self.each(fields, |schema| *schema = json!({ "type": "object" }))
    }

    /// This field is one of these words.
    #[must_use]
    pub fn words(self, field: &str, words: &[&str]) -> Self {
        self.field(field, Self::word(words))
    }

    /// These fields are times as RFC 3339 writes them.
    #[must_use]
    pub fn times(self, fields: &[&str]) -> Self {
        self.each(fields, |schema| *schema = Self::time().schema)
    }

    /// This field has this shape.
    #[must_use]
    pub fn field(self, field: &str, shape: Self) -> Self {
        self.each(&[field], |schema| *schema = shape.schema.clone())
    }

    /// Fields that are not named are taken too, and not looked at.
    #[must_use]
    pub fn open(mut self) -> Self {
        open(&mut self.schema);
        self
    }

    fn each(mut self, fields: &[&str], change: impl Fn(&mut Value)) -> Self {
        for field in fields {
            match at(&mut self.schema, field) {
                Some(schema) => change(schema),
                None => self.schema[FAULT] = json!(field),
            }
        }
        self
    }
}

fn like(example: &Value) -> Value {
    match example {
        Value::Null => json!({}),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(number) if number.is_f64() => json!({ "type": "number" }),
        Value::Number(_) => json!({ "type": "integer" }),
        Value::String(_) => json!({ "type": "string" }),
        Value::Array(items) => json!({ "type": "array", "items": items.first().map_or_else(|| json!({}), like) }),
        Value::Object(fields) => {
            let properties: Map<_, _> = fields.iter().map(|(name, value)| (name.clone(), like(value))).collect();
            let required: Vec<_> = fields.keys().collect();
            json!({
                "type": "object", "properties": properties, "required": required, "additionalProperties": false,
            })
        }
    }
}

/// The schema of a field; the whole for an empty path.
fn at<'a>(schema: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let mut here = schema;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let name = part.trim_end_matches("[]");
        if !name.is_empty() {
            here = here.get_mut("properties")?.get_mut(name)?;
        }
        for _ in 0..part.matches("[]").count() {
            here = here.get_mut("items")?;
        }
    }
    Some(here)
}

/// Objects whose fields are named have no others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), false.into());
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn open(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                fields.remove("additionalProperties");
            }
            fields.values_mut().for_each(open);
        }
        Value::Array(items) => items.iter_mut().for_each(open),
        _ => {}
    }
}

/// Without the names of Rust types, and without formats that only Rust has.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("title").is_some_and(Value::is_string) {
                fields.remove("title");
            }
            let numbers = ["int", "uint", "float", "double"];
            let is_number = |format: &Value| {
                format.as_str().is_some_and(|format| numbers.iter().any(|number| format.starts_with(number)))
            };
            if fields.get("format").is_some_and(is_number) {
                fields.remove("format");
            }
            fields.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[test]
    fn an_example_is_a_shape() {
        let shape = Shape::like(json!({"id": 1, "who": {"name": "x", "share": 0.5}, "tags": ["a"], "use": {"f": 1}}))
            .nullable(&["who.name"])
            .optional(&["tags", "who.share"])
            .map(&["use"]);
        assert_eq!(shape.schema["required"], json!(["id", "use", "who"]));
        assert_eq!(shape.schema["properties"]["who"]["required"], json!(["name"]));
        let name = &shape.schema["properties"]["who"]["properties"]["name"];
        assert_eq!(*name, json!({"anyOf": [{"type": "string"}, {"type": "null"}]}));
        assert_eq!(shape.schema["properties"]["use"]["additionalProperties"], json!({"type": "integer"}));
        assert_eq!(shape.schema["additionalProperties"], false);
        assert!(shape.open().schema["additionalProperties"].is_null());
    }

    #[test]
    fn a_field_that_is_not_there_is_a_fault() {
        for shape in [
            Shape::like(json!({"a": 1})).nullable(&["b"]),
            Shape::like(json!({"a": 1})).optional(&["a.b"]),
            Shape::like(json!([{"a": 1}])).times(&["a"]),
        ] {
            assert!(!shape.schema[FAULT].is_null(), "{shape:?}");
        }
        assert!(Shape::like(json!([{"a": "x"}])).times(&["[].a"]).schema[FAULT].is_null());
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Typed {
        name: String,
        count: Option<u32>,
        #[serde(default)]
        flag: bool,
    }

    #[test]
    fn a_type_is_a_shape_as_it_is_read_and_as_it_is_written() {
        assert_eq!(Shape::taken::<Typed>().schema["required"], json!(["name"]));
        assert_eq!(Shape::of::<Typed>().schema["required"], json!(["name", "count", "flag"]));
        assert_eq!(Shape::of::<Typed>().schema["additionalProperties"], false);
    }
}
