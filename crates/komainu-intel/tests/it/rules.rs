//! What rules mean, and which are refused.

use komainu_decode::{Side, Transport};
use komainu_intel::{RULE_BYTES_MAX, RuleList};
use proptest::prelude::*;

use crate::scene::{Session, classifier, sids};

/// Whether a rule with these options holds for what a client says at a port that no protocol is for.
fn holds(options: &str, said: &[u8]) -> bool {
    let rules = classifier(&format!("alert tcp any any -> any any ({options} sid:1;)"));
    !sids(&rules, Transport::Tcp, 9999, &[(Side::Client, said)]).0.is_empty()
}

#[test]
fn contents() {
    let check = |options: &str, said: &str, expected: bool| {
        assert_eq!(holds(options, said.as_bytes()), expected, "{options} over {said:?}");
    };
    check(r#"content:"abc";"#, "xxabcxx", true);
    check(r#"content:"abc";"#, "xxABCxx", false);
    check(r#"content:"aBc"; nocase;"#, "xxAbCxx", true);
    check(r#"content:"|61 62|c";"#, "abc", true);
    check(r#"content:"a\;\"\\\:|3a|";"#, "a;\"\\::", true);
    check(r#"content:!"abc"; content:"x";"#, "xyz", true);
    check(r#"content:!"abc"; content:"x";"#, "xabc", false);
    check(r#"content:"bc"; offset:2;"#, "xbc", false);
    check(r#"content:"bc"; offset:1;"#, "xbc", true);
    check(r#"content:"bc"; depth:3;"#, "xbc", true);
    check(r#"content:"bc"; depth:2;"#, "xbc", false);
    check(r#"content:"bc"; offset:1; depth:2;"#, "xbc", true);
    check(r#"content:"ab"; startswith;"#, "abab", true);
    check(r#"content:"ab"; startswith;"#, "xab", false);
    check(r#"content:"ab"; endswith;"#, "abxab", true);
    check(r#"content:"ab"; endswith;"#, "abx", false);
    check(r#"content:"a"; content:"b"; distance:0;"#, "ab", true);
    check(r#"content:"a"; content:"b"; distance:1;"#, "ab", false);
    check(r#"content:"b"; content:"a"; distance:-2;"#, "ab", true);
    check(r#"content:"a"; content:"b"; within:2;"#, "axb", true);
    check(r#"content:"a"; content:"b"; within:1;"#, "axb", false);
    check(r#"content:"a"; content:"b"; distance:1; within:1;"#, "axb", true);
    // The first place where one fits need not be the right one.
    check(r#"content:"a"; content:"b"; within:1;"#, "axxab", true);
    check(r#"content:"a"; content:"b"; within:1; content:"c"; within:1;"#, "abxabc", true);
    check(r#"content:"a"; content:!"b"; within:1;"#, "ab", false);
    check(r#"content:"a"; content:!"b"; within:1;"#, "abac", true);
    // What stands between and does not move the cursor changes nothing of that.
    check(r#"content:"a"; isdataat:2; content:"b"; within:1;"#, "axxab", true);
    check(r#"content:"a"; bsize:5; content:"b"; within:1;"#, "axxab", true);
    check(r#"content:"a"; content:!"c"; content:"b"; within:1;"#, "axxab", true);
}

#[test]
fn other_tests() {
    let check = |options: &str, said: &[u8], expected: bool| {
        assert_eq!(holds(options, said), expected, "{options} over {said:?}");
    };
    check(r#"pcre:"/a\d+b/";"#, b"xa12b", true);
    check(r#"pcre:"/A\d+B/i";"#, b"xa12b", true);
    check(r#"pcre:!"/a\d+b/"; content:"x";"#, b"xa12b", false);
    check(r#"content:"=";  pcre:"/^\d/R";"#, b"a=b=1", true);
    check(r#"content:"=";  pcre:"/^\d/R";"#, b"a=b=c1", false);
    check(r#"pcre:"/a./"; content:"b"; distance:0;"#, b"axxb", true);
    check(r#"pcre:"/^\xff\x00/s";"#, b"\xff\x00", true);
    check(r#"content:"a"; isdataat:2,relative;"#, b"abc", true);
    check(r#"content:"a"; isdataat:3,relative;"#, b"abc", false);
    check(r#"content:"c"; isdataat:!1,relative;"#, b"abc", true);
    check(r#"content:"c"; isdataat:0,relative;"#, b"abc", true);
    check(r#"content:"b"; isdataat:!0,relative;"#, b"abc", false);
    check("isdataat:2;", b"abc", true);
    check("isdataat:3;", b"abc", false);
    check("bsize:3;", b"abc", true);
    check("bsize:2<>4;", b"abc", true);
    check("bsize:>3;", b"abc", false);
    check("bsize:=3;", b"abc", true);
    check("bsize:!=3;", b"abc", false);
    check("bsize:2-4;", b"abc", true);
    check("bsize:3-5;", b"abc", false);
    check("byte_test:2,>,255,0;", b"\x01\x00", true);
    check("byte_test:2,=,1,0,little;", b"\x01\x00", true);
    check("byte_test:1,&,0x80,0;", b"\x81", true);
    check("byte_test:1,!=,1,0;", b"\x01", false);
    check("byte_test:3,=,123,0,string,dec;", b"123x", true);
    check("byte_test:4,=,0x1f,0,string,hex;", b"0x1f", true);
    check(r#"content:"n="; byte_test:1,=,5,0,relative;"#, b"n=\x05", true);
    check(r#"byte_jump:1,0; content:"x"; within:1;"#, b"\x02abx", true);
    check(r#"byte_jump:1,0; content:"x"; within:1;"#, b"\x03abx", false);
    check(r#"byte_jump:1,0,multiplier 2,post_offset 1; content:"x"; within:1;"#, b"\x01abcx", true);
    check("byte_jump:8,0;", b"\xff\xff\xff\xff\xff\xff\xff\xff", false);
}

#[test]
fn buffers_of_http() {
    const REQUEST: &[u8] =
        b"POST /a%2Fb?c=%41 HTTP/1.1\r\nHost: Example.ORG:8080\r\nUser-Agent: check/1\r\nCookie: k=v\r\n\
        Content-Type: text/x\r\nContent-Length: 9\r\n\r\nname=valu";
    let check = |options: &str, expected: bool| {
        let rules = classifier(&format!("alert http any any -> any any ({options} sid:1;)"));
        for size in [1, 7, REQUEST.len()] {
            let pieces: Vec<_> = REQUEST.chunks(size).map(|piece| (Side::Client, piece)).collect();
            let (found, _) = sids(&rules, Transport::Tcp, 80, &pieces);
            assert_eq!(!found.is_empty(), expected, "{options} in pieces of {size}");
            assert!(found.len() <= 1, "{options} holds once");
        }
    };
    check(r#"http.method; content:"POST"; bsize:4;"#, true);
    check(r#"http.uri; content:"/a/b?c=A"; startswith; endswith;"#, true);
    check(r#"http.uri.raw; content:"/a%2Fb?c=%41";"#, true);
    check(r#"content:"/a/b"; http_uri; content:"POST"; http_method;"#, true);
    check(r#"uricontent:"/a/b";"#, true);
    check(r#"http.uri; content:"check/1";"#, false);
    check(r#"http.header; content:"User-Agent: check/1|0d 0a|";"#, true);
    check(r#"http.header; content:"Cookie";"#, false);
    check(r#"http.header_names; content:"|0d 0a|Host|0d 0a|User-Agent|0d 0a|"; startswith;"#, true);
    check(r#"http.cookie; content:"k=v"; bsize:3;"#, true);
    check(r#"http.user_agent; content:"check/1"; bsize:7;"#, true);
    check(r#"http.host; content:"example.org"; bsize:11;"#, true);
    check(r#"http.content_type; content:"text/x"; bsize:6;"#, true);
    check(r#"http.request_body; content:"name="; startswith;"#, true);
    check(r#"file_data; content:"name=";"#, true);
    check(r#"pcre:"/^name=/P"; pcre:"/\/a\/b/U";"#, true);
    check(r#"http.uri; content:"/a"; http.request_body; content:"valu"; endswith;"#, true);
    check(r#"http.uri; content:"/a"; http.request_body; content:"other";"#, false);
    check(r#"http.method; content:"POST"; http.request_body; content:!"other";"#, true);
    check(r#"http.method; content:!"GET";"#, true);
    check(r#"http.referer; content:!"x";"#, false);
    check(r#"http.uri; content:"/a"; pkt_data; content:"Content-Length";"#, true);
    check(r#"content:"Content-Length";"#, true);
    check("urilen:8;", true);
    check("urilen:8,norm;", true);
    check("urilen:12,raw;", true);
    // What is relative looks into what the one before it looked into.
    check(r#"content:"c=A"; http_uri; isdataat:!1,relative;"#, true);
    check(r#"content:"/b"; http_uri; isdataat:!1,relative;"#, false);
    check(r#"content:"c="; http_uri; byte_test:1,=,65,0,relative;"#, true);
}

#[test]
fn what_is_normal_in_a_request() {
    let check = |request: &str, options: &str, expected: bool| {
        let rules = classifier(&format!("alert http any any -> any any ({options} sid:1;)"));
        let (found, _) = sids(&rules, Transport::Tcp, 80, &[(Side::Client, request.as_bytes())]);
        assert_eq!(!found.is_empty(), expected, "{options} over {request:?}");
    };
    for (target, expected) in [
        ("/", "/"),
        ("//a///b", "/a/b"),
        ("/a/./b/../c", "/a/c"),
        ("/a/b/..", "/a/"),
        ("/../../a", "/a"),
        ("/a%2f%2e%2E/b", "/b"),
        ("/a\\b/", "/a/b/"),
        ("/a%252fb", "/a%2fb"),
        ("/a?b=..//c/../d", "/a?b=..//c/../d"),
        ("/a?b=%2e%2e", "/a?b=.."),
        ("http://u@Host.example:8080/a//b", "/a/b"),
        ("*", "*"),
    ] {
        let exact = format!("http.uri; content:\"{expected}\"; bsize:{};", expected.len());
        check(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), &exact, true);
        let raw = format!("http.uri.raw; bsize:{};", target.len());
        check(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), &raw, true);
    }
    check(
        "GET http://u@Host.example:8080/ HTTP/1.1\r\nHost: a\r\n\r\n",
        r#"http.host; content:"host.example"; bsize:12;"#,
        true,
    );

    let twice = "GET / HTTP/1.1\r\nHost: a\r\nX-A:1\r\nCookie: k=1\r\nUser-Agent: b\r\nx-a:\t2\r\ncookie: l=2\r\nuser-agent: c\r\n\r\n";
    check(
        twice,
        r#"http.header; content:"Host|3a 20|a|0d 0a|X-A|3a 20|1, 2|0d 0a|User-Agent|3a 20|b, c|0d 0a|"; startswith; endswith;"#,
        true,
    );
    check(twice, r#"http.header.raw; content:"|0d 0a|x-a|3a 09|2|0d 0a|cookie|3a 20|l=2|0d 0a|";"#, true);
    check(twice, r#"http.header.raw; content:"c|0d 0a 0d 0a|"; endswith;"#, true);
    check(twice, r#"content:"X-A|3a|1"; http_raw_header; pcre:"/^Cookie/Dm";"#, true);
    check(twice, r#"http.cookie; content:"k=1, l=2"; bsize:8;"#, true);
    check(twice, r#"http.user_agent; content:"b, c"; bsize:4;"#, true);
}

#[test]
fn both_sides_and_bits() {
    const TALK: &[(Side, &[u8])] = &[
        (Side::Client, b"GET /x HTTP/1.1\r\n\r\n"),
        (Side::Server, b"HTTP/1.1 418 Short\r\nContent-Length: 0\r\n\r\n"),
    ];
    let check = |rules: &str, expected: &[u32]| {
        assert_eq!(sids(&classifier(rules), Transport::Tcp, 80, TALK).0, expected, "{rules}");
    };
    check("alert http any any -> any any (http.stat_code; content:\"418\"; flow:to_client; sid:1;)", &[1]);
    check("alert http any any -> any any (http.stat_msg; content:\"Short\"; sid:1;)", &[1]);
    check(
        "alert http any any -> any any (http.stat_code; content:\"418\"; flowbits:isset,x; sid:2;)\n\
         alert http any any -> any any (http.uri; content:\"/x\"; flowbits:set,x; flowbits:noalert; sid:1;)",
        &[2],
    );
    check(
        "alert http any any -> any any (http.stat_code; content:\"418\"; flowbits:isnotset,x; sid:2;)\n\
         alert http any any -> any any (http.uri; content:\"/x\"; flowbits:set,x; noalert; sid:1;)",
        &[],
    );
    check("alert http $HOME_NET any -> $EXTERNAL_NET any (content:\"418\"; sid:1;)", &[1]);
    check("alert http $EXTERNAL_NET any -> $HOME_NET any (content:\"418\"; sid:1;)", &[]);
}

#[test]
fn limits() {
    let check = |limit: &str, expected: usize| {
        let rules = classifier(&format!("alert http any any -> any any (http.uri; content:\"/x\"; {limit} sid:1;)"));
        let mut session = Session::new(&rules, Transport::Tcp, 80);
        for _ in 0..6 {
            session.said(Side::Client, b"GET /x HTTP/1.1\r\n\r\n");
            session.at += 1_000_000;
        }
        assert_eq!(session.end().0.len(), expected, "{limit}");
    };
    check("", 6);
    check("threshold:type limit, track by_src, count 2, seconds 60;", 2);
    check("threshold:type limit, track by_src, count 1, seconds 3;", 2);
    check("threshold:type threshold, track by_src, count 3, seconds 60;", 2);
    check("threshold:type both, track by_src, count 3, seconds 60;", 1);
    check("detection_filter:track by_src, count 4, seconds 60;", 2);
}

#[test]
fn a_stream_may_come_in_pieces_and_be_long() {
    let rules = classifier("alert tcp any any -> any any (content:\"begin\"; content:\"end\"; distance:0; sid:1;)");
    let mut said = b"x".repeat(100_000);
    said[90_000..90_005].copy_from_slice(b"begin");
    said[95_000..95_003].copy_from_slice(b"end");
    for size in [1, 1000, said.len()] {
        let mut session = Session::new(&rules, Transport::Tcp, 9999);
        for piece in said.chunks(size) {
            session.said(Side::Client, piece);
        }
        assert_eq!(session.end().0, [1], "pieces of {size}");
    }
    let anchored = classifier("alert tcp any any -> any any (content:\"begin\"; startswith; sid:1;)");
    let mut session = Session::new(&anchored, Transport::Tcp, 9999);
    session.said(Side::Client, &said);
    assert_eq!(session.end().0, [0u32; 0], "what was moved on has no beginning");
}

#[test]
fn a_datagram_is_looked_at_by_itself() {
    let rules = classifier("alert udp any any -> any any (content:\"ab\"; startswith; dsize:<5; sid:1;)");
    let (found, _) = sids(
        &rules,
        Transport::Udp,
        9999,
        &[(Side::Client, b"abcdefg"), (Side::Client, b"xab"), (Side::Client, b"abc")],
    );
    assert_eq!(found, [1]);
}

#[test]
fn what_is_not_supported_is_listed() {
    let check = |rule: &str, expected: &str| {
        let mut list = RuleList::default();
        let refused = list.add(rule);
        assert_eq!(refused.len(), 1, "{rule}");
        assert_eq!(refused[0].reason, expected, "{rule}");
        assert!(list.is_empty());
    };
    let of = |options: &str| format!("alert tcp any any -> any any ({options} sid:7;)");
    check("alert tcp any any -> any any (content:\"a\";)", "it has no sid");
    check(&of(""), "it looks for nothing");
    check(&of("flowbits:set,a;"), "it has only `flowbits`");
    check(&of("content:\"a\"; lua:x.lua;"), "keyword `lua`");
    check(&of("content:\"a\"; xbits:set,a,track ip_src;"), "keyword `xbits`");
    check(&of("content:\"a\"; flow:only_stream;"), "`flow:only_stream`");
    check(&of("content:\"|6|\";"), "`content` has wrong hexadecimal digits");
    check(&of("content:\"\";"), "`content` has no bytes, or more than 255");
    check(&of("content:a;"), "`content` is not in quotes, or has more behind them");
    check(&of("nocase;"), "`nocase` without a content before it");
    check(&of("content:\"abc\"; depth:2;"), "`depth` is less than its content has bytes");
    check(&of("content:\"a\"; distance:x;"), "`distance:x` is no number that is known, or too large");
    check(&of("content:\"a\"; dsize:3;"), "`dsize` is about packets, and a stream has none here");
    check(
        "alert ip any any -> any any (content:\"a\"; dsize:3; sid:7;)",
        "`dsize` is about packets, and a stream has none here",
    );
    check(
        "alert http any any -> any any (flow:to_client; file_data; content:\"a\"; sid:7;)",
        "it is about what a server says, and its buffers are those of a request here",
    );
    check(
        &of("pcre:\"/(?=a)b/\";"),
        "`pcre` cannot be read: look-around, including look-ahead and look-behind, is not supported",
    );
    check(&of(r#"pcre:"/(a)\1/";"#), "`pcre` cannot be read: backreferences are not supported");
    check(&of("pcre:\"/a{1000}{1000}/\";"), "`pcre` needs more than 1048576 bytes");
    check(&of("pcre:\"/a/Z\";"), "flag `Z` of `pcre`");
    check(&of("byte_test:4,>,var,0;"), "`byte_test` with `var`");
    check(&of("byte_jump:4,0,dce;"), "`byte_jump` with `dce`");
    check(&of("http.uri; content:\"a\"; tls.sni; content:\"b\";"), "its buffers belong to different messages");
    check(&of("file_data; content:\"a\";"), "`file_data` is there for http only");
    check(&of("content:\"a\"; threshold:type x, track by_src, count 1, seconds 1;"), "`threshold` with `type x`");
    check(
        &of("content:\"a\"; threshold:type backoff, track by_flow, count 1, multiplier 2;"),
        "`threshold` with `type backoff`",
    );
    check(&format!("{}\\\nx", of(&"content:\"a\";".repeat(8000))), &format!("it has more than {RULE_BYTES_MAX} bytes"));
    check(&format!("# a comment\n\n{}\n#{}", of("content:\"a\"; a:b;"), of("")), "keyword `a`");
    let mut list = RuleList::default();
    let refused = list.add(&format!("{}\n{}", of("content:\"a\";"), of("content:\"b\";")));
    assert_eq!((refused[0].line, refused[0].sid), (2, Some(7)));
    assert_eq!(refused[0].reason, "there is already a rule of this number");
}

proptest! {
    #[test]
    fn no_text_and_no_bytes_do_harm(text in "alert (tcp|http|udp) any \\PC{0,10} -> any any \\(\\PC{0,60} sid:1;\\)", said: Vec<u8>) {
        let mut list = RuleList::default();
        list.add(&text);
        let rules = komainu_intel::Classifier::new(list.compile(), komainu_intel::Scanners::default(), None);
        sids(&rules, Transport::Tcp, 80, &[(Side::Client, &said)]);
    }

    #[test]
    fn pieces_change_nothing(said in "(GET /[ab]{1,3} HTTP/1.1\r\n\r\n|[ab]{1,20}){1,5}", cut in 1usize..40) {
        let rules = classifier(
            "alert tcp any any -> any any (content:\"ab\"; content:\"ba\"; distance:1; within:4; sid:1;)\n\
             alert http any any -> any any (http.uri; content:\"/ab\"; sid:2;)\n\
             alert tcp any any -> any any (pcre:\"/b{3}a/\"; sid:3;)",
        );
        let whole = sids(&rules, Transport::Tcp, 80, &[(Side::Client, said.as_bytes())]).0;
        let pieces: Vec<_> = said.as_bytes().chunks(cut).map(|piece| (Side::Client, piece)).collect();
        let mut cut = sids(&rules, Transport::Tcp, 80, &pieces).0;
        let mut whole = whole;
        cut.sort_unstable();
        whole.sort_unstable();
        prop_assert_eq!(cut, whole);
    }
}
