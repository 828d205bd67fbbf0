//! Who is connected, and how a session is told that something concerns it.
//!
//! Always true: what is told is never lost and never queued. Each session has one slot that says whether its site
//! changed and whether it is to end; telling it ten times is telling it once.

use super::ending::Ending;
use sitewarden_protocol::id::{AgentId, SiteId};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Agents that are told to come back in the same second when the hub stops. Twice as many handshakes fit into one on one
/// core, with certificates.
const COME_BACK_PER_SECOND: usize = 500;
/// Sessions of one agent at the same time: an agent that was cut off comes back before its old connection is given up.
const MAX_PER_AGENT: usize = 2;

/// What a session is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// Grows when what the site may do, or the agent's standing, may have changed.
    pub(crate) changes: u64,
    /// The session is to end.
    pub(crate) end: Option<End>,
}

/// Why a session is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The hub is stopping; the agent is to come back after so many seconds at the earliest.
    Draining(u32),
    /// The agent has newer sessions.
    Replaced,
}

impl From<End> for Ending {
    fn from(end: End) -> Self {
        match end {
            End::Draining(_) => Self::Closed(sitewarden_protocol::sync::hub::Closing::Draining),
            End::Replaced => Self::Replaced,
        }
    }
}

/// Who is connected.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    next: u64,
    draining: bool,
    /// Oldest first; at most [`MAX_PER_AGENT`] each, and an agent goes with its last one.
    agents: HashMap<AgentId, VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    site: SiteId,
    slot: watch::Sender<Word>,
}

/// A session that is known; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    registry: Arc<Registry>,
    agent: AgentId,
    number: u64,
}

impl Registry {
    /// Makes a session known. If the agent has too many, its oldest is told to end.
    pub(crate) fn join(self: &Arc<Self>, agent: AgentId, site: SiteId) -> (Membership, watch::Receiver<Word>) {
        let mut sessions = self.lock();
        sessions.next += 1;
        let number = sessions.next;
        let end = sessions.draining.then(|| End::Draining(turn(sessions.agents.len())));
        let (slot, word) = watch::channel(Word::default());
        // Sent, not given as the first value, so that the session sees it as news.
        slot.send_modify(|word| word.end = end);
        let entries = sessions.agents.entry(agent).or_default();
        entries.push_back(Entry { number, site, slot });
        let surplus = entries.len().saturating_sub(MAX_PER_AGENT);
        entries.iter().take(surplus).for_each(|entry| entry.tell(End::Replaced));
        (Membership { registry: Arc::clone(self), agent, number }, word)
    }

    /// Tells the sessions of a site, or with `None` all, to look again at what they rely on.
    pub(crate) fn changed(&self, site: Option<SiteId>) {
        let sessions = self.lock();
        let concerned = sessions.agents.values().flatten().filter(|entry| site.is_none_or(|site| site == entry.site));
        concerned.for_each(|entry| entry.slot.send_modify(|word| word.changes += 1));
    }

    /// Tells all sessions, and those that join later, to end, and to come back spread out.
    pub(crate) fn drain(&self) {
        let mut sessions = self.lock();
        sessions.draining = true;
        let all = sessions.agents.values().flatten().enumerate();
        all.for_each(|(number, entry)| entry.tell(End::Draining(turn(number))));
    }

    fn leave(&self, agent: AgentId, number: u64) {
        let mut sessions = self.lock();
        if let Some(entries) = sessions.agents.get_mut(&agent) {
            entries.retain(|entry| entry.number != number);
            if entries.is_empty() {
                sessions.agents.remove(&agent);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After how many seconds the agent with this number is to come back.
fn turn(number: usize) -> u32 {
    u32::try_from(number / COME_BACK_PER_SECOND).unwrap_or(u32::MAX)
}

impl Entry {
    fn tell(&self, end: End) {
        self.slot.send_modify(|word| word.end = Some(word.end.unwrap_or(end)));
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.registry.leave(self.agent, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: AgentId = AgentId::from_bytes([1; 16]);
    const SITE: SiteId = SiteId::from_bytes([2; 16]);

    #[test]
    fn a_change_reaches_the_sessions_of_its_site_only() {
        let registry = Arc::<Registry>::default();
        let (_here, here) = registry.join(AGENT, SITE);
        let (_there, there) = registry.join(AgentId::from_bytes([3; 16]), SiteId::from_bytes([4; 16]));
        registry.changed(Some(SITE));
        registry.changed(Some(SITE));
        assert_eq!((here.borrow().changes, there.borrow().changes), (2, 0));
        registry.changed(None);
        assert_eq!(there.borrow().changes, 1);
    }

    #[test]
    fn the_oldest_of_too_many_sessions_of_one_agent_is_told_to_end() {
        let registry = Arc::<Registry>::default();
        let sessions: Vec<_> = (0..=MAX_PER_AGENT).map(|_| registry.join(AGENT, SITE)).collect();
        let ends: Vec<_> = sessions.iter().map(|(_, word)| word.borrow().end).collect();
        assert_eq!(ends, [Some(End::Replaced), None, None]);
        drop(sessions);
        assert!(registry.lock().agents.is_empty());
    }

    #[test]
    fn one_that_comes_while_the_hub_drains_is_told_at_once() {
        let registry = Arc::<Registry>::default();
        registry.drain();
        let (_membership, mut word) = registry.join(AGENT, SITE);
        assert!(word.has_changed().unwrap());
        assert_eq!(word.borrow_and_update().end, Some(End::Draining(0)));
    }
    #[test]
    fn those_who_are_sent_away_come_back_in_turns() {
        let registry = Arc::<Registry>::default();
        let agent = |number: usize| AgentId::from_bytes((number as u128).to_be_bytes());
        let sessions: Vec<_> = (0..COME_BACK_PER_SECOND * 3).map(|number| registry.join(agent(number), SITE)).collect();
        registry.drain();
        let mut turns = [0; 3];
        for (_, word) in &sessions {
            let Some(End::Draining(after)) = word.borrow().end else { panic!("not told") };
            turns[after as usize] += 1;
        }
        assert_eq!(turns, [COME_BACK_PER_SECOND; 3]);
    }
}
