//! Lists of digests that an operator has: a digest a line, or a table as others export it.
//!
//! A list is read once, at the start. It may come from anywhere, so it is read line by line within bounds, and what cannot be
//! used is told with its line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use komainu_ports::{BoxFuture, ElsewhereAnswer, LookupError, SampleDigests, SampleLookup};

use super::{LookupConfigError, label, labels};

/// The setting that names lists.
pub(super) const SETTING: &str = "lab.known_lists";

/// Lines of a list: as many samples as the largest public collection has gathered in five years. With 36 bytes each, 36 MB.
const LINES_MAX: u64 = 1_000_000;
/// Bytes of a list: so many lines of a table that says all of each sample.
const LIST_BYTES_MAX: u64 = 1 << 30;
/// Bytes of a line; those of public tables have 600.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Fields of a line; those of public tables have 15.
const FIELDS_MAX: usize = 256;
/// Different names in a list, at most 12.8 MB; digests with further ones have none.
const NAMES_MAX: usize = 100_000;
/// Problems that are told one by one; the others are counted.
const PROBLEMS_MAX: usize = 20;

/// Headings of columns with a SHA-256, a SHA-1, an MD5 or with any of them, as public tables have them, in lower case and
/// without anything but letters and digits.
const DIGEST_HEADINGS: [&str; 20] = [
    "sha256",
    "sha256hash",
    "sha256digest",
    "filesha256",
    "filehashsha256",
    "sha1",
    "sha1hash",
    "sha1digest",
    "filesha1",
    "filehashsha1",
    "md5",
    "md5hash",
    "md5digest",
    "filemd5",
    "filehashmd5",
    "hash",
    "filehash",
    "digest",
    "ioc",
    "value",
];
/// Headings of columns with a name, those that say most first.
const NAME_HEADINGS: [&str; 12] = [
    "signature",
    "malwarefamily",
    "family",
    "malwareprintable",
    "malware",
    "threatname",
    "threat",
    "detection",
    "label",
    "name",
    "comment",
    "description",
];

/// A list of digests.
#[derive(PartialEq, Eq)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub(crate) struct HashList {
    source: String,
    sha256: Digests<32>,
    sha1: Digests<20>,
    md5: Digests<16>,
    /// The first one is empty: no name.
    names: Vec<Box<str>>,
}

/// What was read of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRead {
    /// Its name in answers: `list:` and the file's name.
    pub source: String,
    /// Different digests in it.
    pub digests: usize,
    /// Lines that cannot be used.
    pub unusable: u64,
    /// The first 20 of them.
    pub problems: Vec<ListProblem>,
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListProblem {
    /// Its number, from one.
    pub line: u64,
    /// Why not.
    pub reason: String,
}

impl HashList {
    /// Reads a list. What cannot be used of it is told and left out.
    pub(super) fn open(path: &Path) -> Result<(Self, ListRead), LookupConfigError> {
        let name = path.file_name().and_then(|name| label(name.to_str()?)).ok_or_else(|| {
            let reason = format!("`{}` has no name that could be shown", path.display());
            LookupConfigError::Setting { setting: SETTING, reason }
        })?;
        let failed = |source| LookupConfigError::File { setting: SETTING, path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        Self::read(format!("list:{name}"), BufReader::new(file)).map_err(failed)
    }

    /// Reads a list that is called `source` in answers.
    pub(crate) fn read(source: String, list: impl BufRead) -> io::Result<(Self, ListRead)> {
        Reader::new(source).read(list, LIST_BYTES_MAX, LINES_MAX)
    }

    /// What the list has of a sample, by any of its digests.
    fn answer(&self, digests: &SampleDigests) -> ElsewhereAnswer {
        let by_sha256 = self.sha256.names_of(digests.sha256.sha256());
        let by_sha1 = self.sha1.names_of(&digests.sha1);
        let by_md5 = self.md5.names_of(&digests.md5);
        let mut names = by_sha256.chain(by_sha1).chain(by_md5).peekable();
        if names.peek().is_none() {
            return ElsewhereAnswer::Unknown;
        }
        let names = names.filter_map(|number| self.names.get(number as usize)).map(|name| &**name);
        ElsewhereAnswer::Known { first_seen: None, labels: labels(names), detections: None }
    }
}

impl SampleLookup for HashList {
    fn source(&self) -> &str {
        &self.source
    }

    fn pause(&self) -> Duration {
        Duration::ZERO
    }

    fn look_up<'a>(&'a self, digests: &'a SampleDigests) -> BoxFuture<'a, Result<ElsewhereAnswer, LookupError>> {
        Box::pin(std::future::ready(Ok(self.answer(digests))))
    }
}

/// Digests of one kind, each with the number of a name, in order.
#[derive(PartialEq, Eq)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
struct Digests<const N: usize>(Vec<([u8; N], u32)>);

impl<const N: usize> Digests<N> {
    /// The numbers of the names of a digest: nothing when it is not there.
    fn names_of(&self, digest: &[u8; N]) -> impl Iterator<Item = u32> {
        let first = self.0.partition_point(|(other, _)| other < digest);
        self.0[first..].iter().take_while(move |(other, _)| other == digest).map(|(_, name)| *name)
    }

    /// Puts them in order; how many different ones there are.
    fn settle(&mut self) -> usize {
        self.0.sort_unstable();
        self.0.dedup();
        self.0.shrink_to_fit();
        self.0.chunk_by(|(one, _), (next, _)| one == next).count()
    }
}

/// A list while it is read.
struct Reader {
    list: HashList,
    /// The numbers of names.
    numbers: BTreeMap<Box<str>, u32>,
    /// What the columns are, once a heading said it.
    columns: Option<Columns>,
    has_digests: bool,
    has_all_names: bool,
    line: u64,
    read: ListRead,
}

impl Reader {
    fn new(source: String) -> Self {
        let names = vec![Box::from("")];
        let list = HashList {
            source: source.clone(),
            sha256: Digests(Vec::new()),
            sha1: Digests(Vec::new()),
            md5: Digests(Vec::new()),
            names,
        };
        Self {
            list,
            numbers: BTreeMap::new(),
            columns: None,
            has_digests: false,
            has_all_names: true,
            line: 0,
            read: ListRead { source, digests: 0, unusable: 0, problems: Vec::new() },
        }
    }

    fn read(mut self, list: impl BufRead, bytes_max: u64, lines_max: u64) -> io::Result<(HashList, ListRead)> {
        let mut list = list.take(bytes_max);
        let mut line = Vec::new();
        loop {
            line.clear();
            if list.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)? == 0 && list.limit() > 0 {
                break;
            }
            self.line += 1;
            let is_cut = !line.ends_with(b"\n");
            if list.limit() == 0 && is_cut {
                // What is left of the line might be taken for a shorter digest.
                self.problem(&format!("the list has {bytes_max} bytes or more; from here on it is not read"));
                break;
            }
            if self.line > lines_max {
                self.problem(&format!("the list has more than {lines_max} lines; from here on it is not read"));
                break;
            }
            if line.len() == LINE_BYTES_MAX && is_cut {
                list.skip_until(b'\n')?;
                self.problem(&format!("the line has more than {LINE_BYTES_MAX} bytes"));
                continue;
            }
            self.line(&String::from_utf8_lossy(&line));
        }
        let HashList { sha256, sha1, md5, .. } = &mut self.list;
        self.read.digests = sha256.settle() + sha1.settle() + md5.settle();
        Ok((self.list, self.read))
    }

    fn line(&mut self, line: &str) {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            return;
        }
        if let Some(comment) = line.strip_prefix('#') {
            // Some tables have their heading in a comment.
            self.columns = Columns::of_heading(comment).or(self.columns.take());
            return;
        }
        if let Some(columns) = &self.columns {
            match columns.pick(line) {
                Some((digest, name)) => self.add(digest, name.as_deref()),
                None => self.problem("no digest where the heading says that there is one"),
            }
        } else if let Some((digest, name)) = plain(line) {
            self.add(digest, Some(name));
        } else if let Some(digest) = anywhere(line) {
            self.add(digest, None);
        } else if let (false, Some(columns)) = (self.has_digests, Columns::of_heading(line)) {
            self.columns = Some(columns);
        } else if self.has_digests || !is_digest_heading(line) {
            self.problem("no SHA-256, SHA-1 or MD5");
        }
    }

    fn add(&mut self, digest: Digest, name: Option<&str>) {
        self.has_digests = true;
        let name = name.and_then(label).map_or(0, |name| self.number(name));
        match digest {
            Digest::Sha256(digest) => self.list.sha256.0.push((digest, name)),
            Digest::Sha1(digest) => self.list.sha1.0.push((digest, name)),
            Digest::Md5(digest) => self.list.md5.0.push((digest, name)),
        }
    }

    /// The number of a name.
    fn number(&mut self, name: String) -> u32 {
        if let Some(number) = self.numbers.get(name.as_str()) {
            return *number;
        }
        let names = &mut self.list.names;
        if names.len() > NAMES_MAX {
            if std::mem::take(&mut self.has_all_names) {
                self.problem(&format!("more than {NAMES_MAX} different names; digests have no further ones"));
            }
            return 0;
        }
        let number = u32::try_from(names.len()).expect("there are no more than NAMES_MAX");
        names.push(name.as_str().into());
        self.numbers.insert(name.into(), number);
        number
    }

    fn problem(&mut self, reason: &str) {
        self.read.unusable += 1;
        if self.read.problems.len() < PROBLEMS_MAX {
            self.read.problems.push(ListProblem { line: self.line, reason: reason.to_owned() });
        }
    }
}

/// A digest of any kind; those that are trusted more are greater.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Digest {
    Md5([u8; 16]),
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Digest {
    fn parse(text: &str) -> Option<Self> {
        fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
            let mut bytes = [0; N];
            hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
        }
        match text.len() {
            64 => bytes(text).map(Self::Sha256),
            40 => bytes(text).map(Self::Sha1),
            32 => bytes(text).map(Self::Md5),
            _ => None,
        }
    }
}

/// A digest at the beginning of a line, and what follows it, as `sha256sum` and people write it.
fn plain(line: &str) -> Option<(Digest, &str)> {
    let is_between = |c: char| c.is_whitespace() || is_separator(c);
    let (first, name) = line.split_once(is_between).unwrap_or((line, ""));
    let name = name.trim_start_matches(|c| is_between(c) || c == '*').trim_matches('"');
    Some((Digest::parse(first)?, name))
}

/// The digest of a row whose columns nobody named.
fn anywhere(line: &str) -> Option<Digest> {
    fields(line, line.chars().find(|c| is_separator(*c))?).iter().filter_map(|field| Digest::parse(field)).max()
}

/// Which columns of a table have digests, and which have names, those that say most first.
struct Columns {
    separator: char,
    digests: Vec<usize>,
    names: Vec<usize>,
}

impl Columns {
    fn of_heading(line: &str) -> Option<Self> {
        let separator = line.chars().find(|c| is_separator(*c))?;
        let headings: Vec<String> = fields(line, separator).iter().map(|heading| plain_heading(heading)).collect();
        let places = |wanted: &[&str]| -> Vec<usize> {
            wanted.iter().flat_map(|wanted| headings.iter().position(|heading| heading == wanted)).collect()
        };
        let (digests, names) = (places(&DIGEST_HEADINGS), places(&NAME_HEADINGS));
        (!digests.is_empty()).then_some(Self { separator, digests, names })
    }

    /// The digest and the name of a row.
    fn pick(&self, line: &str) -> Option<(Digest, Option<String>)> {
        if !line.contains(self.separator) {
            // No row: what looked like a heading may have been a comment.
            return plain(line).map(|(digest, name)| (digest, label(name)));
        }
        let fields = fields(line, self.separator);
        let digest = self.digests.iter().filter_map(|place| Digest::parse(fields.get(*place)?)).max()?;
        Some((digest, self.names.iter().find_map(|place| label(fields.get(*place)?))))
    }
}

fn is_digest_heading(line: &str) -> bool {
    DIGEST_HEADINGS.contains(&plain_heading(line).as_str())
}

/// A heading without what people write differently.
fn plain_heading(heading: &str) -> String {
    heading.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ';' | '\t')
}

/// The fields of a row (RFC 4180, with spaces around them), the first 256.
fn fields(line: &str, separator: char) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut is_quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if is_quoted => is_quoted = false,
            '"' if field.trim().is_empty() => {
                field.clear();
                is_quoted = true;
            }
            c if c == separator && !is_quoted => {
                fields.push(std::mem::take(&mut field).trim().to_owned());
                if fields.len() == FIELDS_MAX {
                    return fields;
                }
            }
            c => field.push(c),
        }
    }
    fields.push(field.trim().to_owned());
    fields
}

#[cfg(test)]
mod tests {
    use komainu_model::SampleDigest;

    use super::*;

    /// The `number`th sample; its digests begin differently.
    fn sample(number: u8) -> SampleDigests {
        SampleDigests { sha256: SampleDigest::from_sha256([number; 32]), sha1: [number; 20], md5: [number; 16] }
    }

    /// Digests of the first samples for `{sha256}`, `{sha1}`, `{md5}`, and of the second ones for `{sha256b}`.
    fn filled(list: &str) -> String {
        list.replace("{sha256}", &"01".repeat(32))
            .replace("{sha1}", &"01".repeat(20))
            .replace("{md5}", &"01".repeat(16))
            .replace("{sha256b}", &"02".repeat(32))
    }

    fn read(list: &[u8]) -> (HashList, ListRead) {
        HashList::read("list:a".to_owned(), list).unwrap()
    }

    fn names(list: &HashList, number: u8) -> Option<Vec<String>> {
        match list.answer(&sample(number)) {
            ElsewhereAnswer::Unknown => None,
            ElsewhereAnswer::Known { first_seen, labels, detections } => {
                assert_eq!((first_seen, detections), (None, None));
                Some(labels)
            }
        }
    }

    /// What a list says of the first sample, and which lines of it cannot be used.
    fn check(list: &str, expected: Option<&[&str]>, unusable: &[u64]) {
        let (read_list, read) = read(filled(list).as_bytes());
        let told: Vec<u64> = read.problems.iter().map(|problem| problem.line).collect();
        assert_eq!(
            (names(&read_list, 1).as_deref(), told.as_slice()),
            (owned(expected).as_deref(), unusable),
            "{list}"
        );
        assert_eq!(names(&read_list, 9), None, "{list}");
    }

    fn owned(names: Option<&[&str]>) -> Option<Vec<String>> {
        Some(names?.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_digest_a_line() {
        check("{sha256}", Some(&[]), &[]);
        check("{sha1}\r\n", Some(&[]), &[]);
        check("\u{feff}{md5}\n", Some(&[]), &[]);
        check(&"{sha256}".replace("{sha256}", &"01".repeat(32).to_uppercase()), Some(&[]), &[]);
        check("# ours\n\n  {sha256}  \n{sha256b} other\n", Some(&[]), &[]);
        check("{sha256} Mirai variant, old\n", Some(&["Mirai variant, old"]), &[]);
        check("{sha256},Mirai\n{md5}\t\"Gafgyt\"\n", Some(&["Mirai", "Gafgyt"]), &[]);
        check("{sha256}  Mirai\n{sha256}  Mirai\n{sha256}\n{sha1};Mirai", Some(&["Mirai"]), &[]);
        check("{sha256} *a.elf\n", Some(&["a.elf"]), &[]);
        check("{sha256} n/a\n", Some(&[]), &[]);
        check("{sha256b}\n", None, &[]);
        check("", None, &[]);
    }

    #[test]
    fn tables() {
        check("sha256\n{sha256}\n", Some(&[]), &[]);
        check("MD5,SHA-256,Family\n{md5},{sha256},Mirai\n", Some(&["Mirai"]), &[]);
        check("name;File Hash\n\"Mirai; the old\";{sha1}\n", Some(&["Mirai; the old"]), &[]);
        check("imphash\tmd5\n09090909090909090909090909090909\t{md5}\n", Some(&[]), &[]);
        check("date,{sha256},Mirai\n", Some(&[]), &[]);
        check("uuid,category,value,comment\n1,Payload,{md5},\"a \"\"b\"\"\"\n", Some(&["a \"b\""]), &[]);
        check("# hash, comment\n{sha256} Mirai variant\n", Some(&["Mirai variant"]), &[]);
        // The strongest digest of a row speaks for it.
        check("a,{sha256b},{md5}\n", None, &[]);
        // The heading is where MalwareBazaar has it.
        let list = "# \"first_seen_utc\",\"sha256_hash\",\"md5_hash\",\"signature\",\"imphash\"\n\
            \"2021-01-01 00:00:00\", \"{sha256}\", \"{md5}\", \"Mirai\", \"n/a\"\n\
            \"2021-01-01 00:00:00\", \"{sha256b}\", \"n/a\", \"n/a\", \"n/a\"\n";
        check(list, Some(&["Mirai"]), &[]);
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_line() {
        check("{sha256}\nnothing\n{sha256}0 long\n", Some(&[]), &[2, 3]);
        check("sha256,name\n{sha256},a\nb,c\n", Some(&["a"]), &[3]);
        check("<html>\n{sha256}\n", Some(&[]), &[1]);
        check("sha256\n{sha256}\nsha256\n", Some(&[]), &[3]);
        check(&format!("{}{{sha256}}\n{{md5}}", "x".repeat(LINE_BYTES_MAX)), Some(&[]), &[1]);
        let (_, read) = read("nothing\n".repeat(30).as_bytes());
        assert_eq!((read.unusable, read.problems.len(), read.digests), (30, PROBLEMS_MAX, 0));
        let reason = "no SHA-256, SHA-1 or MD5".to_owned();
        assert_eq!(read.problems.last(), Some(&ListProblem { line: 20, reason }));
    }

    #[test]
    fn lists_have_an_end() {
        let list = filled("{sha256}\n{sha256b}\n");
        let within = |bytes_max, lines_max| {
            let (list, read) = Reader::new("list:a".to_owned()).read(list.as_bytes(), bytes_max, lines_max).unwrap();
            let told = read.problems.into_iter().map(|problem| (problem.line, problem.reason)).next();
            assert!(names(&list, 1).is_some());
            (read.digests, told)
        };
        assert_eq!(within(1000, 2), (2, None));
        // Forty digits of a digest that was cut would be a SHA-1.
        let more_bytes = "the list has 105 bytes or more; from here on it is not read".to_owned();
        assert_eq!(within(105, 2), (1, Some((2, more_bytes))));
        let more_lines = "the list has more than 1 lines; from here on it is not read".to_owned();
        assert_eq!(within(1000, 1), (1, Some((2, more_lines))));
    }

    #[test]
    fn names_are_bounded_and_visible() {
        let long = format!("{{sha256}} {}\n{{sha256}} a\u{202e}b\u{7}c\n", "守".repeat(1000));
        let (list, _) = read(filled(&long).as_bytes());
        let names_of_it = names(&list, 1).unwrap();
        assert_eq!(names_of_it, ["守".repeat(42), "a\u{fffd}b\u{fffd}c".to_owned()]);
        let many: String = (0..100).map(|number| format!("{} name{number:03}\n", "01".repeat(32))).collect();
        let (list, read) = read(many.as_bytes());
        assert_eq!((names(&list, 1).unwrap().len(), read.digests), (64, 1));
    }

    #[test]
    fn digests_beyond_the_bound_of_names_have_none() {
        let list: String = (0..=NAMES_MAX).map(|number| format!("{number:064x} name{number}\n")).collect();
        let (list, read) = read(list.as_bytes());
        let names_of = |number: usize| {
            let mut sha256 = [0; 32];
            sha256[24..].copy_from_slice(&(number as u64).to_be_bytes());
            let digests = SampleDigests { sha256: SampleDigest::from_sha256(sha256), ..sample(9) };
            list.answer(&digests)
        };
        let known = |labels| ElsewhereAnswer::Known { first_seen: None, labels, detections: None };
        assert_eq!((read.digests, read.unusable, read.problems[0].line), (NAMES_MAX + 1, 1, NAMES_MAX as u64 + 1));
        assert_eq!(names_of(77), known(vec!["name77".to_owned()]));
        assert_eq!(names_of(NAMES_MAX), known(Vec::new()));
        assert_eq!(names_of(NAMES_MAX + 1), ElsewhereAnswer::Unknown);
    }
}
