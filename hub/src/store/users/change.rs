//! Users are added, changed and removed. What the rules forbid is found before anything is written.

use super::{Account, MAX_ON_SITE, Role, User, on_site, read};
use crate::store::{Act, Store, audit, customers, customers::checked_name, error::Error, sessions, sites, writer::Tx};
use rusqlite::params;
use serde_json::json;

/// What is to be changed; `None` stays as it is.
#[derive(Clone, Default)]
pub struct UserEdit {
    /// What he may do.
    pub role: Option<Role>,
    /// A new password's hash: argon2id, in PHC form.
    pub password_hash: Option<String>,
    /// Whether he may log in.
    pub enabled: Option<bool>,
    /// Whether the agents of the sites in his scope know him.
    pub on_site: Option<bool>,
}

/// What the rules forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody else could administer the hub.
    #[error(
        "this is the last enabled administrator who is limited to no customer or site; add or enable another one first"
    )]
    LastAdministrator,
    /// Only administrators are on site.
    #[error("only an administrator can be on site: give the role admin too, or take on-site away")]
    OnSiteRole,
    /// A site would have too many.
    #[error("a site in this user's scope has {MAX_ON_SITE} on-site administrators already")]
    OnSiteFull,
}

/// Why a change came to nothing.
enum Stop {
    Refused(Refusal),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Store {
    /// Adds a user, who may log in at once.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of this name, [`Error::Invalid`] for a name that Basic authentication cannot
    /// carry, [`Error::NotFound`] for the customer or the site. What the rules forbid is the inner [`Refusal`].
    pub async fn add_user(&self, act: &Act, user: User, on_site: bool) -> Result<Result<Account, Refusal>, Error> {
        let act = act.clone();
        self.write(move |tx| settled(add(tx, &act, &user, on_site))).await
    }

    /// Changes a user. Counts for his next request, and for the snapshots of the sites that he is on.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`]. What the rules forbid is the inner [`Refusal`].
    pub async fn edit_user(&self, act: &Act, name: &str, edit: UserEdit) -> Result<Result<Account, Refusal>, Error> {
        let (act, name) = (act.clone(), name.to_owned());
        self.write(move |tx| settled(change(tx, &act, &name, &edit))).await
    }

    /// Removes a user, and answers how he was.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`]. What the rules forbid is the inner [`Refusal`].
    pub async fn remove_user(&self, act: &Act, name: &str) -> Result<Result<Account, Refusal>, Error> {
        let (act, name) = (act.clone(), name.to_owned());
        self.write(move |tx| settled(remove(tx, &act, &name))).await
    }
}

fn settled(result: Result<Account, Stop>) -> Result<Result<Account, Refusal>, Error> {
    match result {
        Ok(account) => Ok(Ok(account)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn add(tx: &Tx<'_>, act: &Act, user: &User, on_site: bool) -> Result<Account, Stop> {
    if let Some(customer) = user.scope.customer {
        customers::find(tx, customer)?;
    }
    if let Some(site) = user.scope.site {
        sites::find(tx, site)?;
    }
    check_on_site(tx, &new_account(act, user, on_site)?)?;
    Ok(insert(tx, act, user, on_site)?)
}

/// Adds a user without asking the rules.
pub(super) fn insert(tx: &Tx<'_>, act: &Act, user: &User, on_site: bool) -> Result<Account, Error> {
    let account = new_account(act, user, on_site)?;
    tx.prepare_cached(
        "INSERT INTO users (name, role, password_hash, customer, site, on_site, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        account.name,
        account.role.name(),
        user.password_hash,
        account.customer,
        account.site.map(|id| *id.as_bytes()),
        account.on_site,
        account.created_at.0
    ])
    .map_err(|error| Error::or_conflict(error, "user"))?;
    record(tx, act, "user.add", None, Some(&account))?;
    Ok(account)
}

fn new_account(act: &Act, user: &User, on_site: bool) -> Result<Account, Error> {
    let name = checked_name(&user.name)?;
    if name.contains(':') {
        return Err(Error::Invalid { what: "name", allowed: "without a colon" });
    }
    let (customer, site) = (user.scope.customer, user.scope.site);
    Ok(Account { name, role: user.role, customer, site, enabled: true, on_site, created_at: act.at, revision: 1 })
}

fn change(tx: &Tx<'_>, act: &Act, name: &str, edit: &UserEdit) -> Result<Account, Stop> {
    let before = read::find(tx, name)?;
    act.check_seen(before.revision)?;
    let mut after = Account {
        role: edit.role.unwrap_or(before.role),
        enabled: edit.enabled.unwrap_or(before.enabled),
        on_site: edit.on_site.unwrap_or(before.on_site),
        ..before.clone()
    };
    if after == before && edit.password_hash.is_none() {
        return Ok(before);
    }
    after.revision += 1;
    check_held(tx, &before, Some(&after))?;
    check_on_site(tx, &after)?;
    tx.prepare_cached(
        "UPDATE users SET role = ?, enabled = ?, on_site = ?, password_hash = coalesce(?, password_hash), revision = ?
         WHERE name = ?",
    )
    .and_then(|mut update| {
        let role = after.role.name();
        update.execute(params![role, after.enabled, after.on_site, edit.password_hash, after.revision, name])
    })
    .map_err(Error::from)?;
    record(tx, act, "user.edit", Some(&before), Some(&after))?;
    if edit.password_hash.is_some() || !after.enabled {
        sessions::end_all(tx, name)?;
    }
    if edit.password_hash.is_some() {
        // What it was and is stands nowhere.
        audit::write(tx, act, "user.password", &format!("user {name}"), None, None)?;
    }
    Ok(after)
}

fn remove(tx: &Tx<'_>, act: &Act, name: &str) -> Result<Account, Stop> {
    let before = read::find(tx, name)?;
    act.check_seen(before.revision)?;
    check_held(tx, &before, None)?;
    let delete = tx.prepare_cached("DELETE FROM users WHERE name = ?");
    delete.and_then(|mut delete| delete.execute([name])).map_err(Error::from)?;
    record(tx, act, "user.remove", Some(&before), None)?;
    Ok(before)
}

fn check_held(tx: &Tx<'_>, before: &Account, after: Option<&Account>) -> Result<(), Stop> {
    let holds = after.is_some_and(Account::holds_the_hub);
    if before.holds_the_hub() && !holds && !read::another_holds_the_hub(tx, &before.name)? {
        return Err(Stop::Refused(Refusal::LastAdministrator));
    }
    Ok(())
}

fn check_on_site(tx: &Tx<'_>, after: &Account) -> Result<(), Stop> {
    if after.on_site && after.role != Role::Admin {
        return Err(Stop::Refused(Refusal::OnSiteRole));
    }
    if after.is_told() && !on_site::has_room(tx, after)? {
        return Err(Stop::Refused(Refusal::OnSiteFull));
    }
    Ok(())
}

/// What goes with every change of a user: the audit row, and the new snapshots of the sites that he is, or was, on.
fn record(
    tx: &Tx<'_>,
    act: &Act,
    action: &str,
    before: Option<&Account>,
    after: Option<&Account>,
) -> Result<(), Error> {
    let Some(account) = after.or(before) else { return Ok(()) };
    let (old, new) = (before.map(|before| json!(before)), after.map(|after| json!(after)));
    audit::write(tx, act, action, &format!("user {}", account.name), old.as_ref(), new.as_ref())?;
    if [before, after].into_iter().flatten().any(Account::is_told) {
        sites::bump_all(tx, account.scope())?;
    }
    Ok(())
}
