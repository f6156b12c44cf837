//! `komainu sandbox trace`: what a recorded stream of a guest says.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use komainu_trace::guest::GuestEvent;
use komainu_trace::{GuestItem, GuestReader, RawText};
use serde::Serialize;

/// How much of a file is read at once, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Options of `komainu sandbox trace`.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// The stream as the guest's agent sent it; `-` is the standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write lines of JSON.
    #[arg(long)]
    json: bool,
}

/// One line of JSON that is no event.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Hello { isa: String },
    Ready,
    Started { pid: u32 },
    File { path: RawText, change: String, mode: u32, size: u64, offset: u64, content: RawText },
    Memory { pid: u32, address: u64, bytes: usize },
    Exited { pid: u32, status: u32 },
    Finished { why: RawText, events_overwritten: u64, events_dropped: u64, quiet_times: u64, files_omitted: u64 },
    Note { text: RawText },
    Problem { text: String },
}

/// Reads the stream and prints what it says, in order.
pub(crate) fn run(args: &TraceArgs) -> anyhow::Result<()> {
    let name = args.file.display();
    let mut input: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.file).with_context(|| format!("cannot open {name}"))?)
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut reader = GuestReader::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = input.read(&mut piece).with_context(|| format!("cannot read {name}"))?;
        let items = if length == 0 { reader.finish() } else { reader.push(&piece[..length]) };
        for item in items {
            print(&mut out, args.json, item).context("cannot write")?;
        }
        if length == 0 {
            return out.flush().context("cannot write");
        }
    }
}

fn print(out: &mut impl Write, json: bool, item: GuestItem) -> io::Result<()> {
    let line = match item {
        GuestItem::Event { event, .. } => return print_event(out, json, &event),
        GuestItem::Hello(hello) => Line::Hello { isa: hello.isa.to_string() },
        GuestItem::Ready => Line::Ready,
        GuestItem::Started { pid } => Line::Started { pid },
        GuestItem::File(piece) => Line::File {
            path: piece.path,
            change: format!("{:?}", piece.change).to_lowercase(),
            mode: piece.mode,
            size: piece.size,
            offset: piece.offset,
            content: RawText(piece.content),
        },
        GuestItem::Memory(piece) => Line::Memory { pid: piece.pid, address: piece.address, bytes: piece.content.len() },
        GuestItem::Exited { pid, status } => Line::Exited { pid, status },
        GuestItem::Finished(finished) => Line::Finished {
            why: finished.why,
            events_overwritten: finished.events_overwritten,
            events_dropped: finished.events_dropped,
            quiet_times: finished.quiet_times,
            files_omitted: finished.files_omitted,
        },
        GuestItem::Note(text) => Line::Note { text },
        GuestItem::Problem(problem) => Line::Problem { text: problem.to_string() },
    };
    if json {
        serde_json::to_writer(&mut *out, &line)?;
        return writeln!(out);
    }
    match line {
        Line::Hello { isa } => writeln!(out, "guest: {isa}"),
        Line::Ready => writeln!(out, "guest: ready"),
        Line::Started { pid } => writeln!(out, "guest: process {pid} starts"),
        Line::File { offset: 1.., .. } => Ok(()),
        Line::File { path, change, mode, size, .. } => {
            writeln!(out, "guest: {change} \"{path}\", mode {mode:o}, {size} bytes")
        }
        Line::Memory { pid, address, bytes } => {
            writeln!(out, "guest: memory of process {pid} at {address:#x}, {bytes} bytes")
        }
        Line::Exited { pid, status } => writeln!(out, "guest: process {pid} ended, status {status:#x}"),
        Line::Finished { why, events_overwritten, events_dropped, quiet_times, files_omitted } => writeln!(
            out,
            "guest: {why}; {events_overwritten} events overwritten, {events_dropped} dropped, quiet {quiet_times} \
             times, {files_omitted} files left out"
        ),
        Line::Note { text } => writeln!(out, "agent: {text}"),
        Line::Problem { text } => writeln!(out, "problem: {text}"),
    }
}

fn print_event(out: &mut impl Write, json: bool, event: &GuestEvent) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, event)?;
        return writeln!(out);
    }
    writeln!(out, "{event}")
}
