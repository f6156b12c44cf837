//! `komainu monthly`: the report of a month, as HTML or PDF, for those who have no console.
//!
//! The report is made by the running server, or on the folder when none runs. A PDF is printed by a browser of this machine, here
//! and not in the server: the server starts no browser.

mod pdf;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use komainu_console::{Month, MonthlyParts, monthly_report};
use komainu_model::{Language, Timestamp};
use komainu_ports::{Clock, SystemClock};

use self::pdf::Browser;
use crate::admin::{AdminReply, AdminRequest};
use crate::report::LanguageName;
use crate::{DataArgs, ask};

#[derive(Debug, Args)]
pub(crate) struct MonthlyArgs {
    /// The month, such as `2026-10`; the last one that is over without it. Months are in UTC.
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: Option<Month>,
    /// The language of the report.
    #[arg(long, value_enum, default_value_t = LanguageName::En)]
    language: LanguageName,
    /// Write it to this file, which ends in `.html` or `.pdf`; one that is there is replaced. HTML on standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The browser that prints a PDF: a Chromium. Without it, `chromium`, `chromium-browser` or `google-chrome`.
    #[arg(long, value_name = "PROGRAM", requires = "out")]
    browser: Option<PathBuf>,
    #[command(flatten)]
    folder: DataArgs,
}

/// What a file becomes, by the ending of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Html,
    Pdf,
}

impl Form {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("html" | "htm") => Ok(Self::Html),
            Some("pdf") => Ok(Self::Pdf),
            _ => bail!("--out {} must end in .html or .pdf", path.display()),
        }
    }
}

fn month(text: &str) -> Result<Month, String> {
    Month::parse(text).ok_or_else(|| "a month is written like 2026-10".to_owned())
}

/// Makes a report and writes it.
pub(crate) fn run(args: &MonthlyArgs) -> anyhow::Result<()> {
    let this = Month::of(SystemClock.now());
    let month = args.month.unwrap_or_else(|| this.before());
    if month > this {
        bail!("{month} has not begun: there is a report of months up to {this}");
    }
    // What cannot be written is said before anything is asked.
    let Some(path) = &args.out else {
        let document = made(args, month)?;
        return match io::stdout().lock().write_all(document.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("cannot write to standard output"),
        };
    };
    let form = Form::of(path)?;
    if form == Form::Html && args.browser.is_some() {
        bail!("--browser is for a PDF: let --out end in .pdf");
    }
    let browser = match form {
        Form::Html => None,
        Form::Pdf => Some(Browser::find(args.browser.as_deref())?),
    };
    let file = NewFile::create(path)?;
    let document = made(args, month)?;
    match browser {
        None => file.finish(document.as_bytes())?,
        Some(browser) => file.finish(&browser.print(&document)?)?,
    }
    println!("the report of {month} is in {}", path.display());
    Ok(())
}

fn made(args: &MonthlyArgs, month: Month) -> anyhow::Result<String> {
    let language = match args.language {
        LanguageName::En => Language::English,
        LanguageName::Ja => Language::Japanese,
    };
    let request = AdminRequest::Monthly { month: month.to_string(), language: language.tag().to_owned() };
    match ask(&args.folder, request)? {
        AdminReply::Monthly { document } => Ok(document),
        other => bail!("the server answered something else: {other}"),
    }
}

/// Makes a report for a local operator.
pub(crate) fn carry_out(parts: &MonthlyParts, month: &str, language: &str, now: Timestamp) -> anyhow::Result<String> {
    let month = Month::parse(month).with_context(|| format!("{month:?} is no month"))?;
    Ok(monthly_report(parts, month, Language::parse(language)?, now)?)
}

/// A file that is there when it is whole, readable by its owner only. Until then it has another name in the same folder.
struct NewFile {
    path: PathBuf,
    unfinished: PathBuf,
    file: fs::File,
}

impl NewFile {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        if path.is_dir() {
            bail!("{}: it is a folder", cannot());
        }
        let name = path.file_name().with_context(cannot)?.to_string_lossy();
        let unfinished = path.with_file_name(format!(".{name}.{}.unfinished", std::process::id()));
        let options = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished);
        Ok(Self { path: path.to_owned(), file: options.with_context(cannot)?, unfinished })
    }

    fn finish(mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        let renamed = written.and_then(|()| fs::rename(&self.unfinished, &self.path));
        renamed.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Nothing of this name is there any more when it was finished; otherwise what failed is told.
        let _ = fs::remove_file(&self.unfinished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_what_a_file_becomes() {
        let check = |path: &str, expected: Option<Form>| assert_eq!(Form::of(Path::new(path)).ok(), expected, "{path}");
        check("a.html", Some(Form::Html));
        check("a.b.HTM", Some(Form::Html));
        check("folder.d/a.PDF", Some(Form::Pdf));
        check("a", None);
        check("a.txt", None);
        check(".pdf", None);
    }

    #[test]
    fn a_file_is_there_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        let names = || {
            let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        drop(NewFile::create(&path).unwrap());
        assert_eq!(names(), Vec::<String>::new());
        fs::write(&path, "before").unwrap();
        let file = NewFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        file.finish(b"after").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names()), ("after", vec!["report.html".to_owned()]));
        assert!(NewFile::create(folder.path()).is_err());
        assert!(NewFile::create(&folder.path().join("none/report.html")).is_err());
    }
}
