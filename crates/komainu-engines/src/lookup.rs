//! Those who may know a sample by its digest: VirusTotal, MalwareBazaar, and lists of the operator's own.
//!
//! In: the digests of one sample. Out: whether it is known, since when, under which names. Nothing but a digest leaves the
//! house, and nothing at all without a key. When somebody is asked, and what becomes of the answer, is decided elsewhere.

mod hash_list;
mod malwarebazaar;
mod remote;
mod virustotal;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use komainu_ports::SampleLookup;

pub(crate) use self::hash_list::HashList;
pub use self::hash_list::{ListProblem, ListRead};
use self::malwarebazaar::MalwareBazaarLookup;
use self::remote::Remote;
use self::virustotal::VirusTotalLookup;
use crate::courier::visible;

/// Lists of digests. Each takes 36 MB and its names 13 MB at most, so that all of them take 0.8 GB at the very worst.
const LISTS_MAX: usize = 16;
/// Names that are kept of one sample; the port's bound.
const LABELS_MAX: usize = 64;
/// Bytes of one of them; the port's bound.
const LABEL_BYTES_MAX: usize = 128;

/// Whom to ask about samples.
#[derive(Debug, Clone, Default)]
pub struct LookupConfig {
    /// VirusTotal, or whoever speaks the third version of its interface.
    pub virustotal: Option<RemoteLookup>,
    /// MalwareBazaar.
    pub malwarebazaar: Option<RemoteLookup>,
    /// Files with digests, 16 at most, read once. Their names differ.
    pub lists: Vec<PathBuf>,
    /// Root certificates (PEM) that are trusted beside the machine's own, for a mirror with a private one.
    pub extra_roots_file: Option<PathBuf>,
}

/// Somebody who is asked over the network.
#[derive(Debug, Clone)]
pub struct RemoteLookup {
    /// The file with the key; white space around it does not count.
    pub key_file: PathBuf,
    /// The beginning of all addresses: `https://www.virustotal.com`. `http` to this machine only, for the key's sake.
    pub url: String,
    /// The least time between two questions.
    pub pause: Duration,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum LookupConfigError {
    /// A file cannot be read.
    #[error("cannot read `{path}` ({setting})")]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A setting does not make sense.
    #[error("{setting} is not usable: {reason}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS cannot be prepared, mostly because of the root certificates.
    #[error("TLS cannot be prepared (lab.extra_roots_file)")]
    Tls(#[source] reqwest::Error),
}

/// Those who can be asked.
pub struct SampleLookups {
    /// All of them.
    pub sources: Vec<Arc<dyn SampleLookup>>,
    /// What was read of each list.
    pub lists: Vec<ListRead>,
}

/// Makes whom the configuration names. Nobody is asked yet. Reads files, so it blocks.
pub fn lookups(config: &LookupConfig) -> Result<SampleLookups, LookupConfigError> {
    let mut sources: Vec<Arc<dyn SampleLookup>> = Vec::new();
    let roots = config.extra_roots_file.as_deref();
    if let Some(settings) = &config.virustotal {
        sources.push(Arc::new(VirusTotalLookup::new(Remote::new(&virustotal::SETTINGS, settings, roots)?)));
    }
    if let Some(settings) = &config.malwarebazaar {
        sources.push(Arc::new(MalwareBazaarLookup::new(Remote::new(&malwarebazaar::SETTINGS, settings, roots)?)));
    }
    let unusable = |reason| LookupConfigError::Setting { setting: hash_list::SETTING, reason };
    if config.lists.len() > LISTS_MAX {
        return Err(unusable(format!("there may be {LISTS_MAX} lists, and these are {}", config.lists.len())));
    }
    let (mut lists, mut names) = (Vec::new(), BTreeSet::new());
    for path in &config.lists {
        let (list, read) = HashList::open(path)?;
        if !names.insert(read.source.clone()) {
            return Err(unusable(format!("two lists are called {}; answers are known by that name", read.source)));
        }
        sources.push(Arc::new(list));
        lists.push(read);
    }
    Ok(SampleLookups { sources, lists })
}

/// Names that others chose: visible, bounded, each once, in their order.
fn labels<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for label in names.into_iter().filter_map(label) {
        if labels.len() == LABELS_MAX {
            break;
        }
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}

/// A name that somebody chose, if it is one.
fn label(name: &str) -> Option<String> {
    // Far more than can be kept, so that a long one costs nothing.
    let beginning = &name[..name.floor_char_boundary(4 * LABEL_BYTES_MAX)];
    let mut label = visible(beginning.trim());
    label.truncate(label.floor_char_boundary(LABEL_BYTES_MAX));
    // As exports write that there is none.
    let says_nothing = ["n/a", "none", "null", "-"].iter().any(|nothing| label.eq_ignore_ascii_case(nothing));
    (!label.is_empty() && !says_nothing).then_some(label)
}

#[cfg(test)]
mod tests;
