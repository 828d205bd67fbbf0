//! `license edit`, `revoke` and `history`.

use super::Kind;
use crate::cli::output::{field, shown, table};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use sitewarden_protocol::license::Validity;
use std::str::FromStr;

/// What is to be changed; what is not given stays as it is.
#[derive(Debug, Args)]
pub(in crate::cli) struct EditArgs {
    /// Its number or its UUID.
    pub(super) id: String,
    /// Another name, unique at the site.
    #[arg(long)]
    name: Option<String>,
    /// Monitors at the same time, or `unlimited`.
    #[arg(long, value_name = "NUMBER")]
    quota: Option<Limit>,
    /// Users at the same time, or `unlimited`.
    #[arg(long, value_name = "NUMBER")]
    users: Option<Limit>,
    /// How long it lasts from its activation on: a longer one extends it, and renews it if it has expired.
    #[arg(long, conflicts_with_all = ["from", "until"])]
    validity: Option<Validity>,
    /// When it begins, such as 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME", requires = "until")]
    from: Option<String>,
    /// When it ends.
    #[arg(long, value_name = "TIME", requires = "from")]
    until: Option<String>,
    /// How it is sold.
    #[arg(long)]
    kind: Option<Kind>,
    /// A feature that it switches on, in place of all it had; may be given several times.
    #[arg(long = "feature", value_name = "NAME")]
    features: Vec<String>,
    /// What it is, in your own words.
    #[arg(long)]
    description: Option<String>,
    /// Active, Expired, Deactivated, or Invalid, from which there is no way back.
    #[arg(long)]
    status: Option<String>,
}

/// A number, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<u32>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unlimited" {
            return Ok(Self(None));
        }
        text.parse().map(|number| Self(Some(number))).map_err(|_| "a whole number, or unlimited".to_owned())
    }
}

pub(super) fn request(args: &EditArgs) -> Value {
    let kind = args.kind.and_then(|kind| kind.to_possible_value()).map(|kind| kind.get_name().to_owned());
    let features = Some(&args.features).filter(|features| !features.is_empty());
    let all = json!({
        "name": args.name, "validity": args.validity, "from": args.from, "until": args.until, "kind": kind,
        "features": features, "description": args.description, "status": args.status,
    });
    let mut fields = Map::new();
    if let Value::Object(all) = all {
        fields.extend(all.into_iter().filter(|(_, value)| !value.is_null()));
    }
    for (name, limit) in [("quota", args.quota), ("users", args.users)] {
        if let Some(Limit(limit)) = limit {
            fields.insert(name.to_owned(), json!(limit));
        }
    }
    Value::Object(fields)
}

/// One line for each field that was changed.
pub(super) fn history(revisions: &Value) -> String {
    let rows = revisions.as_array().into_iter().flatten().flat_map(|revision| {
        let head = ["revision", "at", "by"].map(|name| field(revision, name));
        let changes = revision["changes"].as_array().cloned().unwrap_or_default();
        let lines = changes
            .iter()
            .map(|change| [field(change, "field"), text(&change["before"]), text(&change["after"])].to_vec());
        let lines: Vec<_> = if changes.is_empty() { vec![vec!["issued".to_owned()]] } else { lines.collect() };
        lines.into_iter().map(move |line| [head.to_vec(), line].concat())
    });
    table(&["REVISION", "AT", "BY", "WHAT", "BEFORE", "AFTER"], &rows.collect::<Vec<_>>())
}

fn text(value: &Value) -> String {
    if value.is_null() { "-".to_owned() } else { shown(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_none() {
        assert_eq!("5".parse(), Ok(Limit(Some(5))));
        assert_eq!("unlimited".parse(), Ok(Limit(None)));
        assert!("-1".parse::<Limit>().is_err());
    }

    #[test]
    fn each_change_has_its_line() {
        let change = json!({ "field": "status", "before": "Active", "after": "Invalid" });
        let revisions = json!([
            { "revision": 2, "at": "T2", "by": "admin", "changes": [change] },
            { "revision": 1, "at": "T1", "by": "admin", "changes": [] },
        ]);
        let lines: Vec<_> = history(&revisions).lines().map(str::to_owned).collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["2", "T2", "admin", "status", "Active", "Invalid"]
        );
        assert!(lines[2].ends_with("issued"), "{}", lines[2]);
    }
}
