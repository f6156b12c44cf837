//! The operator's own notes of what was published (CSV).

use super::cells::cells;
use super::{CveId, Mistake, Problem, Problems, Publication, Source, text};
use crate::day::Day;

/// The longest file, in bytes.
pub const NOTES_BYTES_MAX: usize = 4 << 20;
/// So many notes are read.
const NOTES_ENTRIES_MAX: usize = 20_000;

/// The columns that a file may have. The first two are needed.
const COLUMNS: [&str; 7] = ["date", "title", "cve", "protocol", "appliance", "model", "url"];

/// Reads notes: comma-separated values under a heading that names the columns, in any order. `date` and `title` are needed;
/// `cve`, `protocol`, `appliance`, `model` and `url` may be there. Lines that begin with `#` are remarks.
///
/// ```csv
/// date,title,cve,protocol,appliance,model,url
/// 2019-04-05,"UPnP: overflow in SUBSCRIBE",CVE-2019-0001,upnp,camera,,https://psirt.example/2019-3
/// ```
pub fn read_notes(bytes: &[u8]) -> (Vec<Publication>, Vec<Problem>) {
    let (mut publications, mut problems) = (Vec::new(), Problems::default());
    if bytes.len() > NOTES_BYTES_MAX {
        problems.add(0, Mistake::FileLarge { bytes: bytes.len(), bytes_max: NOTES_BYTES_MAX });
        return (publications, problems.told());
    }
    let mut heading: Option<Vec<usize>> = None;
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let Ok(line) = std::str::from_utf8(line) else {
            problems.add(number, Mistake::NotUtf8);
            continue;
        };
        let line = line.trim_end_matches('\r').trim_start_matches('\u{feff}');
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if publications.len() >= NOTES_ENTRIES_MAX {
            problems.add(number, Mistake::Full { count_max: NOTES_ENTRIES_MAX });
            continue;
        }
        let read = cells(line).and_then(|cells| match &heading {
            None => columns(&cells).map(|found| heading = Some(found)),
            Some(heading) => note(heading, &cells).map(|note| publications.push(note)),
        });
        if let Err(reason) = read {
            problems.add(number, reason);
            if heading.is_none() {
                // Without its heading nothing in it means anything.
                break;
            }
        }
    }
    (publications, problems.told())
}

/// For each column of the file its place in [`COLUMNS`].
fn columns(heading: &[String]) -> Result<Vec<usize>, Mistake> {
    let mut found = Vec::new();
    for cell in heading {
        let name = cell.trim().to_ascii_lowercase();
        let place = COLUMNS.iter().position(|column| *column == name);
        let place = place.ok_or(Mistake::UnknownColumn { known: &COLUMNS })?;
        if found.contains(&place) {
            return Err(Mistake::ColumnTwice(name));
        }
        found.push(place);
    }
    match (0..2).find(|needed| !found.contains(needed)) {
        Some(needed) => Err(Mistake::NoColumn(COLUMNS[needed])),
        None => Ok(found),
    }
}

fn note(heading: &[usize], cells: &[String]) -> Result<Publication, Mistake> {
    if cells.len() > heading.len() {
        return Err(Mistake::MoreCells);
    }
    let mut fields: [String; COLUMNS.len()] = Default::default();
    for (place, cell) in heading.iter().zip(cells) {
        fields[*place] = text(cell);
    }
    let [date, title, cve, protocol, appliance, model, url] = fields;
    if title.is_empty() {
        return Err(Mistake::NoTitle);
    }
    let is_link = url.starts_with("https://") || url.starts_with("http://");
    if !url.is_empty() && !is_link {
        return Err(Mistake::NoLink);
    }
    let cve = match cve.as_str() {
        "" => None,
        given => Some(CveId::parse(given).ok_or(Mistake::NoCve("cve"))?),
    };
    Ok(Publication {
        day: Day::parse(&date).ok_or(Mistake::NoDay("date"))?,
        title,
        cve,
        source: Source::Note,
        concerns: [protocol, appliance, model].into_iter().filter(|concern| !concern.is_empty()).collect(),
        url: is_link.then_some(url),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, expected: &[&str], problems: &[&str]) -> Vec<Publication> {
        let (publications, told) = read_notes(file.as_bytes());
        let shown = |note: &Publication| {
            let cve = note.cve.map(|cve| format!(" {cve}")).unwrap_or_default();
            let url = note.url.as_deref().map(|url| format!(" {url}")).unwrap_or_default();
            format!("{} {}{cve} [{}]{url}", note.day, note.title, note.concerns.join(" "))
        };
        assert_eq!(publications.iter().map(shown).collect::<Vec<_>>(), expected);
        assert_eq!(told.len(), problems.len(), "{told:?}");
        for (told, expected) in told.iter().zip(problems) {
            assert!(told.to_string().contains(expected), "{told}");
        }
        publications
    }

    #[test]
    fn notes_are_read() {
        check(
            "# ours\r\ndate,title,cve,protocol,appliance,model,url\r\n\
             2019-04-05,\"UPnP: overflow, in \"\"SUBSCRIBE\"\"\",cve-2019-0001,upnp,camera,X-1,https://psirt.example/3\r\n\r\n\
             2019-07-18,Talk about UPnP\r\n",
            &[
                "2019-04-05 UPnP: overflow, in \"SUBSCRIBE\" CVE-2019-0001 [upnp camera X-1] https://psirt.example/3",
                "2019-07-18 Talk about UPnP []",
            ],
            &[],
        );
        check("\u{feff}Title, DATE\nx,2019-07-18\n", &["2019-07-18 x []"], &[]);
    }

    #[test]
    fn what_is_wrong_is_told_and_the_rest_is_read() {
        check(
            "date,title,url,cve\n18.7.2019,a\n2019-07-18,\n2019-07-18,a,javascript:alert(1)\n2019-07-18,a,,x\n\
             2019-07-18,a,,,,\n2019-07-18,\"a\n2019-07-18,<b>\u{1b}[0m\u{0}\n",
            &["2019-07-18 <b>[0m []"],
            &["entry 2: `date`", "`title` is empty", "`url`", "`cve`", "more cells", "quotation"],
        );
        check("title\nx\n", &[], &["no column `date`"]);
        check("date,title,date\n", &[], &["twice"]);
        check("date,title,colour\n", &[], &["none of date, title"]);
        check("", &[], &[]);
        assert!(read_notes(b"date,title\n2019-07-18,\xff\n").1[0].reason.to_string().contains("UTF-8"));
    }

    #[test]
    fn files_are_bounded() {
        assert!(read_notes(&vec![b'\n'; NOTES_BYTES_MAX + 1]).1[0].reason.to_string().contains("at most"));
        let many = format!("date,title\n{}", "2019-07-18,a\n".repeat(NOTES_ENTRIES_MAX + 1));
        let (notes, problems) = read_notes(many.as_bytes());
        assert_eq!((notes.len(), problems.len()), (NOTES_ENTRIES_MAX, 1));
        let long = format!("date,title\n2019-07-18,{}\n", "語".repeat(2000));
        assert_eq!(read_notes(long.as_bytes()).0[0].title.chars().count(), super::super::TEXT_CHARS_MAX);
    }
}
