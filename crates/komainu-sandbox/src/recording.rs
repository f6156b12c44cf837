//! A detonation as a folder, for people and for later reports.
//!
//! | file | what |
//! |---|---|
//! | `detonation.json` | what was run, why it ended, what was cut off, what it cost |
//! | `guest.stream` | what the agent in the guest sent: frames of `komainu_trace::agent` |
//! | `network.jsonl` | what the simulated Internet saw, an event a line |
//! | `packets.pcap` | the packets |
//! | `contents/` | what the guest handed over to the network, named by its SHA-256 |
//! | `files.jsonl` | files that the sample made, changed or removed, one a line |
//! | `files/` | their contents, named by their SHA-256 |
//! | `memory/` | memory of the sample's processes, `PID-ADDRESS.bin` |
//!
//! Contents, files and memory are the sample's: they are written without the right to run them, and with names of ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use komainu_ports::Detonation;
use komainu_trace::agent::{FileChange, FrameReader, GuestFrame};
use komainu_trace::network::NetworkEvent;
use komainu_trace::{RawText, left_files};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::{CONTENT_BYTES_MAX, CONTENTS_MAX, NETWORK_EVENTS_MAX, PACKETS_BYTES_MAX};
use crate::message::{MESSAGE_BYTES_MAX, WireEnded, WireHead};

/// The number of this form of the folder.
const FORMAT: u32 = 1;

/// Bytes of `detonation.json`, and of a line of `network.jsonl`: the longest event has a few KiB.
const JSON_BYTES_MAX: usize = 1 << 20;

/// Pieces of memory that are written as files: the agent sends at most 512 of 64 KiB in a dump.
const MEMORY_PIECES_MAX: usize = 1_024;

/// How much of a stream is read at once: what is not read yet is kept beside it.
const FRAMES_AT_ONCE_BYTES: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    #[serde(flatten)]
    of: WireHead,
    #[serde(flatten)]
    ended: WireEnded,
}

/// Writes a detonation to a folder, which is made if it is not there.
pub fn write_recording(detonation: &Detonation, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let head = Head { format: FORMAT, of: WireHead::new(detonation), ended: WireEnded::new(detonation) };
    write(&folder.join("detonation.json"), &serde_json::to_vec_pretty(&head)?)?;
    write(&folder.join("guest.stream"), &detonation.guest)?;
    let mut lines = BufWriter::new(create(&folder.join("network.jsonl"))?);
    for event in &detonation.network {
        serde_json::to_writer(&mut lines, event)?;
        lines.write_all(b"\n")?;
    }
    lines.flush()?;
    write(&folder.join("packets.pcap"), &detonation.packets)?;
    let contents = folder.join("contents");
    fs::create_dir_all(&contents)?;
    for content in &detonation.contents {
        write(&contents.join(hex::encode(Sha256::digest(content))), content)?;
    }
    write_files(&detonation.guest, folder)?;
    write_memory(&detonation.guest, &folder.join("memory"))
}

/// A line of `files.jsonl`.
#[derive(Serialize)]
struct FileLine<'a> {
    path: &'a RawText,
    change: &'static str,
    mode: u32,
    bytes: u64,
    /// Without it the content was not told, or there is none.
    sha256: Option<String>,
}

fn write_files(guest: &[u8], folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.join("files"))?;
    let mut lines = BufWriter::new(create(&folder.join("files.jsonl"))?);
    for file in left_files(guest).values() {
        let change = match file.change {
            FileChange::Created => "created",
            FileChange::Changed => "changed",
            FileChange::Removed => "removed",
        };
        let sha256 = (!file.content.is_empty()).then(|| hex::encode(Sha256::digest(&file.content)));
        if let Some(sha256) = &sha256 {
            write(&folder.join("files").join(sha256), &file.content)?;
        }
        let line = FileLine { path: &file.path, change, mode: file.mode, bytes: file.size, sha256 };
        serde_json::to_writer(&mut lines, &line)?;
        lines.write_all(b"\n")?;
    }
    lines.flush()
}

fn write_memory(guest: &[u8], folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let (mut pieces, mut outcome) = (0, Ok(()));
    each_frame(guest, |frame| {
        if let GuestFrame::Memory(piece) = frame
            && pieces < MEMORY_PIECES_MAX
            && outcome.is_ok()
        {
            pieces += 1;
            outcome = write(&folder.join(format!("{}-{:016x}.bin", piece.pid, piece.address)), &piece.content);
        }
    });
    outcome
}

/// What is understood of what an agent said, frame by frame.
fn each_frame(guest: &[u8], mut take: impl FnMut(GuestFrame)) {
    let mut reader = FrameReader::default();
    for piece in guest.chunks(FRAMES_AT_ONCE_BYTES) {
        reader.push(piece, |frame| {
            if let Ok(frame) = frame {
                take(frame);
            }
        });
    }
}

/// Reads a detonation back from a folder. Within the bounds of a run; a folder beyond them is refused. What a folder has not,
/// the network did not see.
pub fn read_recording(folder: &Path) -> io::Result<Detonation> {
    let head: Head = serde_json::from_slice(&read(&folder.join("detonation.json"), JSON_BYTES_MAX)?)?;
    if head.format != FORMAT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has the format {}", head.format)));
    }
    let mut detonation = head.of.into_detonation();
    head.ended.put_into(&mut detonation);
    detonation.guest = read(&folder.join("guest.stream"), MESSAGE_BYTES_MAX)?;
    detonation.packets = if_there(read(&folder.join("packets.pcap"), PACKETS_BYTES_MAX))?.unwrap_or_default();
    if let Some(events) = if_there(File::open(folder.join("network.jsonl")))? {
        read_events(events, &mut detonation)?;
    }
    let Some(entries) = if_there(fs::read_dir(folder.join("contents")))? else { return Ok(detonation) };
    let mut contents: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    // In the order of their names: that of their handing over is in the events.
    contents.sort();
    for path in contents.iter().take(CONTENTS_MAX) {
        detonation.contents.push(read(path, CONTENT_BYTES_MAX)?);
    }
    Ok(detonation)
}

fn read_events(events: File, detonation: &mut Detonation) -> io::Result<()> {
    let mut lines = BufReader::new(events);
    let mut line = Vec::new();
    while detonation.network.len() < NETWORK_EVENTS_MAX {
        line.clear();
        (&mut lines).take(JSON_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        detonation.network.push(serde_json::from_slice::<NetworkEvent>(&line)?);
    }
    Ok(())
}

/// None instead of the error that there is no such file.
fn if_there<T>(opened: io::Result<T>) -> io::Result<Option<T>> {
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// A new file that only its owner reads and nobody runs.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    create(path)?.write_all(contents)
}

fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut contents)?;
    if contents.len() > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {bytes_max} bytes")));
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::detonation;

    #[test]
    fn a_detonation_comes_back_from_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = detonation();
        // A frame of memory: process 7, at 0x1000, readable, two bytes.
        written.guest = [&[0x87, 15, 0, 0, 0, 7, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 1][..], b"ab"].concat();
        // Two frames of a file: created, rights, size, offset, path.
        let file = |offset: u8, content: &[u8]| {
            let length = u8::try_from(25 + content.len()).unwrap();
            let head = [0x86, length, 0, 0, 0, 0, 0xed, 0x81, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0];
            [&head[..], &[offset, 0, 0, 0, 0, 0, 0, 0, 2, 0], b"/a", content].concat()
        };
        written.guest.extend([file(0, b"ab"), file(2, b"cd")].concat());
        let path = folder.path().join("out");
        write_recording(&written, &path).unwrap();
        let mut read = read_recording(&path).unwrap();
        read.contents.sort();
        written.contents.sort();
        assert_eq!(format!("{read:?}").replace('\u{fffd}', "\\u{1b}"), format!("{written:?}"));
        assert_eq!(fs::read(path.join("memory/7-0000000000001000.bin")).unwrap(), b"ab");
        let files = left_files(&written.guest);
        assert_eq!(files[&"/a".into()].content, b"abcd");
        let line = fs::read_to_string(path.join("files.jsonl")).unwrap();
        assert!(
            line.starts_with(r#"{"path":"/a","change":"created","mode":33261,"bytes":4,"sha256":"88d4266f"#),
            "{line}"
        );
        fs::write(path.join("detonation.json"), "{}").unwrap();
        assert!(read_recording(&path).is_err());
    }
}
