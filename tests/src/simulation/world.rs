//! The wheel: virtual time, the calendar of what is to happen, and the faults.

use super::copies::Copies;
use super::invariants::{self, Broken, Ledger};
use super::line::Lines;
use super::plan::Plan;
use super::plant::Plant;
use super::random::Random;
use super::store::Store;
use super::vendor::Vendor;
use super::{Mutation, vendor};
use sitewarden_protocol::batch;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::message::{Hello, ToAgent};
use sitewarden_protocol::time::UnixMillis;
use std::collections::BTreeMap;
use std::time::Duration;

/// When every run begins by the hub's clock.
pub(super) const START: i64 = 1_800_000_000_000;
/// How long the queue may take to drain once the faults have stopped. Time-outs of a session that stands but goes
/// nowhere (90 s), the longest back-off (60 s), dialling and greeting (40 s) and the transfer itself fit with room.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);
/// A run has some thousand events; one that never comes to rest is stopped here.
const MAX_EVENTS: u32 = 200_000;

/// Something that will happen. `life` names the process it belongs to: one that was killed meanwhile is not reached.
#[derive(Debug)]
pub(super) enum Event {
    /// Callers come with records.
    Callers,
    /// A sync at the plant has reached the disk.
    Synced { life: u64, through: Position },
    /// The journal answers a read.
    Read { life: u64, after: Position },
    /// The agent asks what time it is.
    AskTime { life: u64 },
    /// The agent's clock has reached its next deadline.
    AgentTimer { life: u64 },
    /// A dial came through.
    Connected { connection: u64 },
    /// A dial was refused, or the agent sees that a connection is gone.
    AgentClosed { connection: u64 },
    /// The hub sees that a connection is gone.
    HubClosed { connection: u64 },
    /// A frame arrives at the hub.
    AtHub { connection: u64, frame: Vec<u8> },
    /// A frame arrives at the agent.
    AtAgent { connection: u64, frame: Vec<u8> },
    /// The hub's clock has reached a session's deadline.
    HubTimer { connection: u64 },
    /// The hub looked up what it has of an agent.
    Greet { connection: u64, hello: Box<Hello> },
    /// The hub's writer commits what is waiting.
    Commit { life: u64 },
    /// The hub's receipts leave.
    Confirm { life: u64, outcomes: Vec<vendor::Outcome> },
    /// A mutated hub commits what it has sent receipts for.
    LateCommit { life: u64, store: Store },
    /// The hub copies its store.
    Backup,
    /// The plant's machine is copied.
    Image,
    /// Somebody makes a bundle of what is queued.
    Export,
    /// It comes to the hub.
    BundleAtHub { batches: Vec<batch::Signed> },
    /// The hub's reply comes to the plant.
    BundleAtAgent { messages: Vec<ToAgent> },
    /// The hub's administrator lets the agent go on.
    Clear,
    /// The agent starts anew, to go on in a fresh epoch.
    Anew { life: u64 },
    /// The agent's process starts.
    AgentStart,
    /// The hub's process starts.
    HubStart,
    /// The faults stop.
    Calm,
}

/// What happened in a run that held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// Events of the calendar.
    pub events: u32,
    /// Kills of the agent.
    pub agent_kills: u32,
    /// Kills of the hub.
    pub hub_kills: u32,
    /// Epochs begun after the first.
    pub epochs: u32,
    /// Times the hub came back from a backup.
    pub restores: u32,
    /// Batches committed.
    pub batches: u32,
    /// Records at the hub in the end.
    pub stored: u32,
    /// Records declared lost in the end.
    pub declared_lost: u64,
    /// Times the plant's wall clock was moved.
    pub clock_moves: u32,
    /// Times the hub took licence time back.
    pub corrected_back: u32,
    /// Times the plant's machine came back as an older one, or as a copy.
    pub forks: u32,
    /// Times an agent went on in a fresh epoch at an administrator's word.
    pub cleared: u32,
    /// Batches that came in a bundle before they came over a line.
    pub carried: u32,
}

/// One plant, one vendor, and what lies between.
pub struct World {
    pub(super) now: Duration,
    pub(super) random: Random,
    pub(super) plan: Plan,
    pub(super) mutation: Mutation,
    pub(super) plant: Plant,
    pub(super) vendor: Vendor,
    pub(super) lines: Lines,
    pub(super) copies: Copies,
    pub(super) ledger: Ledger,
    pub(super) summary: Summary,
    pub(super) faults: bool,
    /// Set when something changed that the invariants speak of.
    pub(super) changed: bool,
    aloud: bool,
    calendar: BTreeMap<(Duration, u64), Event>,
    tickets: u64,
    bursts: u64,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, mutation: Mutation) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let mut world = Self {
            now: Duration::ZERO,
            plant: Plant::new(seed, &plan, mutation),
            vendor: Vendor::new(),
            lines: Lines::default(),
            copies: Copies::default(),
            ledger: Ledger::default(),
            summary: Summary::default(),
            faults: true,
            changed: false,
            aloud: false,
            calendar: BTreeMap::new(),
            tickets: 0,
            bursts: plan.bursts,
            random,
            plan,
            mutation,
        };
        world.after(Duration::ZERO, Event::HubStart);
        world.after(Duration::ZERO, Event::AgentStart);
        world.after(Duration::ZERO, Event::Callers);
        world.after(world.plan.calm_at / 3, Event::Backup);
        world.after(world.plan.calm_at / 4, Event::Image);
        world.schedule_exports();
        world.after(world.plan.calm_at, Event::Calm);
        world
    }

    /// Turns the wheel until the faults have stopped and the queue has drained.
    ///
    /// # Errors
    /// The first invariant that did not hold.
    pub fn run(mut self) -> Result<Summary, Broken> {
        while let Some(((at, _), event)) = self.calendar.pop_first() {
            self.now = at;
            self.summary.events += 1;
            self.tell(&event);
            self.happen(event)?;
            self.look_at_clock()?;
            self.maybe_kill();
            self.maybe_move_clock();
            self.check()?;
            if !self.faults && self.at_rest() {
                return self.finish();
            }
            if at > self.plan.calm_at + DRAIN_LIMIT || self.summary.events > MAX_EVENTS {
                break;
            }
        }
        if invariants::drained(&self.plant.journal, &self.vendor.store, self.plant.id) {
            return Err(Broken::new(8, format!("at {:?} the hub's answer was not taken", self.now)));
        }
        Err(Broken::new(5, format!("not drained at {:?}: {}", self.now, self.where_both_are())))
    }

    /// Prints every event of this run: for one seed that is replayed.
    #[must_use]
    pub fn aloud(mut self) -> Self {
        self.aloud = true;
        self
    }

    fn tell(&self, event: &Event) {
        if self.aloud {
            let text: String = format!("{event:?}").chars().take(200).collect();
            println!("{:>12.3?}  {text}  [{}]", self.now, self.where_both_are());
        }
    }

    fn where_both_are(&self) -> String {
        let extents = self.plant.journal.extents();
        let held = extents.iter().map(|extent| format!("{}..{}", extent.oldest, extent.head.position));
        format!("journal {} | hub {}", held.collect::<Vec<_>>().join(" "), self.vendor.positions().join(" "))
    }

    /// Puts an event into the calendar.
    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.tickets += 1;
        self.calendar.insert((self.now + delay, self.tickets), event);
    }

    /// The wall clock: a fixed day, plus virtual time.
    pub(super) fn wall(&self) -> UnixMillis {
        UnixMillis(START).after(self.now)
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Callers => self.callers_come(),
            Event::Synced { life, through } if life == self.plant.life => self.synced(through),
            Event::Read { life, after } if life == self.plant.life => self.answer_read(after),
            Event::AgentTimer { life } if life == self.plant.life => self.agent_timer(),
            Event::AskTime { life } if life == self.plant.life => self.ask_time(),
            Event::Synced { .. } | Event::Read { .. } | Event::AgentTimer { .. } | Event::AskTime { .. } => {}
            Event::Connected { connection } => self.agent_connected(connection),
            Event::AgentClosed { connection } => self.agent_closed(connection),
            Event::HubClosed { connection } => self.hub_closed(connection),
            Event::AtHub { connection, frame } => self.at_hub(connection, frame)?,
            Event::AtAgent { connection, frame } => self.at_agent(connection, &frame)?,
            Event::HubTimer { connection } => self.hub_timer(connection)?,
            Event::Greet { connection, hello } => self.greet(connection, &hello)?,
            Event::Commit { life } if life == self.vendor.life => self.commit(),
            Event::Confirm { life, outcomes } if life == self.vendor.life => self.confirm(outcomes)?,
            Event::LateCommit { life, store } if life == self.vendor.life => self.commit_late(store),
            Event::Commit { .. } | Event::Confirm { .. } | Event::LateCommit { .. } => {}
            Event::Backup => self.vendor.back_up(),
            Event::Image => self.make_image(),
            Event::Export => self.export(),
            Event::BundleAtHub { batches } => self.bundle_at_hub(&batches)?,
            Event::BundleAtAgent { messages } => self.bundle_at_agent(messages),
            Event::Clear => self.clear()?,
            Event::Anew { life } if life == self.plant.life => self.start_anew(),
            Event::Anew { .. } => {}
            Event::AgentStart => self.start_agent(),
            Event::HubStart => self.start_hub(),
            Event::Calm => {
                self.faults = false;
                self.put_copies_away();
            }
        }
        if let Some(hold) = self.plant.hold().filter(|_| !self.ledger.forked) {
            return Err(Broken::new(0, format!("the agent holds back: {hold:?}, and nobody copied or rolled it back")));
        }
        Ok(())
    }

    fn maybe_kill(&mut self) {
        if !self.faults {
            return;
        }
        if self.random.chance(self.plan.agent_kill) {
            self.kill_agent();
        }
        if self.random.chance(self.plan.hub_kill) {
            self.kill_hub();
        }
    }

    /// Counts down the callers' visits; the last one comes when the faults are over, so that some records always do.
    pub(super) fn schedule_callers(&mut self) {
        self.bursts = self.bursts.saturating_sub(1);
        if self.bursts > 0 {
            let pause = self.random.millis(self.plan.pause);
            self.after(pause, Event::Callers);
        }
    }

    fn check(&mut self) -> Result<(), Broken> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        invariants::nothing_acknowledged_is_lost(&self.ledger, &self.journals(), &self.vendor.store)?;
        invariants::no_number_is_stored_twice(&self.vendor.store)?;
        invariants::disk_use_is_bounded(&self.plant.journal, self.plan.quota)
    }

    fn at_rest(&self) -> bool {
        self.bursts == 0
            && self.ledger.waiting == 0
            && self.clock_is_corrected()
            && invariants::drained(&self.plant.journal, &self.vendor.store, self.plant.id)
    }

    fn finish(mut self) -> Result<Summary, Broken> {
        let (ledger, journals, store) = (&self.ledger, self.journals(), &self.vendor.store);
        invariants::nothing_acknowledged_is_lost(ledger, &journals, store)?;
        invariants::no_number_is_stored_twice(store)?;
        invariants::no_event_is_stored_twice(ledger, store)?;
        invariants::the_chain_is_contiguous(self.plant.id, ledger, store, &journals)?;
        invariants::everything_is_accounted_for(ledger, &journals, store)?;
        // Who was told of what is plain as long as there are two histories at most, and the hub forgot neither.
        if self.summary.restores == 0 && self.summary.forks <= 1 {
            invariants::the_hub_was_told_of_every_loss(ledger, store)?;
        }
        self.licence_time_is_the_hubs()?;
        self.summary.epochs = u32::try_from(self.plant.journal.newest().epoch - 1).expect("few");
        self.summary.stored =
            u32::try_from(store.shelves.values().map(|shelf| shelf.rows.len()).sum::<usize>()).expect("few");
        let gaps = store.shelves.values().flat_map(|shelf| &shelf.gaps);
        self.summary.declared_lost = gaps.map(|gap| gap.last - gap.first + 1).sum();
        Ok(self.summary)
    }
}
