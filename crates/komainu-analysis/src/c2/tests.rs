use super::*;
use crate::trace::evidence_of;

fn traffic(trace: &str) -> Traffic {
    let evidence = evidence_of(trace);
    judge(&Facts::of(&evidence), &evidence.sample).0
}

/// Each endpoint with its role.
fn check(trace: &str, expected: &[(&str, &str)]) {
    let traffic = traffic(trace);
    let roles: Vec<(String, &str)> = traffic
        .endpoints
        .iter()
        .map(|endpoint| {
            let host = endpoint.names.first().cloned().unwrap_or_else(|| endpoint.address.to_string());
            (format!("{host}:{}", endpoint.port), endpoint.role.name())
        })
        .collect();
    let roles: Vec<(&str, &str)> = roles.iter().map(|(host, role)| (host.as_str(), *role)).collect();
    assert_eq!(roles, expected, "{:#?}", traffic.endpoints);
}

#[test]
fn roles_are_told_apart() {
    // A bot as they are described: calls home, scans, reports, loads.
    check(
        "static ipv4 203.0.113.7 decoded\n\
         net 0.2 connect 1 203.0.113.7:48101\nnet 0.3 sent 1 \\x00\\x00\\x00\\x01\n\
         repeat 40 every 0.2 net 1 connect 9{i} {ip}:23\n\
         net 4 login 95 telnet root admin ok\n\
         net 5 connect 2 203.0.113.8:48102\nnet 5.1 sent 2 \\x01\\x02report\n\
         net 6 connect 3 203.0.113.9:80\nnet 6.1 http 3 GET /x.arm 203.0.113.9 200\n\
         net 7 time 203.0.113.10:123\nnet 8 name a.example 8.8.8.8:53 198.18.0.1\n",
        &[
            ("203.0.113.7:48101", "command"),
            ("203.0.113.9:80", "download"),
            ("203.0.113.8:48102", "report"),
            ("8.8.8.8:53", "resolver"),
            ("203.0.113.10:123", "time"),
        ],
    );
}

#[test]
fn a_web_request_alone_is_nothing_in_particular() {
    check(
        "net 1 connect 1 203.0.113.9:80\nnet 1 http 1 GET /version 203.0.113.9 404\n",
        &[("203.0.113.9:80", "ordinary")],
    );
    check("net 1 connect 1 192.168.1.1:80\nnet 1 sent 1 x\n", &[("192.168.1.1:80", "ordinary")]);
}

#[test]
fn an_address_that_was_made_up_for_a_name_says_so() {
    let named = "net 1 name c.example 192.168.1.1:53 198.18.0.1\nrepeat 5 every 9 net 1 connect {i} 198.18.0.1:99 name=c.example\n";
    let endpoint = &traffic(named).endpoints[0];
    assert!(!endpoint.address_is_real && endpoint.role == Role::Command, "{endpoint:?}");
    assert_eq!(endpoint.beacon.map(|beacon| beacon.period_ms), Some(9000));
    let direct = &traffic("repeat 5 every 9 net 1 connect {i} 203.0.113.7:99\n").endpoints[0];
    assert!(direct.address_is_real);
}

#[test]
fn a_server_of_orders_on_a_scanned_port_is_found_when_it_is_played() {
    check(
        "repeat 40 every 0.2 net 1 connect 9{i} {ip}:23\nnet 9 connect 1 203.0.113.7:23\nnet 9.1 played 1 bot login\n\
         net 9.2 sent 1 ping\n",
        &[("203.0.113.7:23", "command")],
    );
}

#[test]
fn floods_and_scans_are_not_mixed_up() {
    let flood = traffic("net 1 counted udp 53 9000 1 3 203.0.113.9 forged\n");
    assert_eq!((flood.floods.len(), flood.scans.len()), (1, 0));
    assert!(flood.floods[0].forged_sources && flood.floods[0].per_second == 3000);
    let scan = traffic("net 1 counted syn 23 9000 4000 3 203.0.113.9\n");
    assert_eq!((scan.floods.len(), scan.scans.len()), (0, 1));
}

#[test]
fn names_are_whole_words() {
    assert!(names_whole("http://203.0.113.7:80/x", "203.0.113.7"));
    assert!(!names_whole("203.0.113.77", "203.0.113.7"));
    assert!(!names_whole("evil-c.example", "c.example"));
}
