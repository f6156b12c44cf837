//! Where in a flow something was said.

/// One of the two parties of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Who began: with a sensor, the attacker.
    Client,
    /// Who was called: with a sensor, the device or its persona.
    Server,
}

impl Side {
    /// The other party.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// The bytes of a flow that show a fact: a range of what one side said.
///
/// Over a stream, `offset` counts the payload bytes of that side from the beginning of the connection, those that were
/// lost included. Over datagrams it counts the payload bytes of that side's datagrams in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Who said it.
    pub side: Side,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}
