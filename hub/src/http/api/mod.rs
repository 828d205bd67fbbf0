//! The API for administrators and integrators: one set of handlers, reached over HTTPS by users and programs, and over the
//! administration socket by the owner of the data folder.
//!
//! Always true: who calls is settled before the body is read, and from the table of routes alone one sees who may do what
//! ([`Routes`]); what another customer owns is answered like what does not exist; every refusal is `{"error": {"code",
//! "message", "details"}}` ([`Error`]); what went wrong inside is in the log, never in an answer.
//!
//! **To add a resource**: one file with its handlers, and its routes in a table as `admin::routes` has them:
//!
//! - a route names what it needs: [`Needs::LOOK`], [`Needs::OPERATE`], [`Needs::ADMINISTER`] (within the caller's scope),
//!   [`Needs::SURVEY`] and [`Needs::WHOLE_HUB`] (for what is of no single customer);
//! - the handler takes a [`Caller`]: `caller.scope()` goes with every list that is asked of the store, `caller.reach(…)`
//!   settles whether he may know of a thing that he names, and `caller.act()` goes with every change, so that the audit log
//!   knows who did it and from where;
//! - [`Id`](extract::Id), [`Parameters`](extract::Parameters) and [`Body`](extract::Body) become values that cannot be
//!   wrong. Request types of ours have `deny_unknown_fields`; those of the documented APIs ignore what they do not know;
//! - a route that one may call who is limited to a customer or site has a row in `admin/tests/elsewhere.rs`, which calls it for
//!   what is somebody else's; without one that test fails;
//! - a list of ours has a cursor ([`Page`](page::Page)), a documented one has pages by number ([`Numbered`](page::Numbered));
//! - a public route is counted by address, any other by token or key ([`Limits`](limits::Limits)), which the table sees to;
//! - a guarded POST may come with an `Idempotency-Key`, which the table sees to as well;
//! - what is edited has a revision, which its answers carry as `ETag` ([`Tagged`](edition::Tagged)); `If-Match` comes with
//!   `caller.act()`, and the store's operation asks [`Act::check_seen`](crate::store::Act) in the transaction of the change;
//!   a route for it without a row in `admin/tests/editions.rs` fails that test;
//! - a store's refusal becomes an [`Error`] by `From`; a code of its own is made with [`Error::new`].

pub(crate) mod access;
pub(crate) mod auth;
mod caller;
pub(crate) mod edition;
pub(crate) mod error;
pub(crate) mod extract;
pub(crate) mod file;
pub(crate) mod idempotency;
pub(crate) mod limits;
pub(crate) mod page;
mod routes;
pub(crate) mod time;

pub(crate) use access::{Access, LocalAdministrator};
pub(crate) use caller::{Caller, Needs};
pub(crate) use error::Error;
pub(crate) use routes::{Listed, Routes};
