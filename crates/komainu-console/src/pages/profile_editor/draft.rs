//! What is typed into the editor, and the profile that it says.
//!
//! What is typed is kept as it is until it makes sense, so that no mistake costs anybody their work.

use std::collections::BTreeSet;

use komainu_detect::{
    BEHAVIORS_MAX, BehaviorDraft, CriteriaDraft, DESCRIPTION_CHARS_MAX, ExpectedDraft, ValidationRules, validate,
};
use komainu_model::{
    Arn, Behavior, Comparison, DetectTarget, ExpectedValue, GroupName, Metric, ProfileName, ProfileProblem,
    SecurityProfile,
};
use komainu_ports::ProfileDraft;

use crate::fields::Fields;
use crate::problem_words::{of_behavior, of_profile};
use crate::shown::shown;
use crate::visit::Visit;

/// Up to so many rows are all open: such a row takes about 2.5 KB of a page's 150 KB.
const ROWS_OPEN_MAX: usize = 30;

/// Of more rows so many are open; one that is folded takes 0.7 KB.
const ROWS_OPEN_OF_MANY: usize = 10;

/// Bytes of all values that the form can show, for the same reason.
const VALUES_BYTES_MAX: usize = 24 * 1024;

/// How a value is compared: the words of the form, which say of which kind a set is, and AWS's.
pub(super) const OPERATORS: [(&str, &str); 12] = [
    ("less-than", "less-than"),
    ("less-than-equals", "less-than-equals"),
    ("greater-than", "greater-than"),
    ("greater-than-equals", "greater-than-equals"),
    ("in-cidr-set", "in-cidr-set"),
    ("not-in-cidr-set", "not-in-cidr-set"),
    ("in-port-set", "in-port-set"),
    ("not-in-port-set", "not-in-port-set"),
    ("in-numbers", "in-set"),
    ("not-in-numbers", "not-in-set"),
    ("in-strings", "in-set"),
    ("not-in-strings", "not-in-set"),
];

/// The operator of a behavior that judges nothing and keeps its metric's values.
pub(super) const KEEP_ONLY: &str = "keep";

/// All that the form has, as it was typed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Form {
    pub(super) name: String,
    /// The version that was seen; none of a profile that is new.
    pub(super) version: Option<u64>,
    pub(super) description: String,
    pub(super) rows: Vec<Row>,
    /// Places of rows that somebody opened, the latest last.
    pub(super) opened: Vec<usize>,
    /// Words for targets: `all`, `registered`, `unregistered`, `group:NAME`.
    pub(super) targets: BTreeSet<String>,
    /// Names of more groups, apart by spaces.
    pub(super) more_groups: String,
    /// The ARN of the alert topic; may be nothing.
    pub(super) topic: String,
    pub(super) retained: BTreeSet<String>,
    /// Names of more metrics, apart by spaces.
    pub(super) more_retained: String,
    /// Days that are tried.
    pub(super) days: String,
}

/// One behavior as it was typed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) metric: String,
    pub(super) operator: String,
    pub(super) value: String,
    pub(super) window: String,
    pub(super) to_alarm: String,
    pub(super) to_clear: String,
    pub(super) is_suppressed: bool,
}

/// What a form says, or all that is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// The profile, when nothing is wrong.
    pub(super) draft: Option<ProfileDraft>,
    /// What is wrong with the whole, for people, with nothing hostile in it.
    pub(super) wrong: Vec<String>,
    /// What is wrong with each row.
    pub(super) wrong_rows: Vec<Vec<String>>,
}

impl Form {
    /// A form with nothing in it but a row to begin with.
    pub(super) fn fresh() -> Self {
        Self { rows: vec![Row::fresh()], targets: [ALL_THINGS.to_owned()].into(), ..Self::default() }
    }

    /// What came from the form.
    pub(super) fn typed(fields: &Fields) -> Self {
        let column = |name: &'static str| fields.all(name).map(str::to_owned).collect::<Vec<_>>();
        let [names, metrics, operators, values, windows, to_alarm, to_clear] =
            ["b-name", "b-metric", "b-operator", "b-value", "b-window", "b-alarm", "b-clear"].map(column);
        let suppressed: BTreeSet<&str> = fields.all("b-suppress").collect();
        let at = |column: &[String], place: usize| column.get(place).cloned().unwrap_or_default();
        let rows = (0..names.len()).map(|place| Row {
            name: at(&names, place).trim().to_owned(),
            metric: at(&metrics, place).trim().to_owned(),
            operator: at(&operators, place),
            value: at(&values, place),
            window: at(&windows, place).trim().to_owned(),
            to_alarm: at(&to_alarm, place).trim().to_owned(),
            to_clear: at(&to_clear, place).trim().to_owned(),
            is_suppressed: suppressed.contains(place.to_string().as_str()),
        });
        let one = |name: &str| fields.one(name).to_owned();
        Self {
            name: one("name").trim().to_owned(),
            version: fields.one("version").parse().ok(),
            description: one("description").trim().to_owned(),
            rows: rows.collect(),
            opened: fields.all("opened").take(BEHAVIORS_MAX).filter_map(|place| place.parse().ok()).collect(),
            targets: fields.all("target").map(str::to_owned).collect(),
            more_groups: one("groups"),
            topic: one("topic"),
            retained: fields.all("retain").map(str::to_owned).collect(),
            more_retained: one("retain-more"),
            days: one("days"),
        }
    }

    /// Opens a row.
    pub(super) fn open(&mut self, place: usize) {
        self.opened.retain(|opened| *opened != place);
        self.opened.push(place);
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, place: usize) {
        self.rows.remove(place);
        self.opened.retain(|opened| *opened != place);
        for opened in &mut self.opened {
            *opened -= usize::from(*opened > place);
        }
    }

    /// Places of the rows that are open: all of them when they have room, else those that somebody opened last, then those
    /// with something wrong, then the first.
    pub(super) fn open_rows(&self, wrong: &[Vec<String>]) -> BTreeSet<usize> {
        let is_wrong = |place: &usize| wrong.get(*place).is_some_and(|wrong| !wrong.is_empty());
        let places = self.opened.iter().rev().copied().filter(|place| *place < self.rows.len());
        let all = places.chain((0..self.rows.len()).filter(is_wrong)).chain(0..self.rows.len());
        let most = if self.rows.len() > ROWS_OPEN_MAX { ROWS_OPEN_OF_MANY } else { ROWS_OPEN_MAX };
        let mut open = BTreeSet::new();
        for place in all {
            if open.len() < most {
                open.insert(place);
            }
        }
        open
    }

    /// A profile as the form shows it; `None` when it has something that the form cannot show.
    pub(super) fn of(profile: &SecurityProfile) -> Option<Self> {
        let rows = profile.behaviors.iter().map(Row::of).collect::<Option<Vec<Row>>>()?;
        let values_bytes: usize = rows.iter().map(|row| row.value.len()).sum();
        if values_bytes > VALUES_BYTES_MAX {
            return None;
        }
        let metrics = profile.metrics_to_retain.iter().map(|retained| &retained.metric);
        let (known, custom): (Vec<&Metric>, Vec<&Metric>) =
            metrics.partition(|metric| !matches!(metric, Metric::Custom(_)));
        Some(Self {
            opened: Vec::new(),
            name: profile.name.to_string(),
            version: Some(profile.version),
            description: profile.description.clone().unwrap_or_default(),
            rows,
            targets: profile.targets.iter().map(target_word).collect(),
            more_groups: String::new(),
            topic: profile.alert_targets.first().map(|target| target.target.to_string()).unwrap_or_default(),
            retained: known.into_iter().map(|metric| metric.as_str().to_owned()).collect(),
            more_retained: custom.into_iter().map(Metric::as_str).collect::<Vec<_>>().join(" "),
            days: String::new(),
        })
    }

    /// What it says. All that is wrong is told at once; `needs_name` is whether a profile without a name is wrong.
    pub(super) fn check(&self, visit: &Visit, needs_name: bool) -> Checked {
        let rules = ValidationRules { short_windows_allowed: visit.console.profiles.short_windows_allowed() };
        let mut checked = Checked::default();
        let name = match self.name.as_str() {
            // What is only tried needs none.
            "" if !needs_name => ProfileName::parse("draft").ok(),
            name => ProfileName::parse(name).ok(),
        };
        if name.is_none() {
            checked.wrong.push(visit.text("editor.name-wrong").to_owned());
        }
        if self.description.chars().count() > DESCRIPTION_CHARS_MAX {
            let most = DESCRIPTION_CHARS_MAX.to_string();
            checked.wrong.push(visit.filled("editor.description-long", &[("count", &most)]));
        }
        if self.rows.len() > BEHAVIORS_MAX {
            checked.wrong.push(visit.filled("editor.rows-many", &[("count", &BEHAVIORS_MAX.to_string())]));
        }
        let mut behaviors = Vec::new();
        for row in &self.rows {
            let read = if row.is_empty() { Ok(None) } else { row.read(visit, rules).map(Some) };
            checked.wrong_rows.push(match read {
                Ok(behavior) => {
                    behaviors.extend(behavior);
                    Vec::new()
                }
                Err(wrong) => wrong,
            });
        }
        // What each row says alone makes sense; what is left is how they go together.
        checked.wrong.extend(validate(&behaviors, rules).iter().map(|problem| of_profile(visit, problem)));
        let targets = self.read_targets(visit, &mut checked.wrong);
        let metrics_to_retain = self.read_retained(visit, &mut checked.wrong);
        let alert_topic = match self.topic.as_str() {
            "" => None,
            topic => {
                let parsed = Arn::parse(topic).ok();
                if parsed.is_none() {
                    checked.wrong.push(visit.filled("editor.topic-wrong", &[("text", &shown(topic))]));
                }
                parsed
            }
        };
        let is_right = checked.wrong.is_empty() && checked.wrong_rows.iter().all(Vec::is_empty);
        checked.draft = name.filter(|_| is_right).map(|name| ProfileDraft {
            name,
            description: self.description.clone(),
            behaviors,
            alert_topic,
            metrics_to_retain,
            targets,
        });
        checked
    }

    fn read_targets(&self, visit: &Visit, wrong: &mut Vec<String>) -> BTreeSet<DetectTarget> {
        let more = self.more_groups.split_whitespace().map(|group| format!("{GROUP}{group}"));
        let words = self.targets.iter().cloned().chain(more);
        let read = |word: String| match word.as_str() {
            ALL_THINGS => Some(DetectTarget::AllThings),
            REGISTERED => Some(DetectTarget::RegisteredThings),
            UNREGISTERED => Some(DetectTarget::UnregisteredThings),
            word => match word.strip_prefix(GROUP).map(GroupName::parse) {
                Some(Ok(group)) => Some(DetectTarget::Group(group)),
                Some(Err(_)) | None => {
                    let group = word.strip_prefix(GROUP).unwrap_or(word);
                    wrong.push(visit.filled("editor.group-wrong", &[("text", &shown(group))]));
                    None
                }
            },
        };
        words.filter_map(read).collect()
    }

    fn read_retained(&self, visit: &Visit, wrong: &mut Vec<String>) -> BTreeSet<Metric> {
        let names = self.retained.iter().map(String::as_str).chain(self.more_retained.split_whitespace());
        let read = |name: &str| {
            let metric = Metric::parse(name).ok();
            if metric.is_none() {
                wrong.push(visit.filled("editor.metric-wrong", &[("text", &shown(name))]));
            }
            metric
        };
        names.filter_map(read).collect()
    }
}

/// The words for targets.
pub(super) const ALL_THINGS: &str = "all";
pub(super) const REGISTERED: &str = "registered";
pub(super) const UNREGISTERED: &str = "unregistered";
pub(super) const GROUP: &str = "group:";

fn target_word(target: &DetectTarget) -> String {
    match target {
        DetectTarget::AllThings => ALL_THINGS.to_owned(),
        DetectTarget::RegisteredThings => REGISTERED.to_owned(),
        DetectTarget::UnregisteredThings => UNREGISTERED.to_owned(),
        DetectTarget::Group(group) => format!("{GROUP}{group}"),
    }
}

impl Row {
    /// A row to be filled in, with what is usual.
    pub(super) fn fresh() -> Self {
        Self {
            operator: "less-than".to_owned(),
            window: "300".to_owned(),
            to_alarm: "1".to_owned(),
            to_clear: "1".to_owned(),
            ..Self::default()
        }
    }

    /// Whether nothing was typed into it: it is not a behavior yet.
    fn is_empty(&self) -> bool {
        [&self.name, &self.metric, &self.value].into_iter().all(|text| text.trim().is_empty())
    }

    /// A behavior as a row; `None` when a row cannot say it.
    fn of(behavior: &Behavior) -> Option<Self> {
        let row = Self {
            name: behavior.name.to_string(),
            metric: behavior.metric.as_str().to_owned(),
            is_suppressed: behavior.suppress_alerts,
            operator: KEEP_ONLY.to_owned(),
            ..Self::default()
        };
        let Some(criteria) = &behavior.criteria else { return Some(row) };
        let compared = |comparison: &Comparison| match comparison {
            Comparison::LessThan => "less-than",
            Comparison::LessThanEquals => "less-than-equals",
            Comparison::GreaterThan => "greater-than",
            Comparison::GreaterThanEquals => "greater-than-equals",
        };
        let set = |within: bool, inside: &'static str, outside: &'static str| if within { inside } else { outside };
        let (operator, value) = match &criteria.expected {
            ExpectedValue::Count(comparison, count) => (compared(comparison), count.to_string()),
            // With its point, by which it is told from a count.
            ExpectedValue::Number(comparison, number) => (compared(comparison), format!("{number:?}")),
            ExpectedValue::Cidrs { within, set: elements } => {
                (set(*within, "in-cidr-set", "not-in-cidr-set"), lines(elements.iter().map(ToString::to_string)))
            }
            ExpectedValue::Ports { within, set: elements } => {
                (set(*within, "in-port-set", "not-in-port-set"), lines(elements.iter().map(ToString::to_string)))
            }
            ExpectedValue::Numbers { within, set: elements } => {
                (set(*within, "in-numbers", "not-in-numbers"), lines(elements.iter().map(ToString::to_string)))
            }
            ExpectedValue::Strings { within, set: elements } => {
                // A line is a text; so what is no line cannot be shown.
                if elements.iter().any(|element| element.is_empty() || element.contains(['\n', '\r', '\0'])) {
                    return None;
                }
                (set(*within, "in-strings", "not-in-strings"), lines(elements.iter().cloned()))
            }
            ExpectedValue::Statistical(..) | ExpectedValue::Learned(_) => return None,
        };
        Some(Self {
            operator: operator.to_owned(),
            value,
            window: criteria.duration_s.map(|seconds| seconds.to_string()).unwrap_or_default(),
            to_alarm: criteria.datapoints_to_alarm.to_string(),
            to_clear: criteria.datapoints_to_clear.to_string(),
            ..row
        })
    }

    /// The behavior that it says, or all that is wrong with it, for people, with nothing hostile in it.
    fn read(&self, visit: &Visit, rules: ValidationRules) -> Result<Behavior, Vec<String>> {
        let mut wrong = Vec::new();
        let criteria = (self.operator != KEEP_ONLY).then(|| self.read_criteria(visit, &mut wrong));
        let draft = BehaviorDraft {
            name: self.name.clone(),
            metric: Some(self.metric.clone()).filter(|metric| !metric.is_empty()),
            criteria,
            suppress_alerts: self.is_suppressed,
            ..BehaviorDraft::default()
        };
        // What cannot be read would be told once more as missing.
        if !wrong.is_empty() {
            if self.name.is_empty() {
                wrong.push(visit.text("editor.row-name-missing").to_owned());
            }
            return Err(wrong);
        }
        // The core says of which behavior it speaks; here that is seen.
        let plain = |problem: &ProfileProblem| match problem {
            ProfileProblem::Behavior { name: _, problem } => of_behavior(visit, problem),
            other => of_profile(visit, other),
        };
        draft.check(rules).map_err(|problems| problems.iter().map(plain).collect())
    }

    fn read_criteria(&self, visit: &Visit, wrong: &mut Vec<String>) -> CriteriaDraft {
        let mut whole = |text: &str, key: &'static str| -> Option<i64> {
            if text.is_empty() {
                return None;
            }
            let number = text.parse().ok();
            if number.is_none() {
                let field = visit.texts.word("editor-field", key).unwrap_or(key);
                wrong.push(visit.filled("editor.no-number", &[("field", field), ("text", &shown(text))]));
            }
            number
        };
        let duration_s = whole(&self.window, "window");
        let datapoints_to_alarm = whole(&self.to_alarm, "to-alarm");
        let datapoints_to_clear = whole(&self.to_clear, "to-clear");
        let value = self.read_value(visit, wrong);
        let operator = OPERATORS.iter().find(|(word, _)| *word == self.operator).map(|(_, aws)| (*aws).to_owned());
        CriteriaDraft {
            operator,
            value: Some(value),
            duration_s,
            datapoints_to_alarm,
            datapoints_to_clear,
            ..CriteriaDraft::default()
        }
    }

    fn read_value(&self, visit: &Visit, wrong: &mut Vec<String>) -> ExpectedDraft {
        let mut value = ExpectedDraft::default();
        let text = self.value.trim();
        let words = || text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        let mut no_number = |text: &str| {
            let field = visit.texts.word("editor-field", "value").unwrap_or("value");
            wrong.push(visit.filled("editor.no-number", &[("field", field), ("text", &shown(text))]));
        };
        match self.operator.as_str() {
            "in-cidr-set" | "not-in-cidr-set" => value.cidrs = Some(words().map(str::to_owned).collect()),
            "in-port-set" | "not-in-port-set" => {
                let ports = words().map(|word| word.parse().map_err(|_| word)).collect::<Result<Vec<i64>, &str>>();
                value.ports = ports.map_err(&mut no_number).ok();
            }
            "in-numbers" | "not-in-numbers" => {
                let numbers = words().map(|word| word.parse().map_err(|_| word)).collect::<Result<Vec<f64>, &str>>();
                value.numbers = numbers.map_err(&mut no_number).ok();
            }
            "in-strings" | "not-in-strings" => {
                let lines = self.value.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
                value.strings = Some(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect());
            }
            _ => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(count), _) => value.count = Some(count),
                (Err(_), Ok(number)) => value.number = Some(number),
                (Err(_), Err(_)) => no_number(text),
            },
        }
        value
    }
}

fn lines(elements: impl Iterator<Item = String>) -> String {
    elements.collect::<Vec<_>>().join("\n")
}
