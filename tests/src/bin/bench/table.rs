//! The figures, as they come and in the end.

use std::fmt;

const MISSED: &str = "MISSED";

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At least this many times the yardstick.
    Share(f64),
    /// At least this.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
    /// Nothing; the figure is for reading.
    None,
}

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The figure and its unit.
    pub(crate) figure: (f64, &'static str),
    /// What it is measured against, from the same run.
    pub(crate) yardstick: Option<(f64, &'static str)>,
    /// What is to be reached.
    pub(crate) target: Target,
}

/// All figures.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Keeps a figure, and shows it at once: a run takes minutes.
    pub(crate) fn add(&mut self, row: Row) {
        println!("{row}");
        self.0.push(row);
    }

    /// What did not reach its target.
    pub(crate) fn missed(&self) -> Vec<&str> {
        self.0.iter().filter(|row| row.verdict().1 == MISSED).map(|row| row.what.trim()).collect()
    }
}

impl Row {
    fn verdict(&self) -> (String, &'static str) {
        let (figure, _) = self.figure;
        let share = self.yardstick.map_or(f64::NAN, |(yardstick, _)| figure / yardstick);
        let word = |met: bool| if met { "met" } else { MISSED };
        match self.target {
            Target::Share(least) => (format!("≥ {:.0} %", least * 100.0), word(share >= least)),
            Target::AtLeast(least) => (format!("≥ {least}"), word(figure >= least)),
            Target::Below(most) => (format!("< {most}"), word(figure < most)),
            Target::None => ("–".into(), ""),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (figure, unit) = self.figure;
        let number = |value: f64| if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        let (beside, share) = self.yardstick.map_or_else(Default::default, |(value, name)| {
            (format!("{} ({name})", number(value)), format!("{:.0} %", figure / value * 100.0))
        });
        let (target, verdict) = self.verdict();
        let figure = format!("{} {unit}", number(figure));
        write!(f, "{:<44} {figure:>18}  {beside:<40} {share:>7}  {target:>8}  {verdict}", self.what)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<44} {:>18}  {:<40} {:>7}  {:>8}", "figure", "measured", "yardstick", "share", "target")?;
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}
