//! `license edit`, `revoke` and `history`.

use super::terms::{Terms, given};
use crate::cli::output::{field, shown, table};
use clap::Args;
use serde_json::{Value, json};

/// What is to be changed; what is not given stays as it is.
#[derive(Debug, Args)]
pub(in crate::cli) struct EditArgs {
    /// Its number or its UUID.
    pub(super) id: String,
    /// Another name, unique at the site.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    terms: Terms,
    /// What it is, in your own words.
    #[arg(long)]
    description: Option<String>,
    /// Active, Expired, Deactivated, or Invalid, from which there is no way back.
    #[arg(long)]
    status: Option<String>,
}

pub(super) fn request(args: &EditArgs) -> Value {
    let mut fields = given(json!({ "name": args.name, "description": args.description, "status": args.status }));
    fields.extend(args.terms.fields());
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
