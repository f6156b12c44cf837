//! What can be learned from a flow.

use crate::{adb, coap, dns, ftp, http, mqtt, redis, rtsp, sip, smb, snmp, ssdp, ssh, telnet, tftp, tls};

/// Something that a flow showed.
///
/// The first four are the same for all protocols, so that whoever asks for logins, commands or files need not know
/// how each protocol speaks of them. The others are what only one protocol has.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact<'a> {
    /// Somebody said who they are. Told once, when the answer is known or cannot come any more.
    Login(Login<'a>),
    /// Somebody asked for something to be run.
    Command(Command<'a>),
    /// A file, or part of one, was carried.
    File(FileEvent<'a>),
    /// Something that the protocol does not allow, or that is beyond a bound.
    Oddity(Oddity),
    /// Android Debug Bridge.
    Adb(adb::Event<'a>),
    /// Constrained Application Protocol.
    Coap(coap::Event<'a>),
    /// Domain Name System.
    Dns(dns::Event<'a>),
    /// File Transfer Protocol.
    Ftp(ftp::Event<'a>),
    /// Hypertext Transfer Protocol.
    Http(http::Event<'a>),
    /// MQTT.
    Mqtt(mqtt::Event<'a>),
    /// Redis' serialisation protocol.
    Redis(redis::Event<'a>),
    /// Real-Time Streaming Protocol.
    Rtsp(rtsp::Event<'a>),
    /// Session Initiation Protocol.
    Sip(sip::Event<'a>),
    /// Server Message Block.
    Smb(smb::Event<'a>),
    /// Simple Network Management Protocol.
    Snmp(snmp::Event<'a>),
    /// Simple Service Discovery Protocol.
    Ssdp(ssdp::Event<'a>),
    /// Secure Shell.
    Ssh(ssh::Event<'a>),
    /// Telnet.
    Telnet(telnet::Event<'a>),
    /// Trivial File Transfer Protocol.
    Tftp(tftp::Event<'a>),
    /// Transport Layer Security.
    Tls(tls::Event<'a>),
}

/// Somebody said who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login<'a> {
    /// The name, as it was sent; empty where the protocol has none or none was given.
    pub user: &'a [u8],
    /// What was to prove it.
    pub secret: Secret<'a>,
    /// Whether it was accepted; none when the flow does not say.
    pub accepted: Option<bool>,
}

/// What is to prove a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret<'a> {
    /// Nothing: an anonymous or guest login.
    None,
    /// A password in the clear.
    Password(&'a [u8]),
    /// The answer to a challenge, from which the password cannot be read.
    Response {
        /// The mechanism, such as `ntlmssp` or `digest`.
        mechanism: &'static str,
        /// What was sent.
        bytes: &'a [u8],
    },
    /// A key of which the other half is the secret.
    PublicKey {
        /// Its fingerprint, such as `SHA256:…` with SSH.
        fingerprint: &'a str,
    },
}

/// Somebody asked for something to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command<'a> {
    /// The command line, without its line end.
    pub line: &'a [u8],
}

/// The number of a file within its flow, from 0 in the order of their beginnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u32);

/// A file, or part of one, was carried. Each file that begins ends exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEvent<'a> {
    /// A file begins. The side of the place sends it.
    Begin {
        /// Which file.
        file: FileNumber,
        /// Its name or path as the protocol has it; empty where there is none.
        name: &'a [u8],
        /// How it is carried.
        via: FileVia,
        /// How long it will be, where that was said.
        bytes_expected: Option<u64>,
    },
    /// Bytes of a file. Parts may come in any order and may overwrite each other, as writes to a file do.
    Part {
        /// Which file.
        file: FileNumber,
        /// Where in the file the bytes belong.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The file ends.
    End {
        /// Which file.
        file: FileNumber,
        /// Whether all of it was seen.
        is_complete: bool,
    },
}

/// How a file was carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileVia {
    /// The body of an HTTP request.
    HttpRequest,
    /// A part of a multipart/form-data body.
    HttpForm,
    /// The body of an HTTP answer.
    HttpResponse,
    /// STOR, STOU or APPE.
    FtpUpload,
    /// RETR.
    FtpDownload,
    /// A TFTP write request.
    TftpUpload,
    /// A TFTP read request.
    TftpDownload,
    /// SMB write.
    SmbWrite,
    /// SMB read.
    SmbRead,
    /// `adb push`, `adb install`.
    AdbPush,
    /// `adb pull`.
    AdbPull,
    /// The payload of an MQTT message.
    MqttPublish,
    /// The database file that a Redis server sends its replica.
    RedisReplication,
    /// What a Redis server was told to save.
    RedisSave,
    /// `scp` to the target. What SSH carries only its two ends see.
    ScpUpload,
    /// A file that was written over SFTP.
    SftpUpload,
}

/// Something that the protocol does not allow, or that is beyond a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oddity {
    /// How it concerns the decoder.
    pub kind: OddityKind,
    /// What it is: a fixed, short text, in lower case with underscores, such as `chunk_size_too_large`.
    pub what: &'static str,
}

/// How an oddity concerns the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OddityKind {
    /// Not allowed, but understood.
    Tolerated,
    /// Not understood; decoding went on behind it.
    Skipped,
    /// Not understood; nothing more is decoded of what this side says.
    GaveUp,
    /// Bytes were lost or not recorded.
    Gap,
    /// A bound of the decoder was reached; what is beyond it is not told.
    Bound,
}
