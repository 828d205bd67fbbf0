use super::*;
use proptest::prelude::*;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// When the stories begin: 2026-01-31T08:00:00Z.
const START: UnixMillis = UnixMillis(1_769_846_400_000);
const TOLERANCE: i64 = 5 * MINUTE;

/// A machine and the real time around it.
#[derive(Clone)]
struct Machine {
    real: i64,
    /// What the wall clock is off.
    off: i64,
    uptime: i64,
    boot: u8,
    time: TrustedTime,
}

impl Machine {
    fn start() -> Self {
        let reading = Reading { wall: START, uptime: Duration::ZERO, boot: [0; 16] };
        Self { real: START.0, off: 0, uptime: 0, boot: 0, time: TrustedTime::begin(START, reading) }
    }

    fn reading(&self) -> Reading {
        let wall = UnixMillis(self.real.saturating_add(self.off));
        Reading { wall, uptime: span(self.uptime), boot: [self.boot; 16] }
    }

    fn read(&mut self) -> Option<Cause> {
        let before = self.time.now();
        let change = self.time.advance(self.reading(), &Settings::default())?;
        assert_eq!((change.before, change.after, change.wall), (before, self.time.now(), self.reading().wall));
        Some(change.cause)
    }

    /// Runs for so long and reads the clocks.
    fn run(&mut self, millis: i64) -> Option<Cause> {
        self.real += millis;
        self.uptime += millis;
        self.read()
    }

    /// Runs for so long and reads the clocks each second.
    fn watch(&mut self, millis: i64) -> Vec<Cause> {
        (0..millis / SECOND).filter_map(|_| self.run(SECOND)).collect()
    }

    /// Is switched off for so long, starts and reads the clocks.
    fn sleep(&mut self, millis: i64) -> Option<Cause> {
        self.real += millis;
        self.boot += 1;
        self.uptime = 0;
        self.read()
    }

    fn heard(&mut self, hub: i64) -> Option<Cause> {
        self.time.heard(UnixMillis(hub), &Settings::default()).map(|change| change.cause)
    }

    fn answered(&mut self, hub: i64) -> Option<Cause> {
        self.time.answered(UnixMillis(hub), &Settings::default()).map(|change| change.cause)
    }

    /// How far time is before the real one.
    fn lead(&self) -> i64 {
        self.time.now().0 - self.real
    }
}

fn span(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap())
}

#[test]
fn a_good_clock_is_followed_also_when_it_is_corrected_a_little() {
    let mut machine = Machine::start();
    assert_eq!(machine.watch(MINUTE), []);
    assert_eq!((machine.lead(), machine.time.pace()), (0, Pace::Steady));
    machine.off = TOLERANCE;
    assert_eq!((machine.run(0), machine.lead()), (None, TOLERANCE));
    machine.off = 0;
    assert_eq!((machine.run(SECOND), machine.lead()), (None, TOLERANCE), "time does not go back");
    assert_eq!(machine.time.pace(), Pace::Steady);
}

#[test]
fn a_clock_that_is_moved_back_gains_nothing() {
    let mut machine = Machine::start();
    machine.off = -YEAR;
    assert_eq!(machine.run(SECOND), Some(Cause::SteppedBack));
    assert_eq!(machine.watch(HOUR), []);
    assert_eq!((machine.lead(), machine.time.pace()), (0, Pace::Behind));
    machine.off = 0;
    assert_eq!(machine.run(SECOND), Some(Cause::Settled));
    assert_eq!((machine.lead(), machine.time.pace()), (0, Pace::Steady));
}

#[test]
fn a_jump_of_years_for_an_hour_burns_one_more_hour() {
    let mut machine = Machine::start();
    machine.off = 10 * YEAR;
    assert_eq!(machine.watch(HOUR), [Cause::SteppedForward]);
    assert_eq!((machine.lead(), machine.time.pace()), (HOUR, Pace::Ahead));
    machine.off = 0;
    assert_eq!(machine.watch(DAY), [Cause::SteppedBack]);
    assert_eq!((machine.lead(), machine.time.pace()), (HOUR, Pace::Behind));
    assert_eq!(machine.answered(machine.real), Some(Cause::CorrectedBack));
    assert_eq!((machine.lead(), machine.time.pace()), (0, Pace::Steady));
    assert_eq!(machine.run(SECOND), None);
}

#[test]
fn a_clock_that_stays_ahead_is_reached_in_the_end() {
    let mut machine = Machine::start();
    machine.off = HOUR;
    assert_eq!(machine.watch(HOUR), [Cause::SteppedForward, Cause::Settled]);
    assert_eq!((machine.lead(), machine.time.pace()), (HOUR, Pace::Steady));
}

#[test]
fn after_a_pause_of_the_machine_time_follows_slowly_and_the_hub_sets_it_right() {
    let mut machine = Machine::start();
    machine.real += 7 * DAY; // The uptime stands still.
    assert_eq!(machine.run(HOUR), Some(Cause::SteppedForward));
    assert_eq!(machine.lead(), -7 * DAY + HOUR);
    assert_eq!(machine.heard(machine.real), Some(Cause::CorrectedForward));
    assert_eq!((machine.run(SECOND), machine.lead()), (None, 0));
}

#[test]
fn a_machine_that_was_off_believes_its_clock_for_a_month_and_not_for_a_year() {
    let mut machine = Machine::start();
    assert_eq!((machine.sleep(31 * DAY), machine.lead()), (None, 0));
    assert_eq!(machine.sleep(YEAR), Some(Cause::SteppedForward));
    assert_eq!(machine.lead(), -YEAR);
    assert_eq!(machine.watch(HOUR), []);
    assert_eq!(machine.lead(), -YEAR + HOUR, "from then on it is followed slowly");
}

#[test]
fn a_start_with_an_empty_clock_battery_does_not_take_time_back() {
    let mut machine = Machine::start();
    machine.run(HOUR);
    machine.off = -machine.real;
    assert_eq!(machine.sleep(0), Some(Cause::SteppedBack));
    assert_eq!((machine.run(HOUR), machine.lead()), (None, 0));
}

#[test]
fn an_uptime_that_goes_back_is_another_start_even_if_the_kernel_does_not_say_so() {
    let mut machine = Machine::start();
    machine.run(HOUR);
    machine.uptime = 0;
    machine.real += DAY;
    assert_eq!((machine.read(), machine.lead()), (None, 0));
}

#[test]
fn an_old_signed_time_is_worth_nothing() {
    let mut machine = Machine::start();
    machine.off = YEAR;
    machine.watch(HOUR);
    assert_eq!(machine.heard(START.0 - DAY), None);
    assert_eq!(machine.heard(machine.real), None);
    assert_eq!((machine.lead(), machine.time.last_heard()), (HOUR, UnixMillis(machine.real)));
    for replayed in [machine.real - DAY, machine.real] {
        assert_eq!((machine.answered(replayed), machine.lead()), (None, HOUR));
    }
    machine.off = 0;
    assert_eq!(machine.run(SECOND), Some(Cause::SteppedBack));
    assert_eq!((machine.answered(machine.real), machine.lead()), (Some(Cause::CorrectedBack), 0));
}

#[test]
fn an_answer_within_the_tolerance_takes_nothing_back() {
    let mut machine = Machine::start();
    machine.run(HOUR);
    assert_eq!((machine.answered(machine.real - TOLERANCE), machine.lead()), (None, 0));
    assert_eq!((machine.answered(machine.real + SECOND), machine.lead()), (None, SECOND));
    assert_eq!(machine.answered(machine.real + DAY), Some(Cause::CorrectedForward));
    assert_eq!((machine.time.pace(), machine.run(SECOND)), (Pace::Behind, None), "one word for one thing");
}

#[test]
fn time_begins_at_the_floor_and_believes_the_clock_as_after_a_start() {
    let begin = |off: i64| {
        let reading = Reading { wall: UnixMillis(START.0 + off), uptime: span(DAY), boot: [1; 16] };
        let begun = TrustedTime::begin(START, reading);
        assert_eq!(begun.last_heard(), START);
        (begun.now().0 - START.0, begun.pace())
    };
    assert_eq!(begin(20 * DAY), (20 * DAY, Pace::Steady));
    assert_eq!(begin(2 * YEAR), (0, Pace::Ahead));
    assert_eq!(begin(-MINUTE), (0, Pace::Steady));
    assert_eq!(begin(-DAY), (0, Pace::Behind));
}

#[test]
fn a_clock_that_hovers_at_the_tolerance_does_not_flap() {
    for side in [-1, 1] {
        let mut machine = Machine::start();
        // Nothing is followed, so that the clock can hover ahead, too.
        let settings = Settings { catch_up_percent: 0, ..Settings::default() };
        let mut at = |off: i64| {
            machine.off = side * off;
            machine.time.advance(machine.reading(), &settings).map(|change| change.cause)
        };
        let stepped = if side < 0 { Cause::SteppedBack } else { Cause::SteppedForward };
        assert_eq!(at(TOLERANCE + 1), Some(stepped));
        for _ in 0..5 {
            assert_eq!((at(TOLERANCE - 1), at(TOLERANCE + 1), at(TOLERANCE / 2 + 1)), (None, None, None));
        }
        assert_eq!(at(TOLERANCE / 2), Some(Cause::Settled));
    }
}

#[test]
fn frequent_readings_lose_nothing_by_rounding() {
    let mut machine = Machine::start();
    machine.off = -YEAR;
    machine.run(0);
    let settings = Settings { catch_up_percent: 50, ..Settings::default() };
    let mut time = machine.time.clone();
    let mut read = |off: i64, micros: u64| {
        let wall = UnixMillis(START.0 + off);
        time.advance(Reading { wall, uptime: Duration::from_micros(micros), boot: [0; 16] }, &settings);
        time.now().0 - START.0
    };
    assert_eq!((0..=10_000).map(|tick| read(-YEAR, tick * 100)).last(), Some(SECOND));
    assert_eq!((10_000..=20_000).map(|tick| read(YEAR, tick * 100)).last(), Some(2 * SECOND + SECOND / 2));
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    let ends = [i64::MIN, -1, 0, i64::MAX].map(UnixMillis);
    let settings = Settings { tolerance: Duration::MAX, power_off: Duration::MAX, catch_up_percent: u16::MAX };
    for (floor, wall, hub) in ends.iter().flat_map(|a| ends.iter().flat_map(move |b| ends.map(|c| (*a, *b, c)))) {
        for settings in [settings, Settings::default()] {
            let mut time = TrustedTime::begin(floor, Reading { wall, uptime: Duration::ZERO, boot: [0; 16] });
            time.advance(Reading { wall: hub, uptime: Duration::MAX, boot: [0; 16] }, &settings);
            time.heard(hub, &settings);
            time.answered(wall, &settings);
            assert!(time.now() >= floor.max(hub).min(wall));
        }
    }
}

#[test]
fn it_is_kept_as_json() {
    let mut machine = Machine::start();
    machine.off = YEAR;
    machine.run(HOUR);
    let json = serde_json::to_string(&machine.time).unwrap();
    assert!(json.contains(r#""pace":"ahead""#), "{json}");
    assert_eq!(serde_json::from_str::<TrustedTime>(&json).unwrap(), machine.time);
    assert_eq!(serde_json::to_string(&Cause::SteppedBack).unwrap(), r#""stepped_back""#);
}

/// What may happen to a machine.
#[derive(Debug, Clone)]
enum Event {
    Run(i64),
    Sleep(i64),
    Move(i64),
    Heard(i64),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let off = prop_oneof![-2 * TOLERANCE..2 * TOLERANCE, -YEAR..YEAR, Just(0)];
    prop_oneof![
        4 => (0..2 * DAY).prop_map(Event::Run),
        1 => (0..60 * DAY).prop_map(Event::Sleep),
        3 => off.clone().prop_map(Event::Move),
        1 => off.prop_map(Event::Heard),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    #[test]
    fn time_never_goes_back_and_never_slower_than_uptime(events in prop::collection::vec(event(), 1..60)) {
        let mut machine = Machine::start();
        for event in events {
            let (time, uptime, boot) = (machine.time.now().0, machine.uptime, machine.boot);
            match event {
                Event::Run(millis) => drop(machine.run(millis)),
                Event::Sleep(millis) => drop(machine.sleep(millis)),
                Event::Move(off) => machine.off = off,
                Event::Heard(off) => drop(machine.heard(machine.real + off)),
                Event::Restart => {
                    let json = serde_json::to_string(&machine.time).unwrap();
                    machine.time = serde_json::from_str(&json).unwrap();
                }
            }
            let ran = if boot == machine.boot { machine.uptime - uptime } else { 0 };
            prop_assert!(machine.time.now().0 >= time + ran);
        }
    }

    #[test]
    fn a_jump_forward_and_back_burns_no_more_than_its_length(
        jump in 0..3 * YEAR,
        percent in 0_u16..300,
        away in prop::collection::vec(0..DAY, 1..30),
        back in prop::collection::vec(0..DAY, 1..30),
    ) {
        let mut machine = Machine::start();
        let settings = Settings { catch_up_percent: percent, ..Settings::default() };
        let mut length = 0;
        let steps = away.iter().map(|step| (jump, *step)).chain(back.iter().map(|step| (0, *step)));
        for (off, step) in steps {
            machine.off = off;
            machine.real += step;
            machine.uptime += step;
            length += if off > 0 { step } else { 0 };
            machine.time.advance(machine.reading(), &settings);
            prop_assert!(machine.lead() <= length * i64::from(percent) / 100 + TOLERANCE);
        }
    }

    #[test]
    fn with_a_true_clock_time_is_the_clock_within_the_tolerance(
        steps in prop::collection::vec((0..3 * DAY, any::<bool>(), -TOLERANCE / 2..=TOLERANCE / 2), 1..60),
    ) {
        let mut machine = Machine::start();
        for (millis, off, error) in steps {
            machine.off = error;
            let change = if off { machine.sleep(millis) } else { machine.run(millis) };
            prop_assert_eq!(change, None);
            prop_assert!(machine.reading().wall.0.abs_diff(machine.time.now().0) <= TOLERANCE.unsigned_abs());
            prop_assert_eq!(machine.answered(machine.real), None);
        }
    }
}
