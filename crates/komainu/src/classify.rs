//! The rules, lists and tables by which sessions are classified, from their files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use komainu_intel::{AsnTable, BUILT_IN_RULES, Classifier, RuleList, Scanners, Unsupported};

/// Bytes of a file with rules, scanners or autonomous systems. The largest published ones have a third of it.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Where they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) rules: &'a [PathBuf],
    pub(crate) scanners: &'a [PathBuf],
    pub(crate) asn_db: Option<&'a Path>,
}

/// What classifies, and how many rules of the files it does not take.
pub(crate) struct Loaded {
    pub(crate) classifier: Arc<Classifier>,
    pub(crate) unsupported: usize,
}

/// Reads everything. Rules that are not taken are counted; lines of lists that cannot be used are errors, since a list
/// is written by hand.
pub(crate) fn load(sources: Sources<'_>) -> anyhow::Result<Loaded> {
    let mut rules = RuleList::default();
    if let Some(first) = rules.add(BUILT_IN_RULES).first() {
        bail!("built-in rule of line {}: {}", first.line, first.reason);
    }
    let mut unsupported = 0;
    for path in sources.rules {
        unsupported += rules.add(&text(path)?).len();
    }
    let mut scanners = Scanners::default();
    for path in sources.scanners {
        if let Some(first) = scanners.add(&text(path)?).first() {
            bail!("{}:{}: {}", path.display(), first.line, first.reason);
        }
    }
    let asns = sources
        .asn_db
        .map(|path| AsnTable::read(bytes(path)?).with_context(|| format!("cannot use {}", path.display())))
        .transpose()?;
    Ok(Loaded { classifier: Classifier::new(rules.compile(), scanners, asns), unsupported })
}

/// Says which rules of files are taken, and why others are not.
pub(crate) fn check(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut rules = RuleList::default();
    let mut out = std::io::stdout().lock();
    for path in files {
        let before = rules.len();
        let unsupported = rules.add(&text(path)?);
        for rule in &unsupported {
            writeln!(out, "{}", describe(path, rule)).context("cannot write to standard output")?;
        }
        let (name, taken) = (path.display(), rules.len() - before);
        writeln!(out, "{name}: {taken} rules, {} not supported", unsupported.len())
            .context("cannot write to standard output")?;
    }
    Ok(())
}

fn describe(path: &Path, rule: &Unsupported) -> String {
    let sid = rule.sid.map(|sid| format!("sid {sid}: ")).unwrap_or_default();
    format!("{}:{}: {sid}{}", path.display(), rule.line, rule.reason)
}

fn text(path: &Path) -> anyhow::Result<String> {
    // A message in another encoding is no reason to refuse the rules.
    Ok(String::from_utf8_lossy(&bytes(path)?).into_owned())
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let size = fs::metadata(path).with_context(|| format!("cannot read {name}"))?.len();
    if size > FILE_BYTES_MAX {
        bail!("{name} has more than {FILE_BYTES_MAX} bytes");
    }
    fs::read(path).with_context(|| format!("cannot read {name}"))
}
