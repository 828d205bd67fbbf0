//! An institution becomes a customer: the customer refers to it, and all that is known of it stays.

use super::{Refusal, Stop, contacts, fields, institutions, settled};
use crate::store::{Act, Customer, Store, audit, customers, customers::checked_name, error::Error, writer::Tx};
use rusqlite::params;
use serde_json::json;

impl Store {
    /// Makes an institution a customer. The customer gets the institution's name and its primary contact's address, unless
    /// others are given.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] if there is a customer of this name, [`Error::Invalid`].
    pub async fn convert_institution(
        &self,
        act: &Act,
        id: i64,
        name: Option<String>,
        email: Option<String>,
    ) -> Result<Result<Customer, Refusal>, Error> {
        let act = act.clone();
        self.write(move |tx| settled(convert(tx, &act, id, name.as_deref(), email.as_deref()))).await
    }
}

/// How the audit log names an institution.
pub(super) fn subject(id: i64) -> String {
    format!("institution {id}")
}

fn convert(tx: &Tx<'_>, act: &Act, id: i64, name: Option<&str>, email: Option<&str>) -> Result<Customer, Stop> {
    let institution = institutions::find(tx, id)?;
    act.check_seen(institution.revision)?;
    if let Some(customer) = institution.customer {
        return Err(Stop::Refused(Refusal::AlreadyCustomer(customer)));
    }
    let name = checked_name(name.unwrap_or(&institution.name))?;
    let email = match email {
        Some(email) => fields::email(Some(email))?,
        None => contacts::all(tx, id)?.into_iter().find(|contact| contact.is_primary).and_then(|primary| primary.email),
    };
    tx.prepare_cached("INSERT INTO customers (name, email, institution, created_at) VALUES (?, ?, ?, ?)")?
        .execute(params![name, email, id, act.at.0])
        .map_err(|error| Error::or_conflict(error, "customer with this name"))?;
    let customer = customers::find(tx, tx.last_insert_rowid())?;
    // Whoever saw a lead has not seen what it is now.
    tx.prepare_cached("UPDATE institutions SET revision = revision + 1, updated_at = ? WHERE id = ?")?
        .execute(params![act.at.0, id])?;
    let mut after = json!(customer);
    after["institution"] = id.into();
    audit::write(tx, act, "customer.add", &format!("customer {}", customer.id), None, Some(&after))?;
    let became = json!({ "customer": customer.id });
    audit::write(tx, act, "institution.convert", &subject(id), None, Some(&became))?;
    Ok(customer)
}
