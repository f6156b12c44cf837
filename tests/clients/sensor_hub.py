"""A hub and its sensor as real processes: what happens on the sensor reaches the hub once, whoever dies meanwhile."""

import collections
import hashlib
import json
import os
import re
import socket
import struct
import subprocess

from harness import Sensor, Server, check, equal, run, wait_until

NAME = "tokyo"
CONTENTS = b"This was left on a sensor and is nothing but text: \x00\x01\xff\n" * 5_000


class Hub(Server):
    """A server with a sensor that was enrolled at it."""

    def start(self):
        super().start()
        if not hasattr(self, "files"):
            self.files = self.enroll(NAME, "--sensor")
            files = self.files
            options = ["--id", NAME, "--hub", f"localhost:{self.tls_port}"]
            options += ["--cert", files["cert"], "--key", files["key"], "--ca", files["ca"]]
            self.sensor = Sensor(self.folder / "sensor", options=options)
            self.sensor.start()

    def __exit__(self, *error):
        self.sensor.stop()
        super().__exit__(*error)

    def records(self, *options):
        """The lines that the hub has, without their envelopes."""
        lines = self.command("sensors", "records", NAME, *options).splitlines()
        return [json.loads(line) for line in lines]

    def sessions(self):
        """How often the hub has the summary of each session, by the port that it came from."""
        told = (line["line"] for line in self.records() if line["log"] == "honeypot")
        return collections.Counter(line["src_port"] for line in told if line["event_type"] == "honeypot")

    def listed(self):
        return self.command("sensors", "list")

    def curl(self, path, *options, files=None):
        files = files or self.files
        command = ["curl", "--silent", "--show-error", "--max-time", "30", "--cacert", files["ca"]]
        command += ["--cert", files["cert"], "--key", files["key"], "--output", os.devnull]
        command += ["--write-out", "%{http_code}", *options, f"https://localhost:{self.tls_port}{path}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return int(done.stdout or 0)


def visit(sensor, path="/"):
    """Asks a persona for a page; gives the port that the visit came from."""
    with sensor.connect(80) as client:
        port = client.getsockname()[1]
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: camera\r\nConnection: close\r\n\r\n".encode())
        while client.recv(4096):
            pass
    return port


def all_came(hub, ports):
    """The sessions at the hub, when all of these ports' are there."""
    sessions = hub.sessions()
    return sessions if all(sessions[port] for port in ports) else None


def rest_is_sent(hub):
    """Whether nothing waits in the spool."""
    return not list((hub.sensor.data / "sensor/spool").glob("*.*"))


@check
def a_session_and_what_it_left_reach_the_hub(hub):
    client = hub.sensor.connect(34567)
    port = client.getsockname()[1]
    client.sendall(CONTENTS)
    client.shutdown(socket.SHUT_WR)
    equal(client.recv(10), b"")
    client.close()
    sha256 = hashlib.sha256(CONTENTS[:65536]).hexdigest()
    equal(wait_until("the session at the hub", lambda: all_came(hub, [port]))[port], 1)
    wait_until("the artifact at the hub", lambda: sha256 in hub.command("sensors", "artifacts", "list"))
    out = hub.folder / "exported"
    hub.command("sensors", "artifacts", "export", sha256, "--out", out)
    equal(out.read_bytes(), CONTENTS[:65536], "the artifact comes out as it went in")
    equal(CONTENTS[:100] in b"".join(path.read_bytes() for path in hub.data.rglob("*") if path.is_file()), False)
    listed = wait_until("the sensor in the list", lambda: "online" in hub.listed() and hub.listed())
    equal("door      camera telnet 23" in listed, True, listed)


@check
def a_hub_that_is_killed_gets_everything_once(hub):
    ports = [visit(hub.sensor, f"/before/{number}") for number in range(20)]
    wait_until("the first visits", lambda: all_came(hub, ports))
    for again in range(3):
        ports += [visit(hub.sensor, f"/meanwhile/{again}/{number}") for number in range(5)]
        hub.kill()
        ports += [visit(hub.sensor, f"/without/{again}/{number}") for number in range(20)]
        hub.start()
    wait_until("all visits", lambda: all_came(hub, ports))
    wait_until("an empty spool", lambda: rest_is_sent(hub))
    mine = [json.dumps(line) for name in ("eve.json", "honeypot.json") for line in hub.sensor.lines(name)]
    theirs = [json.dumps(line["line"]) for line in hub.records()]
    equal(len(theirs), len(mine), "lines at the hub, and on the sensor")
    equal(sorted(theirs) == sorted(mine), True, "the hub has the sensor's lines")
    equal("0 batches missing" in hub.listed(), True, hub.listed())


@check
def a_sensor_that_is_killed_doubles_nothing(hub):
    ports = []
    for again in range(3):
        hub.kill()
        ports += [visit(hub.sensor, f"/killed/{again}/{number}") for number in range(10)]
        spool = hub.sensor.data / "sensor/spool"
        sealed = f'killed/{again}/9"'
        wait_until("a sealed segment", lambda sealed=sealed: any(sealed in path.read_text() for path in spool.glob("*.ndjson")))
        wait_until("the last summary", lambda: any(str(ports[-1]) in path.read_text() for path in spool.glob("*.ndjson")))
        hub.sensor.kill()
        hub.start()
        hub.sensor.start()
    ports.append(visit(hub.sensor, "/after"))
    wait_until("all visits", lambda: all_came(hub, ports))
    wait_until("an empty spool", lambda: rest_is_sent(hub))
    # By their pages: the system may give two visits the same port.
    pages = [entry["line"]["http"]["url"] for entry in hub.records() if entry["line"].get("event_type") == "http"]
    visited = [f"/killed/{again}/{number}" for again in range(3) for number in range(10)]
    equal(sorted(page for page in pages if page.startswith("/killed/")), visited)
    lines = [json.dumps(line["line"], sort_keys=True) for line in hub.records()]
    ended = [line for line in lines if '"event_type": "flow"' in line]
    equal(len(ended), len(set(ended)), "no flow is there twice")


def block(kind, body):
    """A block of a pcapng file (draft-ietf-opsawg-pcapng, 3.1)."""
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def pcapng(text):
    """A capture with one packet, a datagram that says a text."""
    datagram = struct.pack(">HHHH", 4000, 9, 8 + len(text), 0) + text
    packet = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1") + datagram
    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(1, struct.pack("<HHI", 101, 0, 65535))
    return section + interface + block(6, struct.pack("<IIIII", 0, 0, 0, len(packet), len(packet)) + packet)


def leave(hub, captures):
    """Puts captures where a sensor that does not run at the moment finds them, as its last run left them."""
    for name, contents in captures.items():
        (hub.sensor.data / "sensor/captures/sessions" / name).write_bytes(contents)


def captures_at(hub):
    """The lines of the list, by their sessions."""
    return {line.split()[0]: line for line in hub.command("sensors", "captures", "list").splitlines()}


@check
def captures_reach_the_hub_once_whoever_is_killed(hub):
    left = {}
    for again in range(3):
        hub.sensor.kill()
        hub.kill()
        new = {f"{again + 1:016x}{number:016x}.pcapng": pcapng(f"{again} {number}".encode()) for number in range(300)}
        leave(hub, new)
        left |= new
        # The sensor finds nobody first, then everybody dies while captures are on their way.
        hub.sensor.start()
        hub.start()
        wait_until("captures on their way", lambda: len(captures_at(hub)) > again * 300 + 10)
    folder = hub.sensor.data / "sensor/captures/sessions"
    wait_until("an empty folder", lambda: not list(folder.iterdir()), limit_s=90)
    lines = hub.command("sensors", "captures", "list").splitlines()
    equal(sorted(line.split()[0] for line in lines), sorted(name.split(".")[0] for name in left), "each once")
    equal("sensor.capture_dropped" in hub.sensor.log.read_text(), False)
    for name in list(left)[::100]:
        out = hub.folder / name
        hub.command("sensors", "captures", "export", name.split(".")[0], "--out", out)
        equal(out.read_bytes(), left[name], "a capture comes out as it went in")


@check
def a_capture_says_that_it_is_confidential_and_what_is_none_is_dropped(hub):
    hub.sensor.kill()
    confidential, broken = f"{7:032x}", f"{8:032x}"
    leave(hub, {f"{confidential}.confidential.pcapng": pcapng(b"secret"), f"{broken}.pcapng": b"torn"})
    hub.sensor.start()
    wait_until("the capture", lambda: confidential in captures_at(hub))
    equal(captures_at(hub)[confidential].split()[-1], "confidential")
    wait_until("a word about it", lambda: "sensor.capture_dropped" in hub.sensor.log.read_text())
    equal(broken in captures_at(hub), False)
    equal(list((hub.sensor.data / "sensor/captures/sessions").iterdir()), [], "nothing waits")
    wait_until("health", lambda: re.search(r"captures  \d+ wait, \d+ bytes, \d+ dropped", hub.listed()))


@check
def artifacts_take_no_memory_while_they_come(hub):
    def peak_kib():
        status = open(f"/proc/{hub.process.pid}/status").read()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])

    large = [hub.folder / f"large{number}" for number in range(4)]
    for number, path in enumerate(large):
        path.write_bytes(bytes([number]) * (32 << 20))
    # From here on the peak is counted anew (proc(5)).
    with open(f"/proc/{hub.process.pid}/clear_refs", "w") as clear:
        clear.write("5")
    before = peak_kib()
    command = ["curl", "--silent", "--show-error", "--max-time", "120", "--cacert", hub.files["ca"]]
    command += ["--cert", hub.files["cert"], "--key", hub.files["key"], "--output", os.devnull, "--write-out", "%{http_code}"]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in large]
    url = f"https://localhost:{hub.tls_port}/komainu/v1/sensors/{NAME}/artifacts/"
    uploads = [
        subprocess.Popen([*command, "--upload-file", path, url + sha256], stdout=subprocess.PIPE, text=True)
        for path, sha256 in zip(large, digests)
    ]
    equal([upload.communicate(timeout=150)[0] for upload in uploads], ["200"] * 4)
    grown = peak_kib() - before
    equal(grown < (32 << 10), True, f"KiB beyond the {before} of before: {grown}")
    print(f"  peak {before + grown} KiB, {grown} KiB more than before")
    listed = hub.command("sensors", "artifacts", "list")
    equal([line.split()[-1] for line in listed.splitlines() if line.split()[0] in digests], ["confidential"] * 4)
    again = subprocess.run(
        [*command, "--header", "komainu-confidential: no", "--upload-file", large[0], url + digests[0]],
        capture_output=True, text=True, check=False,
    )
    equal(again.stdout, "200")
    line = next(line for line in hub.command("sensors", "artifacts", "list").splitlines() if digests[0] in line)
    equal(line.split()[-1] == "confidential", False, "it was seen elsewhere")


@check
def a_sensors_certificate_opens_nothing_else(hub):
    line = '{"log":"eve","line":{}}\n'
    batch = "records?epoch=00000000000000ff&sequence=0"
    options = ["--data-binary", line]
    hub.enroll("osaka", "--sensor")
    equal(hub.curl(f"/komainu/v1/sensors/osaka/{batch}", *options), 403, "as another sensor")
    equal(hub.curl(f"/komainu/v1/sensors/osaka/artifacts/{'0' * 64}", "--head"), 403)
    equal(hub.curl("/topics/tokyo/x?qos=1", *options) >= 400, True, "publishing")
    topic = f"$komainu%2Fsensors%2F{NAME}%2Fingest"
    equal(hub.curl(f"/topics/{topic}?qos=1", *options) >= 400, True, "publishing to the topic that names the right")
    equal(hub.curl("/things", "--request", "GET") >= 400, True, "the control plane")
    equal(hub.curl(f"/komainu/v1/sensors/{NAME}/{batch}", *options, files=hub.enroll("lamp")), 403, "as a device")
    wrong = hub.anybody() | {"ca": hub.files["ca"]}
    equal(hub.curl(f"/komainu/v1/sensors/{NAME}/{batch}", *options, files=wrong), 403, "with iot:*")
    own = f"/komainu/v1/sensors/{NAME}/{batch}"
    equal([hub.curl(own, *options), hub.curl(own, *options)], [200, 200], "its own records, twice")
    own_lines = [entry for entry in hub.records() if entry["line"] == {}]
    equal(len(own_lines), 1)


@check
def a_revoked_certificate_ends_it(hub):
    iot = hub.boto("iot")
    arn = iot.list_thing_principals(thingName=NAME)["principals"][0]
    policy = iot.list_attached_policies(target=arn)["policies"][0]["policyName"]
    equal(policy, "KomainuSensor")
    own = f"/komainu/v1/sensors/{NAME}/records?epoch=00000000000000fe&sequence=0"
    line = ["--data-binary", '{"log":"eve","line":{}}\n']
    iot.detach_policy(policyName=policy, target=arn)
    equal(hub.curl(own, *line), 403, "without its policy")
    port = visit(hub.sensor, "/without-a-policy")
    wait_until("a word about it", lambda: "sensor.hub_fails" in hub.sensor.log.read_text())
    iot.attach_policy(policyName=policy, target=arn)
    wait_until("the visit", lambda: all_came(hub, [port]), limit_s=90)
    iot.update_certificate(certificateId=arn.split("/")[-1], newStatus="REVOKED")
    equal(hub.curl(own, *line) in (0, 403), True, "with a revoked certificate")
    visit(hub.sensor, "/revoked")
    wait_until("records that wait", lambda: not rest_is_sent(hub))
    equal(port in hub.sessions(), True)


run(Hub)
