//! Years of virtual time through the decision, with reboots and clocks that jump. Nothing sleeps: time is a number.

use super::*;
use proptest::prelude::*;
use sitewarden_protocol::trusted_time::{Reading, Settings, TrustedTime};

const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;
/// Thursday, 1 January 2026, noon.
const START: UnixMillis = UnixMillis(1_767_268_800_000);

/// A machine whose scheduler is asked now and then.
struct Plant {
    frequency: Frequency,
    remembered: Remembered,
    sent: Vec<UnixMillis>,
    up: bool,
    tries: u32,
    failures: u64,
}

impl Plant {
    fn new(frequency: Frequency) -> Self {
        let remembered = Remembered::beginning(START);
        Self { frequency, remembered, sent: vec![], up: true, tries: 0, failures: 0 }
    }

    /// What the scheduler does when it is woken.
    fn wake(&mut self, now: UnixMillis) {
        self.remembered.settle(now);
        let run = match self.remembered.due(self.frequency, now) {
            Due::Nothing => return,
            Due::Run(run) => {
                self.remembered.begun(run);
                self.tries = 0;
                run
            }
            Due::Retry(_) => now,
        };
        if self.up {
            self.remembered.succeeded(now);
            self.sent.push(run);
        } else {
            self.failures += 1;
            self.remembered.failed(1, self.tries, now);
            self.tries += 1;
        }
    }

    /// A reboot: only what is on disk is left.
    fn reboot(&mut self) {
        let disk = serde_json::to_string(&self.remembered).unwrap();
        self.remembered = serde_json::from_str(&disk).unwrap();
    }
}

/// All runs after `from`, up to `to`.
fn runs(frequency: Frequency, from: UnixMillis, to: UnixMillis) -> Vec<UnixMillis> {
    let next = |run: &UnixMillis| frequency.next(*run);
    std::iter::successors(frequency.next(from), next).take_while(|run| *run <= to).collect()
}

#[test]
fn in_five_years_with_reboots_each_run_is_sent_once() {
    for frequency in Frequency::ALL {
        let mut plant = Plant::new(frequency);
        let end = UnixMillis(START.0 + 5 * 365 * DAY);
        let mut now = START;
        let mut wakes = 0_u64;
        while now < end {
            now.0 += 10 * MINUTE;
            plant.wake(now);
            wakes += 1;
            if wakes.is_multiple_of(997) {
                plant.reboot();
            }
        }
        let expected = runs(frequency, START, end);
        assert_eq!(plant.sent, expected, "{frequency:?}");
        let in_five_years = match frequency {
            Frequency::TwiceMonthly => 119,
            Frequency::Monthly => 59,
            Frequency::Weekly => 261,
            Frequency::Daily => 1_825,
        };
        assert_eq!(expected.len(), in_five_years, "{frequency:?}");
    }
}

/// The scheduler's clock is licence time: a wall clock that is moved by a year, back or ahead, and put right three hours
/// later burns a few hours of it, and no run. Reboots fall into some of these hours.
#[test]
fn in_five_years_with_reboots_and_clocks_that_are_moved_each_run_is_sent_once() {
    let settings = Settings::default();
    for frequency in Frequency::ALL {
        let mut plant = Plant::new(frequency);
        let (mut real, end) = (START, UnixMillis(START.0 + 5 * 365 * DAY));
        let (mut uptime, mut boot) = (Duration::from_secs(60), [1; 16]);
        let mut time = TrustedTime::begin(START, Reading { wall: START, uptime, boot });
        let (mut wakes, mut moved) = (0_i64, 0);
        while real < end {
            real.0 += 10 * MINUTE;
            uptime += Duration::from_secs(600);
            wakes += 1;
            if wakes % 997 == 0 {
                (uptime, boot) = (Duration::from_secs(60), wakes.to_le_bytes().repeat(2).try_into().unwrap());
                let kept = serde_json::to_string(&time).unwrap();
                time = serde_json::from_str(&kept).unwrap();
                plant.reboot();
            }
            // Nine hundred and ninety-seven wakes come round at every place of such a stretch.
            let off = match (wakes % 5_003, wakes / 5_003 % 2) {
                (0..18, 0) if wakes > 18 => 400 * DAY,
                (0..18, _) if wakes > 18 => -400 * DAY,
                _ => 0,
            };
            moved += i64::from(off != 0);
            let changed = time.advance(Reading { wall: UnixMillis(real.0 + off), uptime, boot }, &settings);
            assert!(changed.is_none() || wakes > 18, "the clock is right at first");
            plant.wake(time.now());
        }
        assert!(moved > 900, "{moved} wakes with a wrong clock");
        let ahead = time.now().0 - real.0;
        assert!((-DAY..4 * DAY).contains(&ahead), "{frequency:?}: {ahead} ms ahead after all that");
        assert_eq!(plant.sent, runs(frequency, START, time.now()), "{frequency:?}");
    }
}

#[test]
fn what_was_missed_while_the_machine_was_off_is_made_up_for_once() {
    let mut plant = Plant::new(Frequency::Daily);
    let back = UnixMillis(START.0 + 100 * DAY);
    for minute in 0..600 {
        plant.wake(UnixMillis(back.0 + minute * MINUTE));
    }
    assert_eq!(plant.sent, [Frequency::Daily.latest(back).unwrap()]);
}

#[test]
fn a_storm_of_wakes_after_a_jump_sends_once() {
    let mut plant = Plant::new(Frequency::Weekly);
    let there = UnixMillis(START.0 + 300 * DAY);
    (0..10_000).for_each(|_| plant.wake(there));
    assert_eq!(plant.sent.len(), 1);
}

#[test]
fn a_jump_ahead_that_is_taken_back_does_not_stop_the_schedule() {
    let mut plant = Plant::new(Frequency::Daily);
    plant.wake(UnixMillis(START.0 + 3_650 * DAY));
    assert_eq!(plant.sent.len(), 1);
    let (from, to) = (START, UnixMillis(START.0 + 30 * DAY));
    for minute in 0..30 * 1_440 {
        plant.wake(UnixMillis(from.0 + minute * MINUTE));
    }
    assert_eq!(plant.sent[1..], runs(Frequency::Daily, from, UnixMillis(to.0 - MINUTE)));
}

#[test]
fn a_failed_transmission_is_tried_again_at_growing_intervals_until_the_line_is_back() {
    let mut plant = Plant::new(Frequency::Monthly);
    plant.up = false;
    let mut now = Frequency::Monthly.next(START).unwrap();
    let due = now;
    while now.0 < due.0 + 3 * DAY {
        plant.wake(now);
        now.0 += MINUTE;
    }
    // 1, 2, 4 … 256 minutes, then every six hours: not every minute of three days.
    assert!((15..25).contains(&plant.failures), "{}", plant.failures);
    plant.up = true;
    while plant.sent.is_empty() {
        plant.wake(now);
        now.0 += MINUTE;
    }
    assert!(now.0 < due.0 + 4 * DAY);
    (0..1_000).for_each(|minute| plant.wake(UnixMillis(now.0 + minute * MINUTE)));
    assert_eq!(plant.sent.len(), 1);
}

#[test]
fn a_new_schedule_makes_up_for_nothing() {
    for frequency in Frequency::ALL {
        assert_eq!(Remembered::beginning(START).due(frequency, START), Due::Nothing);
    }
}

proptest! {
    /// However clocks jump: a transmission is only sent at a run's time or later, and never two for the same run
    /// unless time went back behind it in between.
    #[test]
    fn no_jump_sends_a_run_twice(jumps in prop::collection::vec(-40 * DAY..40 * DAY, 1..60)) {
        for frequency in Frequency::ALL {
            let mut plant = Plant::new(frequency);
            let (mut now, mut lowest) = (START, START);
            for jump in &jumps {
                now.0 += jump;
                lowest = lowest.min(now);
                let before = plant.sent.len();
                (0..5).for_each(|_| plant.wake(now));
                prop_assert!(plant.sent.len() <= before + 1);
                if plant.sent.len() > before {
                    let run = plant.sent[before];
                    prop_assert_eq!(Some(run), frequency.latest(now));
                    prop_assert!(!plant.sent[..before].contains(&run) || lowest < run);
                    lowest = now;
                }
            }
        }
    }
}
