//! Routes that say what they take and answer: a router and its OpenAPI 3.1 document, from one place.
//!
//! Always true: a route can only be added to [`Routes`] with its [`Operation`], so nothing is served that is not in the
//! document, and nothing is in it that is not served (the hub's table of guarded routes, which is its own list, comes in by
//! [`Routes::beside`]); the page that shows it needs nothing from elsewhere. What bodies look
//! like is a [`Shape`]: taken from the type that serde reads or writes, or from an example, which then is in the document
//! too. An answer's shape is closed (no fields but those named), so that a test with real answers finds what was forgotten.

mod operation;
mod page;
mod routes;
mod shape;
pub mod shared;

pub use operation::Operation;
pub use page::{Head, Tag, described, faults};
pub use routes::Routes;
pub use shape::Shape;
