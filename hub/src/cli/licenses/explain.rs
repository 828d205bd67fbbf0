//! `license explain`.

use crate::cli::output::field;
use clap::Args;
use serde_json::Value;
use sitewarden_protocol::id::SiteId;

/// What is to be explained.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// At which site.
    #[arg(long, value_name = "ID")]
    site: SiteId,
    /// Which app, such as EMS.
    #[arg(long)]
    app: String,
    /// At which moment, such as 2026-01-31T08:00:00Z [default: now].
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

impl ExplainArgs {
    pub(super) fn query(&self) -> [(&'static str, Option<String>); 3] {
        [("site", Some(self.site.to_string())), ("app", Some(self.app.clone())), ("at", self.at.clone())]
    }
}

pub(super) fn told(answer: &Value) -> String {
    let list = |name: &'static str| answer[name].as_array().into_iter().flatten();
    let may = if answer["allowed"] == true { "may be used" } else { "may not be used" };
    let mut lines = vec![format!("{} {may} at {}.", field(answer, "app"), field(answer, "at"))];
    lines.extend(list("reasons").map(|reason| format!("  because {}", field(reason, "text"))));
    if !answer["license"].is_null() {
        let new = if answer["new_monitors"] == true { "more may be reserved" } else { "no more may be reserved" };
        lines.push(format!("  {} monitors in use, as last reported; {new}", field(answer, "in_use")));
    }
    lines.extend(list("changes").map(|change| format!("  from {} on: {}", field(change, "at"), field(change, "text"))));
    lines.join("\n")
}
