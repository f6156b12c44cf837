//! The worker that throws away what is too old.

use std::sync::Arc;
use std::time::Duration;

use komainu_ports::{Clock, Pruned, Store};
use tokio::sync::watch;

use crate::outbox::blocking;
use crate::pipeline::{PipelineConfig, PipelinePorts, stopped};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Maintenance {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    history: Duration,
}

impl Maintenance {
    pub(crate) fn new(config: &PipelineConfig, ports: &PipelinePorts) -> Self {
        Self { store: ports.store.clone(), clock: ports.clock.clone(), history: config.history }
    }

    /// Once at the start and once a day.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut day = tokio::time::interval(DAY);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                _ = day.tick() => self.prune().await,
            }
        }
    }

    async fn prune(&self) {
        let (store, before) = (self.store.clone(), self.clock.now().minus(self.history));
        match blocking(move || store.prune(before)).await {
            Ok(Pruned { violation_events, datapoints, deliveries, contacts, sightings, refused }) => {
                let event = "pipeline.pruned";
                tracing::info!(
                    event,
                    violation_events,
                    datapoints,
                    deliveries,
                    contacts,
                    sightings,
                    refused,
                    "history older than its bound removed"
                );
            }
            Err(error) => tracing::error!(event = "pipeline.not_pruned", %error, "old history could not be removed"),
        }
    }
}
