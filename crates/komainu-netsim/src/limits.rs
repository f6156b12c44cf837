//! The bounds of the simulated Internet: what a guest that does its worst can make it hold, do or record.

use std::time::Duration;

/// A frame, in bytes: what Ethernet carries with one VLAN tag. Longer ones are counted and not looked at; the guest's
/// card has no larger ones, since the simulated link has an MTU of 1500.
pub(crate) const FRAME_BYTES_MAX: usize = 1518;

/// The settings as they come to the process, in bytes. Files of players are a few kilobytes each.
pub(crate) const SETTINGS_BYTES_MAX: usize = 1024 * 1024;

/// Connections that have room for several segments, so that uploads are quick.
pub(crate) const ROOMY_CONNECTIONS: usize = 256;

/// What the socket of one of them keeps in each direction, in bytes.
pub(crate) const ROOMY_BYTES: usize = 8192;

/// What the sockets of all others keep in each direction, in bytes: one segment. Whoever has so many connections scans.
pub(crate) const SMALL_BYTES: usize = 1460;

/// What waits for room in a socket, in bytes. Beyond it the guest is not read, so it is not answered either.
pub(crate) const PENDING_BYTES_MAX: usize = 16 * 1024;

/// And over all connections.
pub(crate) const PENDING_IN_ALL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Protocols that one connection may turn out to speak, one inside the other.
pub(crate) const PROTOCOLS_DEEP_MAX: u32 = 8;

/// How long a connection may take to be established.
pub(crate) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Connections inside of TLS at a time: each holds some 40 kB for its keys and buffers.
pub(crate) const TLS_CONNECTIONS_MAX: usize = 128;

/// Certificates that are kept, so that a client that comes again is shown the same.
pub(crate) const CERTIFICATES_MAX: usize = 256;

/// The bytes of a flow that decide which protocol it speaks.
pub(crate) const DECIDE_BYTES_MAX: usize = 64;

/// Bytes of the guest that are told of a piece.
pub(crate) const SENT_HEAD_BYTES: usize = 1024;

/// Bytes of an answer that are told of a piece.
pub(crate) const ANSWERED_HEAD_BYTES: usize = 256;

/// Pieces of one flow that are told in each direction; the totals stand in its end.
pub(crate) const PIECES_TOLD_MAX: u32 = 256;

/// Pieces of the guest that come closer together than this are one.
pub(crate) const PIECE_GAP: Duration = Duration::from_millis(200);

/// A line of a dialogue, in bytes; what is longer is cut and counted.
pub(crate) const LINE_BYTES_MAX: usize = 1024;

/// Lines of one flow that are told.
pub(crate) const LINES_TOLD_MAX: u32 = 1024;

/// The head of a request, in bytes: what Apache takes.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The target of a request that is told, in bytes.
pub(crate) const TARGET_TOLD_BYTES: usize = 2048;

/// Requests on one connection.
pub(crate) const REQUESTS_MAX: u32 = 1000;

/// One content that is kept whole, in bytes.
pub(crate) const CONTENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Contents that are kept: each is known by its hash, so that the same one is kept once.
pub(crate) const CONTENTS_MAX: usize = 4096;

/// Contents that are collected at the same time, in bytes, over all flows.
pub(crate) const COLLECTING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Names that have an address.
pub(crate) const NAMES_MAX: usize = 16 * 1024;

/// Names that look generated and are remembered each.
pub(crate) const GENERATED_MAX: usize = 1024;

/// Datagrams to one address and port that are told each; the rest is counted.
pub(crate) const DATAGRAMS_TOLD_EACH_MAX: u32 = 16;

/// Addresses with ports whose datagrams, packets or ports are told each.
pub(crate) const PLACES_MAX: usize = 4096;

/// Packets of other protocols to one address that are told each; the rest is counted.
pub(crate) const PACKETS_TOLD_EACH_MAX: u32 = 8;

/// Answers to datagrams and to packets that are no TCP, for each second. A person or a program that waits for answers
/// asks less; a flood asks more.
pub(crate) const ANSWERS_PER_SECOND_MAX: u32 = 500;

/// What is counted together ends after so much silence.
pub(crate) const COUNT_QUIET: Duration = Duration::from_secs(2);

/// And after this time in any case, so that a flood is told while it lasts.
pub(crate) const COUNT_TIME_MAX: Duration = Duration::from_secs(10);

/// Kinds and ports that are counted apart at a time; more are counted without their port.
pub(crate) const COUNTS_MAX: usize = 16;

/// Addresses of one count that are told apart.
pub(crate) const COUNT_ADDRESSES_MAX: usize = 4096;

/// Addresses of one count that are told.
pub(crate) const COUNT_EXAMPLES_MAX: usize = 16;

/// Ports whose targets are looked at for how they were chosen.
pub(crate) const TARGET_PORTS_MAX: usize = 64;

/// Frames that wait for their time to go to the guest; a thousand pings in flight.
pub(crate) const DELAYED_FRAMES_MAX: usize = 4096;

/// Things that the guest gave away and that are remembered to come: data connections of FTP.
pub(crate) const EXPECTED_MAX: usize = 64;

/// Scripts of players.
pub(crate) const SCRIPTS_MAX: usize = 64;

/// Steps of one script.
pub(crate) const STEPS_MAX: usize = 64;

/// Bytes that one step sends or expects.
pub(crate) const STEP_BYTES_MAX: usize = 4096;

/// Bytes of the guest that a step looks through for what it expects.
pub(crate) const EXPECT_WINDOW_BYTES: usize = 16 * 1024;

/// Addresses that an address's ports were tried on before it has no more that are open because they come first: no
/// device has more services.
pub(crate) const PORTS_FIRST_EACH_MAX: u32 = 8;

/// Addresses with ports that were tried and are remembered.
pub(crate) const TRIED_MAX: usize = 16 * 1024;

/// How long the guest may leave what it was sent unacknowledged.
pub(crate) const SILENCE_TIME_MAX: Duration = Duration::from_secs(120);
