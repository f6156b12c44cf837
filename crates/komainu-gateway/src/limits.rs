//! The bounds of the broker: each has a name, a unit and a reason, and what happens at it is written beside it.

/// What one connection, one session and the whole broker may use.
///
/// The defaults serve a small machine with tens of thousands of devices. Where AWS IoT has a documented quota that is
/// stricter than the default, the field says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a peer may take from the first byte of the connection to a complete CONNECT, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The largest control packet, in bytes, header included. Larger: DISCONNECT 0x95, or the connection is closed.
    pub packet_bytes_max: u32,
    /// The largest payload, in bytes (AWS: 128 KiB). Larger: PUBACK 0x97 or DISCONNECT 0x95, or closed.
    pub payload_bytes_max: u32,
    /// The longest topic name or filter, in bytes (AWS: 256 for ordinary topics).
    pub topic_bytes_max: usize,
    /// The most `/` in an ordinary topic name or filter (AWS: 7; reserved topics are exempt).
    pub topic_slashes_max: usize,
    /// The most filters in one SUBSCRIBE (AWS: 8). More: every filter is refused with 0x97.
    pub filters_per_subscribe_max: usize,
    /// The most subscriptions of one session (AWS: 50). More: the filter is refused with 0x97.
    pub subscriptions_per_session_max: usize,
    /// Receive Maximum that MQTT 5 clients are told: unacknowledged QoS 1 and 2 messages from one client. Exceeded:
    /// DISCONNECT 0x93. A 3.1.1 client that has as many is not read from until acknowledgements went out.
    pub receive_max: u16,
    /// The most unacknowledged QoS 1 and 2 messages to one client; its own Receive Maximum may be lower. More wait.
    pub inflight_max: u16,
    /// Messages that one client may publish in a second, in the long run; 0 for no bound (AWS: 100). A faster client is
    /// not read from for a while.
    pub publishes_per_s_max: u32,
    /// Messages that one client may publish at once before its pace counts.
    pub publishes_burst_max: u32,
    /// Topic aliases that an MQTT 5 client may define. More: DISCONNECT 0x94.
    pub topic_alias_max: u16,
    /// Topic aliases the broker defines towards a client that allows them; bounds the table of each connection.
    pub topic_alias_outbound_max: u16,
    /// Messages that may wait for one connected client. At the bound its publishers wait.
    pub queue_messages_max: usize,
    /// Payload bytes that may wait for one connected client. At the bound its publishers wait.
    pub queue_bytes_max: usize,
    /// Messages that may wait for a persistent session. At the bound of a disconnected one, the message is refused.
    pub offline_messages_max: usize,
    /// Payload bytes that may wait for a persistent session. At the bound of a disconnected one, the message is
    /// refused.
    pub offline_bytes_max: usize,
    /// Payload bytes that may wait for all disconnected sessions together: bounds the memory of the process.
    pub offline_total_bytes_max: u64,
    /// How long publishers wait for a subscriber whose queue is full, in milliseconds. Then the subscriber is
    /// disconnected as throttled.
    pub stall_ms: u64,
    /// How long a peer may take none of the bytes that are written to it, in milliseconds. Then it is lost.
    pub write_timeout_ms: u64,
    /// Keep-alive in seconds that is given to MQTT 5 clients that ask for more, or for none; 0 lets them choose.
    pub keep_alive_s_max: u16,
    /// The longest session expiry in seconds; MQTT 5 clients that ask for more are told (AWS: 3,600 by default).
    pub session_expiry_s_max: u32,
    /// Session expiry in seconds of 3.1.1 clients with clean session 0 (AWS: 3,600).
    pub session_expiry_s_default: u32,
    /// Persistent sessions in all. More: CONNACK 0x97, or 3 (server unavailable) for 3.1.1.
    pub sessions_max: usize,
    /// Retained messages of one scope. More: the message is delivered but refused with 0x97 as retained.
    pub retained_messages_max: usize,
    /// Payload bytes of the retained messages of one scope. More: as above.
    pub retained_bytes_max: u64,
    /// Operations that may wait to be written down. At the bound publishers wait.
    pub durable_backlog_max: usize,
    /// QoS 0 reports that may be with the report sink for one connection. At the bound further ones are dropped and
    /// counted, as QoS 0 allows.
    pub reports_pending_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 10_000,
            packet_bytes_max: 256 * 1024,
            payload_bytes_max: 128 * 1024,
            topic_bytes_max: 512,
            topic_slashes_max: 31,
            filters_per_subscribe_max: 64,
            subscriptions_per_session_max: 1_000,
            receive_max: 100,
            inflight_max: 512,
            publishes_per_s_max: 20_000,
            publishes_burst_max: 5_000,
            topic_alias_max: 16,
            topic_alias_outbound_max: 16,
            queue_messages_max: 2_000,
            queue_bytes_max: 16 * 1024 * 1024,
            offline_messages_max: 10_000,
            offline_bytes_max: 64 * 1024 * 1024,
            offline_total_bytes_max: 1024 * 1024 * 1024,
            stall_ms: 2_000,
            write_timeout_ms: 30_000,
            keep_alive_s_max: 0,
            session_expiry_s_max: 7 * 24 * 3600,
            session_expiry_s_default: 3_600,
            sessions_max: 1_000_000,
            retained_messages_max: 100_000,
            retained_bytes_max: 256 * 1024 * 1024,
            durable_backlog_max: 65_536,
            reports_pending_max: 16,
        }
    }
}
