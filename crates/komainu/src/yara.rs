//! YARA's rules: from which files, in which process, and which of them are taken.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use komainu_yara::{Engine, RuleFile, RuleFiles, ScannerProcess, Taken};

/// The hidden command by which this program becomes the process that scans.
pub(crate) const SCANNER_COMMAND: &str = "yara-scanner";

#[derive(Debug, Subcommand)]
pub(crate) enum YaraCommand {
    /// Say which rules are taken, and why others are not.
    Check {
        /// Files with rules, or folders with files whose names end in `.yar` or `.yara`.
        #[arg(required = true, value_name = "FILE|DIR")]
        files: Vec<PathBuf>,
    },
}

/// What scans payloads.
pub(crate) struct Scanning {
    pub(crate) scanner: Arc<ScannerProcess>,
    /// Which rules it took. None when there are no files: then it starts with the first payload.
    pub(crate) taken: Option<Taken>,
}

impl YaraCommand {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let Self::Check { files } = self;
        check(&RuleFiles::read(files)?, &mut std::io::stdout().lock()).context("cannot write to standard output")
    }
}

/// Reads the files, and has them compiled if there are any.
pub(crate) fn load(files: &[PathBuf]) -> anyhow::Result<Scanning> {
    let read = RuleFiles::read(files)?;
    let scanner = Arc::new(ScannerProcess::new(vec![SCANNER_COMMAND.to_owned()], read));
    let taken = if files.is_empty() {
        None
    } else {
        Some(scanner.start().context("cannot start the process that asks the rules of YARA")?)
    };
    Ok(Scanning { scanner, taken })
}

/// Says which rules of files are taken, and why others are not.
fn check(files: &RuleFiles, out: &mut impl Write) -> std::io::Result<()> {
    let (_, taken) = Engine::compile(files.files());
    let mut refused = taken.refused.iter().peekable();
    for (number, (RuleFile { name, .. }, rules)) in files.files().iter().zip(&taken.of_files).enumerate() {
        let mut count = 0;
        while let Some(one) = refused.next_if(|one| one.file == number) {
            count += 1;
            let rule = one.rule.as_deref().map(|rule| format!("rule {rule}: ")).unwrap_or_default();
            writeln!(out, "{name}:{}: {rule}{}", one.line, one.reason)?;
        }
        writeln!(out, "{name}: {rules} rules, {count} not supported")?;
    }
    if taken.refused_more > 0 {
        writeln!(out, "{} more are not supported", taken.refused_more)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one.yar"), folder.path().join("other.yar"));
        std::fs::write(&one, "import \"pe\"\nrule a { condition: pe.is_dll() }\nrule b { condition: true }").unwrap();
        std::fs::write(&other, "rule c { condition: }\n").unwrap();
        let mut out = Vec::new();
        check(&RuleFiles::read(&[one.clone(), other.clone()]).unwrap(), &mut out).unwrap();
        let (out, one, other) = (String::from_utf8(out).unwrap(), one.display(), other.display());
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines[0], format!("{one}:2: rule a: module `pe` is not supported"));
        assert_eq!(lines[1], format!("{one}: 1 rules, 1 not supported"));
        assert!(lines[2].starts_with(&format!("{other}:1: syntax error: ")), "{out}");
        assert_eq!(lines[3..], [format!("{other}: 0 rules, 1 not supported")]);
    }
}
