//! The hub's settings.

use super::super::{page::Page, settings};
use super::{ADMINISTRATION as TAG, Entry, changed, edited, shown, tagged};
use serde_json::json;
use sitewarden_openapi::{Operation, Shape};

pub(super) const TABLE: &[Entry] = &[
    ("GET", "/api/v1/admin/settings", || shown::<Page<settings::View>>(TAG, "The hub's settings, on one page")),
    ("GET", "/api/v1/admin/settings/{key}", || tagged(keyed(shown::<settings::View>(TAG, "A setting")), 200)),
    ("PUT", "/api/v1/admin/settings/{key}", || {
        edited(keyed(changed::<settings::Edit, settings::View>(TAG, "Change a setting while the hub runs")))
    }),
    ("DELETE", "/api/v1/admin/settings/{key}", || {
        edited(keyed(shown::<settings::View>(TAG, "Take a change back: hub.toml counts again")))
    }),
];

fn keyed(operation: Operation) -> Operation {
    operation.path("key", "Its key, as in hub.toml", Shape::text().example(json!("notice_days")))
}
