//! What a rule can look into.

use komainu_decode::Protocol;

/// A part of what was said. The names are those of Suricata's keywords ("Rules" in its documentation), but for
/// `komainu.command`, which is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Buffer {
    /// What a side said, as it was sent.
    Raw,
    HttpMethod,
    HttpUri,
    HttpUriRaw,
    HttpProtocol,
    HttpRequestLine,
    HttpHeader,
    HttpHeaderRaw,
    HttpHeaderNames,
    HttpCookie,
    HttpUserAgent,
    HttpHost,
    HttpReferer,
    HttpContentType,
    HttpRequestBody,
    HttpStatCode,
    HttpStatMsg,
    SshProto,
    SshSoftware,
    SshHassh,
    SshHasshString,
    TlsSni,
    Ja3Hash,
    Ja4Hash,
    SmbNamedPipe,
    SmbShare,
    FtpCommand,
    FtpCommandData,
    MqttClientId,
    MqttUser,
    MqttPassword,
    MqttPublishTopic,
    MqttPublishMessage,
    MqttSubscribeTopic,
    DnsQuery,
    SnmpCommunity,
    SipMethod,
    SipUri,
    /// A command line, whatever protocol carried it.
    Command,
}

/// What is known together: a rule may ask for several buffers of one unit, and beside them for [`Buffer::Raw`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    Raw,
    HttpRequest,
    HttpResponse,
    Ssh,
    Tls,
    Smb,
    Ftp,
    MqttConnect,
    MqttPublish,
    MqttSubscribe,
    Dns,
    Snmp,
    Sip,
    Command,
}

/// The number of units.
pub(crate) const UNITS: usize = Unit::Command as usize + 1;

/// The keywords that name a buffer, with the older spellings.
const STICKY: &[(&str, Buffer)] = &[
    ("pkt_data", Buffer::Raw),
    ("http.method", Buffer::HttpMethod),
    ("http.uri", Buffer::HttpUri),
    ("http.uri.raw", Buffer::HttpUriRaw),
    ("http.protocol", Buffer::HttpProtocol),
    ("http.request_line", Buffer::HttpRequestLine),
    ("http_request_line", Buffer::HttpRequestLine),
    ("http.header", Buffer::HttpHeader),
    ("http.header.raw", Buffer::HttpHeaderRaw),
    ("http.header_names", Buffer::HttpHeaderNames),
    ("http_header_names", Buffer::HttpHeaderNames),
    ("http.cookie", Buffer::HttpCookie),
    ("http.user_agent", Buffer::HttpUserAgent),
    ("http.host", Buffer::HttpHost),
    ("http.referer", Buffer::HttpReferer),
    ("http_referer", Buffer::HttpReferer),
    ("http.content_type", Buffer::HttpContentType),
    ("http_content_type", Buffer::HttpContentType),
    ("http.request_body", Buffer::HttpRequestBody),
    ("http.stat_code", Buffer::HttpStatCode),
    ("http.stat_msg", Buffer::HttpStatMsg),
    ("ssh.proto", Buffer::SshProto),
    ("ssh_proto", Buffer::SshProto),
    ("ssh.software", Buffer::SshSoftware),
    ("ssh_software", Buffer::SshSoftware),
    ("ssh.hassh", Buffer::SshHassh),
    ("ssh.hassh.string", Buffer::SshHasshString),
    ("tls.sni", Buffer::TlsSni),
    ("tls_sni", Buffer::TlsSni),
    ("ja3.hash", Buffer::Ja3Hash),
    ("ja3_hash", Buffer::Ja3Hash),
    ("ja4.hash", Buffer::Ja4Hash),
    ("smb.named_pipe", Buffer::SmbNamedPipe),
    ("smb_named_pipe", Buffer::SmbNamedPipe),
    ("smb.share", Buffer::SmbShare),
    ("smb_share", Buffer::SmbShare),
    ("ftp.command", Buffer::FtpCommand),
    ("ftp.command_data", Buffer::FtpCommandData),
    ("mqtt.connect.clientid", Buffer::MqttClientId),
    ("mqtt.connect.username", Buffer::MqttUser),
    ("mqtt.connect.password", Buffer::MqttPassword),
    ("mqtt.publish.topic", Buffer::MqttPublishTopic),
    ("mqtt.publish.message", Buffer::MqttPublishMessage),
    ("mqtt.subscribe.topic", Buffer::MqttSubscribeTopic),
    ("dns.query", Buffer::DnsQuery),
    ("dns_query", Buffer::DnsQuery),
    ("snmp.community", Buffer::SnmpCommunity),
    ("sip.method", Buffer::SipMethod),
    ("sip.uri", Buffer::SipUri),
    ("komainu.command", Buffer::Command),
];

/// Keywords that say, behind a `content`, where it is looked for.
const MODIFIERS: &[(&str, Buffer)] = &[
    ("http_method", Buffer::HttpMethod),
    ("http_uri", Buffer::HttpUri),
    ("http_raw_uri", Buffer::HttpUriRaw),
    ("http_header", Buffer::HttpHeader),
    ("http_raw_header", Buffer::HttpHeaderRaw),
    ("http_cookie", Buffer::HttpCookie),
    ("http_user_agent", Buffer::HttpUserAgent),
    ("http_host", Buffer::HttpHost),
    ("http_client_body", Buffer::HttpRequestBody),
    ("http_stat_code", Buffer::HttpStatCode),
    ("http_stat_msg", Buffer::HttpStatMsg),
];

/// The buffer that a keyword makes the current one.
pub(crate) fn sticky(keyword: &str) -> Option<Buffer> {
    STICKY.iter().find(|(name, _)| *name == keyword).map(|(_, buffer)| *buffer)
}

/// The buffer that a keyword behind a `content` moves it to.
pub(crate) fn modifier(keyword: &str) -> Option<Buffer> {
    MODIFIERS.iter().find(|(name, _)| *name == keyword).map(|(_, buffer)| *buffer)
}

/// The buffer that a flag of `pcre` names.
pub(crate) fn of_pcre_flag(flag: char) -> Option<Buffer> {
    Some(match flag {
        'U' => Buffer::HttpUri,
        'I' => Buffer::HttpUriRaw,
        'P' => Buffer::HttpRequestBody,
        'H' => Buffer::HttpHeader,
        'D' => Buffer::HttpHeaderRaw,
        'M' => Buffer::HttpMethod,
        'C' => Buffer::HttpCookie,
        'V' => Buffer::HttpUserAgent,
        'W' => Buffer::HttpHost,
        'S' => Buffer::HttpStatCode,
        'Y' => Buffer::HttpStatMsg,
        _ => return None,
    })
}

impl Buffer {
    pub(crate) const fn unit(self) -> Unit {
        match self {
            Self::Raw => Unit::Raw,
            Self::HttpMethod
            | Self::HttpUri
            | Self::HttpUriRaw
            | Self::HttpProtocol
            | Self::HttpRequestLine
            | Self::HttpHeader
            | Self::HttpHeaderRaw
            | Self::HttpHeaderNames
            | Self::HttpCookie
            | Self::HttpUserAgent
            | Self::HttpHost
            | Self::HttpReferer
            | Self::HttpContentType
            | Self::HttpRequestBody => Unit::HttpRequest,
            Self::HttpStatCode | Self::HttpStatMsg => Unit::HttpResponse,
            Self::SshProto | Self::SshSoftware | Self::SshHassh | Self::SshHasshString => Unit::Ssh,
            Self::TlsSni | Self::Ja3Hash | Self::Ja4Hash => Unit::Tls,
            Self::SmbNamedPipe | Self::SmbShare => Unit::Smb,
            Self::FtpCommand | Self::FtpCommandData => Unit::Ftp,
            Self::MqttClientId | Self::MqttUser | Self::MqttPassword => Unit::MqttConnect,
            Self::MqttPublishTopic | Self::MqttPublishMessage => Unit::MqttPublish,
            Self::MqttSubscribeTopic => Unit::MqttSubscribe,
            Self::DnsQuery => Unit::Dns,
            Self::SnmpCommunity => Unit::Snmp,
            Self::SipMethod | Self::SipUri => Unit::Sip,
            Self::Command => Unit::Command,
        }
    }

    /// A bit of its own in a set of buffers.
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// The protocol that a rule's header names beside `tcp`, `udp` and `ip`.
pub(crate) fn protocol(name: &str) -> Option<Protocol> {
    Some(match name {
        "http" | "http1" => Protocol::Http,
        "ssh" => Protocol::Ssh,
        "tls" | "ssl" => Protocol::Tls,
        "smb" => Protocol::Smb,
        "ftp" => Protocol::Ftp,
        "mqtt" => Protocol::Mqtt,
        "dns" => Protocol::Dns,
        "snmp" => Protocol::Snmp,
        "sip" => Protocol::Sip,
        "rtsp" => Protocol::Rtsp,
        "tftp" => Protocol::Tftp,
        _ => return None,
    })
}
