use super::*;
use crate::trace::evidence_of;

/// The facts of a trace, and a rule about files with this detection.
fn check(detection: &str, expected: &[&str]) {
    let rule = format!("title: T\nlogsource:\n  category: file_sandbox\ndetection:\n{detection}\n");
    let (rules, problems) = Rules::read([("t.yml", rule.as_str())]);
    assert_eq!(problems, [], "{detection}");
    let trace = "guest 0 1 open /etc/Passwd 0 3\nguest 0 1 open /tmp/a*b 1 -2\nguest 0 1 chmod /tmp/x 493\nguest 0 1 unlink /var/log/a\\\\b\n";
    let facts = Facts::of(&evidence_of(trace));
    let (matches, _) = rules.matches(&facts);
    let names: Vec<&str> = matches
        .iter()
        .flat_map(|found| &found.evidence)
        .filter_map(|number| facts.get(*number)?.text(Field::TargetFilename))
        .collect();
    assert_eq!(names, expected, "{detection}");
}

#[test]
fn items_match_as_the_specification_says() {
    check("  s: {TargetFilename: /etc/passwd}\n  condition: s", &["/etc/Passwd"]);
    check("  s: {TargetFilename|cased: /etc/passwd}\n  condition: s", &[]);
    check("  s: {TargetFilename: '/etc/*'}\n  condition: s", &["/etc/Passwd"]);
    check("  s: {TargetFilename: '/tmp/?'}\n  condition: s", &["/tmp/x"]);
    check("  s: {TargetFilename: '/tmp/a\\*b'}\n  condition: s", &["/tmp/a*b"]);
    check("  s: {TargetFilename|contains: [ssw, a\\*]}\n  condition: s", &["/etc/Passwd", "/tmp/a*b"]);
    check("  s: {TargetFilename|contains|all: [ssw, etc]}\n  condition: s", &["/etc/Passwd"]);
    check("  s: {TargetFilename|startswith: /tmp}\n  condition: s", &["/tmp/a*b", "/tmp/x"]);
    check("  s: {TargetFilename|endswith: /x}\n  condition: s", &["/tmp/x"]);
    check("  s: {TargetFilename|re: '^/tmp/.$'}\n  condition: s", &["/tmp/x"]);
    check("  s: {TargetFilename|re|i: 'PASSWD'}\n  condition: s", &["/etc/Passwd"]);
    check("  s: {Access: null, Action: chmod}\n  condition: s", &["/tmp/x"]);
    check("  s: {Access|exists: true}\n  condition: s", &["/etc/Passwd", "/tmp/a*b"]);
    check("  s: {Mode: 0755}\n  condition: s", &[]);
    check("  s: {Mode: '0755'}\n  condition: s", &["/tmp/x"]);
    check("  s: {Mode|gt: 700}\n  condition: s", &["/tmp/x"]);
    check("  s:\n    - Action: chmod\n    - Access: read\n  condition: s", &["/etc/Passwd", "/tmp/x"]);
    check("  s: [passwd, nothing]\n  condition: s", &["/etc/Passwd"]);
    check("  s: {Action: open}\n  f: {Access: read}\n  condition: s and not f", &["/tmp/a*b"]);
    check("  s: {TargetFilename|fieldref: Image}\n  condition: s", &[]);
}

#[test]
fn encodings_are_those_of_the_specification() {
    let matchers = |modifiers: &str, text: &str| {
        let node = yaml::Node { line: 1, kind: yaml::NodeKind::Text(text.into()) };
        matcher::Modifiers::read(modifiers.split('|')).unwrap().matchers(&node).unwrap()
    };
    let fact = |text: &str| Fact::new(Category::File, "x").with(Field::Content, text);
    let holds = |modifiers: &str, text: &str, content: &str| {
        let fact = fact(content);
        matchers(modifiers, text).iter().any(|matcher| matcher.matches(&fact, fact.value(Field::Content)))
    };
    assert!(holds("base64|contains", "http://", "xxaHR0cDovLw=="));
    for content in ["aHR0cDovLw", "YWh0dHA6Ly8", "YWFodHRwOi8v"] {
        assert!(holds("base64offset|contains", "http://", content), "{content}");
    }
    assert!(holds("wide|base64offset|contains", "ping", "cABpAG4AZwA"));
    assert!(holds("utf16be", "a", "\\x00a"));
    assert!(holds("windash|contains", "-c x", "sh /c x"));
    assert!(holds("cidr", "203.0.113.0/24", "203.0.113.9") && !holds("cidr", "203.0.113.0/24", "203.0.114.9"));
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    let refused = |rule: &str, expected: &str| {
        let (rules, problems) = Rules::read([("t.yml", rule)]);
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{rule}: {problems:?}");
        assert!(rules.correlations.is_empty());
    };
    let detection = |text: &str| format!("title: T\nlogsource: {{category: file_sandbox}}\ndetection:\n{text}");
    refused("- a", "t.yml:1: a rule is a map");
    refused("a: b", "`title`: a rule has a title");
    refused("title: T\nlogsource: {category: dns}", "has a detection or a correlation");
    refused(
        "title: T\nlogsource: {category: dns}\ndetection: {condition: s}",
        "t.yml:2: `logsource.category`: `dns` is none of",
    );
    refused(
        "title: T\nlogsource: {product: windows}\ndetection: {s: {Image: x}, condition: s}",
        "samples run on `linux`",
    );
    refused(
        &detection("  s:\n    Imag: x\n  condition: s"),
        "t.yml:5: `detection.s.Imag`: no fact has the field `Imag`",
    );
    refused(&detection("  s: {Image|contians: x}\n  condition: s"), "there is no modifier `contians`");
    refused(&detection("  s: {Image|re: '('}\n  condition: s"), "a regular expression that is not read");
    refused(&detection("  s: {Image|cidr: x}\n  condition: s"), "`x` is no network");
    refused(&detection("  s: {Image|gt: x}\n  condition: s"), "only numbers");
    refused(&detection("  s: {Image: x}\n  condition: t"), "t.yml:5: `detection.condition`: no search is called `t`");
    refused(&detection("  s: {Image: x}\n"), "`detection.condition`: is missing");
    refused(&detection("  s: {Image: x}\n  timeframe: 5m\n  condition: s"), "write a correlation");
    refused(&detection("  s: {Image: [[x]]}\n  condition: s"), "a list in a list");
    let correlation = |text: &str| format!("title: T\nname: c\ncorrelation:\n{text}");
    refused(
        &correlation("  type: event_count\n  rules: [x]\n  timespan: 1m\n  condition: {gte: 1}"),
        "no rule is called x",
    );
    refused(&correlation("  type: event_count\n  rules: [c]\n  timespan: 1m\n  condition: {gte: 1}"), "names itself");
    refused(
        &correlation("  type: event_count\n  rules: [x]\n  timespan: soon\n  condition: {gte: 1}"),
        "`correlation.timespan`",
    );
    refused(&correlation("  type: sum\n  rules: [x]\n  timespan: 1m\n  condition: {gte: 1}"), "`correlation.type`");
    refused(&correlation("  type: temporal\n  rules: [x]\n  timespan: 1m"), "an order needs two rules");
    refused(&correlation("  type: event_count\n  rules: [x]\n  timespan: 1m\n  every: 1"), "`correlation.every`");
}

/// Correlates opens of /a, /b and /c; gives count and evidence.
fn correlate(correlation: &str, trace: &str) -> Vec<(u64, usize)> {
    let mut file = String::new();
    for name in ["a", "b", "c"] {
        file.push_str(&format!(
            "title: {name}\nname: {name}\nlogsource: {{category: file_sandbox}}\n\
             detection: {{s: {{Action: look, TargetFilename|startswith: /{name}}}, condition: s}}\n---\n"
        ));
    }
    let (rules, problems) = Rules::read([("t.yml", format!("{file}title: T\ncorrelation: {correlation}\n").as_str())]);
    assert_eq!(problems, []);
    let facts = Facts::of(&evidence_of(trace));
    let (matches, _) = rules.matches(&facts);
    let place = rules.all().iter().position(|rule| rule.title == "T").unwrap();
    matches.iter().filter(|found| found.rule == place).map(|found| (found.count, found.evidence.len())).collect()
}

#[test]
fn correlations_count_and_order_within_a_time() {
    let look = |text: &str| -> String {
        text.split(' ')
            .map(|word| word.split_once('@').unwrap())
            .map(|(name, at)| format!("guest {at} 1 look /{name}\n"))
            .collect()
    };
    let count = "{type: event_count, rules: [a, b], group-by: [ProcessName], timespan: 10s, condition: {gte: 3}}";
    assert_eq!(correlate(count, &look("a@1 b@2 a@3")), [(3, 3)]);
    assert_eq!(correlate(count, &look("a@1 b@2 a@30")), []);
    assert_eq!(correlate(count, &look("a@1 c@2 a@3")), []);
    let values = "{type: value_count, rules: [a], timespan: 10s, condition: {field: TargetFilename, gt: 2}}";
    assert_eq!(correlate(values, &look("a1@1 a2@2 a3@3 a3@4")), [(3, 3)]);
    assert_eq!(correlate(values, &look("a1@1 a2@2 a2@3 a1@4")), []);
    assert_eq!(correlate(values, &look("a1@1 a2@9 a3@12 a4@20")), []);
    let temporal = "{type: temporal, rules: [a, b, c], timespan: 10s}";
    assert_eq!(correlate(temporal, &look("c@1 a@2 b@3")), [(1, 3)]);
    assert_eq!(correlate(temporal, &look("c@1 a@2 b@30")), []);
    let ordered = "{type: temporal_ordered, rules: [a, b, c], timespan: 10s}";
    assert_eq!(correlate(ordered, &look("a@1 b@2 c@3")), [(1, 3)]);
    assert_eq!(correlate(ordered, &look("c@1 a@2 b@3")), []);
    assert_eq!(correlate(ordered, &look("a@1 b@2 a@20 c@21")), []);
    // The later beginning counts: a at 1 is too early, a at 5 is not.
    assert_eq!(correlate(ordered, &look("a@1 a@5 b@6 c@12")), [(1, 3)]);
    let few = "{type: event_count, rules: [a], timespan: 10s, condition: {lt: 2}}";
    assert_eq!(correlate(few, &look("a@1 a@20")), [(1, 1)]);
    assert_eq!(correlate(few, &look("a@1 a@2")), []);
}

#[test]
fn groups_are_apart_and_aliases_join_fields() {
    let grouped = "{type: event_count, rules: [a], group-by: [TargetFilename], timespan: 10s, condition: {gte: 2}}";
    assert_eq!(correlate(grouped, "guest 1 1 look /a1\nguest 2 1 look /a2\n"), []);
    assert_eq!(correlate(grouped, "guest 1 1 look /a1\nguest 2 1 look /a1\n"), [(2, 2)]);
    // Users and runs are apart.
    assert_eq!(correlate(grouped, "as user\nguest 1 1 look /a1\nas root\nguest 2 1 look /a1\n"), []);
    let alias = "{type: temporal, rules: [a, b], group-by: [who], timespan: 10s, \
                 aliases: {who: {a: Image, b: Image}}}";
    assert_eq!(correlate(alias, "guest 1 1 look /a\nguest 2 1 look /b\n"), [(1, 2)]);
}

#[test]
fn rules_that_only_serve_a_correlation_are_silent() {
    let rule = |more: &str| {
        format!(
            "title: a\nname: a\nlogsource: {{category: file_sandbox}}\ndetection: {{s: {{Action: look}}, condition: s}}\n---\n\
             title: T\ncorrelation: {{type: event_count, rules: [a], timespan: 1m, condition: {{gte: 9}}{more}}}\n"
        )
    };
    let facts = Facts::of(&evidence_of("guest 1 1 look /a\n"));
    let count = |text: &str| Rules::read([("t.yml", text)]).0.matches(&facts).0.len();
    assert_eq!(count(&rule("")), 0);
    assert_eq!(count(&rule(", generate: true")), 1);
}

#[test]
fn correlations_build_on_correlations() {
    let rule = "title: a\nname: a\nlogsource: {category: file_sandbox}\ndetection: {s: {Action: look}, condition: s}\n---\n\
                title: U\nname: u\ncorrelation: {type: event_count, rules: [t], timespan: 1m, condition: {gte: 2}}\n---\n\
                title: T\nname: t\ncorrelation: {type: event_count, rules: [a], group-by: [TargetFilename], timespan: 1m, condition: {gte: 2}}\n";
    let (rules, problems) = Rules::read([("t.yml", rule)]);
    assert_eq!(problems, []);
    let facts = Facts::of(&evidence_of("guest 1 1 look /a\nguest 2 1 look /a\nguest 3 1 look /b\nguest 4 1 look /b\n"));
    let titles: Vec<&str> =
        rules.matches(&facts).0.iter().map(|found| rules.all()[found.rule].title.as_str()).collect();
    assert_eq!(titles, ["U"]);
}

#[test]
fn a_rule_that_is_said_twice_is_taken_once() {
    let rule = "title: a\nname: a\nlogsource: {category: file_sandbox}\ndetection: {s: {Action: look}, condition: s}\n";
    let (rules, problems) = Rules::read([("1.yml", rule), ("2.yml", rule)]);
    assert_eq!((rules.all().len(), problems.len()), (1, 1));
    assert_eq!(problems[0].file, "2.yml");
}
