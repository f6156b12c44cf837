//! The watch over devices' shared folders: each is looked at again and again, and what has changed is written down, with
//! the sessions that may have done it. A new file is an artifact, by whatever way it came.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{Appliance, ApplianceIndex};
use serde::Serialize;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::visits::Suspects;
use super::{Known, Shared};
use crate::artifact::{Kind, Sha256Digest, Stored};
use crate::eve::Text;
use crate::events;
use crate::session::PacketEnds;
use crate::share::{Contents, ShareChange, ShareClient, ShareError, ShareListing, Watched, diff};

/// Looks at the same time: each has a file of 32 MiB in memory at most.
pub(super) const LOOKS_MAX: usize = 4;

/// Changes that are written down after one look. The rest follows after the next one.
const CHANGES_MAX: usize = 1_000;

/// Files that a device's listing may have, with those that are in folders that were not seen.
const FILES_MAX: usize = 10_000;

/// How often reading a file is tried: whoever writes it may keep others out.
const TRIES_MAX: u8 = 3;

/// Files of one device, and their bytes, that are stored in an hour: a stranger who fills a share must not fill the store.
/// Beyond it, digests are still recorded.
const STORED_MAX: u32 = 256;
const STORED_BYTES_MAX: u64 = 128 << 20;
const HOUR_US: i64 = 3_600_000_000;

/// Sessions that a line names.
const SESSIONS_MAX: usize = 8;

/// A line of `honeypot.json`.
#[derive(Debug, Serialize)]
struct ShareLine<'a> {
    device: &'a str,
    release_state: &'static str,
    path: Text<'a>,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<bool>,
    /// Why there is no digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<&'static str>,
    /// Ids of the sessions that may have done it, most likely first.
    session: Vec<&'a str>,
    /// The addresses of those sessions.
    source: Vec<IpAddr>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sessions_incomplete: bool,
}

/// What is known of a device's shares, and how the last look went.
struct Watch {
    shared: Arc<Shared>,
    index: ApplianceIndex,
    known: Option<Watched>,
    /// Files that could not be read, and how often it was tried.
    tries: BTreeMap<String, u8>,
    /// Why there is no watch; none while there is.
    blind: Option<&'static str>,
    is_told: bool,
    problems: Vec<&'static str>,
    hour: Hour,
}

/// What was stored since an hour began.
#[derive(Debug, Default)]
struct Hour {
    began_at: i64,
    files: u32,
    bytes: u64,
}

impl Hour {
    /// Whether so many bytes may be stored.
    fn take(&mut self, now: i64, bytes: u64) -> bool {
        if now.saturating_sub(self.began_at) >= HOUR_US {
            *self = Self { began_at: now, files: 0, bytes: 0 };
        }
        let is_room = self.files < STORED_MAX && self.bytes + bytes <= STORED_BYTES_MAX;
        if is_room {
            self.files += 1;
            self.bytes += bytes;
        }
        is_room
    }
}

/// What follows from a change.
enum Told {
    Yes,
    /// It is told after the next look.
    Later,
}

/// Watches the shares of a device until the relay stops.
pub(super) async fn watch(shared: Arc<Shared>, index: ApplianceIndex) {
    let Some(Known { appliance, .. }) = shared.device(index) else { return };
    let Some(interval_s) = appliance.share.as_ref().map(|share| share.interval_s) else { return };
    let alive = shared.alive.clone();
    let mut watch = Watch::begin(shared.clone(), index, appliance);
    loop {
        tokio::select! {
            biased;
            () = shared.stopped() => break,
            () = watch.look(appliance) => {}
        }
        tokio::select! {
            biased;
            () = shared.stopped() => break,
            () = sleep(Duration::from_secs(interval_s.into())) => {}
        }
    }
    drop(alive);
}

impl Watch {
    fn begin(shared: Arc<Shared>, index: ApplianceIndex, appliance: &Appliance) -> Self {
        let device = &appliance.name;
        let loaded = shared.shares.as_ref().map_or(Ok(None), |folder| folder.load(device));
        let known = loaded.unwrap_or_else(|error| {
            error!(event = events::SHARE_STATE_LOST, %device, %error, "what was known of a device's shares is lost");
            None
        });
        Self {
            shared,
            index,
            known,
            tries: BTreeMap::new(),
            blind: None,
            is_told: false,
            problems: Vec::new(),
            hour: Hour::default(),
        }
    }

    /// Looks once.
    async fn look(&mut self, appliance: &Appliance) {
        // The semaphore is never closed.
        let Ok(_permit) = self.shared.looks.clone().acquire_owned().await else { return };
        let began_at = self.shared.now();
        match ShareClient::connect(&*self.shared.gate, self.index, appliance).await {
            Ok(client) => {
                let listing = client.list().await;
                self.tell_seen(appliance, &listing);
                self.compare(appliance, &client, listing, began_at).await;
            }
            Err(error) => self.tell_blind(appliance, &error),
        }
    }

    fn tell_blind(&mut self, appliance: &Appliance, error: &ShareError) {
        let why = error.as_str();
        if self.blind != Some(why) {
            self.blind = Some(why);
            warn!(event = events::SHARE_NOT_WATCHED, device = %appliance.name, why, %error, "device's shares cannot be seen");
        }
    }

    fn tell_seen(&mut self, appliance: &Appliance, listing: &ShareListing) {
        let device = &appliance.name;
        if self.blind.take().is_some() || !self.is_told {
            self.is_told = true;
            info!(event = events::SHARE_WATCHED, %device, files = listing.files.len(), "device's shares are watched");
        }
        let problems: Vec<&'static str> = listing.problems.iter().copied().collect();
        if problems != self.problems && !problems.is_empty() {
            let limits = problems.join(",");
            warn!(event = events::SHARE_INCOMPLETE, %device, limits, "device's shares are not seen as a whole");
        }
        self.problems = problems;
    }

    /// Writes down what has changed since the last look. The first one has nothing to compare with.
    async fn compare(&mut self, appliance: &Appliance, client: &ShareClient, listing: ShareListing, began_at: i64) {
        let is_changed = match self.known.take() {
            None => {
                self.known = Some(Watched { looked_at: began_at, listing });
                true
            }
            Some(mut known) => {
                let (mut told, mut is_all) = (0, true);
                for (path, change) in diff(&known.listing, &listing) {
                    if told == CHANGES_MAX {
                        is_all = false;
                        break;
                    }
                    match self.change(appliance, client, &mut known, &listing, (&path, change)).await {
                        Told::Yes => told += 1,
                        Told::Later => is_all = false,
                    }
                }
                // Who brought what is told later may have been there before this look.
                if is_all {
                    known.looked_at = began_at;
                }
                self.tries.retain(|path, _| listing.files.contains_key(path));
                self.known = Some(known);
                told > 0
            }
        };
        if self.read_rest(client).await || is_changed {
            self.save(appliance).await;
        }
    }

    /// Writes down one change, and remembers it.
    async fn change(
        &mut self,
        appliance: &Appliance,
        client: &ShareClient,
        known: &mut Watched,
        listing: &ShareListing,
        (path, change): (&str, ShareChange),
    ) -> Told {
        let before = known.listing.files.get(path).copied();
        let Some(mut file) = listing.files.get(path).copied() else {
            let sha256 = before.and_then(|before| before.sha256);
            let line = Line { path, change, bytes: None, sha256, contents: None, stored: None, why_not: None };
            self.write(appliance, known.looked_at, &line);
            known.listing.files.remove(path);
            return Told::Yes;
        };
        if before.is_none() && known.listing.files.len() >= FILES_MAX {
            return Told::Later;
        }
        let contents = match client.read(path, file.bytes).await {
            Contents::Whole(contents) => Ok(contents),
            Contents::Later => return Told::Later,
            Contents::TooLarge => Err("file_bytes_max"),
            Contents::Unreadable => {
                let tries = self.tries.entry(path.to_owned()).or_default();
                *tries += 1;
                if *tries < TRIES_MAX {
                    return Told::Later;
                }
                Err("not_read")
            }
        };
        match contents {
            Ok(contents) => {
                self.tries.remove(path);
                file.sha256 = Some(Sha256Digest::of(&contents));
                // A file that was only touched has not changed.
                if before.is_none_or(|before| before.sha256 != file.sha256) {
                    let (contents, stored) = self.keep(contents).await;
                    let bytes = Some(contents.len() as u64);
                    let contents = Some(contents.as_slice());
                    let line = Line {
                        path,
                        change,
                        bytes,
                        sha256: file.sha256,
                        contents,
                        stored: Some(stored),
                        why_not: None,
                    };
                    self.write(appliance, known.looked_at, &line);
                }
            }
            Err(why) => {
                let bytes = Some(file.bytes);
                let line = Line { path, change, bytes, sha256: None, contents: None, stored: None, why_not: Some(why) };
                self.write(appliance, known.looked_at, &line);
            }
        }
        known.listing.files.insert(path.to_owned(), file);
        Told::Yes
    }

    /// Makes an artifact of a file, as long as there is room for those of the device.
    async fn keep(&mut self, contents: Vec<u8>) -> (Vec<u8>, Stored) {
        if !self.hour.take(self.shared.now(), contents.len() as u64) {
            return (contents, Stored::No);
        }
        let recorder = self.shared.recorder.clone();
        let kept = tokio::task::spawn_blocking(move || {
            let (_, stored) = recorder.keep(&contents);
            (contents, stored)
        });
        kept.await.expect("storing an artifact does not panic, and is not told to end")
    }

    /// Reads files of the first listing, whose digests tell later whether they changed. They are nobody's artifacts.
    async fn read_rest(&mut self, client: &ShareClient) -> bool {
        let Some(known) = &mut self.known else { return false };
        let mut is_changed = false;
        for (path, file) in &mut known.listing.files {
            if file.sha256.is_some() || self.tries.get(path).is_some_and(|tries| *tries >= TRIES_MAX) {
                continue;
            }
            match client.read(path, file.bytes).await {
                Contents::Whole(contents) => {
                    file.sha256 = Some(Sha256Digest::of(&contents));
                    is_changed = true;
                }
                Contents::Later => break,
                Contents::TooLarge => {}
                Contents::Unreadable => *self.tries.entry(path.clone()).or_default() += 1,
            }
        }
        is_changed
    }

    fn write(&self, appliance: &Appliance, since: i64, told: &Line<'_>) {
        let (shared, now) = (&self.shared, self.shared.now());
        let suspects = shared.visits.suspects(self.index, since, now, told.bytes.unwrap_or(0));
        let named = &suspects.visits[..suspects.visits.len().min(SESSIONS_MAX)];
        let line = ShareLine {
            device: appliance.name.as_str(),
            release_state: appliance.release_state.as_str(),
            path: Text(told.path.as_bytes()),
            change: told.change.as_str(),
            bytes: told.bytes,
            sha256: told.sha256,
            kind: told.contents.map(|contents| Kind::of(contents).to_string()),
            stored: told.stored.map(|stored| stored != Stored::No),
            why_not: told.why_not,
            session: named.iter().map(|visit| visit.afterword.session_id()).collect(),
            source: named.iter().map(|visit| visit.source).collect(),
            sessions_incomplete: suspects.are_incomplete || suspects.visits.len() > named.len(),
        };
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let port = appliance.share.as_ref().map_or(0, |share| share.port);
        let ends = PacketEnds {
            source: SocketAddr::new(line.source.first().copied().unwrap_or(unknown), 0),
            destination: SocketAddr::new(appliance.address.into(), port),
            proto: "TCP",
        };
        shared.recorder.note_packets(now, ends, appliance.release_state.confidentiality(), "share", &line);
        self.add_to_session(now, &suspects, told);
    }

    /// The file is an artifact of the session that brought it, where there is only one that can have.
    fn add_to_session(&self, now: i64, suspects: &Suspects, told: &Line<'_>) {
        let Some(visit) = suspects.visits.first().filter(|_| suspects.is_certain) else { return };
        if let (Some(contents), Some(sha256), Some(stored)) = (told.contents, told.sha256, told.stored) {
            visit.afterword.found_in_share(now, told.path, contents, sha256, stored);
        }
    }

    /// Keeps what is known. The lines are with the system before: what is told twice does less harm than what is not.
    async fn save(&self, appliance: &Appliance) {
        let (Some(folder), Some(known)) = (self.shared.shares.clone(), self.known.clone()) else { return };
        let (recorder, device) = (self.shared.recorder.clone(), appliance.name.clone());
        let saved = tokio::task::spawn_blocking(move || {
            recorder.log().flush();
            folder.save(&device, &known)
        });
        let saved = saved.await.expect("writing a file does not panic, and is not told to end");
        if let Err(error) = saved {
            let device = &appliance.name;
            error!(event = events::SHARE_STATE_LOST, %device, %error, "what is known of a device's shares is not kept");
        }
    }
}

/// What is told of a change.
struct Line<'a> {
    path: &'a str,
    change: ShareChange,
    bytes: Option<u64>,
    sha256: Option<Sha256Digest>,
    contents: Option<&'a [u8]>,
    stored: Option<Stored>,
    why_not: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_in_an_hour_is_bounded() {
        let mut hour = Hour::default();
        assert!((0..STORED_MAX).all(|_| hour.take(HOUR_US, 1)));
        assert!(!hour.take(2 * HOUR_US - 1, 1));
        assert!(hour.take(2 * HOUR_US, STORED_BYTES_MAX));
        assert!(!hour.take(2 * HOUR_US, 1));
        assert!(hour.take(2 * HOUR_US, 0));
    }
}
