//! Fields become a reading, and what is wrong with them.

use super::{Field, Fields, Given, Problem};
use crate::codec::{Decode, Encode};
use crate::record::Measured;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The most characters of a product's code.
const MAX_PRODUCT: usize = 64;

/// What a program sent of itself. Texts that were wrong or not given are empty.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Reading {
    /// The key that groups measurements, at most 255 characters; so too the other texts.
    pub group: String,
    /// What was measured.
    pub value: Measured,
    /// Which product: an app's code, or its number.
    pub product: String,
    /// Which version of it.
    pub version: String,
    /// Who uses it.
    pub user: String,
    /// Which activation.
    pub activation: String,
    /// What was wrong, in the order of [`Field::ALL`]. Empty for data in the right format.
    pub problems: Vec<(Field, Problem)>,
    /// The fields that were wrong as they came, a JSON object of texts; empty if there are none.
    pub raw: String,
}

/// A reading, and the licence key that came with it.
pub struct Parsed {
    /// What was sent.
    pub reading: Reading,
    /// The key; what is known of it is decided by whoever has licences.
    pub license_key: Option<Zeroizing<String>>,
}

impl Reading {
    /// Adds a problem that only a hub can see, in its place.
    pub fn object(&mut self, field: Field, problem: Problem) {
        let at = self.problems.iter().position(|(known, _)| known.place() >= field.place());
        match at {
            Some(at) if self.problems.get(at).is_some_and(|(known, _)| *known == field) => {}
            Some(at) => self.problems.insert(at, (field, problem)),
            None => self.problems.push((field, problem)),
        }
    }
}

impl Fields {
    /// Reads all fields but the API key.
    pub fn parse(&self) -> Parsed {
        let mut reader = Reader { fields: self, problems: Vec::new(), raw: Map::new() };
        let product = reader.required(Field::ProductId, checked_product);
        let user = reader.required(Field::UserIdentifier, checked);
        let license_key = reader.required(Field::LicenseKey, checked).map(Zeroizing::new);
        let activation = reader.required(Field::ActivationIdentifier, checked);
        let version = reader.required(Field::ProductVersion, checked);
        let value = reader.value();
        let group = reader.required(Field::DataGroup, checked);
        let raw = if reader.raw.is_empty() { String::new() } else { Value::Object(reader.raw).to_string() };
        let reading = Reading {
            group: group.unwrap_or_default(),
            value,
            product: product.unwrap_or_default(),
            version: version.unwrap_or_default(),
            user: user.unwrap_or_default(),
            activation: activation.unwrap_or_default(),
            problems: reader.problems,
            raw,
        };
        Parsed { reading, license_key }
    }
}

struct Reader<'a> {
    fields: &'a Fields,
    problems: Vec<(Field, Problem)>,
    raw: Map<String, Value>,
}

impl Reader<'_> {
    /// A field's value, or `None` after its problem was noted.
    fn required<T>(&mut self, field: Field, check: impl FnOnce(Field, &str) -> Result<T, Problem>) -> Option<T> {
        let result = match self.fields.given(field) {
            None => Err(Problem::Required),
            Some(Given::Other(_)) => Err(Problem::NotAText),
            Some(Given::Text(text)) => check(field, text),
        };
        result.map_err(|problem| self.note(field, problem)).ok()
    }

    fn note(&mut self, field: Field, problem: Problem) {
        self.problems.push((field, problem));
        self.keep(field);
    }

    /// Keeps a field as it came. A licence key is kept nowhere, not even a wrong one.
    fn keep(&mut self, field: Field) {
        let shown = match self.fields.given(field) {
            None => return,
            Some(_) if field == Field::LicenseKey => "…",
            Some(Given::Text(text) | Given::Other(text)) => text.as_str(),
        };
        self.raw.insert(field.name().to_owned(), Value::String(shown.to_owned()));
    }

    fn value(&mut self) -> Measured {
        const DATA: [Field; 4] =
            [Field::NumericDataSingleValue, Field::NumericDataX, Field::NumericDataY, Field::TextData];
        let kind = self.required(Field::DataType, |_, text| Kind::by_name(text.trim()).ok_or(Problem::Invalid));
        let value = match kind {
            Some(Kind::Number) => self.required(Field::NumericDataSingleValue, number).map(Measured::Number),
            Some(Kind::Point) => {
                let x = self.required(Field::NumericDataX, number);
                let y = self.required(Field::NumericDataY, number);
                x.zip(y).map(|(x, y)| Measured::Point { x, y })
            }
            Some(Kind::Text) => self.required(Field::TextData, whole_text).map(Measured::Text),
            None => None,
        };
        value.unwrap_or_else(|| {
            DATA.into_iter().for_each(|field| self.keep(field));
            Measured::Nothing
        })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Point,
    Number,
    Text,
}

impl Kind {
    fn by_name(name: &str) -> Option<Self> {
        match name {
            "numeric-xy-axis" => Some(Self::Point),
            "numeric-single-value" => Some(Self::Number),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

fn checked(field: Field, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.chars().count() > field.most() {
        Err(Problem::TooLong)
    } else if text.chars().any(char::is_control) {
        Err(Problem::Format)
    } else {
        Ok(text.to_owned())
    }
}

/// An app's code or its number.
fn checked_product(_: Field, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let code = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_zero = text.bytes().all(|byte| byte == b'0');
    let fits = begins && !is_zero && text.len() <= MAX_PRODUCT && text.bytes().all(code);
    if fits { Ok(text.to_owned()) } else { Err(Problem::Invalid) }
}

fn whole_text(field: Field, text: &str) -> Result<String, Problem> {
    if text.chars().count() > field.most() { Err(Problem::TooLong) } else { Ok(text.to_owned()) }
}

fn number(field: Field, text: &str) -> Result<f64, Problem> {
    let text = text.trim();
    if text.chars().count() > field.most() {
        return Err(Problem::TooLong);
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or(Problem::NotANumber)
}
