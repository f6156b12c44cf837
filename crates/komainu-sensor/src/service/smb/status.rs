//! What is answered when something does not work.

/// A status of NT (MS-ERREF, 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(pub(super) u32);

impl Status {
    pub(super) const OK: Self = Self(0);
    pub(super) const BUFFER_OVERFLOW: Self = Self(0x8000_0005);
    pub(super) const NO_MORE_FILES: Self = Self(0x8000_0006);
    pub(super) const INVALID_INFO_CLASS: Self = Self(0xC000_0003);
    pub(super) const INFO_LENGTH_MISMATCH: Self = Self(0xC000_0004);
    pub(super) const INVALID_PARAMETER: Self = Self(0xC000_000D);
    pub(super) const NO_SUCH_FILE: Self = Self(0xC000_000F);
    pub(super) const INVALID_DEVICE_REQUEST: Self = Self(0xC000_0010);
    pub(super) const END_OF_FILE: Self = Self(0xC000_0011);
    pub(super) const MORE_PROCESSING_REQUIRED: Self = Self(0xC000_0016);
    pub(super) const ACCESS_DENIED: Self = Self(0xC000_0022);
    pub(super) const OBJECT_NAME_INVALID: Self = Self(0xC000_0033);
    pub(super) const OBJECT_NAME_NOT_FOUND: Self = Self(0xC000_0034);
    pub(super) const OBJECT_NAME_COLLISION: Self = Self(0xC000_0035);
    pub(super) const OBJECT_PATH_NOT_FOUND: Self = Self(0xC000_003A);
    pub(super) const OBJECT_PATH_SYNTAX_BAD: Self = Self(0xC000_003B);
    pub(super) const EAS_NOT_SUPPORTED: Self = Self(0xC000_004F);
    pub(super) const DELETE_PENDING: Self = Self(0xC000_0056);
    pub(super) const LOGON_FAILURE: Self = Self(0xC000_006D);
    pub(super) const DISK_FULL: Self = Self(0xC000_007F);
    pub(super) const INSUFFICIENT_RESOURCES: Self = Self(0xC000_009A);
    pub(super) const FILE_IS_A_DIRECTORY: Self = Self(0xC000_00BA);
    pub(super) const NOT_SUPPORTED: Self = Self(0xC000_00BB);
    pub(super) const NETWORK_NAME_DELETED: Self = Self(0xC000_00C9);
    pub(super) const BAD_NETWORK_NAME: Self = Self(0xC000_00CC);
    pub(super) const REQUEST_NOT_ACCEPTED: Self = Self(0xC000_00D0);
    pub(super) const DIRECTORY_NOT_EMPTY: Self = Self(0xC000_0101);
    pub(super) const NOT_A_DIRECTORY: Self = Self(0xC000_0103);
    pub(super) const TOO_MANY_OPENED_FILES: Self = Self(0xC000_011F);
    pub(super) const CANNOT_DELETE: Self = Self(0xC000_0121);
    pub(super) const FILE_CLOSED: Self = Self(0xC000_0128);
    pub(super) const USER_SESSION_DELETED: Self = Self(0xC000_0203);
    pub(super) const NOT_FOUND: Self = Self(0xC000_0225);
    /// Of SMB1 only (MS-CIFS, 2.2.2.4).
    pub(super) const SMB_BAD_TID: Self = Self(0x0005_0002);
    pub(super) const SMB_BAD_COMMAND: Self = Self(0x0016_0002);

    /// The class and code for a client of SMB1 that does not know statuses of NT (MS-CIFS, 2.2.2.4).
    pub(super) fn dos(self) -> (u8, u16) {
        const DOS: u8 = 1;
        const SERVER: u8 = 2;
        const HARDWARE: u8 = 3;
        match self {
            Self::OK => (0, 0),
            Self::BUFFER_OVERFLOW => (DOS, 234),
            Self::NO_MORE_FILES => (DOS, 18),
            Self::NO_SUCH_FILE | Self::OBJECT_NAME_NOT_FOUND | Self::NOT_FOUND => (DOS, 2),
            Self::OBJECT_PATH_NOT_FOUND | Self::OBJECT_PATH_SYNTAX_BAD | Self::NOT_A_DIRECTORY => (DOS, 3),
            Self::TOO_MANY_OPENED_FILES => (DOS, 4),
            Self::FILE_CLOSED => (DOS, 6),
            Self::OBJECT_NAME_COLLISION => (DOS, 80),
            Self::OBJECT_NAME_INVALID => (DOS, 123),
            Self::DIRECTORY_NOT_EMPTY => (DOS, 145),
            Self::INVALID_PARAMETER => (DOS, 87),
            Self::END_OF_FILE => (DOS, 38),
            Self::DISK_FULL => (HARDWARE, 39),
            Self::LOGON_FAILURE => (SERVER, 2),
            Self::BAD_NETWORK_NAME => (SERVER, 6),
            Self::USER_SESSION_DELETED => (SERVER, 91),
            // These two carry class and code themselves.
            Self::SMB_BAD_TID | Self::SMB_BAD_COMMAND => (SERVER, u16::try_from(self.0 >> 16).unwrap_or(0)),
            Self::NOT_SUPPORTED => (SERVER, 0xFFFF),
            // ERRnoaccess: what old servers say when they have no better word.
            _ => (DOS, 5),
        }
    }
}
