//! The fields of the document, and what may be wrong with one.

use crate::codec::{Decode, Encode};

/// The most characters of `text_data`.
pub const MAX_TEXT_CHARACTERS: usize = 2_000;
/// The most characters of any other field.
pub const MAX_CHARACTERS: usize = 255;

/// A field of the document. Numbers are in records: a new one comes at the end, whatever the order of [`Field::ALL`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Field {
    /// Which product.
    ProductId,
    /// Who uses it.
    UserIdentifier,
    /// Its licence's key.
    LicenseKey,
    /// Its activation.
    ActivationIdentifier,
    /// Its version.
    ProductVersion,
    /// What kind of data it is.
    DataType,
    /// The number.
    NumericDataSingleValue,
    /// The point's first number.
    NumericDataX,
    /// The point's second number.
    NumericDataY,
    /// The text.
    TextData,
    /// What groups data.
    DataGroup,
    /// Who sends it. Never wrong in a reading: without it there is none.
    ApiKey,
}

impl Field {
    /// All of them, in the order in which errors are told.
    pub const ALL: [Self; 12] = [
        Self::ProductId,
        Self::UserIdentifier,
        Self::LicenseKey,
        Self::ActivationIdentifier,
        Self::ProductVersion,
        Self::DataType,
        Self::NumericDataSingleValue,
        Self::NumericDataX,
        Self::NumericDataY,
        Self::TextData,
        Self::DataGroup,
        Self::ApiKey,
    ];

    /// Its name in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProductId => "product_id",
            Self::UserIdentifier => "user_identifier",
            Self::LicenseKey => "license_key",
            Self::ActivationIdentifier => "activation_identifier",
            Self::ProductVersion => "product_version",
            Self::DataType => "data_type",
            Self::NumericDataSingleValue => "numeric_data_single_value",
            Self::NumericDataX => "numeric_data_x",
            Self::NumericDataY => "numeric_data_y",
            Self::TextData => "text_data",
            Self::DataGroup => "data_group",
            Self::ApiKey => "api_key",
        }
    }

    pub(super) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    pub(super) const fn place(self) -> usize {
        self as usize
    }

    /// The most characters that it may have.
    pub const fn most(self) -> usize {
        if matches!(self, Self::TextData) { MAX_TEXT_CHARACTERS } else { MAX_CHARACTERS }
    }
}

/// What is wrong with a field. Numbers are in records: a new one comes at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Problem {
    /// It is not there, or empty.
    Required,
    /// It is none of what can be chosen.
    Invalid,
    /// It is no finite number.
    NotANumber,
    /// It is no text in UTF-8.
    NotAText,
    /// It is too long.
    TooLong,
    /// It has control characters.
    Format,
}

impl Problem {
    /// What the answer says, in the document's manner.
    pub fn message(self, field: Field) -> String {
        let name = field.name().replace('_', " ");
        match self {
            Self::Required => format!("The {name} field is required."),
            Self::Invalid => format!("The selected {name} is invalid."),
            Self::NotANumber => format!("The {name} field must be a number."),
            Self::NotAText => format!("The {name} field must be a string."),
            Self::TooLong => format!("The {name} field must not be greater than {} characters.", field.most()),
            Self::Format => format!("The {name} field format is invalid."),
        }
    }
}
