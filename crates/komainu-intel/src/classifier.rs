//! From the facts of a session to its label. `docs/classification.md` has the table that is carried out here.

mod decide;

use std::net::SocketAddr;
use std::sync::Arc;

use komainu_decode::{
    Fact, FileEvent, FileVia, Login, Place, Protocol, Secret, Side, Transport, coap, dns, ftp, http, mqtt, sip, smb,
    snmp, ssdp, ssh, tls,
};
use parking_lot::Mutex;

use self::decide::{Held, Seen};
use crate::geo::{self, AsnTable};
use crate::payload::PayloadRule;
use crate::rules::{Buffer, Ends, Found, RuleSet, Run, request_buffers, response_buffers};
use crate::scanners::{self, Scanners};
use crate::sources::Sources;
use crate::verdict::{Alert, Verdict};

/// Alerts of one session that are told. More are more of the same; they are counted.
const ALERTS_MAX: u32 = 64;
/// Different rules of one session whose holding is remembered until its end: so many about what was said, and so many
/// about payloads.
const MATCHED_MAX: usize = 64;

/// Says what sessions were.
#[derive(Debug)]
pub struct Classifier {
    rules: RuleSet,
    scanners: Scanners,
    asns: Option<AsnTable>,
    sources: Mutex<Sources>,
}

/// Between whom a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowEnds {
    /// How it is carried.
    pub transport: Transport,
    /// Who began.
    pub client: SocketAddr,
    /// Who was called.
    pub server: SocketAddr,
}

/// What is known of a session until it ends.
#[derive(Debug)]
pub struct Watch {
    classifier: Arc<Classifier>,
    ends: Ends,
    run: Run,
    alerts: Vec<Alert>,
    alerts_count: u32,
    matched: Vec<Found>,
    payload_rules: Vec<PayloadRule>,
    seen: Seen,
}

impl Classifier {
    /// Says what sessions were by these rules, lists and tables.
    pub fn new(rules: RuleSet, scanners: Scanners, asns: Option<AsnTable>) -> Arc<Self> {
        Arc::new(Self { rules, scanners, asns, sources: Mutex::default() })
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Watches a session that begins.
    pub fn watch(self: &Arc<Self>, flow: FlowEnds) -> Watch {
        let ends = Ends {
            transport: flow.transport,
            client: flow.client.ip().to_canonical(),
            client_port: flow.client.port(),
            server: flow.server.ip().to_canonical(),
            server_port: flow.server.port(),
            protocol: None,
        };
        Watch {
            classifier: self.clone(),
            ends,
            run: Run::default(),
            alerts: Vec::new(),
            alerts_count: 0,
            matched: Vec::new(),
            payload_rules: Vec::new(),
            seen: Seen::default(),
        }
    }
}

impl Watch {
    /// Learns for which port the server stands, if that is not the one where it is open.
    pub fn server_port(&mut self, port: u16) {
        self.ends.server_port = port;
    }

    /// Learns which protocol the session speaks.
    pub fn protocol(&mut self, at: i64, protocol: Protocol) {
        self.ends.protocol = Some(protocol);
        let classifier = self.classifier.clone();
        let found = self.run.ask_again(&classifier.rules, &self.ends, at);
        self.found(found);
    }

    /// Takes what a side said next, before the facts that it shows.
    pub fn payload(&mut self, at: i64, side: Side, bytes: &[u8]) {
        self.seen.said(side, bytes.len());
        let classifier = self.classifier.clone();
        let found = self.run.payload(&classifier.rules, &self.ends, at, side, bytes);
        self.found(found);
    }

    /// Learns that the next bytes of a side are not known.
    pub fn gap(&mut self, side: Side, bytes: u64) {
        self.run.gap(side, bytes);
    }

    /// Takes a fact.
    pub fn fact(&mut self, at: i64, place: Place, fact: &Fact<'_>) {
        match fact {
            Fact::Login(login) => self.login(place, login),
            Fact::Command(command) => {
                self.seen.note("command", Some(place));
                self.seen.commands += 1;
                self.message(at, place, &[(Buffer::Command, command.line)]);
            }
            Fact::File(event) => self.file(place, event),
            Fact::Http(event) => self.http(at, place, event),
            Fact::Ssh(ssh::Event::Handshake { client, server }) => {
                for (party, side) in [(client, Side::Client), (server, Side::Server)] {
                    if let Some(party) = party {
                        self.ssh(at, Place { side, ..place }, party);
                    }
                }
            }
            Fact::Tls(tls::Event::ClientHello(hello)) => self.tls(at, place, hello),
            Fact::Smb(smb::Event::Exchange(exchange)) => self.smb(at, place, exchange),
            Fact::Ftp(ftp::Event::Exchange(exchange)) => {
                let buffers = [(Buffer::FtpCommand, exchange.command), (Buffer::FtpCommandData, exchange.argument)];
                self.message(at, place, &buffers);
            }
            Fact::Mqtt(event) => self.mqtt(at, place, event),
            Fact::Dns(dns::Event::Message(message)) => self.dns(at, place, message),
            Fact::Snmp(snmp::Event::Message(message)) => self.snmp(at, place, message),
            Fact::Sip(sip::Event::Request { request, .. }) => {
                self.message(at, place, &[(Buffer::SipMethod, request.method), (Buffer::SipUri, request.target)]);
                if !request.method.eq_ignore_ascii_case(b"options") {
                    self.seen.is_unusual = true;
                }
            }
            Fact::Ssdp(event) => self.ssdp(place, event),
            Fact::Coap(coap::Event::Message(message)) => {
                if message.is_discovery() && place.side == Side::Client && self.is_datagrams() {
                    self.seen.reflection(place);
                }
            }
            Fact::Adb(_)
            | Fact::Ftp(_)
            | Fact::Redis(_)
            | Fact::Rtsp(_)
            | Fact::Sip(_)
            | Fact::Smb(_)
            | Fact::Ssh(_)
            | Fact::Telnet(_)
            | Fact::Tftp(_)
            | Fact::Tls(_)
            | Fact::Oddity(_) => {}
        }
    }

    /// Learns that the target was told to fetch something.
    pub fn fetched(&mut self) {
        self.seen.fetched += 1;
        self.seen.note("fetch", None);
    }

    /// Learns of a file that was made on the target without a decoder seeing it; `was_used`: it was made executable,
    /// or run.
    pub fn captured(&mut self, contents: &[u8], was_used: bool) {
        if was_used || contents.starts_with(b"\x7fELF") || contents.starts_with(b"#!") {
            self.seen.programs += 1;
            self.seen.note("program_written", None);
        }
    }

    /// Learns of a rule that holds for something that was brought or said.
    pub fn payload_rule(&mut self, rule: PayloadRule) {
        if self.payload_rules.len() < MATCHED_MAX && !self.payload_rules.iter().any(|known| known.name == rule.name) {
            self.payload_rules.push(rule);
        }
    }

    /// Learns that a program was run that the target did not have.
    pub fn ran(&mut self) {
        self.seen.ran += 1;
        self.seen.note("program_run", None);
    }

    /// Learns of something else that was done in the target's shell, such as `cleared_history`.
    pub fn noted(&mut self, what: &'static str) {
        self.seen.noted(what);
    }

    /// Learns that the client wanted to be passed on to another host, as with `direct-tcpip` of SSH.
    pub fn forward_wanted(&mut self) {
        self.seen.proxied += 1;
        self.seen.note("forward_wanted", None);
    }

    /// Whether there are alerts that were not taken.
    pub fn has_alerts(&self) -> bool {
        !self.alerts.is_empty()
    }

    /// The alerts since this was asked for the last time.
    pub fn take_alerts(&mut self) -> Vec<Alert> {
        std::mem::take(&mut self.alerts)
    }

    /// Takes the last alerts, when nothing more will be said.
    pub fn finish(&mut self, at: i64) {
        let classifier = self.classifier.clone();
        let found = self.run.request_ends(&classifier.rules, &self.ends, at);
        self.found(found);
        let found = self.run.ask_again(&classifier.rules, &self.ends, at);
        self.found(found);
    }

    /// What the session was, now that it ended at `at`, in microseconds since 1970.
    pub fn verdict(&self, at: i64) -> Verdict {
        let classifier = &*self.classifier;
        let (address, port) = (self.ends.client, self.ends.server_port);
        let record = classifier.sources.lock().note(address, at, self.seen.failed, port);
        let scanner = classifier.scanners.of_address(address).or_else(|| self.seen.claimed_scanner.clone());
        let of_flow =
            self.matched.iter().map(|found| Held::of_flow(&classifier.rules.rule(found.rule).about, found.place));
        let held: Vec<_> = of_flow.chain(self.payload_rules.iter().map(Held::of_payload)).collect();
        let decision = decide::decide(&self.seen, &self.ends, record, scanner.as_ref(), &held);
        Verdict {
            label: decision.label,
            confidence: decision.confidence,
            cves: decision.cves,
            techniques: decision.techniques,
            evidence: decision.evidence,
            alerts: self.alerts_count,
            origin: geo::origin(address, classifier.asns.as_ref()),
            scanner,
        }
    }

    fn is_datagrams(&self) -> bool {
        self.ends.transport == Transport::Udp
    }

    fn found(&mut self, found: Vec<Found>) {
        for one in found {
            self.alerts_count = self.alerts_count.saturating_add(1);
            if self.matched.len() < MATCHED_MAX && !self.matched.iter().any(|known| known.rule == one.rule) {
                self.matched.push(one);
            }
            if self.alerts_count <= ALERTS_MAX {
                let rule = self.classifier.rules.rule(one.rule).about.clone();
                self.alerts.push(Alert { rule, place: one.place });
            }
        }
    }

    fn message(&mut self, at: i64, place: Place, buffers: &[(Buffer, &[u8])]) {
        let classifier = self.classifier.clone();
        if buffers.iter().any(|(buffer, _)| classifier.rules.uses(&[*buffer])) {
            let found = self.run.message(&classifier.rules, &self.ends, at, place, buffers);
            self.found(found);
        }
    }

    fn login(&mut self, place: Place, login: &Login<'_>) {
        let is_accepted = login.accepted == Some(true);
        // An agent of SNMP takes a community with each question: a question is not yet somebody who got in.
        if is_accepted && self.ends.protocol != Some(Protocol::Snmp) {
            self.seen.accepted += 1;
            self.seen.note("accepted_login", Some(place));
        } else if !is_accepted {
            self.seen.failed = self.seen.failed.saturating_add(1);
            self.seen.note("failed_login", Some(place));
        }
        let secret = match login.secret {
            Secret::None | Secret::PublicKey { .. } => &[][..],
            Secret::Password(password) => password,
            Secret::Response { bytes, .. } => bytes,
        };
        self.seen.guess(login.user, secret);
    }

    fn file(&mut self, place: Place, event: &FileEvent<'_>) {
        let FileEvent::Begin { via, .. } = event else { return };
        let is_upload = match via {
            FileVia::FtpUpload
            | FileVia::TftpUpload
            | FileVia::SmbWrite
            | FileVia::AdbPush
            | FileVia::RedisReplication
            | FileVia::RedisSave
            | FileVia::ScpUpload
            | FileVia::SftpUpload => true,
            FileVia::HttpRequest
            | FileVia::HttpForm
            | FileVia::HttpResponse
            | FileVia::FtpDownload
            | FileVia::TftpDownload
            | FileVia::SmbRead
            | FileVia::AdbPull
            | FileVia::MqttPublish => false,
        };
        if is_upload {
            self.seen.uploads += 1;
            self.seen.note("upload", Some(place));
        }
    }

    fn http(&mut self, at: i64, place: Place, event: &http::Event<'_>) {
        let classifier = self.classifier.clone();
        let rules = &classifier.rules;
        let found = match event {
            http::Event::Request(request) => {
                self.request(place, request);
                let buffers = request_buffers(rules, request);
                if buffers.is_empty() && !rules.uses(&[Buffer::HttpRequestBody]) {
                    return;
                }
                self.run.request(rules, &self.ends, at, place, buffers)
            }
            http::Event::RequestBody { bytes, .. } => {
                self.seen.is_unusual = true;
                self.run.body(rules, &self.ends, at, bytes)
            }
            http::Event::Response { response, .. } => {
                if !rules.uses(&[Buffer::HttpStatCode, Buffer::HttpStatMsg]) {
                    return;
                }
                let buffers = response_buffers(response);
                let borrowed: Vec<(Buffer, &[u8])> =
                    buffers.iter().map(|(buffer, value)| (*buffer, &value[..])).collect();
                self.run.message(rules, &self.ends, at, place, &borrowed)
            }
            http::Event::Exchange { .. } => self.run.request_ends(rules, &self.ends, at),
            http::Event::Switched { .. } => return,
        };
        self.found(found);
    }

    fn request(&mut self, place: Place, request: &http::Request<'_>) {
        if self.seen.claimed_scanner.is_none()
            && let Some(agent) = request.header("User-Agent")
        {
            self.seen.claimed_scanner = scanners::of_agent(agent);
        }
        if self.wants_proxy(request) {
            self.seen.proxied += 1;
            self.seen.note("proxy_request", Some(place));
        }
        let is_plain = [&b"GET"[..], b"HEAD", b"OPTIONS"].contains(&request.method) && !request.target.contains(&b'?');
        if is_plain {
            self.seen.note("request", Some(place));
        } else {
            self.seen.is_unusual = true;
            self.seen.note("unusual_request", Some(place));
        }
    }

    /// Whether a request is for a host that is not this one: CONNECT, or a target with a host (RFC 9112, 3.2.2).
    fn wants_proxy(&self, request: &http::Request<'_>) -> bool {
        if request.method.eq_ignore_ascii_case(b"connect") {
            return true;
        }
        let target = request.target;
        let Some(rest) = target.get(..7).filter(|begin| begin.eq_ignore_ascii_case(b"http://")).map(|_| &target[7..])
        else {
            return false;
        };
        let host = rest.split(|byte| matches!(byte, b'/' | b':' | b'?')).next().unwrap_or_default();
        host != self.ends.server.to_string().as_bytes()
    }

    fn ssh(&mut self, at: i64, place: Place, party: &ssh::Party<'_>) {
        let mut buffers: Vec<(Buffer, &[u8])> = Vec::new();
        if let Some(identification) = &party.identification {
            buffers.push((Buffer::SshProto, identification.protocol_version));
            buffers.push((Buffer::SshSoftware, identification.software));
        }
        if let Some(hassh) = party.hassh {
            buffers.push((Buffer::SshHassh, hassh.hash.as_bytes()));
            buffers.push((Buffer::SshHasshString, &hassh.string));
        }
        self.message(at, place, &buffers);
    }

    fn tls(&mut self, at: i64, place: Place, hello: &tls::ClientHello) {
        let mut buffers = vec![(Buffer::Ja3Hash, hello.ja3_hash.as_bytes()), (Buffer::Ja4Hash, hello.ja4.as_bytes())];
        if let Some(name) = &hello.server_name {
            buffers.push((Buffer::TlsSni, name));
        }
        self.message(at, place, &buffers);
    }

    fn smb(&mut self, at: i64, place: Place, exchange: &smb::Exchange<'_>) {
        match &exchange.detail {
            smb::Detail::TreeConnect { path, .. } => self.message(at, place, &[(Buffer::SmbShare, path)]),
            smb::Detail::Open(open) if open.target.is_pipe() => {
                self.message(at, place, &[(Buffer::SmbNamedPipe, &open.name)]);
            }
            _ => {}
        }
    }

    fn mqtt(&mut self, at: i64, place: Place, event: &mqtt::Event<'_>) {
        match event {
            mqtt::Event::Connect(connect) => {
                let mut buffers = vec![(Buffer::MqttClientId, connect.client_id)];
                buffers.extend(connect.user.map(|user| (Buffer::MqttUser, user)));
                buffers.extend(connect.password.map(|password| (Buffer::MqttPassword, password)));
                self.message(at, place, &buffers);
            }
            mqtt::Event::Publish(publish) => {
                let buffers =
                    [(Buffer::MqttPublishTopic, publish.topic), (Buffer::MqttPublishMessage, publish.message)];
                self.message(at, place, &buffers);
                self.seen.is_unusual |= place.side == Side::Client;
            }
            mqtt::Event::Subscribe { filters, .. } => {
                let buffers: Vec<_> =
                    filters.iter().map(|filter| (Buffer::MqttSubscribeTopic, filter.filter)).collect();
                self.message(at, place, &buffers);
            }
            _ => {}
        }
    }

    fn dns(&mut self, at: i64, place: Place, message: &dns::Message<'_>) {
        const ANY: u16 = 255;
        const TXT: u16 = 16;
        if place.side == Side::Client
            && self.is_datagrams()
            && message.questions.iter().any(|question| matches!(question.kind, ANY | TXT))
        {
            self.seen.reflection(place);
        }
        if self.classifier.rules.uses(&[Buffer::DnsQuery]) {
            let names: Vec<Vec<u8>> = message.questions.iter().map(|question| question.name.dotted()).collect();
            let buffers: Vec<(Buffer, &[u8])> = names.iter().map(|name| (Buffer::DnsQuery, &name[..])).collect();
            self.message(at, place, &buffers);
        }
    }

    fn snmp(&mut self, at: i64, place: Place, message: &snmp::Message<'_>) {
        let kind = message.pdu.as_ref().map(|pdu| pdu.kind);
        if place.side == Side::Client && self.is_datagrams() && kind == Some(snmp::PduKind::GetBulkRequest) {
            self.seen.reflection(place);
        }
        if kind == Some(snmp::PduKind::SetRequest) {
            self.seen.is_unusual = true;
        }
        if let Some(community) = message.community {
            self.message(at, place, &[(Buffer::SnmpCommunity, community)]);
        }
    }

    fn ssdp(&mut self, place: Place, event: &ssdp::Event<'_>) {
        let is_search = match event {
            ssdp::Event::Search(_) => true,
            ssdp::Event::Discovery(discovery) => discovery.kind == ssdp::DiscoveryKind::Probe,
            ssdp::Event::Notify(_) | ssdp::Event::Other(_) | ssdp::Event::Answer(_) => false,
        };
        if is_search && place.side == Side::Client && self.is_datagrams() {
            self.seen.reflection(place);
        }
    }
}
