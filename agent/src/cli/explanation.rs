//! `explain` in words.

use crate::http::Told;

pub(super) fn text(told: &Told, asked_ahead: bool) -> String {
    let app = &told.app;
    let may = match told.verdict.as_str() {
        "allowed" => "may be used",
        "warned" => "may be used, with a warning",
        "no_new" => "may be used, but nothing new may start",
        _ => "may not be used",
    };
    let mut lines = vec![if asked_ahead {
        format!("At {}, if nothing else happens until then: {app} {may}.", told.at)
    } else {
        format!("{app} {may}.")
    }];
    lines.extend(told.reasons.iter().map(|reason| {
        // The words often name the moment themselves.
        let since = reason.since.as_ref().filter(|since| !reason.text.contains(*since));
        format!("  Why:       {}{}", reason.text, since.map(|since| format!(" (since {since})")).unwrap_or_default())
    }));
    lines.extend(monitors(told));
    lines.extend(told.changes.iter().map(|change| format!("  Next:      {}: {}", change.at, change.text)));
    if told.changes.is_empty() && told.license.is_some() {
        lines.push("  Next:      nothing changes by itself".to_owned());
    }
    if told.is_unknown() {
        lines.push(if told.apps.is_empty() {
            "This site has no licenses at all.".to_owned()
        } else {
            format!("This site has licenses for: {}.", told.apps.join(", "))
        });
    }
    lines.join("\n")
}

fn monitors(told: &Told) -> Option<String> {
    told.license.as_ref()?;
    let new = if told.new_monitors { "new ones may be reserved" } else { "no new ones may be reserved" };
    let in_use = match told.permitted {
        Some(permitted) => format!("{} of {permitted} in use", told.in_use),
        None => format!("{} in use, without limit", told.in_use),
    };
    Some(format!("  Monitors:  {in_use}; {new}"))
}
