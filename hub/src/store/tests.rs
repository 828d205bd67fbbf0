//! The store, against real files.

mod damage;
mod enrolling;
mod greeting;
mod identity;
mod ingesting;
mod keyed;
mod leads;
mod license_life;
mod licensing;
mod little_room;
mod monitors;
mod of_customers;
mod overages;
mod paging;
mod plans;
mod telemetry;
mod telemetry_order;
mod usage_told;
mod users;
mod webhooks;
