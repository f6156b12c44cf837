//! The look at a device's shared folders. The device may be in an attacker's hands: whatever it says is bounded, and what
//! it makes the client of SMB do wrong ends the look and nothing else.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{Appliance, ApplianceIndex, ShareName, WatchedShares};
use komainu_ports::DeviceGate;
use smb2::client::{Connection, Session};
use smb2::{DirectoryEntry, ErrorKind, Tree};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::wire::{Allowance, halves};
use super::{FILES_MAX, ShareFile, ShareListing};

/// Files and folders of one look.
const ENTRIES_MAX: usize = FILES_MAX;

/// Folders in each other, from the root of a share on.
const DEPTH_MAX: usize = 16;

/// Bytes of one path, and of all paths of a look: they are kept in memory and on the disk.
const PATH_BYTES_MAX: usize = 1_024;
const PATHS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of one file that is read: what an artifact may have.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Bytes that a device may send in one look. What is not read then is read in the next one.
const ROUND_BYTES_MAX: u64 = 256 << 20;

/// How long one look may take, of which the listing; and one file.
const ROUND_TIMEOUT: Duration = Duration::from_secs(120);
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
const FILE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a device may take to let the sensor in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that are asked for at once.
const READ_BYTES: u64 = 256 * 1024;

/// Bytes that what is not the contents of files may take beside a file.
const FRAMING_BYTES: u64 = 1024 * 1024;

/// The port of this machine from which it is looked, unless it is in use: above those that Linux hands out by itself.
const FROM_PORT: u16 = 61_044;

/// Letters of an error that are kept. Names that a device made up may be in it.
const ERROR_CHARS_MAX: usize = 200;

/// Why a device's shared folders cannot be seen.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// Nothing is to be watched.
    #[error("the inventory names no share of the device")]
    NotWatched,
    /// The device does not take the connection.
    #[error("the device cannot be reached: {0}")]
    Unreachable(String),
    /// The device speaks SMB1 and nothing newer: its shares cannot be watched.
    #[error("the device speaks SMB1 only, which is not supported")]
    Smb1Only,
    /// The device does not let the sensor in.
    #[error("the device does not let the sensor in: {0}")]
    Login(String),
    /// The device has no such share, or does not show it to the sensor.
    #[error("the share {share} is not shown: {problem}")]
    Share {
        /// Which.
        share: ShareName,
        /// What the device says.
        problem: String,
    },
    /// What the device says makes no sense.
    #[error("the device does not speak SMB as it should: {0}")]
    Protocol(String),
    /// The device takes too long.
    #[error("the device does not answer in time")]
    TimedOut,
}

impl ShareError {
    /// The word in logs.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::NotWatched => "not_watched",
            Self::Unreachable(_) => "unreachable",
            Self::Smb1Only => "smb1_only",
            Self::Login(_) => "login",
            Self::Share { .. } => "share",
            Self::Protocol(_) => "protocol",
            Self::TimedOut => "timed_out",
        }
    }

    fn of(error: &smb2::Error) -> Self {
        match error.kind() {
            ErrorKind::AuthRequired | ErrorKind::AccessDenied | ErrorKind::GuestSessionRefused => {
                Self::Login(shortened(error))
            }
            ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Protocol(shortened(error)),
        }
    }
}

fn shortened(error: &dyn std::fmt::Display) -> String {
    error.to_string().escape_debug().take(ERROR_CHARS_MAX).collect()
}

/// What became of the contents of a file.
#[derive(Debug)]
pub(crate) enum Contents {
    /// All of them.
    Whole(Vec<u8>),
    /// There are more than are read.
    TooLarge,
    /// The device did not give them.
    Unreadable,
    /// This look has used up what it may: they can be read in the next one.
    Later,
}

/// A client that is let in.
pub(crate) struct ShareClient {
    connection: Connection,
    shares: Vec<(ShareName, Arc<Tree>)>,
    /// Shares that the device does not show.
    missing: Vec<ShareName>,
    allowance: Allowance,
    deadline: Instant,
}

impl std::fmt::Debug for ShareClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ShareClient").field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl ShareClient {
    /// Begins a look. At least one of the shares can be seen.
    pub(crate) async fn connect(
        gate: &dyn DeviceGate,
        index: ApplianceIndex,
        device: &Appliance,
    ) -> Result<Self, ShareError> {
        let watched = device.share.as_ref().ok_or(ShareError::NotWatched)?;
        let deadline = Instant::now() + ROUND_TIMEOUT;
        let allowance = Allowance::new(ROUND_BYTES_MAX);
        let stream = dial(gate, index, device, watched.port).await?;
        let (sender, receiver) = halves(stream, allowance.clone());
        // The name is a claim that no device is known to check.
        let connection = Connection::from_transport(sender, receiver, device.address.to_string());
        let connection = match guarded(CONNECT_TIMEOUT, negotiate(connection)).await {
            Ok(connection) => connection,
            // A server of SMB1 hangs up, or says nothing, when it is asked for SMB2 only.
            Err(error) => {
                let is_old = speaks_smb1(gate, index, device, watched.port).await;
                return Err(if is_old { ShareError::Smb1Only } else { error });
            }
        };
        let opened = guarded(CONNECT_TIMEOUT, open(connection, watched.clone())).await?;
        let Opened { connection, shares, missing } = opened;
        Ok(Self { connection, shares, missing, allowance, deadline })
    }

    /// Lists every folder, as far as the bounds let it. What could not be seen is told in the listing.
    pub(crate) async fn list(&self) -> ShareListing {
        let mut walk = Walk::default();
        for share in &self.missing {
            walk.unseen(share.to_string(), "share_not_shown");
        }
        for (index, (share, _)) in self.shares.iter().enumerate() {
            walk.folders.push_back(Folder { share: index, path: share.to_string(), inner: String::new(), depth: 0 });
        }
        let deadline = self.deadline.min(Instant::now() + LIST_TIMEOUT);
        while let Some(folder) = walk.folders.pop_front() {
            let (_, tree) = &self.shares[folder.share];
            let looked = look(tree.clone(), self.connection.clone(), folder.inner.clone(), walk.entries_left());
            match timeout_at(deadline, guarded(LIST_TIMEOUT, looked)).await {
                Ok(Ok(entries)) => walk.add(&folder, entries),
                Ok(Err(_)) if self.connection.is_disconnected() => {
                    walk.stop(folder, "disconnected");
                }
                Ok(Err(_)) => walk.unseen(folder.path, "folder_not_listed"),
                Err(_elapsed) => walk.stop(folder, "list_timeout"),
            }
        }
        walk.listing
    }

    /// Reads a file that a listing has, whose length was `bytes`.
    pub(crate) async fn read(&self, path: &str, bytes: u64) -> Contents {
        if bytes > FILE_BYTES_MAX {
            return Contents::TooLarge;
        }
        if self.allowance.left() < bytes + FRAMING_BYTES || Instant::now() + FILE_TIMEOUT > self.deadline {
            return Contents::Later;
        }
        let Some((share, inner)) = path.split_once('/') else { return Contents::Unreadable };
        let Some((_, tree)) = self.shares.iter().find(|(name, _)| name.as_str() == share) else {
            return Contents::Unreadable;
        };
        let read = read(tree.clone(), self.connection.clone(), inner.to_owned());
        match guarded(FILE_TIMEOUT, read).await {
            Ok(Some(contents)) => Contents::Whole(contents),
            Ok(None) => Contents::TooLarge,
            Err(_) if self.connection.is_disconnected() => Contents::Later,
            Err(_) => Contents::Unreadable,
        }
    }
}

/// Does something in a task of its own, which may take so long: a panic there is the device's doing and an error here.
async fn guarded<T: Send + 'static>(
    limit: Duration,
    act: impl Future<Output = Result<T, ShareError>> + Send + 'static,
) -> Result<T, ShareError> {
    struct Aborted<T>(JoinHandle<T>);
    impl<T> Drop for Aborted<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut task = Aborted(tokio::spawn(act));
    match timeout(limit, &mut task.0).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panicked)) => Err(ShareError::Protocol("the client failed over what it said".into())),
        Err(_elapsed) => Err(ShareError::TimedOut),
    }
}

async fn negotiate(mut connection: Connection) -> Result<Connection, ShareError> {
    // What is compressed may be far longer than what came.
    connection.set_compression_requested(false);
    connection.negotiate().await.map_err(|error| ShareError::of(&error))?;
    Ok(connection)
}

struct Opened {
    connection: Connection,
    shares: Vec<(ShareName, Arc<Tree>)>,
    missing: Vec<ShareName>,
}

/// Logs in and opens the shares.
async fn open(mut connection: Connection, watched: WatchedShares) -> Result<Opened, ShareError> {
    let (user, password) = match &watched.account {
        Some(account) => (account.user.as_str(), account.password.reveal()),
        None => ("Guest", ""),
    };
    let session = Session::setup(&mut connection, user, password, "").await.map_err(|error| match error {
        smb2::Error::Protocol { .. } => ShareError::Login(shortened(&error)),
        error => ShareError::of(&error),
    })?;
    let (mut shares, mut missing, mut first_error) = (Vec::new(), Vec::new(), None);
    for share in watched.names {
        match Tree::connect(&mut connection, share.as_str()).await {
            Ok(tree) => {
                encrypt(&mut connection, &session, &tree);
                shares.push((share, Arc::new(tree)));
            }
            Err(error) => {
                let problem = shortened(&error);
                first_error.get_or_insert(ShareError::Share { share: share.clone(), problem });
                missing.push(share);
            }
        }
    }
    match first_error {
        Some(error) if shares.is_empty() => Err(error),
        Some(_) | None => Ok(Opened { connection, shares, missing }),
    }
}

/// Encrypts what is said from here on, where a share asks for it and the session does not yet (MS-SMB2, 2.2.10).
fn encrypt(connection: &mut Connection, session: &Session, tree: &Tree) {
    if !tree.encrypt_data || connection.should_encrypt() {
        return;
    }
    if let (Some(ours), Some(its)) = (&session.encryption_key, &session.decryption_key) {
        // A server that names no cipher means the one that SMB 3.0 has.
        let cipher = connection.params().and_then(|agreed| agreed.cipher);
        let cipher = cipher.unwrap_or(smb2::client::Cipher::Aes128Ccm);
        connection.activate_encryption(ours.clone(), its.clone(), cipher);
    }
}

/// Lists one folder. The entries are one more than `entries_max` when there are more.
async fn look(
    tree: Arc<Tree>,
    connection: Connection,
    path: String,
    entries_max: usize,
) -> Result<Vec<DirectoryEntry>, ShareError> {
    let failed = |error| ShareError::of(&error);
    let mut reader = tree.open_directory_reader(connection, &path).await.map_err(failed)?;
    let mut entries = Vec::new();
    while let Some(batch) = reader.next_batch().await.map_err(failed)? {
        entries.extend(batch.into_iter().filter(|entry| !matches!(entry.name.as_str(), "." | "..")));
        if entries.len() > entries_max {
            entries.truncate(entries_max + 1);
            break;
        }
    }
    Ok(entries)
}

/// Reads one file; none when it is too large.
async fn read(tree: Arc<Tree>, connection: Connection, path: String) -> Result<Option<Vec<u8>>, ShareError> {
    let failed = |error| ShareError::of(&error);
    let reader = smb2::client::stream::open_file_reader(tree, connection, &path).await.map_err(failed)?;
    let mut contents = Vec::new();
    loop {
        let part = reader.read_at(contents.len() as u64, READ_BYTES).await.map_err(failed)?;
        if part.is_empty() {
            return Ok(Some(contents));
        }
        contents.extend_from_slice(&part);
        if contents.len() as u64 > FILE_BYTES_MAX {
            return Ok(None);
        }
    }
}

/// A folder that is to be listed.
struct Folder {
    share: usize,
    /// With the share, for people.
    path: String,
    /// Without it, for the device.
    inner: String,
    depth: usize,
}

/// A listing that is being made: folder after folder, those near the root first.
#[derive(Default)]
struct Walk {
    listing: ShareListing,
    folders: VecDeque<Folder>,
    entries: usize,
    paths_bytes: usize,
}

impl Walk {
    fn entries_left(&self) -> usize {
        ENTRIES_MAX - self.entries
    }

    fn unseen(&mut self, folder: String, why: &'static str) {
        self.listing.unseen.insert(folder);
        self.listing.problems.insert(why);
    }

    /// Gives up on a folder and on those that were to follow.
    fn stop(&mut self, folder: Folder, why: &'static str) {
        self.unseen(folder.path, why);
        for folder in std::mem::take(&mut self.folders) {
            self.unseen(folder.path, why);
        }
    }

    fn add(&mut self, folder: &Folder, entries: Vec<DirectoryEntry>) {
        for entry in entries {
            let path = format!("{}/{}", folder.path, entry.name);
            if entry.name.is_empty() || entry.name.contains(['/', '\\', '\0']) {
                self.listing.problems.insert("file_name");
                continue;
            }
            if path.len() > PATH_BYTES_MAX {
                self.listing.problems.insert("path_bytes_max");
                continue;
            }
            let bound = match () {
                () if self.entries >= ENTRIES_MAX => Some("entries_max"),
                () if self.paths_bytes + path.len() > PATHS_BYTES_MAX => Some("paths_bytes_max"),
                () => None,
            };
            if let Some(bound) = bound {
                return self.unseen(folder.path.clone(), bound);
            }
            self.entries += 1;
            self.paths_bytes += path.len();
            // A link may lead anywhere, also back.
            if entry.is_link() {
                continue;
            }
            if entry.is_directory {
                if folder.depth + 1 > DEPTH_MAX {
                    self.unseen(path, "depth_max");
                    continue;
                }
                let inner = path.split_once('/').map_or("", |(_, inner)| inner).to_owned();
                self.folders.push_back(Folder { share: folder.share, path, inner, depth: folder.depth + 1 });
            } else {
                let (modified, changed) = (entry.modified.0, entry.changed.0);
                let file = ShareFile { bytes: entry.size, modified, changed, sha256: None };
                self.listing.files.insert(path, file);
            }
        }
    }
}

/// A connection to a device, from this machine's own address.
async fn dial(
    gate: &dyn DeviceGate,
    index: ApplianceIndex,
    device: &Appliance,
    port: u16,
) -> Result<TcpStream, ShareError> {
    let unreachable = |error: &dyn std::fmt::Display| ShareError::Unreachable(shortened(error));
    let own = own_address_towards(device.address).map_err(|error| unreachable(&error))?;
    let dialled = async {
        let client = SocketAddrV4::new(own, FROM_PORT);
        let stream = gate.connect(index, port, client).await.map_err(io::Error::other)?;
        let stream = TcpStream::from_std(stream)?;
        stream.writable().await?;
        match stream.take_error()? {
            None => stream.set_nodelay(true).map(|()| stream),
            Some(error) => Err(error),
        }
    };
    match timeout(CONNECT_TIMEOUT, dialled).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(unreachable(&error)),
        Err(_elapsed) => Err(ShareError::TimedOut),
    }
}

/// This machine's address from which it reaches a device. No packet is sent.
fn own_address_towards(device: Ipv4Addr) -> io::Result<Ipv4Addr> {
    /// Which port does not matter; this one is for what is thrown away (RFC 863).
    const DISCARD: u16 = 9;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((device, DISCARD))?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(own) => Ok(own),
        IpAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

/// A question for SMB1 and nothing else (MS-CIFS, 2.2.4.52): a header without a user, and one dialect.
const SMB1_QUESTION: &[u8] = b"\0\0\0\x2f\xffSMB\x72\0\0\0\0\x18\x01\x48\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
    \0\x0c\0\x02NT LM 0.12\0";

/// The beginning of an answer of SMB1, behind its length.
const SMB1_ANSWER: &[u8] = b"\xffSMB\x72";

/// Whether a device answers in SMB1.
async fn speaks_smb1(gate: &dyn DeviceGate, index: ApplianceIndex, device: &Appliance, port: u16) -> bool {
    let Ok(mut stream) = dial(gate, index, device, port).await else { return false };
    let asked = async {
        let mut head = [0; 4 + SMB1_ANSWER.len()];
        stream.write_all(SMB1_QUESTION).await?;
        stream.read_exact(&mut head).await?;
        Ok::<_, io::Error>(&head[4..] == SMB1_ANSWER)
    };
    matches!(timeout(CONNECT_TIMEOUT, asked).await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::os::fd::OwnedFd;

    use komainu_model::{ApplianceName, EgressLimits, EgressProfile, InterfaceName, ReleaseState};
    use komainu_ports::{BoxFuture, DatagramLegs, GateError, ResetNews, StrangersDatagram, ToldPacket};

    use super::*;

    fn entry(name: &str, is_directory: bool) -> DirectoryEntry {
        let mut entry = DirectoryEntry::default();
        name.clone_into(&mut entry.name);
        entry.is_directory = is_directory;
        entry.size = 7;
        entry
    }

    fn root() -> Folder {
        Folder { share: 0, path: "public".into(), inner: String::new(), depth: 0 }
    }

    #[test]
    fn the_question_for_smb1_is_as_long_as_it_says() {
        assert_eq!(SMB1_QUESTION.len(), 4 + usize::from(SMB1_QUESTION[3]));
    }

    #[test]
    fn folders_are_followed_and_files_listed() {
        let mut walk = Walk::default();
        walk.add(&root(), vec![entry("a.txt", false), entry("in", true)]);
        let folder = walk.folders.pop_front().unwrap();
        assert_eq!((folder.path.as_str(), folder.inner.as_str(), folder.depth), ("public/in", "in", 1));
        walk.add(&folder, vec![entry("b", false), entry("deep", true)]);
        assert_eq!(walk.folders.pop_front().unwrap().inner, "in/deep");
        assert_eq!(walk.listing.files.keys().collect::<Vec<_>>(), ["public/a.txt", "public/in/b"]);
        assert!(walk.listing.is_complete());
    }

    #[test]
    fn what_a_device_says_is_bounded() {
        let check = |entries: Vec<DirectoryEntry>, depth: usize, problem: &str, files: usize| {
            let mut walk = Walk::default();
            walk.add(&Folder { depth, ..root() }, entries);
            assert_eq!(walk.listing.problems.iter().copied().collect::<Vec<_>>(), [problem]);
            assert_eq!(walk.listing.files.len(), files, "{problem}");
        };
        check(vec![entry("a/b", false), entry("", false), entry("..\\x", true)], 0, "file_name", 0);
        check(vec![entry(&"n".repeat(PATH_BYTES_MAX), false), entry("b", false)], 0, "path_bytes_max", 1);
        check((0..=ENTRIES_MAX).map(|n| entry(&n.to_string(), false)).collect(), 0, "entries_max", ENTRIES_MAX);
        let long = |n: usize| entry(&format!("{n:0>1000}"), false);
        check((0..3_000).map(long).collect(), 0, "paths_bytes_max", PATHS_BYTES_MAX / 1007);
        check(vec![entry("deeper", true), entry("b", false)], DEPTH_MAX, "depth_max", 1);
    }

    /// A way to whatever listens at an address of this machine.
    struct Gate(std::net::SocketAddr);

    impl DeviceGate for Gate {
        fn connect(
            &self,
            _: ApplianceIndex,
            _: u16,
            _: SocketAddrV4,
        ) -> BoxFuture<'_, Result<std::net::TcpStream, GateError>> {
            Box::pin(async {
                let stream = TcpStream::connect(self.0).await.and_then(TcpStream::into_std);
                stream.map_err(|error| GateError::Refused { reason: error.to_string() })
            })
        }

        fn datagrams(
            &self,
            _: ApplianceIndex,
            _: SocketAddrV4,
            _: SocketAddrV4,
        ) -> BoxFuture<'_, Result<DatagramLegs, GateError>> {
            Box::pin(pending())
        }

        fn allow(&self, _: ApplianceIndex, _: Vec<Ipv4Addr>) -> BoxFuture<'_, Result<(), GateError>> {
            Box::pin(pending())
        }

        fn quarantine(&self, _: ApplianceIndex) -> BoxFuture<'_, Result<(), GateError>> {
            Box::pin(pending())
        }

        fn datagrams_to_device(
            &self,
            _: ApplianceIndex,
            _: u16,
            _: SocketAddrV4,
        ) -> BoxFuture<'_, Result<std::net::UdpSocket, GateError>> {
            Box::pin(pending())
        }

        fn capture(&self, _: ApplianceIndex) -> BoxFuture<'_, Result<OwnedFd, GateError>> {
            Box::pin(pending())
        }

        fn datagram(&self) -> BoxFuture<'_, io::Result<StrangersDatagram>> {
            Box::pin(pending())
        }

        fn reset_news(&self) -> BoxFuture<'_, io::Result<ResetNews>> {
            Box::pin(pending())
        }

        fn told(&self) -> BoxFuture<'_, io::Result<ToldPacket>> {
            Box::pin(pending())
        }

        fn closed(&self) -> BoxFuture<'_, ()> {
            Box::pin(pending())
        }
    }

    fn device() -> Appliance {
        let interface = |name| InterfaceName::parse(name).unwrap();
        let names = vec![ShareName::parse("public").unwrap()];
        Appliance {
            name: ApplianceName::parse("porch").unwrap(),
            maker: "Example".into(),
            model: "Cam 3".into(),
            device_type: "ip_camera".into(),
            firmware: None,
            release_state: ReleaseState::Released,
            site: None,
            address: Ipv4Addr::LOCALHOST,
            interface: interface("s1"),
            outer_interface: interface("s0"),
            public_address: None,
            ports: Vec::new(),
            egress: EgressProfile::Blocked,
            vendor_names: Vec::new(),
            vendor_ports: Vec::new(),
            limits: EgressLimits::default(),
            share: Some(WatchedShares { names, account: None, interval_s: 30, port: 445 }),
        }
    }

    /// What a device is taken for that answers its first question with one thing, and its second with another.
    async fn check_answers(answers: [&'static [u8]; 2], expected: &str) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Gate(listener.local_addr().unwrap());
        let served = async {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut question = [0; 36];
                stream.read_exact(&mut question).await.unwrap();
                stream.write_all(answer).await.unwrap();
            }
        };
        let device = device();
        let (listed, ()) = tokio::join!(super::super::list_shares(&gate, ApplianceIndex(0), &device), served);
        assert_eq!(listed.unwrap_err().as_str(), expected, "{answers:?}");
    }

    #[tokio::test]
    async fn whatever_a_device_answers_is_an_error_with_a_name() {
        check_answers([b"", b""], "protocol").await;
        check_answers([b"", b"\0\0\0\x25\xffSMB\x72\0\0"], "smb1_only").await;
        check_answers([b"HTTP/1.0 400 Bad Request\r\n\r\n", b"HTTP/1.0 400"], "protocol").await;
        check_answers([b"\0\0\0\x04\xfeSMB", b""], "protocol").await;
        check_answers([b"\0\xff\xff\xff\xfeSMB", b""], "protocol").await;
    }

    #[tokio::test]
    async fn a_client_that_panics_is_an_error() {
        let outcome: Result<(), _> = guarded(CONNECT_TIMEOUT, async { panic!("over a harmless answer") }).await;
        assert!(matches!(outcome, Err(ShareError::Protocol(_))));
    }
}
