//! Every operator with every kind of value: criteria state what is normal.

use std::net::IpAddr;

use komainu_detect::{Sample, ValueRef};

use crate::world::World;

/// Whether `value` violates `METRIC OPERATOR VALUE`.
fn violates(text: &str, sample: Sample<'_>) -> bool {
    let mut world = World::new(&[&format!("b {text}")]);
    world.report(1.0, sample);
    !world.log.lines.is_empty()
}

#[test]
fn counts() {
    fn check(operator: &str, [below, equal, above]: [bool; 3]) {
        let text = format!("aws:num-established-tcp-connections {operator} 5");
        for (count, expected) in [(4, below), (5, equal), (6, above)] {
            let sample = Sample { connection_count: Some(count), ..Sample::default() };
            assert_eq!(violates(&text, sample), expected, "{count} {operator} 5");
        }
    }
    check("<", [false, true, true]);
    check("<=", [false, false, true]);
    check(">", [true, true, false]);
    check(">=", [true, false, false]);
}

#[test]
fn numbers_of_custom_metrics() {
    fn check(text: &str, value: f64, expected: bool) {
        let sample = Sample { custom: &[("m", ValueRef::Number(value))], ..Sample::default() };
        assert_eq!(violates(&format!("m {text}"), sample), expected, "{value} {text}");
    }
    check("< 26.5", 26.4, false);
    check("< 26.5", 26.5, true);
    check("<= 26.5", 26.5, false);
    check("> -1.5", -1.5, true);
    check(">= -1.5", -1.5, false);
    // A limit given as `count` is as good.
    check("< 10", 9.99, false);
    check("< 10", 10.0, true);
    check("in-numbers 1,2.5", 2.5, false);
    check("in-numbers 1,2.5", 2.0, true);
    check("not-in-numbers 0", -0.0, true);
}

#[test]
fn lists_of_numbers_and_strings() {
    fn numbers(text: &str, values: &[f64], expected: bool) {
        let sample = Sample { custom: &[("m", ValueRef::Numbers(values))], ..Sample::default() };
        assert_eq!(violates(&format!("m {text}"), sample), expected, "{values:?} {text}");
    }
    fn strings(text: &str, values: &[&str], expected: bool) {
        let owned: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let sample = Sample { custom: &[("m", ValueRef::Strings(&owned))], ..Sample::default() };
        assert_eq!(violates(&format!("m {text}"), sample), expected, "{values:?} {text}");
    }
    numbers("in-numbers 3,1,2", &[1.0, 2.0], false);
    numbers("in-numbers 3,1,2", &[1.0, 4.0], true);
    numbers("not-in-numbers 3,1,2", &[4.0, 5.0], false);
    numbers("not-in-numbers 3,1,2", &[4.0, 3.0], true);
    numbers("in-numbers 1", &[], false);
    strings("in-strings sshd,init", &["init", "sshd"], false);
    strings("in-strings sshd,init", &["init", "nc"], true);
    strings("not-in-strings nc,dropbear", &["init"], false);
    strings("not-in-strings nc,dropbear", &["nc"], true);
    strings("not-in-strings nc", &[], false);
}

#[test]
fn ports() {
    fn check(text: &str, ports: &[u16], expected: bool) {
        let sample = Sample { listening_tcp_ports: Some(ports), ..Sample::default() };
        assert_eq!(violates(&format!("aws:listening-tcp-ports {text}"), sample), expected, "TCP {ports:?} {text}");
        let sample = Sample { listening_udp_ports: Some(ports), ..Sample::default() };
        assert_eq!(violates(&format!("aws:listening-udp-ports {text}"), sample), expected, "UDP {ports:?} {text}");
        assert!(!violates(&format!("aws:listening-tcp-ports {text}"), sample), "UDP ports are no TCP ports");
    }
    check("in-ports 443,80", &[80, 443], false);
    check("in-ports 443,80", &[80], false);
    check("in-ports 443,80", &[23, 80], true);
    check("in-ports 443,80", &[], false);
    check("in-ports ", &[1], true);
    check("in-ports ", &[], false);
    check("not-in-ports 23,2323", &[22, 80], false);
    check("not-in-ports 23,2323", &[22, 2323], true);
    check("not-in-ports ", &[22], false);
}

#[test]
fn addresses() {
    fn check(text: &str, addresses: &[&str], expected: bool) {
        let list: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let sample = Sample { destinations: Some(&list), ..Sample::default() };
        let rule = format!("aws:destination-ip-addresses {text}");
        assert_eq!(violates(&rule, sample), expected, "{addresses:?} {text}");
        let sample = Sample { custom: &[("m", ValueRef::Addresses(&list))], ..Sample::default() };
        assert_eq!(violates(&format!("m {text}"), sample), expected, "{addresses:?} {text} as a custom metric");
    }
    check("in-cidrs 10.0.0.0/8,192.168.0.0/16", &["10.255.255.255", "192.168.0.0"], false);
    check("in-cidrs 10.0.0.0/8,192.168.0.0/16", &["10.1.2.3", "192.169.0.0"], true);
    check("in-cidrs 10.0.0.0/8", &["11.0.0.0"], true);
    check("in-cidrs 10.0.0.0/8", &["9.255.255.255"], true);
    check("in-cidrs 10.0.0.0/8", &[], false);
    check("in-cidrs 10.0.0.0/8,10.1.0.0/16", &["10.200.0.1"], false);
    check("in-cidrs 0.0.0.0/0", &["255.255.255.255"], false);
    check("in-cidrs 0.0.0.0/0", &["2001:db8::1"], true);
    check("in-cidrs ::/0", &["ffff::1"], false);
    check("in-cidrs 10.1.2.3/8", &["10.9.9.9"], false);
    check("not-in-cidrs 198.51.100.0/24,2001:db8::/32", &["192.0.2.1", "2001:db9::"], false);
    check("not-in-cidrs 198.51.100.0/24,2001:db8::/32", &["2001:db8:ffff::1"], true);
    check("not-in-cidrs 198.51.100.7/32", &["198.51.100.6", "198.51.100.8"], false);
    check("not-in-cidrs 198.51.100.7/32", &["198.51.100.7"], true);
    check("not-in-cidrs 198.51.100.7/32", &["::ffff:198.51.100.7"], true);
}

#[test]
fn a_value_of_another_kind_is_named_and_not_judged() {
    let mut world = World::new(&["b m < 5", "c m in-strings x"]);
    let outcome = world.custom(1.0, ValueRef::Ports(&[1]));
    let notes: Vec<String> = outcome.dropped.iter().map(|note| format!("{} {}", note.metric, note.reason)).collect();
    assert_eq!(
        notes,
        [
            "custom_metrics.m is a list of ports, but behavior b of security profile p compares a number",
            "custom_metrics.m is a list of ports, but behavior c of security profile p compares a list of strings",
        ]
    );
    world.found(&[]);
}
