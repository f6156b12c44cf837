use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

use crate::{NoRules, Outside, Report, triage};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, contents) in members {
        let mut head = [0_u8; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[124..135].copy_from_slice(format!("{:011o}", contents.len()).as_bytes());
        head[156] = b'0';
        head[148..156].fill(b' ');
        let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend(head);
        archive.extend(*contents);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn cpio(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, contents) in members.iter().chain([&("TRAILER!!!", &b""[..])]) {
        let fields = [0, 0o100_644, 0, 0, 1, 0, contents.len(), 0, 0, 0, 0, name.len() + 1, 0];
        archive.extend(b"070701");
        archive.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        archive.extend(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(*contents);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

/// A ZIP archive; members that are said to lie at the same place when `overlap`.
fn zip(members: &[(&str, &[u8])], overlap: bool) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, contents) in members {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(contents).unwrap();
        let packed = encoder.finish().unwrap();
        let place = if overlap { 0 } else { archive.len() };
        let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
        common.extend(u32::try_from(contents.len()).unwrap().to_le_bytes());
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(u32::try_from(place).unwrap().to_le_bytes());
        directory.extend(name.as_bytes());
        if !overlap || archive.is_empty() {
            archive.extend(b"PK\x03\x04");
            archive.extend(&common);
            archive.extend(name.as_bytes());
            archive.extend(packed);
        }
    }
    let place = archive.len();
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    archive.extend([count, count].concat());
    archive.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    archive.extend(u32::try_from(place).unwrap().to_le_bytes());
    archive.extend([0, 0]);
    archive
}

fn of(bytes: &[u8]) -> Report {
    triage(bytes, &NoRules, &Outside::default())
}

/// The members of a container, each with its kind and the number of its parent.
#[track_caller]
fn check(bytes: &[u8], expected: &[(&str, &str, usize)]) {
    let report = of(bytes);
    let seen: Vec<_> = report.samples[1..]
        .iter()
        .map(|sample| (sample.name.as_deref().unwrap_or("-"), &*sample.kind, sample.parent.unwrap()))
        .collect();
    assert_eq!(seen, expected, "{:?}", report.samples[0].problems);
}

/// What is told of the first sample with a problem.
#[track_caller]
fn check_problem(bytes: &[u8], expected: &str) {
    let report = of(bytes);
    let told: Vec<_> = report.samples.iter().flat_map(|sample| &sample.problems).collect();
    assert!(told.iter().any(|problem| problem.contains(expected)), "{expected}: {told:?}");
}

const SCRIPT: &[u8] = b"#!/bin/sh\necho hello\n";

#[test]
fn members_are_samples_of_their_own() {
    check(&gzip(SCRIPT), &[("-", "script-shell", 0)]);
    check(&tar(&[("a", SCRIPT), ("b", b"text")]), &[("a", "script-shell", 0), ("b", "text", 0)]);
    check(&gzip(&tar(&[("a", SCRIPT)])), &[("-", "tar", 0), ("a", "script-shell", 1)]);
    check(&cpio(&[("etc/rc", SCRIPT)]), &[("etc/rc", "script-shell", 0)]);
    check(&zip(&[("a", SCRIPT), ("b/", b""), ("c", b"text")], false), &[("a", "script-shell", 0), ("c", "text", 0)]);
    let mut image = vec![0; 64];
    image[..4].copy_from_slice(b"\x27\x05\x19\x56");
    image[15] = u8::try_from(SCRIPT.len()).unwrap();
    image[32..37].copy_from_slice(b"Linux");
    image.extend(SCRIPT);
    image.extend(gzip(b"text"));
    check(&image, &[("Linux", "script-shell", 0), ("behind the image", "gzip", 0), ("-", "text", 2)]);
}

#[test]
fn names_are_shown_and_not_obeyed() {
    check(&tar(&[("../../etc/passwd\x1b[2J", b"text")]), &[("../../etc/passwd\\u{1b}[2J", "text", 0)]);
}

#[test]
fn bombs_end() {
    check_problem(&gzip(&vec![0; 8 << 20]), "a bomb");
    let noise: Vec<u8> = (0..4_096_u32).map(|number| (number.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let members = [("a", &noise[..]); 200];
    check_problem(&zip(&members, true), "lie over each other");
    let deep = (0..10).fold(SCRIPT.to_vec(), |inner, _| gzip(&inner));
    check_problem(&deep, "more than 6 deep");
    assert_eq!(of(&deep).members_left_out, 1);
    let many = vec![("a", &b""[..]); 1_000];
    let report = of(&tar(&many));
    assert_eq!((report.samples.len(), report.members_left_out), (1 + crate::MEMBERS_MAX, 744));
    assert_eq!(report.samples[0].container.as_ref().unwrap().members, 1_000);
}

#[test]
fn damage_is_told_and_the_rest_is_kept() {
    let whole: Vec<u8> = (0..2_000_u32).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    let packed = gzip(&whole);
    let report = of(&packed[..packed.len() / 2]);
    assert!(report.samples[1].bytes > 1_000, "{report:?}");
    check_problem(&packed[..packed.len() / 2], "it ends early");
    check_problem(&gzip(SCRIPT)[..4], "cannot be unpacked");
    check_problem(&tar(&[("a", SCRIPT)])[..520], "ends within a member");
    check_problem(&cpio(&[("a", SCRIPT)])[..120], "ends within a member");
    check_problem(b"hsqs", "ends within its superblock");
    let mut archive = zip(&[("a", SCRIPT)], false);
    let end = archive.len() - 22;
    archive.truncate(end);
    check_problem(&archive, "has no directory");
    check(&archive, &[("a", "script-shell", 0)]);
}
