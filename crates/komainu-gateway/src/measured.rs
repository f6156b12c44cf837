//! What every admitted connection has, whoever let it in: a name for the log and a meter.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use komainu_model::{ClientId, DisconnectReason, ReporterName, Scope};
use komainu_ports::PeerInfo;
use tracing::{info, warn};

use crate::access::{ConnectRequest, DeniedAction};
use crate::events;
use crate::log_budget::Budgets;
use crate::meter::{Meter, Meters};

/// Characters of a user name that are logged; it is a claim of any length.
const LOGGED_USER_NAME_CHARS_MAX: usize = 200;

/// What a connection is called.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) scope: Scope,
    pub(crate) reporter: ReporterName,
    pub(crate) principal_id: Box<str>,
    /// `None` for a request over HTTPS.
    pub(crate) client: Option<ClientId>,
    pub(crate) address: SocketAddr,
}

/// A connection and its meter.
#[derive(Debug)]
pub(crate) struct Measured {
    connection: Connection,
    meter: Arc<Meter>,
    budgets: Arc<Budgets>,
    /// Whether the meter was told of a beginning and not yet of the end.
    is_connected: AtomicBool,
}

impl Measured {
    pub(crate) fn new(meters: &Meters, budgets: Arc<Budgets>, connection: Connection) -> Self {
        let meter = meters.of(&connection.scope, &connection.reporter).unwrap_or_else(|| {
            if let Some(suppressed) = budgets.limit_reached.take_now() {
                warn!(
                    event = events::LIMIT_REACHED,
                    limit = "metered_devices_max",
                    address = %connection.address,
                    client = connection.client.as_ref().map(tracing::field::display),
                    suppressed,
                    "device is not measured"
                );
            }
            // What it counts goes nowhere.
            Arc::default()
        });
        Self { connection, meter, budgets, is_connected: AtomicBool::new(false) }
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.connection.scope
    }

    pub(crate) fn reporter(&self) -> &ReporterName {
        &self.connection.reporter
    }

    pub(crate) fn principal_id(&self) -> &str {
        &self.connection.principal_id
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The connection is there.
    pub(crate) fn begin(&self) {
        if !self.is_connected.swap(true, Ordering::AcqRel) {
            self.meter.began(self.connection.address.ip().to_canonical());
        }
    }

    pub(crate) fn log_connected(&self, peer: &PeerInfo, connect: &ConnectRequest<'_>) {
        let user_name: Option<String> =
            connect.user_name.map(|name| name.chars().take(LOGGED_USER_NAME_CHARS_MAX).collect());
        info!(
            event = events::CONNECTED,
            client = %connect.client_id,
            reporter = %self.connection.reporter,
            principal = %self.connection.principal_id,
            address = %self.connection.address,
            server_name = peer.server_name.as_deref(),
            user_name = user_name.as_ref().map(tracing::field::debug),
            "client connected"
        );
    }

    /// Counts and logs a denied action.
    pub(crate) fn count_denied(&self, action: DeniedAction, topic: &str) {
        self.meter.count_denied();
        let Some(suppressed) = self.budgets.denied.take_now() else { return };
        let action = match action {
            DeniedAction::Publish => "iot:Publish",
            DeniedAction::RetainPublish => "iot:RetainPublish",
            DeniedAction::Subscribe => "iot:Subscribe",
            DeniedAction::Receive => "iot:Receive",
        };
        warn!(
            event = events::DENIED,
            client = self.connection.client.as_ref().map(tracing::field::display),
            reporter = %self.connection.reporter,
            principal = %self.connection.principal_id,
            address = %self.connection.address,
            action,
            topic = ?topic,
            suppressed,
            "action denied"
        );
    }

    /// Counts and logs the end of the connection, once.
    pub(crate) fn count_disconnect(&self, reason: DisconnectReason) {
        if !self.is_connected.swap(false, Ordering::AcqRel) {
            return;
        }
        self.meter.ended(self.connection.address.ip().to_canonical());
        self.meter.count_disconnect();
        info!(
            event = events::DISCONNECTED,
            client = self.connection.client.as_ref().map(tracing::field::display),
            reporter = %self.connection.reporter,
            principal = %self.connection.principal_id,
            address = %self.connection.address,
            reason = reason.as_str(),
            "client disconnected"
        );
    }
}

impl Drop for Measured {
    /// A connection whose end nobody counted, because its task was dropped, must not be connected for ever.
    fn drop(&mut self) {
        if *self.is_connected.get_mut() {
            self.meter.ended(self.connection.address.ip().to_canonical());
        }
    }
}
