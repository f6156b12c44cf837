//! `tests/data/NAME.stream` is what a guest said, `NAME.told` what it means. With `KOMAINU_WRITE_EXPECTED` set the second
//! is written anew, to be read in review. `tests/lab/guest_agent.py` records the first.

use std::fs;
use std::path::PathBuf;

use komainu_trace::agent::{FileChange, FrameProblem};
use komainu_trace::{GuestItem, GuestProblem, GuestReader};

/// A stream by its name, and where its meaning is written.
fn streams() -> Vec<(String, Vec<u8>, PathBuf)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"));
    let mut streams: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "stream"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read(&path).unwrap(), path.with_extension("told"))
        })
        .collect();
    streams.sort();
    assert!(streams.len() >= 6);
    streams
}

fn read(bytes: &[u8], piece: usize) -> Vec<GuestItem> {
    let mut reader = GuestReader::default();
    let mut items: Vec<_> = bytes.chunks(piece).flat_map(|piece| reader.push(piece)).collect();
    items.extend(reader.finish());
    items
}

fn lines(items: &[GuestItem]) -> String {
    let line = |item: &GuestItem| match item {
        GuestItem::Hello(hello) => format!("hello {hello:?}\n"),
        GuestItem::Ready => "ready\n".to_owned(),
        GuestItem::Started { pid } => format!("started {pid}\n"),
        GuestItem::Event { event, is_new } => format!("{} {event}\n", if *is_new { "new" } else { "   " }),
        GuestItem::File(piece) => {
            let content = komainu_trace::RawText::from(piece.content.as_slice());
            format!("file {:?} {:o} {} \"{}\" \"{content}\"\n", piece.change, piece.mode, piece.size, piece.path)
        }
        GuestItem::Memory(piece) => format!("memory {} {:#x} {}\n", piece.pid, piece.address, piece.content.len()),
        GuestItem::Exited { pid, status } => format!("exited {pid} {status:#x}\n"),
        GuestItem::Finished(finished) => format!("finished {finished:?}\n"),
        GuestItem::Note(text) => format!("note {text}\n"),
        GuestItem::Problem(problem) => format!("problem {problem}\n"),
    };
    items.iter().map(line).collect()
}

#[test]
fn real_guests_are_understood() {
    for (name, stream, path) in streams() {
        let told = lines(&read(&stream, stream.len()));
        if std::env::var_os("KOMAINU_WRITE_EXPECTED").is_some() {
            fs::write(&path, &told).unwrap();
        }
        assert_eq!(told, fs::read_to_string(&path).unwrap(), "{name}");
    }
}

#[test]
fn every_processor_tells_the_same_acts() {
    for (name, stream, _) in streams() {
        let items = read(&stream, 4096);
        let told = lines(&items);
        for expected in [
            "exec \"/tmp/acts\" \"acts\" \"first argument\"",
            "open \"/tmp/dropped.txt\"",
            "bytes \"left behind by acts\\x0a\"",
            "make folder \"/tmp/folder\"",
            "move \"/tmp/dropped.txt\" to \"/tmp/folder/kept.txt\"",
            "change mode of \"/tmp/folder/kept.txt\" to 755",
            "unlink \"/tmp/gone.txt\"",
            "look at \"/etc/passwd\"",
            "open \"/nowhere\"",
            " = -2",
            "change folder \"/tmp\"",
            "socket family 2 kind 1 protocol 0",
            "connect 203.0.113.7:23\n",
            "connect [2001:db8::7]:8080\n",
            "bind 127.0.0.1:48101\n",
            "listen on ",
            "send to 203.0.113.7:5353, 18 bytes \"a datagram of acts\"",
            "rename itself \"other-name\"",
            "exec \"/bin/busybox\" \"echo\" \"from\" \"a child\"",
            "bytes \"from a child\\x0a\"",
            "sleep 0.020000 s",
            " signal 0\n",
            "ptrace request 0",
            "exit 0x700",
            "file Created 100755 20 \"/tmp/folder/kept.txt\" \"left behind by acts\\x0a\"",
        ] {
            assert!(told.contains(expected), "{name}: no `{expected}` in\n{told}");
        }
        if name.ends_with("-root") {
            assert!(told.contains("mount \"tracefs\" on \"/mnt\" kind \"tracefs\""), "{name}: {told}");
        }
        assert!(!items.iter().any(|item| matches!(item, GuestItem::Problem(_))), "{name}: {told}");
        let created = |item: &&GuestItem| matches!(item, GuestItem::File(file) if file.change == FileChange::Created);
        assert_eq!(items.iter().filter(created).count(), 2, "{name}: {told}");
    }
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    for (name, stream, _) in streams() {
        let whole = read(&stream, stream.len());
        for piece in [1, 7, 1000] {
            assert_eq!(read(&stream, piece), whole, "{name} in pieces of {piece}");
        }
        // What came before the cut is told; of the rest nothing is made up.
        for cut in (0..stream.len()).step_by(509) {
            let begun = read(&stream[..cut], stream.len());
            assert!(begun.len() <= whole.len(), "{name} cut at {cut}");
        }
    }
}

#[test]
fn flipped_bytes_harm_nobody() {
    for (name, stream, _) in streams() {
        let whole = read(&stream, stream.len()).len();
        for at in (0..stream.len()).step_by(97) {
            let mut flipped = stream.clone();
            flipped[at] ^= 0xff;
            let items = read(&flipped, flipped.len());
            assert!(items.len() < 4 * whole + 64, "{name} flipped at {at}: {}", items.len());
        }
    }
}

#[test]
fn trace_without_its_formats_is_a_problem_and_no_end() {
    let mut stream = vec![0x85, 4, 0, 0, 0, 1, 2, 3, 4, 0x83, 0, 0, 0, 0];
    assert_eq!(read(&stream, 5), [GuestItem::Problem(GuestProblem::Trace), GuestItem::Ready]);
    stream.extend([0x81, 0xff, 0xff, 0xff, 0xff, 0x83, 0, 0, 0, 0]);
    let broken = GuestItem::Problem(FrameProblem::TooLong { bytes: u32::MAX }.into());
    assert_eq!(read(&stream, 100)[2..], [broken]);
}
