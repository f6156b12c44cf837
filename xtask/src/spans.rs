//! Spans in the code and in `docs/traces.md` are the same: their names and attributes are an interface.

use std::collections::{BTreeMap, BTreeSet};

/// Spans with their attributes.
type Spans = BTreeMap<String, BTreeSet<String>>;

/// The one macro that spans are made with: their level is `debug`, so that they cost a branch where nobody wants them.
const MACRO: &str = concat!("debug_", "span!(");

/// Other ways to make a span.
const OTHERS: &[&str] = &[
    concat!("trace_", "span!("),
    concat!("info_", "span!("),
    concat!("warn_", "span!("),
    concat!("error_", "span!("),
    concat!("tracing::", "span!("),
    concat!("#[", "instrument"),
    concat!("tracing::", "instrument"),
];

/// Notes the spans of a file, and what is wrong with them.
pub(crate) fn note(path: &str, text: &str, spans: &mut Spans, problems: &mut Vec<String>) {
    for other in OTHERS.iter().filter(|other| text.contains(*other)) {
        problems.push(format!("{path}: {other} makes a span that is not at the level debug"));
    }
    for (place, _) in text.match_indices(MACRO) {
        let parts = arguments(&text[place + MACRO.len()..]);
        let mut parts = parts.iter().filter(|part| !part.starts_with("parent:"));
        let Some(name) = parts.next().and_then(|part| part.strip_prefix('"')?.strip_suffix('"')) else {
            problems.push(format!("{path}: a span has no name that can be read"));
            continue;
        };
        let attributes = parts.filter_map(|part| part.split_once('=')).map(|(name, _)| name.trim().to_owned());
        spans.entry(name.to_owned()).or_default().extend(attributes.filter(|name| !name.starts_with("otel.")));
    }
}

/// Compares the spans of the code with the table of `docs/traces.md`.
pub(crate) fn compare(spans: &Spans, documentation: &str, problems: &mut Vec<String>) {
    let documented = documented(documentation);
    for name in spans.keys().chain(documented.keys()).collect::<BTreeSet<_>>() {
        match (spans.get(name), documented.get(name)) {
            (Some(has), Some(said)) if has != said => {
                let differ: Vec<_> = has.symmetric_difference(said).map(String::as_str).collect();
                problems.push(format!("docs/traces.md: the attributes of {name} differ by {}", differ.join(", ")));
            }
            (Some(_), None) => problems.push(format!("docs/traces.md: the span {name} is missing")),
            (None, Some(_)) => problems.push(format!("docs/traces.md: there is no span {name}")),
            _ => {}
        }
    }
}

/// The rows of the table: the name is in the first column, attributes are in the last.
fn documented(documentation: &str) -> Spans {
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = documentation.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        Some((words(cells.first()?).into_iter().next()?, words(cells.last()?).into_iter().collect()))
    })
    .collect()
}

/// What stands between commas, up to the parenthesis that closes.
fn arguments(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth, mut is_text) = (Vec::new(), String::new(), 0usize, false);
    for letter in text.chars() {
        match letter {
            '"' => is_text = !is_text,
            '(' | '[' | '{' if !is_text => depth += 1,
            ')' | ']' | '}' if !is_text && depth == 0 => break,
            ')' | ']' | '}' if !is_text => depth -= 1,
            ',' if !is_text && depth == 0 => {
                parts.push(std::mem::take(&mut part).trim().to_owned());
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    parts.push(part.trim().to_owned());
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told() {
        let check = |code: &str, documentation: &str, expected: &[&str]| {
            let (mut spans, mut problems) = (Spans::new(), Vec::new());
            note("a.rs", code, &mut spans, &mut problems);
            compare(&spans, documentation, &mut problems);
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
            for (problem, expected) in problems.iter().zip(expected) {
                assert!(problem.contains(expected), "{problem}");
            }
        };
        let plain = format!("{MACRO}\"job\")");
        let whole = format!("{MACRO}parent: None, \"job\", otel.kind = \"server\", a.b = %f(x, (1)), c = Empty,)");
        check(&plain, "| `job` | what | internal | |", &[]);
        check(&whole, "| `job` | `what` | server | `a.b`, `c` |", &[]);
        check(&whole, "| `job` | what | server | `a.b` |", &["differ by c"]);
        check(&plain, "", &["job is missing"]);
        check("", "| `job` | what | internal | |", &["no span job"]);
        check(&format!("{MACRO}NAME)"), "", &["no name"]);
        check(OTHERS[1], "", &["not at the level debug"]);
    }
}
