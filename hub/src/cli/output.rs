//! What is printed: tables and lists for people, JSON for programs. The only place that writes to the terminal.

use serde::Serialize;
use serde_json::Value;
use std::io::{self, ErrorKind, Write};

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// The value as JSON, or what `text` makes of it.
    pub(super) fn print(self, value: &Value, text: impl FnOnce(&Value) -> String) -> io::Result<()> {
        if self.json { self.json(value) } else { self.text(&text(value)) }
    }

    /// Whether JSON is asked for.
    pub(super) const fn is_json(self) -> bool {
        self.json
    }

    fn json(self, value: &impl Serialize) -> io::Result<()> {
        self.text(&format!("{:#}", serde_json::to_value(value).unwrap_or_default()))
    }

    /// One value on one line, so that a stream of them can be read line by line.
    pub(super) fn json_line(self, value: &Value) -> io::Result<()> {
        self.text(&value.to_string())
    }

    pub(super) fn text(self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{}", text.trim_end_matches('\n')).and_then(|()| stdout.flush()) {
            // Whoever reads had enough, as `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }
}

/// One line on standard error.
pub(super) fn complain(message: &str) {
    // If standard error is closed, the exit code has to do.
    let _ = writeln!(io::stderr().lock(), "sitewarden-hub: {message}");
}

/// Rows under headings, in aligned columns.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return "none".to_owned();
    }
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&headings).chain(rows).collect();
    let width = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..headings.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Names and values, one pair a line; pairs without a value are left out.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let shown: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = shown.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    shown.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect::<Vec<_>>().join("\n")
}

/// A field as people read it: nothing for null.
pub(super) fn field(value: &Value, name: &str) -> String {
    shown(&value[name])
}

/// A value as people read it. Control characters, which another machine may have sent, do not reach the terminal.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A number of bytes as people read it.
pub(super) fn bytes(value: &Value) -> String {
    let Some(bytes) = value.as_u64() else { return String::new() };
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fits = units.into_iter().find(|(_, size)| bytes >= *size);
    fits.map_or_else(
        || format!("{bytes} B"),
        |(unit, size)| format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
    )
}
