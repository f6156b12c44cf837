//! Where samples come in.

use std::fmt;
use std::sync::Arc;

use komainu_model::SampleDigest;
use komainu_ports::{
    Clock, NewSample, SampleIntake, SampleMention, SamplePriority, SampleStore, SampleSubmitted, SamplesError,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

/// The door of the laboratory: writes down what comes in, and wakes all who work.
pub struct Intake {
    store: Arc<dyn SampleStore>,
    clock: Arc<dyn Clock>,
    /// Changes whenever there may be something to do.
    news: watch::Sender<u64>,
    /// Samples of which a record said how they came.
    mentions: mpsc::Sender<SampleDigest>,
    mentioned: Mutex<Option<mpsc::Receiver<SampleDigest>>>,
}

/// Mentions that wait until those that are known are told once more. Beyond it they are only written down.
const MENTIONS_WAITING_MAX: usize = 4_096;

impl Intake {
    /// The door to a store of samples.
    pub fn new(store: Arc<dyn SampleStore>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (mentions, mentioned) = mpsc::channel(MENTIONS_WAITING_MAX);
        let news = watch::Sender::new(0);
        Arc::new(Self { store, clock, news, mentions, mentioned: Mutex::new(Some(mentioned)) })
    }

    /// Where samples come out of which a record said how they came; once.
    pub(crate) fn mentioned(&self) -> Option<mpsc::Receiver<SampleDigest>> {
        self.mentioned.lock().take()
    }

    /// Changes whenever there may be something to do, for each of those who work on samples. Whoever marks it as seen before
    /// looking into the store misses nothing.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn tell(&self) {
        self.news.send_modify(|times| *times = times.wrapping_add(1));
    }
}

impl SampleIntake for Intake {
    fn submit(&self, sample: &NewSample) -> Result<SampleSubmitted, SamplesError> {
        let submitted = self.store.submit(sample, self.clock.now())?;
        self.tell();
        Ok(submitted)
    }

    fn mention(&self, mentions: &[SampleMention]) -> Result<(), SamplesError> {
        self.store.mention(mentions, self.clock.now())?;
        // Where nobody works, or too many wait, what is written down is enough: the next report has it.
        for mention in mentions {
            let _ = self.mentions.try_send(mention.sample);
        }
        Ok(())
    }

    fn again(&self, sample: &SampleDigest, priority: SamplePriority) -> Result<bool, SamplesError> {
        let is_there = self.store.again(sample, priority, self.clock.now())?;
        self.tell();
        Ok(is_there)
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}
