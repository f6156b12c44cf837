//! Recordings of real clients and servers, which stand in `data`. With `KOMAINU_UPDATE_EXPECTED` set, what is told of
//! them is written down anew.

use std::path::{Path, PathBuf};
use std::{env, fs};

use komainu_decode::{Decoder, Side};

use crate::talk::{self, Describe, Told};
use crate::{http, rtsp, sip, ssdp};

/// Compares what is told of a recorded stream, whole and cut anywhere, with what was told before.
fn check_stream(name: &str, reader: fn() -> Box<dyn Decoder>, describe: Describe) {
    let said = recording(name);
    let said: Vec<(Side, &[u8])> = said.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
    let told = talk::read(reader(), &said, usize::MAX, describe);
    compare(name, &told);
    talk::same_when_cut(reader, describe, &said, &told);
}

/// The same of datagrams, which are never cut.
fn check_datagrams(name: &str, reader: Box<dyn Decoder>, describe: Describe) {
    let said = recording(name);
    let said: Vec<(Side, &[u8])> = said.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
    compare(name, &talk::read(reader, &said, usize::MAX, describe));
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data").join(name)
}

fn recording(name: &str) -> Vec<(Side, Vec<u8>)> {
    talk::recorded(&fs::read_to_string(file(name).with_extension("talk")).expect("the recording is there"))
}

fn compare(name: &str, told: &[Told]) {
    let lines = talk::lines(told).join("\n") + "\n";
    let expected = file(name).with_extension("told");
    if env::var_os("KOMAINU_UPDATE_EXPECTED").is_some() {
        fs::write(&expected, &lines).expect("the folder can be written");
    }
    assert_eq!(lines, fs::read_to_string(&expected).expect("what was told before is there"), "{name}");
}

#[test]
fn http_of_curl_and_busybox() {
    for name in ["http-curl-form", "http-curl-digest", "http-busybox-wget"] {
        check_stream(name, || Box::new(komainu_decode::http::Reader::default()), http::describe);
    }
}

#[test]
fn rtsp_of_ffmpeg() {
    for name in ["rtsp-ffprobe", "rtsp-ffmpeg"] {
        check_stream(name, || Box::new(komainu_decode::rtsp::Reader::default()), rtsp::describe);
    }
}

#[test]
fn sip_of_sipp_and_sipsak() {
    check_stream("sip-sipp", || Box::new(komainu_decode::sip::Reader::stream()), sip::describe);
    check_datagrams("sip-sipsak", Box::new(komainu_decode::sip::Reader::datagrams()), sip::describe);
}

#[test]
fn discovery_of_nmap_upnpc_and_gssdp() {
    check_datagrams("ssdp-searches", Box::new(komainu_decode::ssdp::Reader::default()), ssdp::describe);
}
