//! Whether a batch joins on to what the hub has: the rule that makes "exactly once" true.

use crate::batch::Header;
use crate::chain::{Chain, Cursor};
use crate::message::Refusal;
use crate::record::Run;

/// What to do with a verified and opened batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Store its records after the first `skip`, which are here already; the cursor moves to its end.
    Append {
        /// Records at the batch's start that are stored already.
        skip: usize,
        /// Records that the agent declares lost before this batch; to be stored as a gap.
        lost: u64,
    },
    /// Everything in it is here already; confirm it again.
    Duplicate,
}

/// Decides on a batch, given what the hub has of its epoch.
///
/// # Errors
/// [`Refusal::Missing`] if records before it have not arrived, [`Refusal::Fork`] if it tells another history of the
/// same records.
pub fn admit(have: &Cursor, header: &Header, records: &Run) -> Result<Admission, Refusal> {
    let through = have.position.seq;
    let joins = |chain: Chain| if chain == have.chain { Ok(()) } else { Err(Refusal::Fork) };
    if header.last < through {
        // Its end lies inside what is stored; the chain there is no longer in the cursor. The agent sends such a batch
        // only when receipts were lost.
        return Ok(Admission::Duplicate);
    }
    if header.first <= through {
        let skip = usize::try_from(through - header.first + 1).unwrap_or(usize::MAX);
        joins(header.prev.then_all(records.iter().take(skip)))?;
        return Ok(if header.last == through { Admission::Duplicate } else { Admission::Append { skip, lost: 0 } });
    }
    let missing = header.first - 1 - through;
    if missing > header.lost {
        return Err(Refusal::Missing(*have));
    }
    if missing == 0 {
        joins(header.prev)?;
    }
    Ok(Admission::Append { skip: 0, lost: missing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Draft, Signed};
    use crate::chain::Position;
    use crate::id::AgentId;
    use crate::signing::PrivateKey;
    use crate::time::UnixMillis;

    const AGENT: AgentId = AgentId::from_bytes([7; 16]);

    /// A history: one byte a record; the cursor after `seq` of them.
    fn cursor(history: &[u8], seq: usize) -> Cursor {
        let start = Cursor::start(AGENT, 1);
        let chain = start.chain.then_all(history[..seq].chunks(1));
        Cursor { position: Position { epoch: 1, seq: seq as u64 }, chain }
    }

    fn batch(history: &[u8], after: usize, last: usize, lost: u64) -> (Header, Run) {
        let mut records = Run::default();
        history[after..last].chunks(1).for_each(|record| records.push(record));
        let draft = Draft { after: cursor(history, after), lost, records };
        let (header, _) = Signed::make(AGENT, &draft, UnixMillis(0), &PrivateKey::from_seed(&[1; 32])).unwrap();
        (header, draft.records)
    }

    fn decide(have: &Cursor, (header, records): (Header, Run)) -> Result<Admission, Refusal> {
        admit(have, &header, &records)
    }

    #[test]
    fn a_batch_joins_on_overlaps_repeats_or_comes_too_early() {
        let history = b"abcdefgh";
        let have = cursor(history, 4);
        assert_eq!(decide(&have, batch(history, 4, 6, 0)), Ok(Admission::Append { skip: 0, lost: 0 }));
        assert_eq!(decide(&have, batch(history, 2, 6, 0)), Ok(Admission::Append { skip: 2, lost: 0 }));
        assert_eq!(decide(&have, batch(history, 0, 4, 0)), Ok(Admission::Duplicate));
        assert_eq!(decide(&have, batch(history, 0, 2, 0)), Ok(Admission::Duplicate));
        assert_eq!(decide(&have, batch(history, 5, 6, 0)), Err(Refusal::Missing(have)));
    }

    #[test]
    fn another_history_is_a_fork_wherever_it_departs() {
        let have = cursor(b"abcdefgh", 4);
        assert_eq!(decide(&have, batch(b"abcXefgh", 4, 6, 0)), Err(Refusal::Fork));
        assert_eq!(decide(&have, batch(b"abcXefgh", 2, 6, 0)), Err(Refusal::Fork));
        assert_eq!(decide(&have, batch(b"Xbcdefgh", 0, 4, 0)), Err(Refusal::Fork));
    }

    #[test]
    fn only_a_signed_loss_bridges_a_gap() {
        let history = b"abcdefgh";
        let have = cursor(history, 2);
        assert_eq!(decide(&have, batch(history, 5, 6, 3)), Ok(Admission::Append { skip: 0, lost: 3 }));
        assert_eq!(decide(&have, batch(history, 5, 6, 2)), Err(Refusal::Missing(have)));
        // The loss reached back into what had arrived after all: only what is really missing counts.
        assert_eq!(decide(&cursor(history, 4), batch(history, 5, 6, 3)), Ok(Admission::Append { skip: 0, lost: 1 }));
    }
}
