//! What one run goes through: drawn from its seed, so that some runs are gentle and some are not.

use super::random::Random;
use std::time::Duration;

/// A span in milliseconds, from and to.
pub type Millis = (u64, u64);

/// The weather of one run. Chances are in a thousand, and stop with the faults.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether the line keeps order and loses nothing while it stands, as a QUIC stream does.
    pub ordered: bool,
    /// A message is lost (only on a line without order).
    pub loss: u64,
    /// A message comes twice (only on a line without order).
    pub repeat: u64,
    /// A bit of a message is flipped.
    pub flip: u64,
    /// The line is cut, tried with every message.
    pub cut: u64,
    /// A dial is never answered.
    pub mute: u64,
    /// How long a message is on its way.
    pub delay: Millis,
    /// How long the disk takes for a sync at the plant.
    pub sync: Millis,
    /// How long the journal takes for a page.
    pub read: Millis,
    /// How long the hub takes to commit, and again until the receipts leave.
    pub commit: Millis,
    /// The hub says that it is busy, a batch.
    pub busy: u64,
    /// The hub ends a session in good order, a batch.
    pub goodbye: u64,
    /// The agent is killed, tried with every event.
    pub agent_kill: u64,
    /// The plant's wall clock is moved, tried with every event.
    pub clock: u64,
    /// The hub is killed, tried with every event.
    pub hub_kill: u64,
    /// The journal is found damaged, a restart of the agent.
    pub damage: u64,
    /// The hub comes back from a backup, a restart of it.
    pub restore: u64,
    /// The plant's machine comes back as it was when its image was made, a kill of the agent.
    pub rollback: u64,
    /// A copy of the plant's machine is started in its place, or it in that of the copy, a kill of the agent.
    pub copy: u64,
    /// How long an administrator takes to look at a red flag.
    pub administrator: Millis,
    /// How many times a bundle is made.
    pub bundles: u64,
    /// How long a bundle is on its way.
    pub carried: Millis,
    /// How long a killed process is down.
    pub down: Millis,
    /// Most records in a batch.
    pub batch: u32,
    /// Records kept behind the acknowledged one.
    pub grace: usize,
    /// Most bytes that the journal may hold.
    pub quota: usize,
    /// How many times callers come.
    pub bursts: u64,
    /// Time between them.
    pub pause: Millis,
    /// When the faults stop at the latest.
    pub calm_at: Duration,
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(random: &mut Random) -> Self {
        let ordered = random.chance(500);
        let unordered = |permille| if ordered { 0 } else { permille };
        let slow = random.pick(&[1, 1, 10, 100]);
        let pause = random.pick(&[(0, 30), (10, 400), (100, 5_000)]);
        // Most machines are never copied: what is exact for those is not for the others.
        let copied = random.chance(300);
        let only_copied = |permille| if copied { permille } else { 0 };
        Self {
            ordered,
            loss: unordered(random.pick(&[0, 10, 100, 300])),
            repeat: unordered(random.pick(&[0, 10, 200])),
            flip: random.pick(&[0, 0, 3]),
            cut: random.pick(&[0, 10, 60]),
            mute: random.pick(&[0, 50, 300]),
            delay: random.pick(&[(1, 3), (5, 60), (20, 900)]),
            sync: (slow, slow * 4),
            read: random.pick(&[(0, 0), (0, 4), (1, 50)]),
            commit: random.pick(&[(1, 3), (5, 80), (50, 2_000)]),
            busy: random.pick(&[0, 0, 20, 200]),
            goodbye: random.pick(&[0, 0, 10]),
            agent_kill: random.pick(&[0, 2, 10, 40]),
            hub_kill: random.pick(&[0, 2, 10, 40]),
            clock: random.pick(&[0, 2, 20]),
            damage: random.pick(&[0, 0, 200, 600]),
            restore: random.pick(&[0, 0, 200, 600]),
            rollback: only_copied(random.pick(&[0, 200, 500])),
            copy: only_copied(random.pick(&[0, 200, 500])),
            administrator: random.pick(&[(0, 50), (1_000, 20_000)]),
            bundles: random.pick(&[0, 0, 0, 1, 4]),
            // Never faster than a hello: a hub that learns of records before the hello that says they exist flags it.
            carried: random.pick(&[(5_000, 10_000), (10_000, 60_000)]),
            down: random.pick(&[(0, 5), (50, 3_000)]),
            batch: random.pick(&[1, 3, 8, 40]),
            grace: random.pick(&[0, 4, 30]),
            quota: random.pick(&[700, 4_000, 1_000_000]),
            bursts: random.between(4, 14),
            pause,
            calm_at: Duration::from_secs(random.pick(&[2, 20, 120])),
        }
    }
}
