//! One rule.

use super::Problem;
use super::condition::{self, Condition, Possible};
use super::correlation::Correlation;
use super::matcher::{Matcher, Modifiers};
use crate::fact::{Category, Fact, Field};
use crate::yaml::{Node, NodeKind};

/// The most searches and items of a rule together.
const ITEMS_MAX: usize = 512;
/// The most values of an item; lists of ports and paths have tens.
const VALUES_MAX: usize = 4096;
/// The longest text about a rule that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// The file it comes from.
    pub file: String,
    /// The line it begins in.
    pub line: usize,
    /// Its unique name, if it has one (`name`).
    pub name: Option<String>,
    /// Its identifier, if it has one.
    pub id: Option<String>,
    /// What it finds, in a few words.
    pub title: String,
    /// What that means, in a sentence.
    pub description: String,
    /// How bad that is.
    pub level: Level,
    /// Its tags, such as `attack.t1046`.
    pub tags: Vec<String>,
    /// What only our rules have; operators' may.
    pub own: Own,
    /// When it holds.
    pub logic: Logic,
}

/// What the map `komainu` of a rule says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// How much it adds to the verdict, 0 to 100.
    pub score: Option<u8>,
    /// Under which heading the report has it.
    pub kind: Option<String>,
    /// [`Rule::title`] in Japanese.
    pub title_ja: Option<String>,
    /// [`Rule::description`] in Japanese.
    pub description_ja: Option<String>,
}

/// How bad it is what a rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Worth knowing.
    Informational,
    /// Common in harmless programs, too.
    Low,
    /// Rare in harmless programs.
    Medium,
    /// Harmful, or made to do harm.
    High,
    /// Harm is done.
    Critical,
}

impl Level {
    /// Its name in rules and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// What a rule adds to the verdict that does not say it itself.
    pub const fn score(self) -> u8 {
        match self {
            Self::Informational => 0,
            Self::Low => 5,
            Self::Medium => 15,
            Self::High => 30,
            Self::Critical => 60,
        }
    }
}

/// When a rule holds.
#[derive(Debug)]
pub enum Logic {
    /// For each fact that fits.
    Detection(Detection),
    /// For facts that others found, together.
    Correlation(Correlation),
}

/// Searches, and how they go together.
#[derive(Debug)]
pub struct Detection {
    category: Category,
    /// What a category of others says of facts of ours.
    implied: Vec<Item>,
    searches: Vec<Search>,
    condition: Condition,
}

#[derive(Debug)]
enum Search {
    Items(Vec<Item>),
    OneOf(Vec<Search>),
}

#[derive(Debug)]
struct Item {
    /// None: any text of the fact.
    field: Option<Field>,
    wants_all: bool,
    /// Each value of the rule, as the matchers of which one has to match.
    values: Vec<Vec<Matcher>>,
}

impl Rule {
    pub(super) fn read(file: &str, document: &Node) -> Result<Self, Problem> {
        let reader = Reader { file };
        if !matches!(document.kind, NodeKind::Map(_)) {
            return Err(reader.problem(document.line, "", "a rule is a map of fields"));
        }
        if let Some(action) = document.get("action") {
            return Err(reader.problem(
                action.line,
                "action",
                "collections of Sigma 1 are not read; write each rule whole",
            ));
        }
        let title = reader.text(document, "title")?.unwrap_or_default();
        if title.is_empty() {
            return Err(reader.problem(document.line, "title", "a rule has a title"));
        }
        let level = match document.get("level") {
            None => Level::Medium,
            Some(node) => match node.text() {
                Some("informational") => Level::Informational,
                Some("low") => Level::Low,
                Some("medium") => Level::Medium,
                Some("high") => Level::High,
                Some("critical") => Level::Critical,
                _ => {
                    let what = "is one of informational, low, medium, high and critical";
                    return Err(reader.problem(node.line, "level", what));
                }
            },
        };
        let logic = match (document.get("detection"), document.get("correlation")) {
            (Some(detection), None) => Logic::Detection(reader.detection(document, detection)?),
            (None, Some(node)) => Logic::Correlation(
                Correlation::read(node).map_err(|error| reader.problem(error.line, &error.field, &error.what))?,
            ),
            (Some(_), Some(node)) => {
                return Err(reader.problem(node.line, "correlation", "a rule is a detection or a correlation"));
            }
            (None, None) => {
                return Err(reader.problem(document.line, "detection", "a rule has a detection or a correlation"));
            }
        };
        Ok(Self {
            file: file.to_owned(),
            line: document.line,
            name: reader.text(document, "name")?,
            id: reader.text(document, "id")?,
            title,
            description: reader.text(document, "description")?.unwrap_or_default(),
            level,
            tags: reader.texts(document, "tags")?,
            own: reader.own(document)?,
            logic,
        })
    }

    /// By what it is known in reports: its name, its identifier or its title.
    pub fn key(&self) -> &str {
        self.name.as_deref().or(self.id.as_deref()).unwrap_or(&self.title)
    }

    /// How much it adds to the verdict.
    pub fn score(&self) -> u8 {
        self.own.score.unwrap_or_else(|| self.level.score())
    }

    /// The techniques of ATT&CK that its tags name, as in `T1053.003`.
    pub fn techniques(&self) -> Vec<String> {
        let techniques = self.tags.iter().filter_map(|tag| tag.strip_prefix("attack.t"));
        techniques
            .filter(|digits| digits.len() >= 4 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
            .map(|digits| format!("T{digits}"))
            .collect()
    }

    pub(super) fn problem(&self, field: &str, what: String) -> Problem {
        Problem { file: self.file.clone(), line: self.line, field: field.to_owned(), what }
    }
}

struct Reader<'t> {
    file: &'t str,
}

impl Reader<'_> {
    fn problem(&self, line: usize, field: &str, what: &str) -> Problem {
        Problem { file: self.file.to_owned(), line, field: field.to_owned(), what: what.to_owned() }
    }

    fn text(&self, of: &Node, field: &str) -> Result<Option<String>, Problem> {
        let Some(node) = of.get(field) else { return Ok(None) };
        if node.kind == NodeKind::Null {
            return Ok(None);
        }
        match node.scalar() {
            Some(text) if text.len() <= TEXT_BYTES_MAX => Ok(Some(text.trim().to_owned())),
            Some(_) => Err(self.problem(node.line, field, "is too long")),
            None => Err(self.problem(node.line, field, "is a text")),
        }
    }

    fn texts(&self, of: &Node, field: &str) -> Result<Vec<String>, Problem> {
        let Some(node) = of.get(field) else { return Ok(Vec::new()) };
        let NodeKind::List(list) = &node.kind else {
            return Err(self.problem(node.line, field, "is a list of texts"));
        };
        let texts =
            list.iter().map(|node| node.scalar().ok_or_else(|| self.problem(node.line, field, "is a list of texts")));
        texts.collect()
    }

    fn own(&self, document: &Node) -> Result<Own, Problem> {
        let Some(node) = document.get("komainu") else { return Ok(Own::default()) };
        let score = match node.get("score") {
            None => None,
            Some(node) => match node.kind {
                NodeKind::Integer(score @ 0..=100) => u8::try_from(score).ok(),
                _ => return Err(self.problem(node.line, "komainu.score", "is a number from 0 to 100")),
            },
        };
        Ok(Own {
            score,
            kind: self.text(node, "kind")?,
            title_ja: self.text(node, "title_ja")?,
            description_ja: self.text(node, "description_ja")?,
        })
    }

    fn detection(&self, document: &Node, detection: &Node) -> Result<Detection, Problem> {
        let (category, implied) = self.source(document)?;
        let NodeKind::Map(entries) = &detection.kind else {
            return Err(self.problem(detection.line, "detection", "is a map of searches and a condition"));
        };
        let mut names = Vec::new();
        let mut searches = Vec::new();
        let mut items = 0;
        for (name, node) in entries.iter().filter(|(name, _)| name != "condition" && name != "timeframe") {
            names.push(name.as_str());
            searches.push(self.search(name, node, &mut items)?);
        }
        if let Some(node) = detection.get("timeframe") {
            return Err(self.problem(node.line, "detection.timeframe", "is not read; write a correlation"));
        }
        let Some(node) = detection.get("condition") else {
            return Err(self.problem(detection.line, "detection.condition", "is missing"));
        };
        let texts = match &node.kind {
            NodeKind::List(list) => list.iter().map(Node::scalar).collect::<Option<Vec<_>>>(),
            _ => node.scalar().map(|text| vec![text]),
        };
        let texts = texts.filter(|texts| !texts.is_empty());
        let texts = texts.ok_or_else(|| self.problem(node.line, "detection.condition", "is a text"))?;
        let conditions = texts.iter().map(|text| Condition::read(text, &names)).collect::<Result<Vec<_>, _>>();
        let mut conditions = conditions.map_err(|what| self.problem(node.line, "detection.condition", &what))?;
        let condition = if conditions.len() == 1 { conditions.swap_remove(0) } else { Condition::Any(conditions) };
        Ok(Detection { category, implied, searches, condition })
    }

    /// The category; for those of other collections also what they say of our facts.
    fn source(&self, document: &Node) -> Result<(Category, Vec<Item>), Problem> {
        let Some(source) = document.get("logsource") else {
            return Err(self.problem(document.line, "logsource", "is missing"));
        };
        if let Some(product) = source.get("product")
            && product.text() != Some("linux")
        {
            return Err(self.problem(product.line, "logsource.product", "samples run on `linux` here"));
        }
        if let Some(service) = source.get("service") {
            return Err(self.problem(service.line, "logsource.service", "no logs of services are kept here"));
        }
        let Some(node) = source.get("category") else {
            return Err(self.problem(source.line, "logsource.category", "is missing"));
        };
        let name = node.scalar().unwrap_or_default();
        if let Ok(category) = name.parse() {
            return Ok((category, Vec::new()));
        }
        match name.as_str() {
            "process_creation" => Ok((Category::Process, vec![Item::is_one_of(&["exec"])])),
            "file_event" => Ok((Category::File, vec![Item::is_one_of(&["write", "move"])])),
            "file_delete" => Ok((Category::File, vec![Item::is_one_of(&["delete"])])),
            "network_connection" => Ok((Category::Network, vec![Item::is_one_of(&["connect", "call-connect"])])),
            "dns_query" => Ok((Category::Dns, vec![Item::is_one_of(&["query"])])),
            _ => {
                let known: Vec<&str> = Category::ALL.iter().map(|category| category.name()).collect();
                let what = format!("`{name}` is none of {}", known.join(", "));
                Err(self.problem(node.line, "logsource.category", &what))
            }
        }
    }

    /// One level of lists of searches; a list in a list is refused by the values.
    fn search(&self, name: &str, node: &Node, items: &mut usize) -> Result<Search, Problem> {
        let path = format!("detection.{name}");
        match &node.kind {
            NodeKind::Map(entries) => {
                let read = entries.iter().map(|(key, node)| self.item(&path, key, node, items));
                Ok(Search::Items(read.collect::<Result<_, _>>()?))
            }
            NodeKind::List(list) if list.iter().all(|node| matches!(node.kind, NodeKind::Map(_))) => {
                let read = list.iter().map(|node| self.search(name, node, items));
                Ok(Search::OneOf(read.collect::<Result<_, _>>()?))
            }
            NodeKind::List(_) | NodeKind::Text(_) | NodeKind::Integer(_) | NodeKind::Float(_) | NodeKind::Bool(_) => {
                Ok(Search::Items(vec![self.values(&path, None, "contains", node, items)?]))
            }
            NodeKind::Null => Err(self.problem(node.line, &path, "is empty")),
        }
    }

    fn item(&self, path: &str, key: &str, node: &Node, items: &mut usize) -> Result<Item, Problem> {
        let (name, modifiers) = key.split_once('|').unwrap_or((key, ""));
        let path = format!("{path}.{key}");
        if name.is_empty() {
            // Keywords with modifiers: `'|all': [...]`; each value may stand anywhere.
            let modifiers = format!("contains|{modifiers}");
            return self.values(&path, None, &modifiers, node, items);
        }
        let field = name
            .parse::<Field>()
            .map_err(|_| self.problem(node.line, &path, &format!("no fact has the field `{name}`")))?;
        self.values(&path, Some(field), modifiers, node, items)
    }

    fn values(
        &self,
        path: &str,
        field: Option<Field>,
        modifiers: &str,
        node: &Node,
        items: &mut usize,
    ) -> Result<Item, Problem> {
        *items += 1;
        if *items > ITEMS_MAX {
            return Err(self.problem(node.line, path, &format!("more than {ITEMS_MAX} items")));
        }
        let words = modifiers.split('|').filter(|word| !word.is_empty());
        let modifiers = Modifiers::read(words).map_err(|what| self.problem(node.line, path, &what))?;
        let list = match &node.kind {
            NodeKind::List(list) => list.as_slice(),
            _ => std::slice::from_ref(node),
        };
        if list.is_empty() || list.len() > VALUES_MAX {
            return Err(self.problem(node.line, path, &format!("has no value, or more than {VALUES_MAX}")));
        }
        let values =
            list.iter().map(|node| modifiers.matchers(node).map_err(|what| self.problem(node.line, path, &what)));
        Ok(Item { field, wants_all: modifiers.all, values: values.collect::<Result<_, _>>()? })
    }
}

impl Item {
    fn is_one_of(actions: &[&str]) -> Self {
        let modifiers = Modifiers::default();
        let values = actions.iter().filter_map(|action| {
            modifiers.matchers(&Node { line: 0, kind: NodeKind::Text((*action).to_owned()) }).ok()
        });
        Self { field: Some(Field::Action), wants_all: false, values: values.collect() }
    }

    fn holds(&self, fact: &Fact) -> bool {
        let matches = |matchers: &Vec<Matcher>| match self.field {
            Some(field) => {
                let value = fact.value(field);
                matchers.iter().any(|matcher| matcher.matches(fact, value))
            }
            None => fact.values().any(|(_, value)| matchers.iter().any(|matcher| matcher.matches(fact, Some(value)))),
        };
        if self.wants_all { self.values.iter().all(matches) } else { self.values.iter().any(matches) }
    }

    fn possible(&self, about: &Fact) -> Possible {
        if self.field == Some(Field::Action) {
            let holds = self.holds(about);
            return Possible { holds, fails: !holds };
        }
        Possible { holds: true, fails: true }
    }
}

impl Search {
    fn holds(&self, fact: &Fact) -> bool {
        match self {
            Self::Items(items) => items.iter().all(|item| item.holds(fact)),
            Self::OneOf(searches) => searches.iter().any(|search| search.holds(fact)),
        }
    }

    fn possible(&self, about: &Fact) -> Possible {
        match self {
            Self::Items(items) => condition::all(items.iter().map(|item| item.possible(about))),
            Self::OneOf(searches) => condition::any(searches.iter().map(|search| search.possible(about))),
        }
    }
}

impl Detection {
    pub(super) fn holds(&self, fact: &Fact) -> bool {
        fact.category == self.category
            && self.implied.iter().all(|item| item.holds(fact))
            && self.condition.holds(&mut |place| self.searches.get(place).is_some_and(|search| search.holds(fact)))
    }

    /// Whether it can hold for facts that are about, and did, what `about` says, whatever else they say.
    pub(super) fn can_hold(&self, about: &Fact) -> bool {
        let nothing = Possible { holds: false, fails: true };
        about.category == self.category
            && self.implied.iter().all(|item| item.holds(about))
            && self
                .condition
                .possible(&mut |place| self.searches.get(place).map_or(nothing, |search| search.possible(about)))
                .holds
    }
}
