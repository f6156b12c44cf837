"""What sessions are called: curl, telnet-like clients, rules of an operator, lists of scanners, and the same from a capture."""

import json
import socket
import subprocess

from harness import KOMAINU, LIMIT_S, Sensor, check, equal, run

RULES = """# Rules of an operator.
alert http any any -> any any (msg:"Our own page"; flow:to_server; http.uri; content:"/our-own"; startswith; \\
    classtype:attempted-admin; reference:cve,2099-12345; metadata:mitre_technique_id T1190; sid:2000001; rev:3;)
alert tcp any any -> any 23 (msg:"Our own word"; flow:to_server; content:"our-own-word"; sid:2000002;)
alert tcp any any -> any any (msg:"A keyword that is not known"; content:"x"; lua:script.lua; sid:2000003;)
"""


def curl(sensor, path, *more):
    """Asks for a page; gives the summary of the connection and its lines of eve.json."""
    command = ["curl", "--silent", "--max-time", str(LIMIT_S), "--output", "/dev/null", "--path-as-is"]
    command += ["--write-out", "%{local_port}", *more, f"http://127.0.0.1:{sensor.port(80)}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary, eve, _ = sensor.session(int(done.stdout))
    return summary, eve


def alerts(eve):
    return [line["alert"] for line in eve if line["event_type"] == "alert"]


@check
def a_look_is_a_scan(sensor):
    summary, eve = curl(sensor, "/")
    equal((summary["label"], summary["attack_techniques"], alerts(eve)), ("scan", ["T1595.002"], []))
    equal([line["flow"]["alerted"] for line in eve if line["event_type"] == "flow"], [False])
    with sensor.connect(23) as stream:
        port = stream.getsockname()[1]
        stream.recv(1)
    summary, _, _ = sensor.session(port)
    equal((summary["label"], summary["attack_techniques"]), ("scan", ["T1595.001"]))


@check
def an_exploit_has_its_cve(sensor):
    for path, more, sid, cve in (
        ("/ctrlt/DeviceUpgrade_1", ["--data", "<NewStatusURL>$(hello)</NewStatusURL>"], 1000001, "CVE-2017-17215"),
        ("/HNAP1/", ["--header", 'SOAPAction: "http://purenetworks.com/HNAP1/`hello`"'], 1000004, "CVE-2015-2051"),
        ("/device.rsp?opt=user&cmd=list", ["--cookie", "uid=admin"], 1000103, "CVE-2018-9995"),
    ):
        summary, eve = curl(sensor, path, *more)
        equal((summary["label"], summary["cves"], "T1190" in summary["attack_techniques"]), ("exploit", [cve], True))
        equal(summary["evidence"][0]["rule"], str(sid))
        equal(sid in [alert["signature_id"] for alert in alerts(eve)], True)
        equal([line["flow"]["alerted"] for line in eve if line["event_type"] == "flow"], [True])


@check
def rules_of_an_operator(sensor):
    summary, eve = curl(sensor, "/our-own/page")
    (alert,) = alerts(eve)
    equal((alert["signature"], alert["rev"], alert["severity"]), ("Our own page", 3, 1))
    equal((summary["label"], summary["cves"]), ("exploit", ["CVE-2099-12345"]))
    with sensor.connect(23) as stream:
        port = stream.getsockname()[1]
        stream.sendall(b"our-own")
        stream.sendall(b"-word\r\n")
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(4096):
            pass
    _, eve, _ = sensor.session(port)
    # The persona's port is 23, wherever it is open.
    equal([alert["signature_id"] for alert in alerts(eve)], [2000002])
    equal("1 are not supported" in sensor.log.read_text(), True)


@check
def being_passed_on(sensor):
    summary, _ = curl(sensor, "/", "--header", "X: y", "--request-target", "http://www.example.org/")
    equal((summary["label"], summary["attack_techniques"]), ("proxy_abuse", ["T1090"]))


@check
def which_rules_are_supported(sensor):
    path = sensor.folder / "our.rules"
    done = subprocess.run([KOMAINU, "sensor", "rules", "check", path], capture_output=True, text=True, check=True)
    first, last = done.stdout.splitlines()
    equal(first, f"{path}:5: sid 2000003: keyword `lua`")
    equal(last, f"{path}: 2 rules, 1 not supported")


@check
def captures_are_judged_alike(sensor):
    """A capture of one datagram in which everything is looked for by SSDP."""
    payload = b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\r\n"
    udp = b"\x9c\x40\x07\x6c" + (8 + len(payload)).to_bytes(2, "big") + b"\0\0" + payload
    ip = b"\x45\0" + (20 + len(udp)).to_bytes(2, "big") + b"\0\0\0\0\x40\x11\0\0" + bytes([133, 11, 0, 1, 192, 0, 2, 1])
    frame = ip + udp
    size = len(frame).to_bytes(4, "little")
    head = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000065000000")
    capture = sensor.folder / "search.pcap"
    capture.write_bytes(head + b"\0\0\0\x68\0\0\0\0" + size + size + frame)
    scanners = sensor.folder / "scanners.txt"
    for listed, label in (("", "reflection_probe"), ("# Example University\n133.11.0.0/16\n", "reflection_probe")):
        scanners.write_text(listed)
        command = [KOMAINU, "pcap", capture, "--scanners", scanners]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        equal([line["alert"]["signature_id"] for line in lines if line["event_type"] == "alert"], [1000501])
        (summary,) = [line["honeypot"] for line in lines if line["event_type"] == "honeypot"]
        equal((summary["label"], summary["geo"]["country"]), (label, "JP"))
        expected = {"name": "Example University", "benign": True} if listed else None
        equal(summary.get("scanner"), expected)


class Labelling(Sensor):
    """A sensor with rules of its own."""

    def __init__(self, folder):
        super().__init__(folder, configuration=f'[sensor]\nrules = ["{folder / "our.rules"}"]\n')
        (folder / "our.rules").write_text(RULES)


run(Labelling)
