//! From the first byte of a connection to CONNACK.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use komainu_model::{ClientId, DisconnectReason, ReporterName};
use komainu_ports::{PeerInfo, StoredMessage, StoredWill};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;
use tracing::{Span, debug, warn};

use super::Connection;
use crate::access::{ConnectRequest, Gatekeeper, Refusal};
use crate::broker::{Broker, NotAttached, Wish};
use crate::decode::{self, ConnectError, Frame};
use crate::encode::{self, ConnackProperties};
use crate::events;
use crate::lifecycle::Subject;
use crate::link::Link;
use crate::pace::Pace;
use crate::packet::{Reason, Version, kind};
use crate::replies::Replies;
use crate::session::{Online, Will};
use crate::topic;

/// A CONNECT packet, and what came after it in the same read.
pub(super) struct Received {
    bytes: Vec<u8>,
    connect_bytes: usize,
}

pub(super) async fn read_connect<S: AsyncRead + Unpin>(
    broker: &Broker,
    stream: &mut S,
) -> Result<Received, &'static str> {
    let mut bytes = Vec::with_capacity(512);
    loop {
        let framed = decode::frame(&bytes, broker.context.limits.packet_bytes_max).map_err(|broken| broken.what)?;
        if let Some(Frame { packet_bytes, .. }) = framed {
            return Ok(Received { bytes, connect_bytes: packet_bytes });
        }
        // [MQTT-3.1.0-1]: refused before its body is waited for.
        if bytes.first().is_some_and(|first| *first != kind::CONNECT << 4) {
            return Err("first packet is not CONNECT");
        }
        if stream.read_buf(&mut bytes).await.map_err(|_| "connection lost")? == 0 {
            return Err("connection lost");
        }
    }
}

/// Judges a CONNECT packet. What is to be answered is in `out`.
pub(super) async fn accept<'a>(
    broker: &'a Arc<Broker>,
    peer: &PeerInfo,
    gatekeeper: &dyn Gatekeeper,
    received: &Received,
    out: &mut Vec<u8>,
) -> Option<Connection<'a>> {
    let limits = &broker.context.limits;
    let Frame { first, body, .. } = decode::frame(&received.bytes, limits.packet_bytes_max).ok().flatten()?;
    if !matches!(decode::packet_kind(first), Ok(kind::CONNECT)) {
        log_malformed(broker, None, peer.address.ip(), "first packet is not a valid CONNECT");
        return None;
    }
    let connect = match decode::connect(body) {
        Ok(connect) => connect,
        Err(ConnectError::UnsupportedVersion { level }) => {
            debug!(peer = %peer.address, level, "protocol version is not supported");
            // [MQTT-3.1.2-2]: older clients understand 3.1.1's refusal, newer ones MQTT 5's.
            match level {
                0..=4 => encode::connack_v3(out, false, 1),
                _ => encode::connack_v5_refused(out, Reason::UnsupportedVersion),
            }
            return None;
        }
        Err(ConnectError::Broken(version, violation)) => {
            log_malformed(broker, None, peer.address.ip(), violation.what);
            if version == Some(Version::V5) {
                encode::connack_v5_refused(out, violation.reason);
            }
            return None;
        }
    };
    let version = connect.version;
    let refuse = |out: &mut Vec<u8>, return_code, reason| match version {
        Version::V3 => encode::connack_v3(out, false, return_code),
        Version::V5 => encode::connack_v5_refused(out, reason),
    };
    if connect.authentication_method.is_some() {
        refuse(out, 5, Reason::BadAuthenticationMethod);
        return None;
    }
    // [MQTT-3.1.3-8]: 3.1.1 lets the server choose the id only for a session that ends with the connection.
    let is_assigned = connect.client_id.is_empty();
    let assigned = if is_assigned { broker.ports.ids.uuid() } else { String::new() };
    let id = if is_assigned { &*assigned } else { connect.client_id };
    let client = match ClientId::parse(id) {
        Ok(client) if !(is_assigned && version == Version::V3 && !connect.clean_start) => client,
        _ => {
            refuse(out, 2, Reason::ClientIdInvalid);
            return None;
        }
    };
    let will = match connect.will.as_ref().map(|will| stored_will(broker, will)).transpose() {
        Ok(will) => will,
        Err(reason) => {
            // 3.1.1 has no return code for a will; the connection is closed.
            if version == Version::V5 {
                encode::connack_v5_refused(out, reason);
            }
            return None;
        }
    };
    let request = ConnectRequest {
        client_id: &client,
        user_name: connect.user_name,
        will: connect.will.as_ref().map(|will| (will.topic, will.retain)),
    };
    let access = match gatekeeper.admit(peer, &request) {
        Ok(access) => access,
        Err(Refusal::NotAuthenticated { reason }) => {
            debug!(peer = %peer.address, %client, reason, "connection refused");
            refuse(out, 5, Reason::BadCredentials);
            return None;
        }
        Err(Refusal::NotAuthorized { action }) => {
            debug!(peer = %peer.address, %client, action, "connection refused");
            refuse(out, 5, Reason::NotAuthorized);
            return None;
        }
    };
    let asked_expiry_s = match version {
        Version::V3 if connect.clean_start => 0,
        Version::V3 => limits.session_expiry_s_default,
        Version::V5 => connect.session_expiry_s.unwrap_or(0),
    };
    let expiry_s = asked_expiry_s.min(limits.session_expiry_s_max);
    let scope = broker.scope(access.scope());
    let link = Link::new();
    let online = Online { link: link.clone(), access: access.clone() };
    let will = will.map(|stored| Will { stored, access: Some(access.clone()) });
    let wish = Wish { client: client.clone(), clean_start: connect.clean_start, expiry_s, will };
    let attached = match broker.attach(&scope, &wish, &online).await {
        Ok(attached) => attached,
        Err(NotAttached::TooManySessions) => {
            if let Some(suppressed) = broker.context.budgets.limit_reached.take_now() {
                warn!(
                    event = events::LIMIT_REACHED,
                    limit = "sessions_max",
                    %client,
                    suppressed,
                    "no room for another persistent session"
                );
            }
            refuse(out, 3, Reason::QuotaExceeded);
            access.count_disconnect(DisconnectReason::ServerError);
            return None;
        }
        Err(NotAttached::Displaced) => {
            refuse(out, 3, Reason::SessionTakenOver);
            access.count_disconnect(DisconnectReason::DuplicateClientId);
            return None;
        }
    };
    // A right that was withdrawn between the gatekeeper's answer and here was not looked for in this connection.
    if let Some(reason) = access.revoked() {
        link.end(reason);
    }
    let subject = Subject {
        client: client.clone(),
        session_identifier: broker.ports.ids.uuid(),
        principal: access.principal_id().to_owned(),
        address: peer.address.ip(),
        version: attached.connections - 1,
    };
    let span = Span::current();
    span.record("messaging.client.id", subject.client.as_str());
    span.record("komainu.connection", subject.session_identifier.as_str());
    span.record("komainu.thing", access.reporter().as_str());
    let keep_alive_s = match (limits.keep_alive_s_max, connect.keep_alive_s) {
        (0, asked) => asked,
        (longest, 0) if version == Version::V5 => longest,
        (longest, asked) if version == Version::V5 => asked.min(longest),
        (_, asked) => asked,
    };
    match version {
        Version::V3 => encode::connack_v3(out, attached.session_present, 0),
        Version::V5 => encode::connack_v5(
            out,
            attached.session_present,
            &ConnackProperties {
                session_expiry_s: (expiry_s != asked_expiry_s).then_some(expiry_s),
                receive_max: limits.receive_max,
                packet_bytes_max: limits.packet_bytes_max,
                topic_alias_max: limits.topic_alias_max,
                assigned_client_id: is_assigned.then_some(client.as_str()),
                server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            },
        ),
    }
    let mut connection = Connection {
        broker,
        scope,
        session: attached.session,
        access,
        link,
        subject,
        version,
        expiry_s,
        flow: attached.flow,
        replies: Replies::default(),
        receiving: 0,
        aliases_in: Vec::new(),
        aliases_out: HashMap::default(),
        aliases_out_max: connect.topic_alias_max.min(limits.topic_alias_outbound_max),
        window: usize::from(connect.receive_max.min(limits.inflight_max)),
        packet_bytes_max: connect.packet_bytes_max as usize,
        request_problem_information: connect.request_problem_information,
        routes: None,
        obstacle: None,
        pace: Pace::new(limits.publishes_per_s_max, limits.publishes_burst_max, Instant::now()),
        paused_until: None,
        was_paused: false,
        reports_pending: Arc::default(),
        unread: received.bytes[received.connect_bytes..].to_vec(),
        was_silent: false,
        out: Vec::new(),
        written: 0,
        is_flushed: true,
        may_deliver: true,
        heard_at: Instant::now(),
        // One and a half keep-alive intervals. [MQTT-3.1.2-24], MQTT 5 [MQTT-3.1.2-22]
        silence_max: (keep_alive_s > 0).then(|| Duration::from_millis(u64::from(keep_alive_s) * 1_500)),
        unwritable_since: None,
    };
    // [MQTT-4.4.0-1]: what was sent before is in the queue again; releases are sent at once.
    for packet_id in connection.flow.releases() {
        encode::ack(out, version, kind::PUBREL, packet_id, Reason::Success);
    }
    connection.unread.shrink_to_fit();
    debug!(client = %connection.subject.client, session_present = attached.session_present, "connected");
    broker.tell_connected(&connection.scope, &connection.subject);
    Some(connection)
}

/// Says that a client broke the protocol. Before its CONNECT is read it has no name.
pub(super) fn log_malformed(broker: &Broker, who: Option<(&ClientId, &ReporterName)>, address: IpAddr, reason: &str) {
    if let Some(suppressed) = broker.context.budgets.malformed_packet.take_now() {
        warn!(
            event = events::MALFORMED_PACKET,
            client = who.map(|(client, _)| tracing::field::display(client)),
            reporter = who.map(|(_, reporter)| tracing::field::display(reporter)),
            %address,
            reason,
            suppressed,
            "client broke the protocol"
        );
    }
}

fn stored_will(broker: &Broker, will: &decode::Will<'_>) -> Result<StoredWill, Reason> {
    let limits = &broker.context.limits;
    let is_ordinary = topic::purpose(will.topic) == topic::Purpose::Ordinary;
    if !is_ordinary || topic::check_name(will.topic, limits).is_err() {
        return Err(Reason::TopicNameInvalid);
    }
    if will.payload.len() > limits.payload_bytes_max as usize {
        return Err(Reason::PacketTooLarge);
    }
    Ok(StoredWill {
        delay_s: will.delay_s,
        qos: will.qos,
        retain: will.retain,
        message: Arc::new(StoredMessage {
            topic: will.topic.into(),
            payload: Bytes::copy_from_slice(will.payload),
            qos: will.qos,
            properties: Bytes::copy_from_slice(&will.forwarded),
            expires_at: None,
        }),
        expiry_s: will.expiry_s,
    })
}
