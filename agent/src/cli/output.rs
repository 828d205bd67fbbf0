//! What commands print: text for people, JSON for programs, errors on standard error.

use super::{Failure, explanation, text};
use crate::http::{JournalStatus, LicenseLine, Status, Told};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, Write};

pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// An answer, as JSON or in the words that `words` finds.
    pub(super) fn value(&mut self, value: &Value, words: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        if self.json { print_json(value) } else { print(&words(value)) }
    }

    pub(super) fn status(&mut self, status: &Status) -> Result<(), Failure> {
        if self.json { print_json(status) } else { print(&status_text(status)) }
    }

    pub(super) fn told(&mut self, told: &Told, asked_ahead: bool) -> Result<(), Failure> {
        if self.json { print_json(told) } else { print(&explanation::text(told, asked_ahead)) }
    }

    pub(super) fn failure(&mut self, message: &str) {
        let line = if self.json { json!({"error": message}).to_string() } else { format!("error: {message}") };
        // Nowhere is left to tell that standard error is closed.
        drop(writeln!(io::stderr(), "{line}"));
    }
}

fn print(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::failed)
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(value).map_err(Failure::failed)?)
}

fn status_text(status: &Status) -> String {
    let sync = &status.sync;
    let line = match (&sync.trouble, sync.connected) {
        (None, true) => format!("connected to {} over {}", sync.hub, sync.carrier.to_uppercase()),
        (Some(trouble), true) => format!("connected to {}, but {trouble}", sync.hub),
        (Some(trouble), false) => format!("no line to {}: {trouble}", sync.hub),
        (None, false) => format!("no line to {} yet", sync.hub),
    };
    let journal = &status.journal;
    let queue = match &journal.oldest_unacknowledged {
        Some(oldest) if journal.backlog == 1 => format!("1 record to send, from {oldest}"),
        Some(oldest) if journal.backlog > 0 => format!("{} records to send, the oldest from {oldest}", journal.backlog),
        _ => "everything is sent".to_owned(),
    };
    let mut lines = vec![
        format!("Site      {}", status.place),
        format!("Agent     {} (version {})", status.agent_id, status.version),
        format!("Line      {line}"),
        format!("Queue     {queue}; {} on disk", size(journal.bytes)),
        format!("Snapshot  revision {}, good until {}", status.snapshot_revision, status.fresh_until),
        format!("Time      {} for licenses", status.clock.license_time),
    ];
    lines.extend(warnings(status));
    lines.push(String::new());
    lines.extend(license_table(&status.licenses));
    lines.extend(status.licenses.iter().filter_map(concern));
    lines.join("\n")
}

/// What an operator has to know first.
fn warnings(status: &Status) -> Vec<String> {
    let relief = &status.relief;
    let over = relief.until.as_ref().map(|until| {
        let (left, allowed) = (relief.days_left, relief.days_allowed);
        format!("Override  in force until {until}; {left} of {allowed} days in a year are left")
    });
    let clock = status.clock.warning.as_ref().map(|warning| format!("Clock     WARNING: {warning}"));
    let changed = status.machine.changed.join(", ");
    let machine = match (status.machine.same_machine, changed.is_empty()) {
        (true, true) => None,
        (true, false) => Some(format!("Machine   changed since the start: {changed}; your vendor is told")),
        (false, _) => Some(format!(
            "Machine   WARNING: this is not the machine that was enrolled ({changed} changed). What runs goes on and your \
             vendor is told; enrol an agent anew where it is to stay"
        )),
    };
    over.into_iter().chain(clock).chain(machine).chain(room(&status.journal)).collect()
}

/// What has no room on disk.
fn room(journal: &JournalStatus) -> Option<String> {
    let why = journal.room_trouble.as_ref()?;
    let what = if journal.room == "full" {
        format!(
            "WARNING: nothing is taken: {why}; {} reports were refused. Free space, or bring a line to the hub",
            journal.dropped
        )
    } else {
        format!("WARNING: {why}: what apps report is summed by the hour ({} reports so far)", journal.folded)
    };
    Some(format!("Disk      {what}"))
}

fn concern(line: &LicenseLine) -> Option<String> {
    let concern = line.concern.as_ref()?;
    let mut text = format!("\n{} ({}): {}", line.app, line.name, concern.why.join("; "));
    if let (Some(at), Some(change)) = (&concern.changes_at, &concern.change) {
        text.push_str(&format!("\n  from {at} on: {change}"));
    }
    Some(text)
}

fn license_table(licenses: &[LicenseLine]) -> Vec<String> {
    if licenses.is_empty() {
        return vec!["This site has no licenses.".to_owned()];
    }
    let monitors = |line: &LicenseLine| match line.monitors_permitted {
        Some(permitted) => format!("{} of {permitted}", line.monitors_in_use),
        None => format!("{}, no limit", line.monitors_in_use),
    };
    let limited = licenses.iter().any(|line| line.users_permitted.is_some());
    let users = |line: &LicenseLine| match line.users_permitted {
        Some(permitted) => format!("{} of {permitted}", line.users_in_use),
        None => "-".to_owned(),
    };
    let width = |column: fn(&LicenseLine) -> &str, title: &str| {
        licenses.iter().map(|line| column(line).chars().count()).max().unwrap_or(0).max(title.len())
    };
    let (app, name, status) =
        (width(|line| &line.app, "App"), width(|line| &line.name, "License"), width(|line| &line.status, "Status"));
    let row = |line: &LicenseLine| {
        let end = line.expires_at.as_deref().unwrap_or("-");
        let monitors = monitors(line);
        let row = format!("{:app$}  {:name$}  {:status$}  {end:20}  {monitors:15}", line.app, line.name, line.status);
        if limited { format!("{row}  {}", users(line)) } else { row.trim_end().to_owned() }
    };
    let head = format!("{:app$}  {:name$}  {:status$}  {:20}  {:15}", "App", "License", "Status", "Ends", "Monitors");
    let head = if limited { format!("{head}  Users") } else { head.trim_end().to_owned() };
    std::iter::once(head).chain(licenses.iter().map(row)).collect()
}

pub(super) fn monitor_list(answer: &Value) -> String {
    let monitors: Vec<&str> = answer["monitors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if monitors.is_empty() { format!("{} has no monitors.", text(answer, "app")) } else { monitors.join("\n") }
}

pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1_024)),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes / 1_048_576),
        _ => format!("{}.{} GiB", bytes / 1_073_741_824, bytes % 1_073_741_824 * 10 / 1_073_741_824),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!([size(0), size(1), size(5 << 20), size(3 << 29)], ["0 KiB", "1 KiB", "5 MiB", "1.5 GiB"]);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let line = |app: &str, name: &str| LicenseLine {
            app: app.into(),
            name: name.into(),
            status: "Active".into(),
            expires_at: None,
            monitors_in_use: 3,
            monitors_permitted: Some(10),
            concern: None,
            users_in_use: 5,
            users_permitted: (app == "EMS").then_some(10),
        };
        let table = license_table(&[line("EMS", "a long name"), line("CBM", "b")]);
        let places: Vec<_> = table.iter().skip(1).map(|row| row.find("Active")).collect();
        assert_eq!(places, [table[0].find("Status"); 2]);
        assert_eq!(table[1].find("5 of 10"), table[0].find("Users"));
        assert!(!license_table(&[line("CBM", "b")])[0].contains("Users"));
    }
}
