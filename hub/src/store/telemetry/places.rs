//! Where to look: what was asked, and what who asks may see, put together.

use super::filter::TelemetryFilter;
use crate::store::error::Error;
use rusqlite::{Connection, OptionalExtension};

/// Where to look. Sites are those of one customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Places {
    /// At everybody's.
    Everywhere,
    /// At one customer's.
    Customer(i64),
    /// At these sites.
    Sites(Vec<[u8; 16]>),
}

pub(super) const CUSTOMER_OF_SITE: &str =
    "SELECT p.customer, p.id FROM sites s JOIN plants p ON p.id = s.plant WHERE s.id = ?";
pub(super) const CUSTOMER_OF_PLANT: &str = "SELECT customer FROM plants WHERE id = ?";
pub(super) const SITES_OF_PLANT: &str = "SELECT id FROM sites WHERE plant = ?";

impl Places {
    /// `None` if there is no such place, or who asks may not see it: both are answered alike.
    pub(super) fn of(connection: &Connection, filter: &TelemetryFilter) -> Result<Option<Self>, Error> {
        let Ok(customer) = both(filter.scope.customer, filter.customer) else { return Ok(None) };
        let Ok(site) = both(filter.scope.site, filter.site) else { return Ok(None) };
        let plant = filter.plant.map(|plant| *plant.as_bytes());
        if let Some(site) = site {
            let found: Option<(i64, [u8; 16])> = connection
                .prepare_cached(CUSTOMER_OF_SITE)?
                .query_row([site.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let fits = found.is_some_and(|(is, in_plant)| {
                customer.is_none_or(|wanted| wanted == is) && plant.is_none_or(|wanted| wanted == in_plant)
            });
            return Ok(fits.then(|| Self::Sites(vec![*site.as_bytes()])));
        }
        if let Some(plant) = plant {
            let is: Option<i64> =
                connection.prepare_cached(CUSTOMER_OF_PLANT)?.query_row([plant], |row| row.get(0)).optional()?;
            if is.is_none_or(|is| customer.is_some_and(|wanted| wanted != is)) {
                return Ok(None);
            }
            let mut query = connection.prepare_cached(SITES_OF_PLANT)?;
            let sites = query.query_map([plant], |row| row.get(0))?.collect::<Result<_, _>>()?;
            return Ok(Some(Self::Sites(sites)));
        }
        Ok(Some(customer.map_or(Self::Everywhere, Self::Customer)))
    }
}

/// What both ask for; an error if they cannot both have it.
fn both<T: PartialEq>(one: Option<T>, other: Option<T>) -> Result<Option<T>, ()> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(()),
        (one, other) => Ok(one.or(other)),
    }
}
