//! Who hears of an alert.

use komainu_model::{AlertContext, Arn, Change, Delivery, Scope, Timestamp};
use komainu_ports::AlertRouter;

use super::ControlPlane;

impl AlertRouter for ControlPlane {
    fn route(&self, scope: &Scope, target: &Arn, alert: &AlertContext, now: Timestamp) -> Vec<Delivery> {
        // Mails are counted here and not when they are committed, for whoever asks commits them past the control plane.
        // When that fails and the alert is routed again, a mail counts twice: then one comes in the hour's digest that
        // could have come by itself.
        let mut state = self.state.write();
        let Some(topics) = state.topics_mut(scope) else {
            tracing::warn!(%target, "alert target does not exist");
            return Vec::new();
        };
        let deliveries = topics.route_alert(alert, target, now).unwrap_or_else(|error| {
            tracing::warn!(%target, %error, "alert target cannot be told");
            Vec::new()
        });
        let count = |delivery: &Delivery| topics.apply(&Change::PutDelivery(delivery.clone()));
        deliveries.iter().for_each(count);
        deliveries
    }
}
