//! Why a session ends, and what that means to the metrics, to the log and to the peer.
//!
//! The peer gets a number and a fixed word; what exactly was wrong goes to the log alone.

use crate::metrics::Reason;
use sitewarden_certs::peer;
use sitewarden_protocol::{frame, message::Unreadable, sync::hub::Closing};
use std::io;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ending {
    /// The agent ended it, between two messages.
    #[error("the agent ended the session")]
    Finished,
    /// The agent closed the connection, or the line is gone.
    #[error("the connection is gone")]
    Gone(#[from] io::Error),
    /// Nothing came from the agent for longer than its line may be silent.
    #[error("the agent has fallen silent")]
    Silent,
    /// The rules of the session ended it.
    #[error("{0}")]
    Closed(Closing),
    /// What came is no frame.
    #[error("{0}")]
    Frame(#[from] frame::Error),
    /// What came is no message.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// The peer does not read what it is sent.
    #[error("the agent does not read what it is sent")]
    Slow,
    /// The certificate names no agent.
    #[error("{0}")]
    NoAgent(#[from] peer::Error),
    /// The certificate names an agent that this hub does not know.
    #[error("this hub knows no such agent")]
    Unknown,
    /// The certificate is for another key than the agent's current one.
    #[error("the certificate is not for the agent's current key")]
    OldKey,
    /// The agent has newer sessions.
    #[error("the agent has come back on another connection")]
    Replaced,
    /// All memory for frames is taken.
    #[error("the hub has no room for another batch")]
    Overloaded,
    /// The hub's own fault.
    #[error("the hub could not look up or store what it needed")]
    Hub,
}

impl Ending {
    /// What to count it as; `None` if nothing was refused.
    pub(crate) fn reason(&self) -> Option<Reason> {
        Some(match self {
            Self::Finished | Self::Gone(_) | Self::Silent | Self::Replaced | Self::Hub => return None,
            Self::Closed(Closing::Draining) => return None,
            Self::Closed(closing) => match closing {
                Closing::Mute => Reason::Mute,
                Closing::WrongAgent { .. } => Reason::WrongAgent,
                Closing::NoCommonVersion { .. } => Reason::Version,
                Closing::BadBatch(_) => Reason::BadBatch,
                Closing::Revoked => Reason::Revoked,
                Closing::OutOfTurn(_) | Closing::TooManyEpochs | Closing::Draining => Reason::OutOfTurn,
            },
            Self::Frame(frame::Error::Oversize(_)) => Reason::Oversize,
            Self::Frame(frame::Error::Truncated) => Reason::Truncated,
            Self::Frame(frame::Error::Checksum) => Reason::Checksum,
            Self::Frame(frame::Error::Magic | frame::Error::Version(_) | frame::Error::Reserved) => Reason::NotAFrame,
            Self::Unreadable(_) => Reason::Unreadable,
            Self::Slow => Reason::Slow,
            Self::Overloaded => Reason::Overloaded,
            Self::NoAgent(_) | Self::Unknown => Reason::UnknownAgent,
            Self::OldKey => Reason::OldKey,
        })
    }

    /// The number and the word that the peer gets. Numbers stay what they are; new ones are added.
    pub(crate) const fn close(&self) -> (u32, &'static str) {
        match self {
            Self::Finished | Self::Gone(_) | Self::Silent => (0, "done"),
            Self::Closed(Closing::Draining) => (1, "the hub is stopping"),
            Self::Replaced => (2, "newer session"),
            Self::Overloaded | Self::Hub => (3, "try again later"),
            Self::Frame(_) | Self::Unreadable(_) => (4, "bad frame"),
            Self::Closed(Closing::BadBatch(_)) => (5, "bad batch"),
            Self::Closed(Closing::WrongAgent { .. }) => (6, "wrong agent"),
            Self::Closed(Closing::OutOfTurn(_) | Closing::TooManyEpochs) => (7, "out of turn"),
            Self::Closed(Closing::NoCommonVersion { .. }) => (8, "no common version"),
            Self::Closed(Closing::Mute) => (9, "no hello"),
            Self::Slow => (10, "too slow"),
            Self::NoAgent(_) | Self::Unknown | Self::OldKey => (11, "unknown agent"),
            Self::Closed(Closing::Revoked) => (12, "revoked"),
        }
    }
}
