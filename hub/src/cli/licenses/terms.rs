//! What a licence is sold with: the same words for `license issue` and `license edit`.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use sitewarden_protocol::license::{Rule, Rung, Validity};
use std::str::FromStr;

/// The terms of a licence. What is not given stays as it is, or as the hub has it for a new one.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// Monitors at the same time, or `unlimited` [new: unlimited].
    #[arg(long, value_name = "NUMBER")]
    quota: Option<Limit>,
    /// Floating users at the same time, or `unlimited` [new: unlimited].
    #[arg(long, value_name = "NUMBER")]
    users: Option<Limit>,
    /// Machines with floating users, or `unlimited` [new: unlimited].
    #[arg(long, value_name = "NUMBER")]
    activations: Option<Limit>,
    /// How long it lasts from its activation on, such as 1y, 6m or 30d: a longer one extends a licence, and renews one that
    /// has expired [new: without end].
    #[arg(long, conflicts_with_all = ["from", "until"])]
    validity: Option<Validity>,
    /// When it begins, such as 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME", requires = "until")]
    from: Option<String>,
    /// When it ends.
    #[arg(long, value_name = "TIME", requires = "from")]
    until: Option<String>,
    /// How it is sold [new: subscription, or perpetual without an end].
    #[arg(long)]
    kind: Option<Kind>,
    /// A feature that it switches on, in place of all it had; may be given several times.
    #[arg(long = "feature", value_name = "NAME")]
    features: Vec<String>,
    /// What happens after its end: days of grace and a rung of observe, warn, block-new, block [new: 0:block].
    #[arg(long, value_name = "DAYS:RUNG")]
    expiry: Option<RuleArg>,
    /// What happens once the plant has not heard of this hub for too long [new: 30:block-new].
    #[arg(long, value_name = "DAYS:RUNG")]
    staleness: Option<RuleArg>,
    /// What happens when more monitors run than quota and overage permit [new: 0:block-new].
    #[arg(long, value_name = "DAYS:RUNG")]
    overage: Option<RuleArg>,
    /// How far over the quota reservations may go, per cent; they are recorded [new: 0].
    #[arg(long, value_name = "PERCENT")]
    overage_percent: Option<u16>,
    /// A share of its limits, per cent, at which a webhook is told, in place of all it had; may be given several times.
    #[arg(long = "threshold", value_name = "PERCENT")]
    thresholds: Vec<u16>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Perpetual,
    Subscription,
    Trial,
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

/// Days of grace, and what applies then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RuleArg(Rule);

impl FromStr for RuleArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "days and a rung, such as 30:block-new; the rungs are observe, warn, block-new, block".to_owned();
        let (days, rung) = text.split_once(':').ok_or_else(wrong)?;
        let then = match rung {
            "observe" => Rung::Observe,
            "warn" => Rung::Warn,
            "block-new" => Rung::BlockNew,
            "block" => Rung::Block,
            _ => return Err(wrong()),
        };
        Ok(Self(Rule { grace_days: days.parse().map_err(|_| wrong())?, then }))
    }
}

impl Terms {
    /// The fields that were given, as the administration API names them.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let kind = self.kind.and_then(|kind| kind.to_possible_value()).map(|kind| kind.get_name().to_owned());
        let features = Some(&self.features).filter(|features| !features.is_empty());
        let thresholds = Some(&self.thresholds).filter(|thresholds| !thresholds.is_empty());
        let rule = |rule: Option<RuleArg>| rule.map(|RuleArg(rule)| rule);
        let policy = given(json!({
            "expiry": rule(self.expiry), "staleness": rule(self.staleness), "overage": rule(self.overage),
            "overage_percent": self.overage_percent,
        }));
        let mut fields = given(json!({
            "validity": self.validity, "from": self.from, "until": self.until, "kind": kind, "features": features,
            "thresholds": thresholds,
        }));
        for (name, limit) in [("quota", self.quota), ("users", self.users), ("activations", self.activations)] {
            if let Some(Limit(limit)) = limit {
                fields.insert(name.to_owned(), json!(limit));
            }
        }
        if !policy.is_empty() {
            fields.insert("policy".to_owned(), Value::Object(policy));
        }
        fields
    }
}

/// The fields that are not null.
pub(super) fn given(all: Value) -> Map<String, Value> {
    match all {
        Value::Object(all) => all.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
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
    fn a_rule_is_days_and_a_rung() {
        assert_eq!("30:block-new".parse(), Ok(RuleArg(Rule { grace_days: 30, then: Rung::BlockNew })));
        for bad in ["", "30", "block", "-1:warn", "30:stop", "70000:warn"] {
            assert!(bad.parse::<RuleArg>().is_err(), "{bad}");
        }
    }
}
