//! How likely a weakness is to be exploited within thirty days, as FIRST publishes it (CSV).

use std::collections::BTreeMap;

use super::cells::cells;
use super::{CveId, Mistake, Problem, Problems};
use crate::day::Day;

/// The longest file, in bytes. The one of 2026 has about 10 MB.
pub const EPSS_BYTES_MAX: usize = 64 << 20;
/// So many weaknesses are read; those of 2026 are about 300,000.
const EPSS_ENTRIES_MAX: usize = 1_000_000;

/// How likely a weakness is to be exploited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likelihood {
    /// The probability, 0 to 1.
    pub probability: f32,
    /// The share of weaknesses that are no more likely, 0 to 1.
    pub percentile: f32,
}

/// How likely each weakness is to be exploited, as it was on one day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Epss {
    /// The day, if the file says it.
    pub scored_on: Option<Day>,
    likelihoods: BTreeMap<CveId, Likelihood>,
}

impl Epss {
    /// How likely a weakness is, if it is known.
    pub fn of(&self, cve: CveId) -> Option<Likelihood> {
        self.likelihoods.get(&cve).copied()
    }

    /// How many weaknesses are known.
    pub fn len(&self) -> usize {
        self.likelihoods.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.likelihoods.is_empty()
    }
}

/// Reads the file: remarks (`#model_version:…,score_date:2026-11-26T…`), the heading `cve,epss,percentile`, a weakness a line.
/// Of two lines about one weakness the last counts.
pub fn read_epss(bytes: &[u8]) -> (Epss, Vec<Problem>) {
    let (mut epss, mut problems) = (Epss::default(), Problems::default());
    if bytes.len() > EPSS_BYTES_MAX {
        problems.add(0, Mistake::FileLarge { bytes: bytes.len(), bytes_max: EPSS_BYTES_MAX });
        return (epss, problems.told());
    }
    let mut columns: Option<Columns> = None;
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\r').trim_start_matches('\u{feff}');
        if let Some(remark) = line.strip_prefix('#') {
            let dates = remark.split(',').filter_map(|part| part.trim().strip_prefix("score_date:"));
            epss.scored_on = dates.filter_map(Day::parse).next().or(epss.scored_on);
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        if epss.likelihoods.len() >= EPSS_ENTRIES_MAX {
            problems.add(number, Mistake::Full { count_max: EPSS_ENTRIES_MAX });
            continue;
        }
        let read = cells(line).and_then(|cells| match &columns {
            None => Columns::of(&cells).map(|found| columns = Some(found)),
            Some(columns) => columns.read(&cells).map(|(cve, likelihood)| {
                epss.likelihoods.insert(cve, likelihood);
            }),
        });
        if let Err(reason) = read {
            problems.add(number, reason);
            if columns.is_none() {
                // Without its heading nothing in it means anything.
                break;
            }
        }
    }
    (epss, problems.told())
}

/// Where what stands.
struct Columns {
    cve: usize,
    probability: usize,
    percentile: usize,
}

impl Columns {
    fn of(heading: &[String]) -> Result<Self, Mistake> {
        let place = |name: &'static str| {
            let found = heading.iter().position(|cell| cell.trim().eq_ignore_ascii_case(name));
            found.ok_or(Mistake::NoColumn(name))
        };
        Ok(Self { cve: place("cve")?, probability: place("epss")?, percentile: place("percentile")? })
    }

    fn read(&self, cells: &[String]) -> Result<(CveId, Likelihood), Mistake> {
        let cell = |place: usize| cells.get(place).map(|cell| cell.trim()).unwrap_or_default();
        let share = |place: usize, name: &'static str| {
            let share = cell(place).parse().ok().filter(|share| (0.0..=1.0).contains(share));
            share.ok_or(Mistake::NoShare(name))
        };
        let cve = CveId::parse(cell(self.cve)).ok_or(Mistake::NoCve("cve"))?;
        let likelihood = Likelihood {
            probability: share(self.probability, "epss")?,
            percentile: share(self.percentile, "percentile")?,
        };
        Ok((cve, likelihood))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, expected: &[(&str, f32, f32)], problems: &[&str]) -> Epss {
        let (epss, told) = read_epss(file.as_bytes());
        let read =
            epss.likelihoods.iter().map(|(cve, likely)| (cve.to_string(), likely.probability, likely.percentile));
        let expected =
            expected.iter().map(|(cve, probability, percentile)| ((*cve).to_owned(), *probability, *percentile));
        assert_eq!(read.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert_eq!(told.len(), problems.len(), "{told:?}");
        for (told, expected) in told.iter().zip(problems) {
            assert!(told.to_string().contains(expected), "{told}");
        }
        epss
    }

    #[test]
    fn the_file_is_read() {
        let epss = check(
            "#model_version:v2025.03.14,score_date:2026-11-26T00:00:00+0000\r\ncve,epss,percentile\r\n\
             CVE-2017-7494,0.94,0.99962\r\nCVE-2014-8361,9.4e-1,1\r\n",
            &[("CVE-2014-8361", 0.94, 1.0), ("CVE-2017-7494", 0.94, 0.99962)],
            &[],
        );
        assert_eq!(epss.scored_on, Day::parse("2026-11-26"));
        assert_eq!(epss.of(CveId::parse("CVE-2017-7494").unwrap()).unwrap().percentile, 0.99962);
        check("percentile,cve,epss\n0.5,CVE-2017-7494,0.25\n", &[("CVE-2017-7494", 0.25, 0.5)], &[]);
    }

    #[test]
    fn what_is_wrong_is_told_and_the_rest_is_read() {
        check(
            "cve,epss,percentile\nx,0.5,0.5\nCVE-2017-7494,1.5,0.5\nCVE-2017-7494,0.5,NaN\nCVE-2017-7494\n\"\n\
             CVE-2017-7495,-0,0.5\nCVE-2017-7494,0.5,0.5\nCVE-2017-7494,0.6,0.5",
            &[("CVE-2017-7494", 0.6, 0.5), ("CVE-2017-7495", 0.0, 0.5)],
            &["entry 2: `cve`", "entry 3: `epss`", "entry 4: `percentile`", "entry 5: `epss`", "quotation"],
        );
        check("CVE-2017-7494,0.5,0.5\nCVE-2017-7494,0.5,0.5\n", &[], &["entry 1: the heading has no column `cve`"]);
        check("", &[], &[]);
    }

    #[test]
    fn files_are_bounded() {
        assert!(read_epss(&vec![b'\n'; EPSS_BYTES_MAX + 1]).1[0].reason.to_string().contains("at most"));
        let (_, problems) = read_epss(format!("cve,epss,percentile\n{}", "x\n".repeat(5000)).as_bytes());
        assert_eq!(problems.last().unwrap().reason.to_string(), "4900 more entries are not taken");
        assert!(read_epss(&[b'x'; 10_000]).1[0].reason.to_string().contains("8192 bytes"));
    }
}
