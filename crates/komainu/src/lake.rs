//! `komainu attacks`, `observables`, `devices` and `lake`: what is in the lake, counted or listed on the command line.
//!
//! The commands open the lake's folder for reading, as it is at that moment; a server may be writing to it, and none is needed.

mod sheet;

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use komainu_lake::ParquetFile;
use komainu_model::Timestamp;
use komainu_ports::{
    Clock, LISTED_ROWS_MAX, Lake, LakeAnswer, LakeFilter, LakeListing, LakeOrder, LakeQuestion, LakeRows, LakeTable,
    LakeTableState, SystemClock, TimeBucket, TimeRange, When,
};

use self::sheet::{Cell, Form, Heading, Sheet};
use crate::lake_demo::{self, DemoArgs};
use crate::{DataArgs, lake_keeper};

#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// Only what happened then or later: `7d` ago (also `m`, `h`, `w`), `2026-11-01`, `2026-11-01T12:00:00Z`.
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only what happened before.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Only rows of which this holds; may be given several times: `port=23,2323`, `country!=CN`, `port>=1024`, `port<=1023`,
    /// `source^=192.0.2.` (begins with), `value~=busybox` (has in it). `\` stands before a comma that belongs to a value.
    #[arg(long = "where", value_name = "TEST")]
    filters: Vec<String>,
    /// Count by these columns, four at most.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    by: Vec<String>,
    /// Count by pieces of time, in UTC.
    #[arg(long)]
    every: Option<Every>,
    /// Also count the different values of this column.
    #[arg(long, value_name = "COLUMN")]
    distinct: Option<String>,
    /// Only so many groups, of each piece of time, those with the most rows.
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// List rows instead of counting them, the latest first.
    #[arg(long, conflicts_with_all = ["by", "every", "distinct", "top"])]
    list: bool,
    /// List so many rows at most, up to 10000.
    #[arg(long, value_name = "N", default_value_t = 50, requires = "list")]
    limit: usize,
    /// List the earliest rows first.
    #[arg(long, requires = "list")]
    oldest: bool,
    /// Write all rows that are meant, however many, in no order: as CSV, with `--format json` as one JSON object a line, or with
    /// `--format parquet` and `--out` as a file of Parquet.
    #[arg(long, conflicts_with_all = ["by", "every", "distinct", "top", "list"])]
    export: bool,
    /// How to write it; a table is for people.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The same as `--format json`: one JSON object a line.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Write it to a file that is not there yet.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    folder: DataArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevicesCommand {
    /// Count or list what devices reported and what was measured of them.
    #[command(after_help = columns(LakeTable::Datapoints))]
    Datapoints(AskArgs),
    /// Count or list with whom devices said that they were connected.
    #[command(after_help = columns(LakeTable::Connections))]
    Connections(AskArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LakeCommand {
    /// Say what is in the lake, and how much room it takes.
    Status {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Fill a lake beside the real one with made-up attacks, which the console shows until they are removed.
    Demo(DemoArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns; what attackers wrote is escaped, and cut where it is long.
    Table,
    /// Comma-separated values (RFC 4180), with a line of names.
    Csv,
    /// One JSON object a line.
    Json,
    /// A file of Parquet, for `--export`.
    Parquet,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Every {
    Hour,
    Day,
    /// It begins on Monday.
    Week,
    Month,
}

/// What stands at the end of a command's help.
pub(crate) fn columns(table: LakeTable) -> String {
    let names: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
    format!("Columns: {}. What they mean is in docs/lake.md.", names.join(", "))
}

/// Answers a question about a table.
pub(crate) fn ask(table: LakeTable, args: &AskArgs) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let all = TimeRange::ALL;
    let range = TimeRange {
        from: args.since.map_or(all.from, |since| since.at(now)),
        to: args.until.map_or(all.to, |until| until.at(now)),
    };
    let asked = Asked { table, range, args };
    // What is wrong with the question is said before anything is opened or made.
    match (args.list, args.export) {
        (true, _) => {
            let listing = asked.listing()?;
            asked.list(&*open(&args.folder.data)?, &listing)
        }
        (false, true) => {
            let listing = asked.listing()?;
            asked.export(&*open(&args.folder.data)?, &listing)
        }
        (false, false) => {
            let question = asked.question()?;
            asked.count(&*open(&args.folder.data)?, &question)
        }
    }
}

/// Answers a question about devices.
pub(crate) fn ask_about_devices(command: &DevicesCommand) -> anyhow::Result<()> {
    match command {
        DevicesCommand::Datapoints(args) => ask(LakeTable::Datapoints, args),
        DevicesCommand::Connections(args) => ask(LakeTable::Connections, args),
    }
}

/// Carries out a command about the lake itself.
pub(crate) fn run(command: LakeCommand) -> anyhow::Result<()> {
    match command {
        LakeCommand::Status { json, folder } => {
            let form = if json { Form::Json } else { Form::Table };
            let states = open(&folder.data)?.state()?;
            let mut out = io::stdout().lock();
            written(show_state(&states, form, &mut out).and_then(|()| out.flush()))
        }
        LakeCommand::Demo(args) => lake_demo::run(&args),
    }
}

/// The lake in a data folder, for reading.
fn open(data: &Path) -> anyhow::Result<Arc<dyn Lake>> {
    match lake_keeper::open_to_read(data)? {
        Some(lake) => Ok(Arc::new(lake)),
        None => bail!("no lake in {} (has a server run on this data folder?)", data.display()),
    }
}

/// A question as it was asked.
struct Asked<'a> {
    table: LakeTable,
    range: TimeRange,
    args: &'a AskArgs,
}

impl Asked<'_> {
    fn filters(&self) -> anyhow::Result<Vec<LakeFilter>> {
        self.args.filters.iter().map(|text| Ok(LakeFilter::parse(self.table, text)?)).collect()
    }

    fn question(&self) -> anyhow::Result<LakeQuestion> {
        let named = |names: &[String]| names.iter().map(|name| self.table.named_column(name)).collect::<Result<_, _>>();
        let question = LakeQuestion {
            table: self.table,
            range: self.range,
            filters: self.filters()?,
            bucket: self.args.every.map(Every::bucket),
            group_by: named(&self.args.by)?,
            distinct: self.args.distinct.as_deref().map(|name| self.table.named_column(name)).transpose()?,
            top: self.args.top,
        };
        question.check()?;
        Ok(question)
    }

    fn listing(&self) -> anyhow::Result<LakeListing> {
        if self.args.limit > LISTED_ROWS_MAX {
            bail!("--limit is {LISTED_ROWS_MAX} at most; --export writes all rows");
        }
        let listing = LakeListing {
            table: self.table,
            range: self.range,
            filters: self.filters()?,
            order: if self.args.oldest { LakeOrder::Oldest } else { LakeOrder::Newest },
            limit: self.args.limit,
        };
        listing.check()?;
        Ok(listing)
    }

    fn form(&self, otherwise: Form) -> anyhow::Result<Form> {
        match self.args.format {
            _ if self.args.json => Ok(Form::Json),
            None => Ok(otherwise),
            Some(Format::Table) => Ok(Form::Table),
            Some(Format::Csv) => Ok(Form::Csv),
            Some(Format::Json) => Ok(Form::Json),
            Some(Format::Parquet) => bail!("--format parquet is for --export, with --out FILE"),
        }
    }

    fn count(&self, lake: &dyn Lake, question: &LakeQuestion) -> anyhow::Result<()> {
        let form = self.form(Form::Table)?;
        let answer = lake.count(question)?;
        self.write(|out, is_terminal| show_answer(question, &answer, form, out, is_terminal))
    }

    fn list(&self, lake: &dyn Lake, listing: &LakeListing) -> anyhow::Result<()> {
        let form = self.form(Form::Table)?;
        let rows = lake.list(listing)?;
        self.write(|out, is_terminal| {
            let mut sheet = Sheet::begin(form, headings(self.table), out, is_terminal)?;
            add_rows(&mut sheet, &rows)?;
            sheet.end()
        })
    }

    fn export(&self, lake: &dyn Lake, listing: &LakeListing) -> anyhow::Result<()> {
        if let (Some(Format::Parquet), Some(path)) = (self.args.format, &self.args.out) {
            return export_parquet(lake, listing, path);
        }
        let form = self.form(Form::Csv)?;
        if form == Form::Table {
            bail!("--format table needs all rows at the same time: export as csv or json");
        }
        let mut failure = None;
        self.write(|out, is_terminal| {
            let mut sheet = Sheet::begin(form, headings(self.table), out, is_terminal)?;
            let mut wrong = None;
            let visited = lake.visit(listing, &mut |rows| match add_rows(&mut sheet, &rows) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    wrong = Some(error);
                    ControlFlow::Break(())
                }
            });
            if let Some(error) = wrong {
                return Err(error);
            }
            if let Err(error) = visited {
                failure = Some(error);
                return Err(io::Error::other("the lake cannot be read"));
            }
            sheet.end()
        })
        .map_err(|error| failure.map_or(error, anyhow::Error::from))
    }

    /// Has it written to where it was asked for. A file that is not whole is taken away again.
    fn write(&self, write: impl FnOnce(&mut dyn Write, bool) -> io::Result<()>) -> anyhow::Result<()> {
        let Some(path) = &self.args.out else {
            let is_terminal = io::stdout().is_terminal();
            let mut out = BufWriter::new(io::stdout().lock());
            return written(write(&mut out, is_terminal).and_then(|()| out.flush()));
        };
        let cannot = || format!("cannot write {}", path.display());
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).with_context(cannot)?;
        let mut out = BufWriter::new(file);
        let ended = write(&mut out, false).and_then(|()| out.flush());
        if ended.is_err() {
            // What failed is told; that the rest of it stays is no more than untidy.
            let _ = fs::remove_file(path);
        }
        ended.with_context(cannot)
    }
}

/// Writes rows to a file of Parquet. One that is not whole is taken away again.
fn export_parquet(lake: &dyn Lake, listing: &LakeListing, path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut file = ParquetFile::create(path, listing.table).with_context(cannot)?;
    let mut failure = None;
    let visited = lake.visit(listing, &mut |rows| match file.write(&rows) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    });
    let ended = match (visited, failure) {
        (Err(error), _) => Err(error.into()),
        (Ok(()), Some(error)) => Err(anyhow::Error::from(error).context(cannot())),
        (Ok(()), None) => file.finish().map(drop).with_context(cannot),
    };
    if ended.is_err() {
        // What failed is told; that the rest of it stays is no more than untidy.
        let _ = fs::remove_file(path);
    }
    ended
}

impl Every {
    fn bucket(self) -> TimeBucket {
        match self {
            Self::Hour => TimeBucket::Hour,
            Self::Day => TimeBucket::Day,
            Self::Week => TimeBucket::Week,
            Self::Month => TimeBucket::Month,
        }
    }
}

/// Whoever reads may have seen enough.
fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

fn headings(table: LakeTable) -> Vec<Heading> {
    table.columns().iter().map(Heading::of_column).collect()
}

fn add_rows(sheet: &mut Sheet<'_>, rows: &LakeRows) -> io::Result<()> {
    let columns = rows.table().columns().len();
    (0..rows.len())
        .try_for_each(|row| sheet.add((0..columns).map(|column| Cell::Value(rows.value(row, column))).collect()))
}

fn show_answer(
    question: &LakeQuestion,
    answer: &LakeAnswer,
    form: Form,
    out: &mut dyn Write,
    is_terminal: bool,
) -> io::Result<()> {
    let columns = question.table.columns();
    let mut headings: Vec<Heading> = question.bucket.map(|_| Heading::text("time")).into_iter().collect();
    headings.extend(question.group_by.iter().map(|column| Heading::of_column(&columns[*column])));
    headings.push(Heading::number("count"));
    headings.extend(question.distinct.map(|column| Heading::number(&format!("distinct_{}", columns[column].name))));
    let mut sheet = Sheet::begin(form, headings, out, is_terminal)?;
    for group in answer.groups() {
        let mut cells: Vec<Cell> = group.bucket.map(Cell::time).into_iter().collect();
        cells.extend(group.values.into_iter().map(Cell::Value));
        cells.push(Cell::Count(group.count));
        cells.extend(question.distinct.map(|_| Cell::Count(group.distinct)));
        sheet.add(cells)?;
    }
    let is_one_number = question.bucket.is_none() && question.group_by.is_empty();
    if is_one_number && answer.is_empty() {
        let distinct = question.distinct.map(|_| Cell::Count(0));
        sheet.add([Cell::Count(0)].into_iter().chain(distinct).collect())?;
    }
    sheet.end()?;
    if form == Form::Table && !is_one_number {
        writeln!(out, "{} rows in all", answer.rows)?;
    }
    Ok(())
}

fn show_state(states: &[LakeTableState], form: Form, out: &mut dyn Write) -> io::Result<()> {
    let headings = vec![
        Heading::text("table"),
        Heading::number("rows"),
        Heading::number("hot_rows"),
        Heading::number("parts"),
        Heading::number("bytes"),
        Heading::text("first"),
        Heading::text("last"),
    ];
    let mut sheet = Sheet::begin(form, headings, out, false)?;
    for state in states {
        let time = |at: Option<Timestamp>| at.map_or_else(|| Cell::text(""), Cell::time);
        sheet.add(vec![
            Cell::text(state.table.as_str()),
            Cell::Count(state.rows),
            Cell::Count(state.hot_rows),
            Cell::Count(state.parts),
            Cell::Count(state.bytes),
            time(state.times.map(|(first, _)| first)),
            time(state.times.map(|(_, last)| last)),
        ])?;
    }
    sheet.end()
}

#[cfg(test)]
mod tests;
