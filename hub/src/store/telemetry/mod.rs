//! What programs send of themselves: measurements, by both ways in; and all that is asked about telemetry.
//!
//! Always true: a measurement, its part in the hourly sums and its red flags change in one transaction; a measurement that
//! came through an agent is also a record there; sums outlive what they were made of; a page costs the same however
//! much there is.

mod filter;
mod judge;
mod measured;
mod page;
mod places;
mod reported;
mod retention;
mod rows;
mod series;
mod take;
mod transmissions;

pub use filter::{NotACursor, TelemetryCursor, TelemetryFilter, TelemetryPage, TelemetryRow};
pub use measured::MeasuredRow;
pub use reported::ReportedRow;
pub use series::{Granularity, MAX_POINTS, SeriesPoint, SeriesQuery};
pub use transmissions::{TransmissionPage, TransmissionRow};

pub(super) use judge::{Judge, KeySent};
pub(super) use rows::{Origin, Sums, append_rest, insert};
pub(super) use transmissions::insert as insert_transmission;

/// What the questions of this module ask the database, for a look at its plans.
#[cfg(test)]
pub(super) fn test_queries() -> Vec<String> {
    let mut queries = measured::queries();
    queries.extend(reported::QUERIES.map(str::to_owned));
    queries.extend(series::queries());
    queries.extend([places::CUSTOMER_OF_SITE, places::CUSTOMER_OF_PLANT, places::SITES_OF_PLANT].map(str::to_owned));
    queries.extend(transmissions::QUERIES.map(str::to_owned));
    queries
}

/// What a series asks the database.
#[cfg(test)]
pub(super) fn series_queries() -> [String; 3] {
    series::queries()
}
