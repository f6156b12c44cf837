//! What only SMB has to tell.

use std::borrow::Cow;

use super::names;
use crate::FileNumber;

/// What only this protocol has. Text is UTF-8 here: SMB carries it as UTF-16, or as bytes of an unnamed code page, which
/// are left as they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A session is asked for at port 139 (RFC 1002, 4.3.2).
    SessionRequest {
        /// The name that is called, without padding.
        called: Cow<'a, [u8]>,
        /// The name of who calls, without padding.
        calling: Cow<'a, [u8]>,
    },
    /// The answer to it (RFC 1002, 4.3.3 to 4.3.5).
    SessionAnswer {
        /// Whether the session is established.
        is_accepted: bool,
    },
    /// A request and its answer. Told when the answer comes, or when it cannot come any more; the place is that of the
    /// request, or of the answer when the request was not seen.
    Exchange(Exchange<'a>),
    /// A remote procedure call over a named pipe.
    Rpc(Rpc<'a>),
    /// Messages are encrypted from here on and cannot be read (MS-SMB2, 2.2.41). Told once for each side.
    Encrypted {
        /// Of which session.
        session_id: u64,
    },
    /// Messages are compressed (MS-SMB2, 2.2.42) and are not read. Told once for each side.
    Compressed,
}

/// A request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange<'a> {
    /// What is asked for.
    pub command: Command,
    /// The answer; none when it was not seen.
    pub status: Option<Status>,
    /// The message id (SMB2), or process and multiplex id (SMB1: `pid << 16 | mid`).
    pub message_id: u64,
    /// The session; that of the answer where the request has none yet. SMB1: the UID.
    pub session_id: u64,
    /// The tree. SMB1: the TID.
    pub tree_id: u32,
    /// What was negotiated; none when that was not seen.
    pub dialect: Option<Dialect>,
    /// What the command is about.
    pub detail: Detail<'a>,
}

/// What a command is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail<'a> {
    /// The dialect is negotiated.
    Negotiate(Box<Negotiate<'a>>),
    /// Somebody says who they are.
    SessionSetup(Box<SessionSetup<'a>>),
    /// A share is connected.
    TreeConnect {
        /// Such as `\\host\share`.
        path: Cow<'a, [u8]>,
        /// The kind that is asked for (SMB1), such as `?????` or `A:`.
        service_asked: Cow<'a, [u8]>,
        /// The kind that the answer names (SMB1), such as `IPC`.
        service: Cow<'a, [u8]>,
        /// The kind, where the answer was seen.
        share_type: Option<ShareType>,
    },
    /// A file, directory or named pipe is opened or created.
    Open(Box<Open<'a>>),
    /// It is closed.
    Close {
        /// Its name; empty when its opening was not seen.
        name: Cow<'a, [u8]>,
    },
    /// Bytes are read.
    Read {
        /// The file that the bytes are told as, where they are.
        file: Option<FileNumber>,
        /// From where, in bytes.
        offset: u64,
        /// How many were asked for.
        bytes_asked: u32,
        /// How many came.
        bytes: u32,
    },
    /// Bytes are written.
    Write {
        /// The file that the bytes are told as, where they are.
        file: Option<FileNumber>,
        /// To where, in bytes.
        offset: u64,
        /// How many.
        bytes: u32,
    },
    /// Something is renamed.
    Rename {
        /// From; empty when the opening was not seen.
        from: Cow<'a, [u8]>,
        /// To.
        to: Cow<'a, [u8]>,
    },
    /// A property is set.
    SetInfo {
        /// Of what; empty when the opening was not seen.
        name: Cow<'a, [u8]>,
        /// To what.
        change: Change,
    },
    /// A directory is listed.
    Find {
        /// The pattern, in SMB1 with the directory in front of it.
        pattern: Cow<'a, [u8]>,
        /// The directory (SMB2); empty when its opening was not seen.
        directory: Cow<'a, [u8]>,
    },
    /// Another command on a path (SMB1), such as the deletion of a file.
    Path {
        /// The path.
        name: Cow<'a, [u8]>,
    },
    /// A transaction of SMB1 that is nothing of the above.
    Transaction {
        /// The subcommand (MS-CIFS, 2.2.2.2); none where there is none.
        subcommand: Option<u16>,
        /// The name of the transaction, such as `\PIPE\`, or the path that it is about.
        name: Cow<'a, [u8]>,
    },
    /// A control code (SMB2).
    Control {
        /// The code (MS-FSCC, 2.3).
        code: u32,
    },
    /// Nothing that is told: the command says it all.
    Other,
}

/// The negotiation of the dialect.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Negotiate<'a> {
    /// Names of dialects that the client offers in the manner of SMB1.
    pub names: Vec<Cow<'a, [u8]>>,
    /// Revisions that the client offers in the manner of SMB2, such as 0x0311.
    pub revisions: Vec<u16>,
    /// What the server chose.
    pub chosen: Option<Dialect>,
    /// Who the client is.
    pub client_guid: Option<[u8; 16]>,
    /// Who the server is.
    pub server_guid: Option<[u8; 16]>,
    /// The longest read, in bytes.
    pub read_bytes_max: Option<u32>,
    /// The longest write, in bytes.
    pub write_bytes_max: Option<u32>,
    /// The server wants passwords in the clear.
    pub is_plain_text: bool,
}

/// Somebody says who they are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SessionSetup<'a> {
    /// What NTLM says (MS-NLMP), if it is used.
    pub ntlm: Option<NtlmMessage>,
    /// The name.
    pub user: Cow<'a, [u8]>,
    /// Where the name is known.
    pub domain: Cow<'a, [u8]>,
    /// The name of the client's computer.
    pub workstation: Cow<'a, [u8]>,
    /// What is to prove it; empty when nothing was given.
    pub proof: Cow<'a, [u8]>,
    /// How it proves it; none when this message says nothing final, or nothing was given.
    pub mechanism: Option<Mechanism>,
    /// The version of the client's NTLM: major, minor, build.
    pub ntlm_version: Option<(u8, u8, u16)>,
    /// The challenge that the proof answers, or that this answer poses.
    pub challenge: Option<[u8; 8]>,
    /// The client's system (SMB1).
    pub native_os: Cow<'a, [u8]>,
    /// The client's software (SMB1).
    pub native_lm: Cow<'a, [u8]>,
    /// The server's system (SMB1).
    pub server_native_os: Cow<'a, [u8]>,
    /// The server's software (SMB1).
    pub server_native_lm: Cow<'a, [u8]>,
    /// The server let them in as a guest: the proof was not looked at, or was wrong.
    pub is_guest: bool,
    /// The server let them in without a name.
    pub is_anonymous: bool,
}

/// A message of NTLM (MS-NLMP, 2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NtlmMessage {
    /// The client begins.
    Negotiate,
    /// The server poses a challenge.
    Challenge,
    /// The client answers it.
    Authenticate,
}

/// How a login is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// A password in the clear (SMB1).
    Plain,
    /// LM's or NTLM's response without NTLMSSP around it (SMB1).
    Ntlm,
    /// NTLMSSP.
    Ntlmssp,
    /// Kerberos.
    Kerberos,
}

/// The kind of a share (MS-SMB2, 2.2.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareType {
    /// Files.
    Disk,
    /// Named pipes.
    Pipe,
    /// A printer.
    Printer,
    /// Something else.
    Unknown(u8),
}

/// An opening.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Open<'a> {
    /// The share, as it was connected; empty when that was not seen.
    pub share: Cow<'a, [u8]>,
    /// The name, below the share.
    pub name: Cow<'a, [u8]>,
    /// What the name means.
    pub target: Target,
    /// What to do if it is there, or not.
    pub disposition: Option<Disposition>,
    /// The rights that are asked for (MS-SMB2, 2.2.13.1); none when the request was not seen.
    pub access: Option<u32>,
    /// The options (MS-SMB2, 2.2.13); none when the request was not seen.
    pub options: Option<u32>,
    /// What the server did: 0 superseded, 1 opened, 2 created, 3 overwritten.
    pub action: Option<u32>,
    /// The handle: the FileId (SMB2), or the FID in front (SMB1).
    pub file_id: Option<[u8; 16]>,
    /// How long the file is, in bytes.
    pub file_bytes: Option<u64>,
    /// When it was created, read, written and changed: 100 ns since 1601 (FILETIME).
    pub times: Option<[u64; 4]>,
    /// It is a directory: by the answer or, where there is none, by the options.
    pub is_directory: bool,
}

/// What the name of an opening means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// A file or directory, or it is not known on what share.
    #[default]
    File,
    /// A named pipe.
    Pipe,
    /// A path, where only names of pipes belong: the way to have a server load a file of a share. A few pipes have `\` in
    /// their names, too, such as `sql\query`.
    PipePath,
}

impl Target {
    /// Whether it is on a share of named pipes.
    pub fn is_pipe(self) -> bool {
        match self {
            Self::File => false,
            Self::Pipe | Self::PipePath => true,
        }
    }
}

/// What is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Whether to delete it when it is closed.
    Delete(bool),
    /// Its end, in bytes.
    End(u64),
    /// Something else: the type (SMB2; 0 in SMB1) and the class or level of information.
    Level {
        /// MS-SMB2, 2.2.39.
        info_type: u8,
        /// MS-FSCC, 2.4; MS-CIFS, 2.2.2.3.
        level: u16,
    },
}

/// A message of a remote procedure call (C706, chapter 12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rpc<'a> {
    /// The kind: 0 request, 2 response, 3 fault, 11 bind, 12 bind_ack, 14 alter_context.
    pub kind: u8,
    /// Which call.
    pub call_id: u32,
    /// The pipe, as it was opened; empty when that was not seen.
    pub pipe: Cow<'a, [u8]>,
    /// The interfaces that a bind asks for: at most 16.
    pub interfaces: Vec<RpcInterface>,
    /// Which operation a request is for.
    pub operation: Option<u16>,
    /// How many bytes of arguments or results are in the fragment.
    pub stub_bytes: u16,
}

/// An interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcInterface {
    /// Its UUID, in the order in which it is written.
    pub uuid: [u8; 16],
    /// Its version: major, minor.
    pub version: (u16, u16),
}

/// A dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Of SMB1, by its name; `unknown` when it is none that the decoder knows.
    Named(&'static str),
    /// Of SMB2, such as 0x0311.
    Revision(u16),
}

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Of SMB1 (MS-CIFS, 2.2.2.1).
    V1(u8),
    /// Of SMB2 (MS-SMB2, 2.2.1).
    V2(u16),
}

impl Command {
    /// The name in the specification, such as `SMB2_COMMAND_CREATE`; none when it has none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::V1(code) => names::command_v1(code),
            Self::V2(code) => names::command_v2(code),
        }
    }
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// An NTSTATUS (MS-ERREF, 2.3).
    Nt(u32),
    /// A class and a code of DOS (MS-CIFS, 2.2.2.4).
    Dos {
        /// The class; 0 is success.
        class: u8,
        /// The code.
        code: u16,
    },
}

impl Status {
    /// Whether the request was carried out. Warnings and `MORE_PROCESSING_REQUIRED` are no success.
    pub fn is_success(self) -> bool {
        match self {
            Self::Nt(status) => status >> 30 < 2,
            Self::Dos { class, .. } => class == 0,
        }
    }

    /// The name of an NTSTATUS, such as `STATUS_ACCESS_DENIED`; none when the decoder does not know it.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Nt(status) => names::status(status),
            Self::Dos { .. } => None,
        }
    }
}

/// What to do if a file is there, or not (MS-SMB2, 2.2.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disposition(pub u32);

impl Disposition {
    /// The name in the specification; none when it has none.
    pub fn name(self) -> Option<&'static str> {
        const NAMES: [&str; 6] =
            ["FILE_SUPERSEDE", "FILE_OPEN", "FILE_CREATE", "FILE_OPEN_IF", "FILE_OVERWRITE", "FILE_OVERWRITE_IF"];
        NAMES.get(usize::try_from(self.0).ok()?).copied()
    }
}
