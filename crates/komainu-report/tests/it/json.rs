//! Single departures from the schema, and the bounds.

use komainu_report::{
    CUSTOM_METRICS_MAX, LIST_ELEMENTS_MAX, PROBLEMS_MAX, Parsed, REPORT_BYTES_MAX, Unusable, parse_json,
};

fn parsed(body: &str) -> Parsed {
    let text = format!(r#"{{"header":{{"report_id":7,"version":"1.0"}},{body}}}"#);
    parse_json(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn problems(body: &str) -> String {
    parsed(body).problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn peers_are_read_in_every_spelling() {
    fn check(remote_addr: &str, expected: &str) {
        let body = format!(
            r#""metrics":{{"tcp_connections":{{"established_connections":{{"connections":[{{"remote_addr":"{remote_addr}","local_interface":null}}]}}}}}}"#
        );
        let Parsed { report, problems } = parsed(&body);
        let found = match report.connections.unwrap().first() {
            Some(connection) => format!("{} {:?}", connection.address, connection.port),
            None => problems[0].reason.clone(),
        };
        assert_eq!(found, expected, "{remote_addr}");
        assert_eq!(report.connection_count, Some(1), "{remote_addr}: dropped peers are counted");
    }
    check("192.0.2.1:443", "192.0.2.1 Some(443)");
    check("[fe80::1]:443", "fe80::1 Some(443)");
    check("fe80::1:443", "fe80::1 Some(443)");
    check("fe80::1%eth0:443", "fe80::1 Some(443)");
    check("[fe80::1%eth0]:443", "fe80::1 Some(443)");
    check("::ffff:192.0.2.1:443", "192.0.2.1 Some(443)");
    check("192.0.2.1", "192.0.2.1 None");
    check("[2001:db8::1]", "2001:db8::1 None");
    check("[2001:db8:85a3:1:2:3", "is cut short");
    check("2001:db8:85a3::8a2e:3", "has 21 characters, where a known agent cuts IPv6 addresses short");
    check("example.com:443", "is not an IP address and a port");
    check("192.0.2.1:65536", "has no port number after the last colon");
    check("[::1]443", "is not an IP address and a port");
    check("", "is not an IP address and a port");
}

#[test]
fn numbers_are_read_when_they_are_counts() {
    fn check(value: &str, expected: Option<u64>, problem: &str) {
        let body = format!(r#""metrics":{{"network_stats":{{"bytes_in":{value}}}}}"#);
        assert_eq!(parsed(&body).report.network.bytes_in, expected, "{value}");
        assert_eq!(problems(&body), problem, "{value}");
    }
    check("0", Some(0), "");
    check("12.0", Some(12), "");
    check("1.2e3", Some(1200), "");
    check("18446744073709551615", Some(u64::MAX), "");
    check("null", None, "");
    check("-1", None, "metrics.network_stats.bytes_in is negative");
    check("-0.5", None, "metrics.network_stats.bytes_in is not a whole number that is not negative");
    check("1.5", None, "metrics.network_stats.bytes_in is not a whole number that is not negative");
    check("1e300", None, "metrics.network_stats.bytes_in is not a whole number that is not negative");
    check("\"12\"", None, "metrics.network_stats.bytes_in is a string, a whole number is expected");
    check("[12]", None, "metrics.network_stats.bytes_in is a list, a whole number is expected");
    check("{\"a\":[{}]}", None, "metrics.network_stats.bytes_in is an object, a whole number is expected");
    check("true", None, "metrics.network_stats.bytes_in is a boolean, a whole number is expected");
}

#[test]
fn parts_of_a_wrong_kind_are_dropped_and_named() {
    fn check(body: &str, expected: &str) {
        assert_eq!(problems(body), expected, "{body}");
    }
    check(r#""metrics":{"listening_tcp_ports":null,"tcp_connections":null}"#, "");
    check(r#""metrics":{},"custom_metrics":null"#, "");
    check(r#""metrics":{"network_stats":5}"#, "metrics.network_stats is a number, an object is expected");
    check(r#""metrics":{"listening_tcp_ports":[1]}"#, "metrics.listening_tcp_ports is a list, an object is expected");
    check(
        r#""metrics":{"tp":{"ports":{"port":1}}}"#,
        "metrics.listening_tcp_ports.ports is an object, a list is expected",
    );
    check(
        r#""metrics":{"tp":{"ports":[5,{"interface":"eth0"},{"port":0},{"port":70000},{"port":22}],"why":1}}"#,
        "metrics.listening_tcp_ports.ports[0] is a number, an object is expected\n\
         metrics.listening_tcp_ports.ports[1] has no port\n\
         metrics.listening_tcp_ports.ports[2].port is not a port number\n\
         metrics.listening_tcp_ports.ports[3].port is not a port number\n\
         metrics.listening_tcp_ports.why is not a part of this section",
    );
    check(r#""metrics":{"cpu":{}},"extra":1"#, "metrics.cpu is not a known section\nextra is not a part of a report");
    check(
        r#""metrics":{"ns":{"bi":1,"bytes_in":2}}"#,
        "metrics.network_stats.bytes_in is given twice; the first counts",
    );
    check(
        r#""custom_metrics":{"a b":[{"number":1}],"c":[{"number":1}],"c":[{"number":2}],"d":[],"e":[1],"f":[{}]}"#,
        "custom_metrics.a b is not a metric's name: 1 to 128 of a-z A-Z 0-9 : _ -\n\
         custom_metrics.c is given twice; the first counts\n\
         custom_metrics.d has 0 values, a list with one object is expected\n\
         custom_metrics.e is a list of a number, a list with one object is expected\n\
         custom_metrics.f has none of number, number_list, string_list, ip_list",
    );
    check(
        r#""custom_metrics":{"a":[{"number":"1"}],"b":[{"number":1,"number_list":[]}],"c":[{"ip_list":["x"]}],"d":[{"string_list":[1]}],"e":[{"number":1},{"number":2}],"f":[{"text":"x"}]}"#,
        "custom_metrics.a number is not a finite number\n\
         custom_metrics.b has more than one value\n\
         custom_metrics.c ip_list[0] is not one of IP addresses\n\
         custom_metrics.d string_list[0] is not one of strings of at most 1024 bytes\n\
         custom_metrics.e has 2 values, a list with one object is expected\n\
         custom_metrics.f has text, which is none of number, number_list, string_list, ip_list",
    );
}

#[test]
fn reports_without_what_they_must_have_are_refused() {
    fn check(text: &str, report_id: Option<u64>, expected: &str) {
        let error = parse_json(text.as_bytes()).expect_err(text);
        assert_eq!((error.report_id, error.to_string().as_str()), (report_id, expected), "{text}");
    }
    check("", None, "report is not valid JSON: EOF while parsing a value at line 1 column 0");
    check("[]", None, "report is a list, an object is expected");
    check("{}", None, "header is missing");
    check(r#"{"header":5}"#, None, "header is a number, an object is expected");
    check(r#"{"header":{"version":"1.0"},"metrics":{}}"#, None, "header.report_id is missing");
    check(
        r#"{"header":{"report_id":0,"version":"1.0"},"metrics":{}}"#,
        None,
        "header.report_id is not a whole number greater than zero",
    );
    check(r#"{"header":{"report_id":5},"metrics":{}}"#, Some(5), "header.version is missing");
    check(
        r#"{"header":{"report_id":5,"version":"2.0"},"metrics":{}}"#,
        Some(5),
        "header.version is 2.0, only 1.x is understood",
    );
    check(
        r#"{"header":{"report_id":5,"version":"x\u0000"},"metrics":{}}"#,
        Some(5),
        r#"header.version is "x\\0", "Major.Minor" is expected"#,
    );
    check(
        r#"{"header":{"report_id":5,"version":1.0},"metrics":{}}"#,
        Some(5),
        "header.version is a number, a string is expected",
    );
    check(r#"{"header":{"report_id":5,"version":"1.0"}}"#, Some(5), "report has neither metrics nor custom_metrics");
    check(
        r#"{"header":{"report_id":5,"version":"1.0"},"metrics":[]}"#,
        Some(5),
        "metrics is a list, an object is expected",
    );
    check(r#"{"header":{"report_id":5,"version":"1.0"},"met":{},"metrics":{}}"#, Some(5), "metrics is given twice");
    check(
        r#"{"header":{"report_id":5,"version":"1.0"},"custom_metrics":{"cpu":{"number":1}}}"#,
        Some(5),
        "custom_metrics.cpu is an object, a list with one object is expected",
    );
    check(
        r#"{"header":{"report_id":5,"version":"1.0"},"metrics":{"#,
        Some(5),
        "report is not valid JSON: EOF while parsing an object at line 1 column 53",
    );
    check(
        r#"{"header":{"report_id":5,"version":"1.0"},"metrics":{}} x"#,
        Some(5),
        "report is not valid JSON: trailing characters at line 1 column 57",
    );
}

#[test]
fn bounds_hold() {
    let oversized = vec![b' '; REPORT_BYTES_MAX + 1];
    let problem = parse_json(&oversized).unwrap_err().problem;
    assert_eq!(problem, Unusable::TooLarge { bytes: REPORT_BYTES_MAX + 1, bytes_max: REPORT_BYTES_MAX });

    let ports = |count: usize| {
        let list: Vec<String> = (1..=count).map(|port| format!(r#"{{"port":{port}}}"#)).collect();
        format!(r#""metrics":{{"tp":{{"ports":[{}],"total":{count}}}}}"#, list.join(","))
    };
    let full = parsed(&ports(LIST_ELEMENTS_MAX));
    assert_eq!((full.report.listening_tcp_ports.unwrap().len(), full.problems.len()), (LIST_ELEMENTS_MAX, 0));
    let over = parsed(&ports(LIST_ELEMENTS_MAX + 2));
    assert_eq!((over.report.listening_tcp_ports.unwrap().len(), over.problems.len()), (LIST_ELEMENTS_MAX, 1));
    assert_eq!(over.report.listening_tcp_port_count, Some(LIST_ELEMENTS_MAX as u64 + 2));

    let custom: Vec<String> = (0..=CUSTOM_METRICS_MAX).map(|n| format!(r#""m{n}":[{{"number":{n}}}]"#)).collect();
    let over = parsed(&format!(r#""custom_metrics":{{{}}}"#, custom.join(",")));
    assert_eq!((over.report.custom.len(), over.problems.len()), (CUSTOM_METRICS_MAX, 1));

    let unknown: Vec<String> = (0..PROBLEMS_MAX + 5).map(|n| format!(r#""u{n}":0"#)).collect();
    let over = parsed(&format!(r#""metrics":{{{}}}"#, unknown.join(",")));
    assert_eq!(over.problems.len(), PROBLEMS_MAX + 1);
    assert_eq!(over.problems[PROBLEMS_MAX].reason, "5 more problems of this report are not listed");

    let deep = format!(r#""metrics":{{"x":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(problems(&deep), "metrics.x is not a known section");
    let long = "n".repeat(1000);
    let shown = problems(&format!(r#""metrics":{{"{long}":0}}"#));
    assert!(shown.len() < 200, "{shown}");
}
