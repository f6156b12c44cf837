"""Real devices behind a sensor, in network namespaces of their own: what is relayed, and what never gets out.

Three parties: a stranger with the addresses of a maker's cloud and of third parties, the sensor, and two devices. Needs
root, `ip`, `nft`, `tshark`. Run it from the root of the repository after a build:

    python3 tests/relay/relay.py [CHECK…]          every check, or some; `kills=N` sets how often processes are killed
    python3 tests/relay/relay.py load [VISITS]     how many visits a second go through
    python3 tests/relay/relay.py soak SECONDS      kills at random moments for so long, and what leaks; `seed=N` repeats
                                                   the order of kills
"""

import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import reset_checks

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KOMAINU = os.environ.get("KOMAINU", str(ROOT / "target/debug/komainu"))
LIMIT_S = 30
PUBLIC, PUBLIC_2, STRANGER, UNKNOWN = "198.51.100.1", "198.51.100.2", "198.51.100.7", "198.51.100.8"
CLOUD, THIRD = "203.0.113.10", "203.0.113.99"
DEVICE, DEVICE_2 = "192.168.77.2", "192.168.78.2"
GATEWAY, GATEWAY_2 = "192.168.77.1", "192.168.78.1"

# Bytes of the ring of each device in the check that fills it: the least that can be.
RING_BYTES = 8 << 20

INVENTORY = f"""
[[device]]
name = "porch"
maker = "Example"
model = "Cam 3"
type = "ip_camera"
firmware = "1.2"
serial = "SERIAL-0815"
release_state = "pre_release"
address = "{DEVICE}"
interface = "s1"
outer_interface = "s0"
public_address = "{PUBLIC}"
egress = "vendor_cloud"
vendor_names = ["cloud.example.com"]
vendor_ports = [443]
limits = {{ connections_per_s = 5, destinations_per_day = 4 }}
ports = [
    {{ port = 7, transport = "tcp" }},
    {{ port = 23, transport = "tcp" }},
    {{ port = 80, transport = "tcp" }},
    {{ port = 81, transport = "tcp" }},
    {{ port = 1900, transport = "udp" }},
    {{ port = 8000, transport = "tcp", relay = "kernel" }},
]

[[device]]
name = "fridge"
maker = "Example"
model = "Cold 9"
type = "refrigerator"
release_state = "released"
address = "{DEVICE_2}"
interface = "s2"
outer_interface = "s0"
public_address = "{PUBLIC_2}"
egress = "sinkhole_all"
limits = {{ connections_per_s = 100, destinations_per_day = 1000 }}
ports = [{{ port = 80, transport = "tcp" }}]
"""

# What counts as a leak where the strangers are: anything for third parties or from devices, whatever carries it.
LEAKS = f"""
table inet leaks {{
    counter leaked {{ }}
    counter cloud {{ }}
    chain incoming {{
        type filter hook prerouting priority raw; policy accept;
        ip daddr {CLOUD} tcp dport 443 counter name "cloud" accept
        ip saddr {{ 192.168.0.0/16, 198.51.100.200 }} counter name "leaked"
        ip daddr 203.0.113.0/24 counter name "leaked"
        ip6 daddr 2001:db8::/32 counter name "leaked"
    }}
}}
"""
LEAKS_TO_DEVICE = f"""
table inet leaks {{
    counter leaked {{ }}
    chain incoming {{
        type filter hook prerouting priority raw; policy accept;
        # The sensor answers in the name of whoever was called: what begins something counts.
        ip saddr {{ {DEVICE}, 198.51.100.200 }} tcp flags & (syn | ack) == syn counter name "leaked"
        ip saddr {{ {DEVICE}, 198.51.100.200 }} meta l4proto != {{ tcp, icmp }} counter name "leaked"
        ip saddr {{ {DEVICE}, 198.51.100.200 }} icmp type echo-request counter name "leaked"
        ip6 daddr 2001:db8::/32 counter name "leaked"
    }}
}}
"""


def run(*command, text=None, check=True):
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{command} failed: {done.stdout}{done.stderr}")
    return done.stdout


def wait_until(what, look, limit_s=LIMIT_S):
    deadline = time.monotonic() + limit_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} was not seen within {limit_s} s")
        time.sleep(0.05)


def equal(seen, expected, what=""):
    if seen != expected:
        raise AssertionError(f"{what}\n  seen:     {seen!r}\n  expected: {expected!r}")


class Namespace:
    def __init__(self, name):
        self.name = f"kmr{os.getpid() % 100000}{name}"
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments):
        return run("ip", "-n", self.name, *arguments)

    def nft(self, *arguments, text=None, check=True):
        return run("ip", "netns", "exec", self.name, "nft", *arguments, text=text, check=check)

    def start(self, *command, **options):
        whole = ["ip", "netns", "exec", self.name, *(str(part) for part in command)]
        return subprocess.Popen(whole, stdin=subprocess.DEVNULL, **options)

    def python(self, code, *arguments, limit_s=LIMIT_S):
        """What a few lines of Python print there."""
        head = "import socket, sys, time\nsocket.setdefaulttimeout(3)\n"
        command = ["ip", "netns", "exec", self.name, sys.executable, "-c", head + code, *(str(a) for a in arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{code}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def reaches(self, address, port, limit_s=0.4):
        """Whether a connection is taken."""
        return self.python(
            "c = socket.socket(); c.settimeout(float(sys.argv[3]))\n"
            "try: c.connect((sys.argv[1], int(sys.argv[2]))); print('yes')\n"
            "except OSError: print('no')",
            address, port, limit_s,
        ) == "yes"

    def counted(self, name):
        listed = json.loads(self.nft("-j", "list", "counter", "inet", "leaks", name))
        return next(one["counter"]["packets"] for one in listed["nftables"] if "counter" in one)

    def remove(self):
        run("ip", "netns", "del", self.name, check=False)


class Scene:
    """The three parties, and a sensor that is started and killed."""

    def __init__(self, inventory=INVENTORY):
        self.devices_text = inventory
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="komainu-relay-"))
        self.folder.chmod(0o755)
        self.running = []
        self.sensor = None
        self.stranger, self.middle = Namespace("a"), Namespace("s")
        self.device, self.device_2 = Namespace("d"), Namespace("e")
        self.configuration = self.folder / "komainu.toml"
        self.data = self.folder / "data"
        self.log = self.folder / "komainu.log"
        self.devices_log = self.folder / "device.log"
        self.hosts = pathlib.Path("/etc/netns") / self.middle.name

    def prepare(self):
        self.hosts.mkdir(parents=True)
        (self.hosts / "hosts").write_text(f"127.0.0.1 localhost\n{CLOUD} cloud.example.com\n")
        self.wire()
        self.inventory(self.devices_text)
        self.configure("")

    def inventory(self, text):
        (self.folder / "devices.toml").write_text(text)

    def configure(self, more):
        text = f'[sensor]\nid = "relay-check"\npersonas = []\ndevices = "{self.folder}/devices.toml"\n'
        text += f"connections_per_source_max = 2000\n{more}"
        self.configuration.write_text(text)

    def wire(self):
        a, s, d, e = self.stranger, self.middle, self.device, self.device_2
        for one, its, other, others in ((a, "a0", s, "s0"), (s, "s1", d, "d0"), (s, "s2", e, "e0")):
            run("ip", "link", "add", its, "netns", one.name, "type", "veth", "peer", "name", others, "netns", other.name)
        for space, device, address in (
            (a, "a0", f"{STRANGER}/24"), (a, "a0", f"{UNKNOWN}/24"), (a, "lo", f"{CLOUD}/32"), (a, "lo", f"{THIRD}/32"),
            (s, "s0", f"{PUBLIC}/24"), (s, "s0", f"{PUBLIC_2}/24"), (s, "s1", f"{GATEWAY}/24"),
            (s, "s2", f"{GATEWAY_2}/24"), (d, "d0", f"{DEVICE}/24"), (e, "e0", f"{DEVICE_2}/24"),
        ):
            space.ip("addr", "add", address, "dev", device)
        for space, device in ((a, "a0"), (s, "s0"), (s, "s1"), (s, "s2"), (d, "d0"), (e, "e0")):
            space.ip("link", "set", device, "up")
        # The other way as well: whatever gets out would be answered.
        a.ip("route", "add", "default", "via", PUBLIC)
        s.ip("route", "add", "default", "via", STRANGER)
        d.ip("route", "add", "default", "via", GATEWAY)
        e.ip("route", "add", "default", "via", GATEWAY_2)
        a.nft("-f", "-", text=LEAKS)
        e.nft("-f", "-", text=LEAKS_TO_DEVICE)
        self.devices = [self.start_device(d, self.devices_log), self.start_device(e, self.folder / "device_2.log")]
        # What a device must not reach: the maker's cloud says so; this machine has something that listens.
        answer = (
            "import socket\nl = socket.create_server((sys.argv[1], int(sys.argv[2])))\nprint('up', flush=True)\n"
            "while True:\n c, _ = l.accept(); c.sendall(b'here\\r\\n'); c.close()\n"
        )
        for space, address, port in ((a, CLOUD, 443), (a, THIRD, 80), (a, THIRD, 23), (s, "0.0.0.0", 2222)):
            server = space.start(sys.executable, "-c", "import sys\n" + answer, address, port, stdout=subprocess.PIPE)
            self.running.append(server)
            server.stdout.readline()

    def start_device(self, space, log):
        device = space.start(sys.executable, HERE / "device.py", log, stdout=subprocess.PIPE)
        self.running.append(device)
        device.stdout.readline()
        return device

    def start_device_2(self):
        self.devices[1] = self.start_device(self.device_2, self.folder / "device_2.log")

    def komainu(self, *arguments, check=True):
        command = ["ip", "netns", "exec", self.middle.name, KOMAINU, *arguments]
        return run(*command, check=check)

    def relay(self, *arguments, check=True):
        folder = ("--data", self.data, "--config", self.configuration)
        return self.komainu("sensor", "relay", *arguments, *folder, check=check)

    def start(self):
        before = self.readies()
        self.launch()
        wait_until("`ready`", lambda: self.readies() > before or self.sensor.poll() is not None)
        equal(self.sensor.poll(), None, f"the sensor runs\n{self.log.read_text()[-3000:]}")

    def launch(self):
        with open(self.log, "a") as log:
            self.sensor = self.middle.start(
                KOMAINU, "sensor", "--data", self.data, "--config", self.configuration, stdout=log, stderr=log
            )

    def readies(self):
        return self.log.read_text().splitlines().count("ready") if self.log.exists() else 0

    def worker(self):
        """The process of the sensor that has no rights."""
        children = run("ps", "-o", "pid=,uid=", "--ppid", self.sensor.pid, check=False).splitlines()
        pids = [int(pid) for pid, user in map(str.split, children) if user != reset_checks.EXAMINER]
        return pids[0] if pids else None

    def begin_anew(self):
        """Starts with rules that remember nothing of what devices have used up."""
        self.stop()
        self.komainu("sensor", "relay", "down")
        self.start()

    def start_again(self):
        self.sensor.kill()
        self.sensor.wait()
        self.start()

    def stop(self):
        if self.sensor and self.sensor.poll() is None:
            self.sensor.terminate()
            self.sensor.wait(LIMIT_S)

    def leaked(self):
        return self.stranger.counted("leaked"), self.device_2.counted("leaked")

    def lines(self, event_type, name="honeypot.json"):
        path = self.data / "sensor" / name
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["event_type"] == event_type]

    def devices_saw(self):
        return self.devices_log.read_text().splitlines()

    def summary(self, port):
        """The line `honeypot` of the session that a stranger's port began."""
        look = lambda: [line for line in self.lines("honeypot") if line["src_port"] == int(port)]
        return wait_until("the summary", look)[0]

    def cut_out(self, summary):
        """The file with a session's packets: its comment, and time, source, destination, flags and text of each."""
        path = self.data / "sensor/captures/sessions" / summary["honeypot"]["pcap_ref"]
        comment = run("capinfos", "-k", path)
        fields = ("ip.src", "tcp.srcport", "udp.srcport", "ip.dst", "tcp.flags.str", "frame.comment")
        arguments = [part for field in fields for part in ("-e", field)]
        lines = run("tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=|", *arguments).splitlines()
        return comment, [line.split("|") for line in lines]

    def ring(self, device="porch"):
        return sorted((self.data / "sensor/captures/devices" / device).glob("*.pcapng"))

    def ring_is_readable(self):
        """Every file of the ring of the device is read to its end by a program that is not ours."""
        for path in self.ring():
            said = run("capinfos", "-c", "-M", path)
            equal("cut short" in said or "damaged" in said, False, f"{path}: {said}")

    def hostile(self, space, interface, address, gateway, other, *rounds, **options):
        return space.start(sys.executable, HERE / "hostile.py", interface, address, gateway, other, *rounds, **options)

    def try_everything(self, rounds=8):
        """Both devices try to get out in all ways, and it is waited for."""
        both = [
            self.hostile(self.device, "d0", DEVICE, GATEWAY, DEVICE_2, rounds),
            self.hostile(self.device_2, "e0", DEVICE_2, GATEWAY_2, DEVICE, rounds),
        ]
        for one in both:
            equal(one.wait(60), 0, "the hostile device has done what it does")

    def close(self):
        self.stop()
        for process in self.running:
            process.kill()
            process.wait()
        for space in (self.stranger, self.middle, self.device, self.device_2):
            space.remove()
        shutil.rmtree(self.hosts, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


VISIT_IF_OPEN = """
try:
    c = socket.create_connection((sys.argv[1], 80))
    c.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
    print(c.recv(15).decode())
except OSError as error: print(type(error).__name__)
"""

VISIT = """
c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
c.sendall(sys.argv[3].encode())
said = b''
while more := c.recv(65536): said += more
print(c.getsockname()[1], said.decode('latin1').splitlines()[0])
"""

DNS = """
name = b''.join(bytes([len(l)]) + l.encode() for l in sys.argv[2].split('.'))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.sendto(b'\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0' + name + b'\\0\\0\\1\\0\\1', (sys.argv[1], 53))
print(socket.inet_ntoa(u.recv(512)[-4:]))
"""


@check
def rules_alone_hold_the_devices(scene):
    scene.middle.nft("-f", "-", text=scene.relay("rules"))
    run("ip", "netns", "exec", scene.middle.name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    scene.try_everything()
    equal(scene.leaked(), (0, 0), "packets that got out before anything ran")
    equal(scene.stranger.reaches(PUBLIC, 80), False, "a stranger reaches the device")


@check
def a_stranger_reaches_the_device_with_its_own_address(scene):
    scene.start()
    port, first = scene.stranger.python(VISIT, PUBLIC, 80, "GET /x HTTP/1.0\r\n\r\n").split(" ", 1)
    equal(first, "HTTP/1.0 200 OK")
    equal(scene.devices_saw()[-1], f"tcp 80 {STRANGER} {port} 19")
    summary = wait_until("the summary", lambda: [x for x in scene.lines("honeypot") if x["src_port"] == int(port)])[0]
    equal((summary["src_ip"], summary["dest_ip"], summary["dest_port"]), (STRANGER, PUBLIC, 80))
    target = summary["honeypot"]["target"]
    expected = {"kind": "real", "device": "porch", "type": "ip_camera", "maker": "Example", "model": "Cam 3"}
    equal(target, expected | {"firmware": "1.2", "release_state": "pre_release"})
    http = wait_until("the request", lambda: scene.lines("http", "eve.json"))[0]
    equal((http["http"]["url"], http["http"]["status"]), ("/x", 200))
    everything = "".join(path.read_text() for path in (scene.data / "sensor").glob("*.json"))
    equal("SERIAL-0815" in everything, False, "the serial number is in the records")


@check
def the_process_that_talks_to_strangers_has_no_rights(scene):
    status = pathlib.Path(f"/proc/{scene.worker()}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    equal(fields["Uid"].split()[0] != "0" and fields["Gid"].split()[0] != "0", True, status)
    equal((fields["CapEff"], fields["CapPrm"], fields["NoNewPrivs"], fields["Groups"].strip()), ("0" * 16, "0" * 16, "1", ""))


@check
def datagrams_go_both_ways(scene):
    code = (
        "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for _ in range(3):\n u.sendto(b'M-SEARCH * HTTP/1.1\\r\\n\\r\\n', (sys.argv[1], 1900)); said, peer = u.recvfrom(2048)\n"
        "print(u.getsockname()[1], peer[0], peer[1], said.split(b'\\r\\n')[0].decode())\n"
    )
    # Whoever never connected by TCP would get no answer that is longer than the question.
    scene.stranger.python("socket.create_connection((sys.argv[1], 80)).close()", PUBLIC)
    port, *answered = scene.stranger.python(code, PUBLIC).split(" ", 3)
    equal(answered, [PUBLIC, "1900", "HTTP/1.1 200 OK"])
    equal(scene.devices_saw()[-1], f"udp 1900 {STRANGER} {port} 23")
    many = "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nu.sendto(b'many' + bytes(296), (sys.argv[1], 1900))\n"
    many += "got = 0\ntry:\n while True: got += len(u.recv(2048))\nexcept OSError: print(got)\n"
    equal(300 < int(scene.stranger.python(many, PUBLIC)) <= 3000, True, "it connected before: ten times what was sent")
    unknown = many.replace("u.sendto", f"u.bind(('{UNKNOWN}', 0)); u.sendto", 1)
    equal(int(scene.stranger.python(unknown, PUBLIC)) <= 300, True, "whoever never connected gets no more than it sent")


@check
def the_packets_of_a_session_are_cut_out(scene):
    port, _ = scene.stranger.python(VISIT, PUBLIC, 80, "GET /cut HTTP/1.0\r\n\r\n").split(" ", 1)
    summary = scene.summary(port)
    session = summary["honeypot"]["session"]["id"]
    equal(summary["honeypot"]["pcap_ref"], f"{session}.confidential.pcapng")
    comment, packets = scene.cut_out(summary)
    equal(all(word in comment for word in (session, summary["community_id"], "device porch", "left out 0")), True, comment)
    equal({(packet[0], packet[3]) for packet in packets}, {(STRANGER, DEVICE), (DEVICE, STRANGER)})
    equal({packet[1] for packet in packets}, {port, "80"})
    flags = lambda source: "".join(packet[4] for packet in packets if packet[0] == source)
    equal(packets[0][0] == STRANGER and "S" in packets[0][4] and session in packets[0][5], True, packets[0])
    equal(["F" in flags(source) for source in (STRANGER, DEVICE)], [True, True], packets)
    listed = scene.komainu("sensor", "captures", "list", "--data", scene.data)
    equal(any(line.startswith(session) and line.endswith("confidential") for line in listed.splitlines()), True, listed)
    out = scene.folder / "export.pcapng"
    scene.komainu("sensor", "captures", "export", session, "--out", out, "--data", scene.data)
    # As any capture, it can be read as if it were seen now.
    events = [json.loads(line) for line in run(KOMAINU, "pcap", out).splitlines()]
    equal([event["http"]["url"] for event in events if event["event_type"] == "http"], ["/cut"])
    # So can what the ring has of the device.
    ring = scene.folder / "ring.pcapng"
    scene.komainu("sensor", "captures", "ring", "porch", "--out", ring, "--data", scene.data)
    urls = [json.loads(line).get("http", {}).get("url") for line in run(KOMAINU, "pcap", ring).splitlines()]
    equal("/cut" in urls, True, urls)


@check
def the_datagrams_of_a_session_are_cut_out(scene):
    code = (
        "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "u.sendto(b'M-SEARCH * HTTP/1.1\\r\\n' + bytes(200), (sys.argv[1], 1900)); u.recv(2048)\n"
        "print(u.getsockname()[1])\n"
    )
    port = scene.stranger.python(code, PUBLIC)
    scene.stop()
    scene.start()
    comment, packets = scene.cut_out(scene.summary(port))
    equal([(packet[0], packet[2]) for packet in packets], [(STRANGER, port), (DEVICE, "1900")], comment)


@check
def what_the_kernel_relays_is_recorded_as_it_passes_by(scene):
    body = random.Random(5).randbytes(300_000)
    (scene.folder / "body").write_bytes(body)
    code = (
        "body = open(sys.argv[2], 'rb').read(); c = socket.create_connection((sys.argv[1], 8000))\n"
        "c.sendall(b'PUT /firmware.bin HTTP/1.1\\r\\nHost: cam\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)\n"
        "said = c.recv(65536); c.close(); print(said.split(b'\\r\\n')[0].decode())\n"
    )
    equal(scene.stranger.python(code, PUBLIC, scene.folder / "body"), "HTTP/1.0 200 OK")
    look = lambda: [line for line in scene.lines("http", "eve.json") if line["http"]["url"] == "/firmware.bin"]
    http = wait_until("the request", look)[0]
    equal((http["src_ip"], http["dest_ip"], http["dest_port"]), (STRANGER, PUBLIC, 8000))
    equal((http["http"]["http_method"], http["http"]["status"]), ("PUT", 200))
    summary = scene.summary(http["src_port"])
    target = summary["honeypot"]["target"]
    equal((target["kind"], target["device"], target["release_state"]), ("real", "porch", "pre_release"))
    digest = hashlib.sha256(body).hexdigest()
    look = lambda: [line["artifact"] for line in scene.lines("artifact") if line["artifact"]["sha256"] == digest]
    artifact = wait_until("the file", look)[0]
    equal((artifact["bytes"], artifact["stored"]), (len(body), True))
    out = scene.folder / "body.out"
    scene.komainu("sensor", "artifacts", "export", digest, "--out", out, "--data", scene.data)
    equal(out.read_bytes() == body, True, "the file is the same byte for byte")
    comment, packets = scene.cut_out(summary)
    flags = lambda source: "".join(packet[4] for packet in packets if packet[0] == source)
    equal(["S" in flags(source) and "F" in flags(source) for source in (STRANGER, DEVICE)], [True, True], comment)


@check
def a_flood_stays_within_the_ring(scene):
    scene.stop()
    scene.configure(f"[sensor.capture]\nring_bytes_max = {RING_BYTES}\nsession_bytes_max = 65536\n")
    scene.start()
    code = (
        "c = socket.create_connection((sys.argv[1], 7)); data = bytes(range(256)) * 8000; port = c.getsockname()[1]\n"
        "c.sendall(data); c.shutdown(socket.SHUT_WR); said = b''\n"
        "while more := c.recv(65536): said += more\n"
        "print(port if said == data else 'other')\n"
    )
    for _ in range(8):
        port = scene.stranger.python(code, PUBLIC)
    # The device itself floods as well: small packets for nobody.
    flood = (
        "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "end = time.monotonic() + 3; n = 0\n"
        "while time.monotonic() < end: u.sendto(b'x' * 50, ('203.0.113.99', 9)); n += 1\n"
        "print(n)\n"
    )
    before = processor_s(scene.worker())
    sent = int(scene.device.python(flood))
    spent_us = 1e6 * (processor_s(scene.worker()) - before) / sent
    summary = scene.summary(port)
    comment, packets = scene.cut_out(summary)
    path = scene.data / "sensor/captures/sessions" / summary["honeypot"]["pcap_ref"]
    equal((path.stat().st_size < 70_000, "S" in packets[0][4], "left out 0" in comment), (True, True, False), comment)
    bytes_now = sum(path.stat().st_size for path in scene.ring())
    equal(bytes_now <= RING_BYTES and len(scene.ring()) > 8, True, f"{bytes_now} bytes in {len(scene.ring())} files")
    scene.ring_is_readable()
    status = pathlib.Path(f"/proc/{scene.worker()}/status").read_text()
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    said = f"{bytes_now} bytes in the ring, worker at most {peak_kib} KiB and {spent_us:.2f} us for each"
    print(f"a flood of {sent} datagrams in 3 s: {said}", flush=True)
    equal(peak_kib < 256 * 1024, True, "the worker's memory")
    os.kill(scene.worker(), signal.SIGKILL)
    wait_until("another worker", lambda: scene.worker())
    scene.stop()
    scene.ring_is_readable()
    scene.configure("")
    scene.start()


@check
def the_end_of_one_direction_leaves_the_other_open(scene):
    code = (
        "c = socket.create_connection((sys.argv[1], 7)); data = bytes(range(256)) * 8000\n"
        "c.sendall(data); c.shutdown(socket.SHUT_WR); said = b''\n"
        "while more := c.recv(65536): said += more\n"
        "print(said == data)\n"
    )
    equal(scene.stranger.python(code, PUBLIC), "True")


@check
def the_kernel_relays_what_nobody_understands(scene):
    port, first = scene.stranger.python(VISIT, PUBLIC, 8000, "GET / HTTP/1.0\r\n\r\n").split(" ", 1)
    equal((first, scene.devices_saw()[-1]), ("HTTP/1.0 200 OK", f"tcp 8000 {STRANGER} {port} 18"))


@check
def what_is_not_exposed_is_closed(scene):
    before = scene.devices_saw()
    equal([port for port in (22, 443, 8001, 61040, 61041) if scene.stranger.reaches(PUBLIC, port)], [])
    # The device has nothing at 81: the stranger is told so.
    code = "try: print(socket.create_connection((sys.argv[1], 81)).recv(1))\nexcept ConnectionResetError: print('reset')"
    equal(scene.stranger.python(code, PUBLIC), "reset")
    equal(scene.devices_saw(), before)


@check
def the_device_reaches_its_cloud_and_nobody_else(scene):
    wait_until("the cloud", lambda: scene.device.python(DNS, "9.9.9.9", "Cloud.Example.com") == CLOUD)
    equal(scene.device.reaches(CLOUD, 443, 3), True, "the cloud")
    equal(scene.device.reaches(CLOUD, 80), False, "another port there")
    equal(scene.device.reaches(THIRD, 80), False, "a third party")
    equal(scene.device.reaches(GATEWAY, 2222), False, "the sensor")
    equal(scene.device.reaches(PUBLIC, 2222), False, "the sensor from outside")
    equal(scene.device.reaches(DEVICE_2, 80), False, "the other device")
    equal(scene.device.python(DNS, "203.0.113.53", "c2.example.net"), "192.0.2.53")
    ntp = "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nu.sendto(b'\\x23' + bytes(47), ('203.0.113.123', 123))\n"
    ntp += "said = u.recv(48); print(abs(int.from_bytes(said[40:44], 'big') - 2208988800 - time.time()) < 5)"
    equal(scene.device.python(ntp), "True")
    equal(scene.leaked(), (0, 0), "packets that got out")
    seen = lambda: {(x["egress"]["destination"], x["egress"].get("port"), x["egress"]["action"]) for x in scene.lines("egress")}
    expected = {(CLOUD, 443, "allowed"), (CLOUD, 80, "blocked"), (THIRD, 80, "blocked"), (GATEWAY, 2222, "to_sensor")}
    wait_until("the lines of what the device tried", lambda: expected <= seen())
    named = lambda: {(x["egress"].get("name"), x["egress"]["action"]) for x in scene.lines("egress")}
    expected = {("cloud.example.com", "answered"), ("c2.example.net", "sinkholed")}
    wait_until("the lines of what the device asked for", lambda: expected <= named())
    incidents = wait_until("incidents", lambda: scene.lines("incident"))
    equal({x["incident"]["device"] for x in incidents}, {"porch"})
    equal({THIRD} <= {x["incident"]["destination"] for x in incidents}, True, incidents)


@check
def the_cloud_is_reached_no_faster_than_allowed(scene):
    code = (
        "n = 0\nfor _ in range(25):\n c = socket.socket(); c.settimeout(0.05)\n"
        " try: c.connect((sys.argv[1], 443)); n += 1\n except OSError: pass\n c.close()\nprint(n)\n"
    )
    equal(int(scene.device.python(code, CLOUD)) < 20, True, "connections within a bit more than a second")


def limited(scene, device):
    return [x for x in scene.lines("egress") if (x["egress"]["device"], x["egress"]["action"]) == (device, "limited")]


@check
def the_bytes_of_a_day_are_used_up_also_after_a_new_start(scene):
    tight = "connections_per_s = 1000, bytes_per_day = 4000, destinations_per_day = 4"
    scene.inventory(INVENTORY.replace("connections_per_s = 5, destinations_per_day = 4", tight))
    scene.begin_anew()
    wait_until("the cloud", lambda: scene.device.reaches(CLOUD, 443))
    spend = (
        "n = 0\ntry:\n while n < 100: socket.create_connection((sys.argv[1], 443), 1).close(); n += 1\n"
        "except OSError: pass\nprint(n)\n"
    )
    before = len(limited(scene, "porch"))
    # A connection that says nothing is some 270 bytes of the device.
    equal(1 < int(scene.device.python(spend, CLOUD)) < 40, True, "connections until the bytes are used up")
    seen = scene.stranger.counted("cloud")
    equal(scene.device.reaches(CLOUD, 443), False, "the cloud, when the bytes are used up")
    wait_until("the line of what was too much", lambda: len(limited(scene, "porch")) > before)
    scene.start_again()
    wait_until("the cloud's address", lambda: CLOUD in scene.middle.nft("list", "set", "inet", "komainu_relay", "d1_vendor"))
    equal(scene.device.reaches(CLOUD, 443), False, "the cloud, after a new start")
    equal((scene.stranger.counted("cloud"), scene.leaked()), (seen, (0, 0)), "packets that got out")
    # The next day.
    scene.middle.nft("flush", "set", "inet", "komainu_relay", "begun")
    scene.start_again()
    wait_until("the cloud, on the next day", lambda: scene.device.reaches(CLOUD, 443))
    scene.inventory(INVENTORY)
    scene.begin_anew()


@check
def so_many_destinations_a_day_and_no_more_also_after_a_new_start(scene):
    scene.inventory(INVENTORY.replace("destinations_per_day = 1000", "destinations_per_day = 3"))
    scene.begin_anew()
    addresses = [f"203.0.113.{number}" for number in range(61, 66)]
    reached = lambda: [scene.device_2.reaches(address, 6667) for address in addresses]
    before = len(limited(scene, "fridge"))
    equal(reached(), [True, True, True, False, False])
    wait_until("the line of what was too much", lambda: len(limited(scene, "fridge")) > before)
    scene.start_again()
    equal(reached(), [True, True, True, False, False], "after a new start")
    equal(scene.leaked(), (0, 0), "packets that got out")
    scene.inventory(INVENTORY)
    scene.begin_anew()


@check
def every_connection_of_the_other_device_is_taken(scene):
    code = "c = socket.create_connection((sys.argv[1], 6667)); c.sendall(b'NICK komainu\\r\\n'); c.close(); print('ok')"
    equal(scene.device_2.python(code, THIRD), "ok")
    taken = lambda: [x["egress"] for x in scene.lines("egress") if x["egress"]["action"] == "sinkholed"]
    look = lambda: [x for x in taken() if x["destination"] == THIRD and "first" in x]
    line = wait_until("the connection", look)[-1]
    equal((line["device"], line["destination"], line["port"], line["first"]), ("fridge", THIRD, 6667, "NICK komainu\r\n"))
    equal(scene.leaked(), (0, 0), "packets that got out")


@check
def nothing_gets_out_while_it_runs(scene):
    scene.try_everything(20)
    equal(scene.leaked(), (0, 0), "packets that got out")


@check
def quarantine_closes_everything(scene):
    scene.relay("quarantine", "porch")
    equal(scene.device.reaches(CLOUD, 443), False, "the cloud")
    # The guard looks every few seconds what an operator has done.
    wait_until("that strangers are refused", lambda: scene.stranger.python(VISIT_IF_OPEN, PUBLIC) == "ConnectionResetError")
    equal(scene.stranger.reaches(PUBLIC, 8000), False, "the kernel's relay")
    scene.start_again()
    equal(scene.device.reaches(CLOUD, 443), False, "the cloud, after a new start")
    scene.relay("release", "porch")
    wait_until("the device", lambda: scene.stranger.python(VISIT_IF_OPEN, PUBLIC) == "HTTP/1.0 200 OK")


@check
def a_killed_worker_opens_nothing_and_is_started_again(scene):
    before = scene.readies()
    os.kill(scene.worker(), signal.SIGKILL)
    scene.try_everything(4)
    equal(scene.leaked(), (0, 0), "packets that got out")
    wait_until("another worker", lambda: scene.readies() > before)
    equal(scene.stranger.python(VISIT, PUBLIC, 80, "GET / HTTP/1.0\r\n\r\n").split(" ", 1)[1], "HTTP/1.0 200 OK")


@check
def a_killed_guard_leaves_everything_closed(scene):
    worker = scene.worker()
    scene.sensor.kill()
    scene.sensor.wait()
    wait_until("the end of the worker", lambda: not pathlib.Path(f"/proc/{worker}").exists())
    saw = scene.devices_saw()
    equal([port for port in (23, 80) if scene.stranger.reaches(PUBLIC, port)], [])
    equal(scene.devices_saw(), saw)
    scene.try_everything()
    equal(scene.leaked(), (0, 0), "packets that got out")
    scene.start()
    equal(scene.stranger.python(VISIT, PUBLIC, 80, "GET / HTTP/1.0\r\n\r\n").split(" ", 1)[1], "HTTP/1.0 200 OK")


@check
def an_incident_may_mean_quarantine(scene):
    scene.stop()
    scene.configure('on_incident = "quarantine"\n')
    scene.start()
    equal(scene.device.reaches(THIRD, 23), False)
    wait_until("the quarantine", lambda: '"s1"' in scene.middle.nft("list", "set", "inet", "komainu_relay", "quarantined"))
    wait_until("the incident", lambda: scene.lines("incident")[-1]["incident"]["quarantine"])
    scene.relay("release", "porch")
    scene.stop()
    scene.configure("")
    scene.start()


CHECKS += reset_checks.checks(sys.modules[__name__])


def kill_if_there(pid):
    """It may have ended by itself a moment ago, as a worker does without its guard."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@check
def kills_at_any_moment_open_nothing(scene):
    kills = next((int(word[6:]) for word in sys.argv if word.startswith("kills=")), 12)
    dice = random.Random(7)
    hostile = [
        scene.hostile(scene.device, "d0", DEVICE, GATEWAY, DEVICE_2),
        scene.hostile(scene.device_2, "e0", DEVICE_2, GATEWAY_2, DEVICE),
    ]
    try:
        for _ in range(kills):
            time.sleep(dice.random())
            worker = scene.worker()
            if dice.random() < 0.5 and worker:
                kill_if_there(worker)
            elif dice.random() < 0.8:
                scene.sensor.kill()
            else:
                scene.sensor.terminate()
            time.sleep(dice.random() / 2)
            if scene.sensor.poll() is not None:
                scene.launch()
            equal([one.poll() for one in hostile], [None, None], "the hostile devices go on")
    finally:
        for one in hostile:
            one.kill()
            one.wait()
    equal(scene.leaked(), (0, 0), "packets that got out")


@check
def stopping_leaves_everything_closed_until_it_is_opened(scene):
    scene.stop()
    scene.start()
    scene.stop()
    equal(scene.sensor.returncode, 0)
    equal(scene.stranger.reaches(PUBLIC, 80), False)
    scene.try_everything()
    equal(scene.leaked(), (0, 0), "packets that got out")
    scene.komainu("sensor", "relay", "down")
    equal("komainu" in scene.middle.nft("list", "ruleset"), False)
    # That the counters count: without rules it gets out.
    scene.try_everything(2)
    equal(scene.leaked()[0] > 0, True, "leaks are seen when there are some")


def processor_s(pid):
    """Seconds of processor time that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(scene, visits):
    """Visits of a device that costs little, by visitors that cost little: what a relay can do beside them."""
    port = 81
    device = scene.device.start(KOMAINU, "bench", "device", "--listen", f"{DEVICE}:{port}")
    scene.running.append(device)
    wait_until("the device", lambda: scene.middle.reaches(DEVICE, port))
    command = ["ip", "netns", "exec", scene.stranger.name, KOMAINU, "bench", "visits"]
    command += ["--address", f"{PUBLIC}:{port}", "--visits", visits]
    scene.start()
    for at_once in (1, 32, 128):
        processes = (scene.sensor.pid, scene.worker(), device.pid)
        spent = [processor_s(pid) for pid in processes]
        said = run(*command, "--at-once", at_once).strip()
        spent = [processor_s(pid) - before for pid, before in zip(processes, spent)]
        guard_ms, worker_ms, device_ms = (1000 * one / visits for one in spent)
        each = f"guard {guard_ms:.3f} ms, worker {worker_ms:.3f} ms, device {device_ms:.3f} ms"
        print(f"{at_once:>4} at once: {said}; for each, {each}", flush=True)
    scene.stop()
    written = sum(path.read_text().count('"event_type":"honeypot"') for path in scene.data.glob("sensor/honeypot.json*"))
    print(f"records: {written} of {3 * visits} sessions")


# Moments between two kills are random; this is how long they are on average.
SOAK_BETWEEN_KILLS_S = 8
SOAK_SESSIONS_PER_S = 20
SOAK_SAYS_EVERY_S = 60


class Soak:
    """Kills whoever takes part at random moments, for as long as it is told, and counts what gets out meanwhile."""

    def __init__(self, scene, seed):
        self.scene = scene
        self.dice = random.Random(seed)
        self.devices = [
            (scene.device, "d0", DEVICE, GATEWAY, DEVICE_2),
            (scene.device_2, "e0", DEVICE_2, GATEWAY_2, DEVICE),
        ]
        self.hostile = [scene.hostile(*device) for device in self.devices]
        command = [sys.executable, HERE / "strangers.py", str(SOAK_SESSIONS_PER_S), PUBLIC, PUBLIC_2]
        self.strangers = scene.stranger.start(*command, stdout=subprocess.PIPE, text=True)
        self.strangers.stdout.readline()
        # How often each is killed, next to each other: whoever joins the scene joins this list.
        self.ways = [(4, self.kill_worker), (3, self.kill_guard), (1, self.end_guard), (2, self.kill_device)]
        self.kills = {act.__name__: 0 for _, act in self.ways}
        self.unexpected = []
        self.recorded = 0
        self.records_read = 0

    def kill_worker(self):
        worker = self.scene.worker()
        if worker:
            kill_if_there(worker)

    def kill_guard(self):
        self.scene.sensor.kill()
        self.start_guard()

    def end_guard(self):
        self.scene.sensor.terminate()
        self.start_guard()

    def kill_device(self):
        which = self.dice.randrange(len(self.hostile))
        self.hostile[which].kill()
        self.hostile[which].wait()
        self.hostile[which] = self.scene.hostile(*self.devices[which])

    def start_guard(self):
        self.scene.sensor.wait(LIMIT_S)
        # The next kill does not wait until it is ready.
        self.scene.launch()

    def kill_one(self):
        act = self.dice.choices([act for _, act in self.ways], [weight for weight, _ in self.ways])[0]
        act()
        self.kills[act.__name__] += 1

    def look(self):
        """Whoever ends and was not killed."""
        if self.scene.sensor.poll() is not None:
            self.unexpected.append(f"the guard ended with {self.scene.sensor.returncode}")
            self.scene.launch()
        for which, one in enumerate(self.hostile):
            if one.poll() is not None:
                self.unexpected.append(f"a hostile device ended with {one.returncode}")
                self.hostile[which] = self.scene.hostile(*self.devices[which])
        if self.strangers.poll() is not None:
            raise AssertionError("the strangers have ended")

    def count_records(self):
        path = self.scene.data / "sensor" / "honeypot.json"
        if not path.exists():
            return
        if path.stat().st_size < self.records_read:
            # It was full, and another one was begun.
            self.count_records_of(path.with_name("honeypot.json.1"))
            self.records_read = 0
        self.count_records_of(path)

    def count_records_of(self, path):
        with open(path, "rb") as records:
            records.seek(self.records_read)
            read = records.read()
        whole = read[: read.rfind(b"\n") + 1]
        self.records_read += len(whole)
        self.recorded += sum(b'"event_type":"honeypot"' in line for line in whole.split(b"\n"))

    def sent(self):
        """Packets that left the devices."""
        total = 0
        for space, interface, *_ in self.devices:
            links = json.loads(space.ip("-j", "-s", "link", "show", interface))
            total += links[0]["stats64"]["tx"]["packets"]
        return total

    def say(self, began):
        self.count_records()
        memory = [resident_kib(pid) for pid in (self.scene.sensor.pid, self.scene.worker())]
        kills = ", ".join(f"{name} {count}" for name, count in self.kills.items())
        print(
            f"{time.monotonic() - began:>6.0f} s: {kills}; sessions recorded {self.recorded}; packets of devices "
            f"{self.sent()}; leaked {sum(self.scene.leaked())}; guard {memory[0]} KiB, worker {memory[1]} KiB",
            flush=True,
        )

    def close(self):
        for one in self.hostile:
            one.kill()
            one.wait()
        self.strangers.terminate()
        try:
            said, _ = self.strangers.communicate(timeout=LIMIT_S)
            print(f"sessions as strangers saw them: {said.strip()}", flush=True)
        except subprocess.TimeoutExpired:
            self.strangers.kill()
            self.unexpected.append("the strangers did not end")


def resident_kib(pid):
    """None when there is no such process: it was killed a moment ago."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), None)


def soak(scene, seconds, seed):
    print(f"{seconds} s with seed {seed}", flush=True)
    scene.start()
    one = Soak(scene, seed)
    began = said = time.monotonic()
    try:
        while (now := time.monotonic()) < began + seconds:
            time.sleep(min(one.dice.expovariate(1 / SOAK_BETWEEN_KILLS_S), max(began + seconds - now, 0)))
            one.look()
            one.kill_one()
            if time.monotonic() >= said + SOAK_SAYS_EVERY_S:
                said = time.monotonic()
                one.say(began)
    finally:
        one.close()
    one.say(began)
    for what in one.unexpected:
        print(f"not expected: {what}", flush=True)
    leaked = sum(scene.leaked())
    print(f"soak: {sum(one.kills.values())} kills, {leaked} packets leaked", flush=True)
    return 1 if leaked or one.unexpected else 0


def run_checks(area, scene, checks, names, logs):
    """Runs the checks with these names, or every one, and says of each how it ended; when one failed, also what `logs` say
    last. Gives back the status to end with."""
    failed = 0
    try:
        scene.prepare()
        for function in checks:
            if names and function.__name__ not in names:
                continue
            began = time.monotonic()
            try:
                function(scene)
                print(f"check {area}::{function.__name__} ... ok, {time.monotonic() - began:.1f} s", flush=True)
            except Exception:
                failed += 1
                traceback.print_exc()
                print(f"check {area}::{function.__name__} ... FAILED", flush=True)
    except Exception:
        failed += 1
        traceback.print_exc()
        print(f"check {area}::prepare ... FAILED", flush=True)
    if failed:
        for log in logs():
            print(f"--- the last words of {log.name}")
            print("\n".join(log.read_text().splitlines()[-60:]) if log.exists() else "none")
    return 1 if failed else 0


def main():
    words = sys.argv[1:]
    scene = Scene()
    try:
        if words[:1] == ["load"]:
            scene.prepare()
            load(scene, int(words[1]) if len(words) > 1 else 20_000)
            return 0
        if words[:1] == ["soak"]:
            scene.prepare()
            seed = next((int(word[5:]) for word in words if word.startswith("seed=")), random.randrange(1 << 32))
            return soak(scene, int(words[1]), seed)
        only = [word for word in words if not word.startswith("kills=")]
        return run_checks("relay", scene, CHECKS, only, lambda: [scene.log])
    finally:
        scene.close()


if __name__ == "__main__":
    sys.exit(main())
