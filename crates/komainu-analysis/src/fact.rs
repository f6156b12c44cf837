//! Everything that was seen, written down once: flat records with named fields.
//!
//! Rules ask facts and nothing else; so does everything after this step. Texts of the sample are escaped here
//! ([`RawText`]), paths are made absolute, descriptors become names, and each fact knows the process it came from.

mod field;
mod guest;
mod network;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use field::{Category, Field, UnknownWord};

use crate::evidence::{Evidence, Run, Sample};

/// The most runs that are looked at: user and root on two processors, twice.
pub const RUNS_MAX: usize = 8;
/// The most facts that are kept of one run: about 40 MB of memory.
pub const FACTS_OF_RUN_MAX: usize = 100_000;
/// The most facts of one action that are kept of one run, so that a busy act does not crowd out the others.
pub const FACTS_OF_ACTION_MAX: u32 = 20_000;
/// The longest text of a fact, in bytes after escaping; a request's target may have 2048 bytes.
pub const TEXT_BYTES_MAX: usize = 2048;
/// The most processes of a run that the tree shows and whose names are remembered.
pub const PROCESSES_MAX: usize = 4096;

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// What it is about; a rule names it as `logsource.category`.
    pub category: Category,
    /// The number of the run; none for what is known without running.
    pub run: Option<u16>,
    /// When, in microseconds since the sample was started.
    pub at_us: u64,
    /// The process, if the guest's kernel told it.
    pub pid: Option<u32>,
    values: Vec<(Field, Value)>,
}

/// The number of a fact within its [`Facts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactNumber(pub u32);

/// What a field of a fact says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// A text; shared, since the name of a program stands in each fact about it.
    Text(Arc<Text>),
}

/// A text and the same in small letters, since rules do not care for case.
#[derive(Debug, PartialEq)]
pub struct Text {
    shown: Box<str>,
    folded: Option<Box<str>>,
}

impl Text {
    /// A text, cut at [`TEXT_BYTES_MAX`].
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let shown = &text[..end];
        let has_capitals = shown.chars().any(char::is_uppercase);
        Self { shown: shown.into(), folded: has_capitals.then(|| shown.to_lowercase().into()) }
    }

    /// As it was.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// In small letters.
    pub fn folded(&self) -> &str {
        self.folded.as_deref().unwrap_or(&self.shown)
    }
}

/// Fields that [`Fact::line`] says otherwise, or leaves to the tables.
const SILENT: [Field; 10] = [
    Field::Action,
    Field::RunAs,
    Field::Image,
    Field::ProcessName,
    Field::ParentImage,
    Field::DestinationIp,
    Field::DestinationPort,
    Field::Scope,
    Field::Flow,
    Field::OwnFile,
];

impl Fact {
    /// A fact that says nothing but its action yet.
    pub fn new(category: Category, action: &str) -> Self {
        let values = vec![(Field::Action, Value::Text(Arc::new(Text::new(action))))];
        Self { category, run: None, at_us: 0, pid: None, values }
    }

    /// What a field says.
    pub fn value(&self, field: Field) -> Option<&Value> {
        self.values.iter().find(|(of, _)| *of == field).map(|(_, value)| value)
    }

    /// What a field says, if it is a text.
    pub fn text(&self, field: Field) -> Option<&str> {
        match self.value(field)? {
            Value::Text(text) => Some(text.as_str()),
            Value::Number(_) => None,
        }
    }

    /// What a field says, if it is a number.
    pub fn number(&self, field: Field) -> Option<i64> {
        match self.value(field)? {
            Value::Number(number) => Some(*number),
            Value::Text(_) => None,
        }
    }

    /// What it did.
    pub fn action(&self) -> &str {
        self.text(Field::Action).unwrap_or_default()
    }

    /// The fact in a line: what was done, to what, by whom.
    pub fn line(&self) -> String {
        let mut line = self.action().to_owned();
        let address = self.text(Field::DestinationIp).map(|ip| match self.number(Field::DestinationPort) {
            Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
            Some(port) => format!("{ip}:{port}"),
            None => ip.to_owned(),
        });
        line.extend(address.map(|address| format!(" {address}")));
        for (field, value) in self.values().filter(|(field, _)| !SILENT.contains(field)) {
            line.push_str(&format!(" {}={value}", field.name()));
        }
        let name = self.text(Field::ProcessName).filter(|name| !name.is_empty());
        match (name, self.pid) {
            (Some(name), Some(pid)) => line.push_str(&format!(" by {name}[{pid}]")),
            (None, Some(pid)) => line.push_str(&format!(" by [{pid}]")),
            (_, None) => {}
        }
        line
    }

    /// All fields in the order in which they were said.
    pub fn values(&self) -> impl Iterator<Item = (Field, &Value)> {
        self.values.iter().map(|(field, value)| (*field, value))
    }

    /// The same fact with a text more.
    #[must_use]
    pub fn with(self, field: Field, text: &str) -> Self {
        self.with_text(field, Arc::new(Text::new(text)))
    }

    /// The same fact with a number more.
    #[must_use]
    pub fn with_number(mut self, field: Field, number: i64) -> Self {
        self.values.push((field, Value::Number(number)));
        self
    }

    /// The same fact as one of this run, at this time.
    #[must_use]
    pub fn at(self, run: Option<u16>, at_us: u64) -> Self {
        Self { run, at_us, ..self }
    }

    #[must_use]
    fn with_text(mut self, field: Field, text: Arc<Text>) -> Self {
        self.values.push((field, Value::Text(text)));
        self
    }

    /// With a text that is only said if it is known.
    #[must_use]
    fn with_known(self, field: Field, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.with(field, text),
            None => self,
        }
    }

    #[must_use]
    fn with_flag(self, field: Field, flag: bool) -> Self {
        self.with(field, if flag { "true" } else { "false" })
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text.as_str()),
        }
    }
}

/// A process of a run, for the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The number of the run.
    pub run: u16,
    /// Its number in the guest.
    pub pid: u32,
    /// Who made it, if that was a process of the sample.
    pub parent: Option<u32>,
    /// What it is called.
    pub name: String,
    /// The program.
    pub image: String,
    /// Its arguments.
    pub command_line: String,
    /// When it was first seen, in microseconds since the sample was started.
    pub from_us: u64,
    /// When it ended.
    pub until_us: Option<u64>,
    /// As `wait` gives it.
    pub exit: Option<u32>,
}

/// All facts of a sample, those of a run in the order of their times.
#[derive(Debug, Default)]
pub struct Facts {
    facts: Vec<Fact>,
    /// The processes of all runs.
    pub processes: Vec<Process>,
    /// What was not kept, by what it was.
    pub left_out: BTreeMap<String, u64>,
}

impl Facts {
    /// Writes down all evidence.
    pub fn of(evidence: &Evidence) -> Self {
        let mut facts = Self { facts: of_sample(&evidence.sample), ..Self::default() };
        if evidence.runs.len() > RUNS_MAX {
            facts.leave_out("runs", (evidence.runs.len() - RUNS_MAX) as u64);
        }
        for (number, run) in (0..).zip(evidence.runs.iter().take(RUNS_MAX)) {
            facts.add_run(number, run);
        }
        facts
    }

    /// All of them; what is known without running comes first, then run by run.
    pub fn all(&self) -> &[Fact] {
        &self.facts
    }

    /// One of them.
    pub fn get(&self, number: FactNumber) -> Option<&Fact> {
        self.facts.get(number.0 as usize)
    }

    /// All of them with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (FactNumber, &Fact)> {
        (0..).map(FactNumber).zip(&self.facts)
    }

    /// Adds what was concluded from the others. Their numbers stay.
    pub fn conclude(&mut self, concluded: Vec<Fact>) {
        self.facts.extend(concluded);
    }

    fn leave_out(&mut self, what: &str, count: u64) {
        if count > 0 {
            *self.left_out.entry(what.to_owned()).or_default() += count;
        }
    }

    fn add_run(&mut self, number: u16, run: &Run) {
        let run_as = Arc::new(Text::new(run.run_as.name()));
        let mut log = Log {
            run: number,
            run_as,
            facts: Vec::new(),
            of_action: HashMap::new(),
            processes: Vec::new(),
            left_out: BTreeMap::new(),
        };
        guest::read(run, &mut log);
        network::read(run, &mut log);
        for text in &run.memory {
            log.add(text_fact(Category::Memory, text));
        }
        for file in &run.dropped {
            let fact = Fact::new(Category::File, "left-behind")
                .with(Field::TargetFilename, &file.path.to_string())
                .with(Field::Sha256, &file.sha256)
                .with_number(Field::Bytes, i64::try_from(file.bytes).unwrap_or(i64::MAX));
            log.add(Fact { at_us: run.ran_for_ms.saturating_mul(1000), ..fact });
        }
        // No order of events is promised; a stable sort keeps what was told in order at the same time in order.
        log.facts.sort_by_key(|fact| fact.at_us);
        self.facts.append(&mut log.facts);
        self.processes.append(&mut log.processes);
        for (what, count) in log.left_out {
            self.leave_out(&what, count);
        }
    }
}

/// The facts of one run while it is read.
struct Log {
    run: u16,
    run_as: Arc<Text>,
    facts: Vec<Fact>,
    of_action: HashMap<Category, HashMap<Box<str>, u32>>,
    processes: Vec<Process>,
    left_out: BTreeMap<String, u64>,
}

impl Log {
    fn add(&mut self, mut fact: Fact) {
        let of_category = self.of_action.entry(fact.category).or_default();
        let of_action = match of_category.get_mut(fact.action()) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => {
                of_category.insert(fact.action().into(), 1);
                1
            }
        };
        if of_action > FACTS_OF_ACTION_MAX || self.facts.len() == FACTS_OF_RUN_MAX {
            let what = format!("facts: {} {}", fact.category.name(), fact.action());
            *self.left_out.entry(what).or_default() += 1;
            return;
        }
        fact.run = Some(self.run);
        self.facts.push(fact.with_text(Field::RunAs, Arc::clone(&self.run_as)));
    }

    fn lose(&mut self, what: &str, count: u64) {
        if count > 0 {
            *self.left_out.entry(what.to_owned()).or_default() += count;
        }
    }
}

fn of_sample(sample: &Sample) -> Vec<Fact> {
    let mut file = Fact::new(Category::Static, "sample")
        .with(Field::Kind, &sample.kind)
        .with_number(Field::Bytes, i64::try_from(sample.bytes).unwrap_or(i64::MAX))
        .with_known(Field::Isa, sample.isa.as_deref())
        .with_known(Field::Packing, sample.packing.as_deref());
    if let Some(level) = &sample.level {
        file = file.with(Field::Level, level);
    }
    let mut facts = vec![file];
    facts.extend(sample.rules.iter().map(|rule| Fact::new(Category::Static, "rule").with(Field::Rule, rule)));
    facts.extend(sample.texts.iter().map(|text| text_fact(Category::Static, text)));
    if !sample.credentials.is_empty() {
        let count = i64::try_from(sample.credentials.len()).unwrap_or(i64::MAX);
        facts.push(Fact::new(Category::Static, "credentials").with_number(Field::Count, count));
    }
    facts.truncate(FACTS_OF_ACTION_MAX as usize);
    facts
}

fn text_fact(category: Category, text: &crate::evidence::StaticText) -> Fact {
    Fact::new(category, "text")
        .with(Field::Kind, &text.kind)
        .with(Field::Content, &text.value)
        .with_flag(Field::Decoded, text.decoded)
}

#[cfg(test)]
mod tests;
