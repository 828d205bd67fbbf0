//! A page: the unit in which records are put into a generation.
//!
//! ```text
//! 0                 32
//! | chain before it | length, record, length, record … |
//! ```

use super::store::MAX_VALUE;
use sitewarden_protocol::chain::Chain;
use sitewarden_protocol::record::{MAX_BYTES, Run};

const CHAIN: usize = 32;
/// Bytes of records in a page: what is left of a value, and enough for the largest record.
const CAPACITY: usize = MAX_VALUE - CHAIN;
const _: () = assert!(MAX_BYTES + 2 <= CAPACITY);

/// One page, as read or about to be written.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// The chain before its first record.
    pub(super) prev: Chain,
    /// Its records.
    pub(super) records: Run,
}

/// The bytes are no page.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotAPage;

impl Page {
    /// An empty page after `prev`.
    pub(super) fn after(prev: Chain) -> Self {
        Self { prev, records: Run::default() }
    }

    /// Whether one more record of `length` bytes fits.
    pub(super) fn fits(&self, length: usize) -> bool {
        self.records.as_bytes().len() + 2 + length <= CAPACITY
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [self.prev.as_bytes().as_slice(), self.records.as_bytes()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NotAPage> {
        let (prev, records) = bytes.split_first_chunk::<CHAIN>().ok_or(NotAPage)?;
        let records = Run::from_bytes(records.to_vec()).map_err(|_| NotAPage)?;
        if records.count() == 0 {
            return Err(NotAPage);
        }
        Ok(Self { prev: Chain::from_bytes(*prev), records })
    }
}
