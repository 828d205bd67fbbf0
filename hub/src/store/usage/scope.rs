//! What sums and counts are of: everything, a customer, a site or a licence.

use sitewarden_protocol::id::SiteId;

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) struct Place {
    /// The licence's number.
    pub(in crate::store) license: i64,
    /// The customer's number.
    pub(in crate::store) customer: i64,
    /// The site, if it has one.
    pub(in crate::store) site: Option<SiteId>,
}

impl Place {
    /// The scopes that it counts in.
    pub(super) fn scopes(&self) -> impl Iterator<Item = String> {
        [Some(all()), Some(of_customer(self.customer)), self.site.map(of_site), Some(of_license(self.license))]
            .into_iter()
            .flatten()
    }
}

/// Everything.
pub(in crate::store) fn all() -> String {
    "all".to_owned()
}

/// One customer's.
pub(in crate::store) fn of_customer(id: i64) -> String {
    format!("customer {id}")
}

/// One site's, as the triggers write it.
pub(in crate::store) fn of_site(id: SiteId) -> String {
    let digits = u128::from_be_bytes(*id.as_bytes());
    format!("site {digits:032X}")
}

/// One licence's.
pub(in crate::store) fn of_license(id: i64) -> String {
    format!("license {id}")
}
