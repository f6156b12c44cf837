"""Reports of the laboratory, read by other people's programs: Sigma's checker, STIX's validator and library.

    python3 tests/lab/reports.py [CHECK…]          every check, or some

Needs the packages of requirements.txt beside it; `cargo xtask test --reports` installs them and runs this.
"""

import ipaddress
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KOMAINU = os.environ.get("KOMAINU", str(ROOT / "target/debug/komainu"))
RULES = ROOT / "crates/komainu-analysis/rules"
LIMIT_S = 120
CHECKS = []
# What STIX's validator would like and a deterministic report cannot have: random identifiers (103; the standard says
# "should"), the port that a connection came from (301; it is another each time), a digest of a page of ATT&CK (302).
ACCEPTED = ("{103}", "{301}", "{302}")
# What a sample might write to break out of a page.
MARKUP = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


def check(function):
    CHECKS.append(function)
    return function


def run(*command, status=0):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def escaped(text):
    return "".join(c if " " <= c <= "~" and c != "\\" else "".join(f"\\x{b:02x}" for b in c.encode()) for c in text)


def recording(folder, as_root=True, text="/x.arm"):
    """A recorded detonation of a bot as they are described: orders every ten seconds, a scan, passwords, a download."""
    folder.mkdir(parents=True)
    head = {
        "format": 1, "id": "one", "isa": "mips", "as_root": as_root, "started_ms": 1_795_000_000_000,
        "ran_for_us": 60_000_000, "end": "time_over", "cut": [], "restored_in_us": 0, "cpu_us": 0,
        "memory_bytes_max": 0,
    }
    (folder / "detonation.json").write_text(json.dumps(head))
    (folder / "guest.stream").write_bytes(b"")
    events = []

    def add(at_s, event, **fields):
        events.append({"at_us": int(at_s * 1e6), "event": event, **fields})

    flow = 0
    for beat in range(5):
        flow += 1
        add(1 + 10 * beat, "connect", flow=flow, from_port=40000, to="203.0.113.7:5555", accepted=True)
        add(1.1 + 10 * beat, "sent", flow=flow, bytes=4, head="\\x00\\x00\\x00\\x01")
    add(0.5, "name", name="cnc.example", kind="A", server="192.168.1.1:53", answers=["198.18.0.1"])
    for beat in range(4):
        flow += 1
        add(3 + 15 * beat, "connect", flow=flow, from_port=40000, to="198.18.0.1:48101", name="cnc.example", accepted=True)
        add(3.1 + 15 * beat, "sent", flow=flow, bytes=4, head="ping")
    for number in range(40):
        flow += 1
        address = ipaddress.ip_address(0x10000000 + (number + 1) * 2654435761 % 0x60000000)
        add(4 + number / 10, "connect", flow=flow, from_port=40000, to=f"{address}:23", accepted=number % 2 == 0)
        add(4.05 + number / 10, "login", flow=flow, service="telnet", user="root", password=f"pass{number}", accepted=False)
    flow += 1
    add(9, "connect", flow=flow, from_port=40000, to="203.0.113.9:80", accepted=True)
    add(9.1, "http", flow=flow, method="GET", target=escaped(text), host="203.0.113.9", status=200, body_bytes=0)
    events.sort(key=lambda event: event["at_us"])
    (folder / "network.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def static_report(folder, description="ELF 32-bit"):
    sample = {
        "parent": None, "name": None, "bytes": 4096, "kind": "elf", "description": description,
        "digests": {"sha256": "5" * 64, "sha1": "4" * 40, "md5": "3" * 32, "tlsh": None},
        "elf": {"isa": "mips", "telfhash": None, "functions": {"hashes": ["00000000000000ff"]}},
        "packing": {"verdict": "none"}, "credentials": None, "rules": [],
        "findings": [{"kind": "socket-address", "value": "203.0.113.7:5555", "offset": 9, "source": "decoded:0"}],
        "verdict": {"level": "suspicious", "votes": [["gafgyt", 2]]},
    }
    (folder / "static.json").write_text(json.dumps({"version": 1, "samples": [sample]}))


@check
def rules_pass_sigma_check():
    """Every rule of ours, by Sigma's own checker, with the techniques of ATT&CK that it knows."""
    program = pathlib.Path(sys.executable).with_name("sigma")
    # Three names are shorter than ten characters, which that check wants of files in SigmaHQ's collection.
    out = run(program, "check", "--fail-on-error", "--fail-on-issues", "--exclude", "filename_length", RULES)
    assert "Found 0 errors, 0 condition errors and 0 issues." in out, out


@check
def rules_name_techniques_with_their_tactics():
    """Each technique stands with a tactic that it belongs to."""
    import yaml
    from sigma.data.mitre_attack import mitre_attack_techniques, mitre_attack_techniques_tactics_mapping

    seen = 0
    for path in sorted(RULES.glob("*.yml")):
        for rule in yaml.safe_load_all(path.read_text()):
            tags = [tag.removeprefix("attack.") for tag in rule.get("tags", [])]
            for tag in tags:
                if tag[0] == "t" and tag[1:2].isdigit():
                    tactics = mitre_attack_techniques_tactics_mapping[tag.upper()]
                    assert tag.upper() in mitre_attack_techniques and set(tactics) & set(tags), (path.name, tag, tactics)
                    seen += 1
    assert seen >= 80, seen


@check
def bundle_is_valid_stix():
    """The bundle has no error by STIX's validator, and STIX's library reads every object."""
    import stix2
    from stix2validator import ValidationOptions, validate_file

    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        recording(scratch / "out/user", as_root=False)
        recording(scratch / "out/root")
        static_report(scratch / "out")
        run(KOMAINU, "report", scratch / "out", "--at", "1795000100", "--stix", scratch / "b.json", "--tlp", "amber")
        options = ValidationOptions(version="2.1", disabled="")
        result = validate_file(str(scratch / "b.json"), options)
        warnings = [w for o in result.object_results for w in o.warnings if not any(code in w for code in ACCEPTED)]
        errors = [e for o in result.object_results for e in o.errors]
        assert result.is_valid and not errors, errors
        assert not warnings, warnings
        bundle = stix2.parse((scratch / "b.json").read_text(), allow_custom=False)
        types = {thing.type for thing in bundle.objects}
        wanted = {
            "identity", "malware", "malware-analysis", "file", "observed-data", "network-traffic", "infrastructure",
            "indicator", "attack-pattern", "relationship", "note", "report", "marking-definition", "ipv4-addr", "domain-name",
        }
        assert wanted <= types, wanted - types
        values = {thing.value for thing in bundle.objects if thing.type in ("ipv4-addr", "domain-name")}
        # What the simulated Internet made up for a name says nothing outside.
        assert {"203.0.113.7", "cnc.example"} <= values and "198.18.0.1" not in values, values
        library = stix2.IPv4Address(value="203.0.113.7").id
        assert library in {thing.id for thing in bundle.objects}, library
        again = scratch / "again.json"
        run(KOMAINU, "report", scratch / "out", "--at", "1795000100", "--stix", again, "--tlp", "amber")
        assert again.read_bytes() == (scratch / "b.json").read_bytes()


@check
def report_says_what_was_recorded():
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        recording(scratch / "out")
        static_report(scratch / "out")
        report = json.loads(run(KOMAINU, "report", scratch / "out", "--json"))
        assert report["verdict"]["level"] == "malicious", report["verdict"]
        command = [(e["address"], e["port"]) for e in report["endpoints"] if e["role"] == "command"]
        assert ("203.0.113.7", 5555) in command, command
        beacon = {e["port"]: e["beacon_ms"] for e in report["endpoints"]}
        assert beacon[5555] == 10_000 and beacon[48101] == 15_000, beacon
        assert [scan["port"] for scan in report["scans"]] == [23] and report["credentials_tried"] == 40
        sentence = report["verdict"]["sentence"]["en"]
        assert sentence.startswith("Scans telnet on port 23 with 40 passwords, takes orders from "), sentence


@check
def earlier_samples_that_are_alike_are_told():
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        recording(scratch / "out")
        static_report(scratch / "out")
        first = json.loads(run(KOMAINU, "report", scratch / "out", "--json"))
        reports = scratch / "reports"
        reports.mkdir()
        for number in range(3):
            first["sample"]["sha256"] = str(number) * 64
            first["families"] = [{"name": "gafgyt", "votes": 1}]
            (reports / f"{number}.json").write_text(json.dumps(first))
        report = json.loads(run(KOMAINU, "report", scratch / "out", "--json", "--earlier", reports))
        assert [near["sha256"][0] for near in report["similar"]] == ["0", "1", "2"], report["similar"]
        assert all(near["percent"] >= 90 for near in report["similar"])
        assert report["families"] == [{"name": "gafgyt", "votes": 5}], report["families"]
        groups = run(KOMAINU, "report", "--earlier", reports)
        assert groups.startswith("group 1: 3 samples gafgyt (3)\n"), groups


@check
def page_shows_markup_as_text():
    """A page about hostile texts has no element but its own, by an HTML parser that is not ours."""
    from html.parser import HTMLParser

    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        recording(scratch / "out", text=f"/{MARKUP}")
        static_report(scratch / "out", description=MARKUP)
        for language in ("en", "ja"):
            page = scratch / f"{language}.html"
            run(KOMAINU, "report", scratch / "out", "--html", page, "--language", language)
            elements, attributes = set(), set()

            class Reader(HTMLParser):
                def handle_starttag(self, tag, attrs):
                    elements.add(tag)
                    attributes.update(name for name, _ in attrs)

            Reader().feed(page.read_text())
            assert not elements & {"script", "img", "iframe", "svg", "object", "link", "form", "input"}, elements
            assert not any(name.startswith("on") or name in ("src", "style") for name in attributes), attributes


@check
def rules_of_operators_are_told_apart():
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "good.yml").write_text(
            "title: Netcat\nlogsource: {product: linux, category: process_creation}\n"
            "detection: {s: {Image|endswith: /nc}, condition: s}\n"
        )
        (scratch / "bad.yml").write_text(
            "title: Registry\nlogsource: {product: windows, category: registry_set}\n"
            "detection: {s: {TargetObject: x}, condition: s}\n"
        )
        out = run(KOMAINU, "report", "--check-rules", "--rules", scratch, status=1)
        assert f"taken: {scratch}/good.yml:1: Netcat" in out and f"not taken: {scratch}/bad.yml:2: `logsource.product`" in out, out


def main():
    wanted = sys.argv[1:]
    failed = False
    for function in CHECKS:
        if wanted and function.__name__ not in wanted:
            continue
        try:
            function()
            print(f"check {function.__name__} ... ok")
        except Exception:
            failed = True
            traceback.print_exc()
            print(f"check {function.__name__} ... FAILED")
    return failed


if __name__ == "__main__":
    sys.exit(main())
