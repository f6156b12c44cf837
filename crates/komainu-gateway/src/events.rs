//! The names of the gateway's log events, as they stand in the field `event`. They are an interface: operators filter
//! and alert by them. `docs/events.md` says what each means and which fields it has; a test compares the two.

/// A listener is open.
pub(crate) const LISTENING: &str = "gateway.listening";
/// The plain-text test listener is open: anonymous clients come in.
pub(crate) const PLAIN_TEST_LISTENING: &str = "gateway.plain_test_listening";
/// The gateway has stopped.
pub(crate) const STOPPED: &str = "gateway.stopped";
/// The listening socket could not accept a connection.
pub(crate) const ACCEPT_FAILED: &str = "gateway.accept_failed";
/// A connection was refused, or something was not measured, because a bound is reached.
pub(crate) const LIMIT_REACHED: &str = "gateway.limit_reached";
/// The server certificate was replaced.
pub(crate) const SERVER_CERTIFICATE_REPLACED: &str = "gateway.server_certificate_replaced";
/// A TLS handshake failed.
pub(crate) const TLS_FAILED: &str = "gateway.tls_failed";
/// A client named no server in its handshake, which AWS would refuse.
pub(crate) const TLS_WITHOUT_SERVER_NAME: &str = "gateway.tls_without_server_name";
/// A client was let in.
pub(crate) const CONNECTED: &str = "gateway.connected";
/// A CONNECT was refused.
pub(crate) const CONNECT_REFUSED: &str = "gateway.connect_refused";
/// A connection that had been let in has ended.
pub(crate) const DISCONNECTED: &str = "gateway.disconnected";
/// A connection was ended because a newer one has its client id.
pub(crate) const DUPLICATE_CLIENT_ID: &str = "gateway.duplicate_client_id";
/// A client broke the protocol.
pub(crate) const MALFORMED_PACKET: &str = "gateway.malformed_packet";
/// An action was denied.
pub(crate) const DENIED: &str = "gateway.denied";

/// All of them, for the test.
#[cfg(test)]
const ALL: &[&str] = &[
    LISTENING,
    PLAIN_TEST_LISTENING,
    STOPPED,
    ACCEPT_FAILED,
    LIMIT_REACHED,
    SERVER_CERTIFICATE_REPLACED,
    TLS_FAILED,
    TLS_WITHOUT_SERVER_NAME,
    CONNECTED,
    CONNECT_REFUSED,
    DISCONNECTED,
    DUPLICATE_CLIENT_ID,
    MALFORMED_PACKET,
    DENIED,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_the_same_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `gateway.")?.split('`').next())
            .collect();
        let names: Vec<&str> = ALL.iter().map(|name| name.strip_prefix("gateway.").unwrap()).collect();
        assert_eq!(documented, names);
    }

    /// A name that is declared and not in `ALL` would escape the comparison.
    #[test]
    fn every_declared_name_is_compared() {
        let declared = include_str!("events.rs").lines().filter(|line| line.starts_with("pub(crate) const ")).count();
        assert_eq!(declared, ALL.len());
    }
}
