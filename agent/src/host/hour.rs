//! Looks at the machine, folded into totals of one hour.

use sitewarden_protocol::record::{HostHour, HostSample};
use sitewarden_protocol::time::UnixMillis;

const HOUR: i64 = 3_600_000;

/// One look at the machine and at the agent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    /// Licence time.
    pub(super) at: UnixMillis,
    pub(super) sample: HostSample,
    /// Since the agent's start, seconds.
    pub(super) agent_uptime: u64,
    /// Records that wait for the hub's receipt.
    pub(super) backlog: u64,
    pub(super) journal_bytes: u64,
    /// The wall clock less licence time, milliseconds.
    pub(super) wall_offset: i64,
}

/// The totals of the hour under way. Sums cannot overflow: an hour has at most 3,600 looks.
#[derive(Debug, Default)]
pub(super) struct Hours {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    totals: HostHour,
    cpu: u64,
    memory: u128,
}

impl Hours {
    /// Adds a look; answers the hour before, if this look is the first of another.
    pub(super) fn add(&mut self, look: &Look) -> Option<HostHour> {
        let over = self.over(look.at);
        self.open.get_or_insert_with(|| Open::at(hour(look.at), look)).add(look);
        over
    }

    /// The hour under way, if by `now` it is another.
    pub(super) fn over(&mut self, now: UnixMillis) -> Option<HostHour> {
        self.open.take_if(|open| open.totals.hour != hour(now)).map(Open::close)
    }

    /// The hour under way, as far as it went.
    pub(super) fn end(&mut self) -> Option<HostHour> {
        self.open.take().map(Open::close)
    }
}

impl Open {
    fn at(hour: UnixMillis, look: &Look) -> Self {
        let totals = HostHour {
            hour,
            samples: 0,
            cpu_average_permille: 0,
            cpu_max_permille: 0,
            memory_average: 0,
            memory_max: 0,
            memory_total: 0,
            disk_free_min: look.sample.disk_free,
            disk_total: 0,
            uptime: 0,
            agent_uptime: 0,
            agent_memory_max: 0,
            backlog_max: 0,
            journal_bytes_max: 0,
            wall_offset: 0,
        };
        Self { totals, cpu: 0, memory: 0 }
    }

    fn add(&mut self, look: &Look) {
        let (totals, sample) = (&mut self.totals, &look.sample);
        self.cpu = self.cpu.saturating_add(sample.cpu_permille.into());
        self.memory = self.memory.saturating_add(sample.memory_used.into());
        totals.samples = totals.samples.saturating_add(1);
        totals.cpu_max_permille = totals.cpu_max_permille.max(sample.cpu_permille);
        totals.memory_max = totals.memory_max.max(sample.memory_used);
        totals.memory_total = sample.memory_total;
        totals.disk_free_min = totals.disk_free_min.min(sample.disk_free);
        totals.disk_total = sample.disk_total;
        totals.uptime = sample.uptime;
        totals.agent_uptime = look.agent_uptime;
        totals.agent_memory_max = totals.agent_memory_max.max(sample.agent_memory);
        totals.backlog_max = totals.backlog_max.max(look.backlog);
        totals.journal_bytes_max = totals.journal_bytes_max.max(look.journal_bytes);
        totals.wall_offset = look.wall_offset;
    }

    fn close(self) -> HostHour {
        let samples = self.totals.samples.max(1);
        // An average is not above what it is of.
        HostHour {
            cpu_average_permille: u16::try_from(self.cpu / u64::from(samples)).unwrap_or(u16::MAX),
            memory_average: u64::try_from(self.memory / u128::from(samples)).unwrap_or(u64::MAX),
            ..self.totals
        }
    }
}

fn hour(at: UnixMillis) -> UnixMillis {
    UnixMillis(at.0.div_euclid(HOUR).saturating_mul(HOUR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: i64, cpu: u16, memory: u64) -> Look {
        let sample = HostSample {
            cpu_permille: cpu,
            memory_used: memory,
            memory_total: 100,
            disk_free: 1_000 - u64::from(cpu),
            disk_total: 1_000,
            uptime: 50,
            agent_memory: memory / 2,
        };
        Look {
            at: UnixMillis(at),
            sample,
            agent_uptime: 9,
            backlog: memory,
            journal_bytes: 2 * memory,
            wall_offset: -at,
        }
    }

    #[test]
    fn an_hour_has_averages_and_extremes_of_its_own_looks_only() {
        let mut hours = Hours::default();
        assert_eq!(hours.add(&look(5, 100, 40)), None);
        assert_eq!(hours.add(&look(6, 300, 20)), None);
        let first = hours.add(&look(HOUR, 900, 99)).unwrap();
        let expected = HostHour {
            hour: UnixMillis(0),
            samples: 2,
            cpu_average_permille: 200,
            cpu_max_permille: 300,
            memory_average: 30,
            memory_max: 40,
            memory_total: 100,
            disk_free_min: 700,
            disk_total: 1_000,
            uptime: 50,
            agent_uptime: 9,
            agent_memory_max: 20,
            backlog_max: 40,
            journal_bytes_max: 80,
            wall_offset: -6,
        };
        assert_eq!(first, expected);
        let second = hours.end().unwrap();
        assert_eq!((second.hour, second.samples, second.memory_average), (UnixMillis(HOUR), 1, 99));
        assert_eq!(hours.end(), None);
    }

    #[test]
    fn an_hour_is_over_without_another_look() {
        let mut hours = Hours::default();
        assert_eq!(hours.over(UnixMillis(5)), None);
        assert_eq!(hours.add(&look(5, 100, 40)), None);
        assert_eq!(hours.over(UnixMillis(HOUR - 1)), None);
        assert_eq!(hours.over(UnixMillis(HOUR)).unwrap().samples, 1);
        // Licence time may be taken back by the hub; then it is another hour too.
        assert_eq!(hours.add(&look(HOUR, 1, 1)), None);
        assert_eq!(hours.add(&look(5, 1, 1)).unwrap().hour, UnixMillis(HOUR));
    }
}
