//! `override`: lets the plant run for some days without the vendor.

use super::Failure;
use super::client::Client;
use super::output::Output;
use crate::folder::Folder;
use crate::http::{OverrideBegun, OverrideRequest};
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub(super) struct OverrideArgs {
    /// For how many days; your vendor allows so many in a year.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
    /// Why, 1 to 500 characters; your vendor will read it.
    #[arg(long)]
    reason: String,
}

pub(super) async fn begin(folder: &Folder, args: OverrideArgs, output: &mut Output) -> Result<(), Failure> {
    let request = OverrideRequest { days: args.days, reason: args.reason };
    let begun: OverrideBegun = Client::new(folder)?.post("/agent/v1/override", &request).await?;
    let OverrideBegun { until, days_left, days_allowed } = begun;
    output.value(&json!({"until": until, "days_left": days_left, "days_allowed": days_allowed}), |_| {
        format!(
            "An emergency override is in force until {until}. It ends by itself, and your vendor is told.\n\
             Expired licenses and an old snapshot do not block until then; quotas do.\n\
             {days_left} of {days_allowed} days in a year are left."
        )
    })
}
