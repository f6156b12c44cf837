//! How many lines strangers and devices can put into the log.

use komainu_ports::LogBudget;

/// The budgets of the events that strangers and devices can cause as often as they like.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    pub(crate) tls_failed: LogBudget,
    pub(crate) connect_refused: LogBudget,
    pub(crate) denied: LogBudget,
    pub(crate) limit_reached: LogBudget,
    pub(crate) malformed_packet: LogBudget,
}
