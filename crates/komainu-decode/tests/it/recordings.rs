//! Recorded conversations are recognised, on their own port and on another.

use komainu_decode::{Conversation, Fact, Protocol, Transport};

use crate::flow::recorded;

fn check(transport: Transport, port: u16, text: &str, expected: Protocol) {
    let mut conversation = Conversation::new(transport, port);
    for (side, bytes) in recorded(text) {
        conversation.data(side, &bytes, &mut |_, _: Fact<'_>| {});
    }
    assert_eq!(conversation.protocol(), Some(expected), "port {port}");
}

#[test]
fn streams() {
    for port in [22, 9999] {
        check(Transport::Tcp, port, include_str!("../talks/ssh_openssh.txt"), Protocol::Ssh);
        check(Transport::Tcp, port, include_str!("../talks/ssh_dropbear.txt"), Protocol::Ssh);
        check(Transport::Tcp, port, include_str!("../talks/tls13_chrome.txt"), Protocol::Tls);
        check(Transport::Tcp, port, include_str!("../talks/tls12_openssl.txt"), Protocol::Tls);
        check(Transport::Tcp, port, include_str!("../talks/mqtt5_pub.txt"), Protocol::Mqtt);
        check(Transport::Tcp, port, include_str!("../talks/mqtt31_refused.txt"), Protocol::Mqtt);
    }
    check(Transport::Tcp, 53, include_str!("../talks/dns_tcp.txt"), Protocol::Dns);
}

#[test]
fn datagrams() {
    check(Transport::Udp, 53, include_str!("../talks/dns_udp.txt"), Protocol::Dns);
    check(Transport::Udp, 161, include_str!("../talks/snmp.txt"), Protocol::Snmp);
    check(Transport::Udp, 5683, include_str!("../talks/coap.txt"), Protocol::Coap);
}
