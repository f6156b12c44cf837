"""Outposts of a sensor, in network namespaces: strangers reach the same device at three places.

Beside the parties of `relay.py` there are two outposts with addresses of their own, each with a wire to the strangers and
one to the sensor. Needs root, `ip`, `nft`. Run it from the root of the repository after a build:

    python3 tests/relay/outposts.py [CHECK…]          every check, or some
    python3 tests/relay/outposts.py load [SESSIONS]   how many sessions a second go through, and how fast a film is
"""

import json
import os
import pathlib
import signal
import sys
import time

import relay
from relay import DEVICE, DEVICE_2, GATEWAY, GATEWAY_2, KOMAINU, PUBLIC, STRANGER, UNKNOWN
from relay import Namespace, Scene, equal, processor_s, run, wait_until

OSAKA, LIMA = "192.0.2.20", "192.0.2.40"
# The strangers' address on each wire.
GATE_OSAKA, GATE_LIMA = "192.0.2.17", "192.0.2.33"
INVENTORY = relay.INVENTORY.replace(
    '    { port = 81, transport = "tcp" },', '    { port = 81, transport = "tcp" },\n    { port = 8080, transport = "tcp" },'
)

VISIT = """
said = b''
try:
    c = socket.create_connection((sys.argv[1], int(sys.argv[2])), source_address=(sys.argv[4], 0))
    c.sendall(sys.argv[3].encode())
    while more := c.recv(65536): said += more
    print(c.getsockname()[1], said.decode('latin1').splitlines()[0])
except ConnectionResetError: print('reset')
except OSError as error: print(type(error).__name__)
"""
GET = "GET /x HTTP/1.0\r\n\r\n"

ASK = """
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((sys.argv[2], 0)); u.connect((sys.argv[1], 1900))
for _ in range(3): u.send(b'M-SEARCH * HTTP/1.1\\r\\n' + bytes(200)); said = u.recv(2048)
print(u.getsockname()[1], said.split(b'\\r\\n')[0].decode())
"""

# How many bytes come back for 300 that are said.
ASK_FOR_MANY = """
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((sys.argv[2], 0)); u.settimeout(2)
u.sendto(b'many' + bytes(296), (sys.argv[1], 1900))
got = 0
try:
    while True: got += len(u.recv(2048))
except OSError: print(got)
"""

# So many connections at the same time, each with a page behind it.
MANY = """
all = []
for number in range(int(sys.argv[2])):
    source = (sys.argv[3 + number % 2], 0)
    c = socket.create_connection((sys.argv[1], 80), source_address=source, timeout=20); all.append(c)
for c in all: c.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
ok = 0
for c in all:
    said = b''
    while more := c.recv(65536): said += more
    ok += said.startswith(b'HTTP/1.0 200 OK') and said.endswith(b'</html>')
print(ok)
"""

FILM = """
c = socket.create_connection((sys.argv[1], 8080), timeout=60); c.sendall(sys.argv[2].encode())
began, got, buffer = time.monotonic(), 0, bytearray(1 << 18)
while more := c.recv_into(buffer): got += more
print(got, time.monotonic() - began)
"""


class Outpost:
    """A host at another site."""

    def __init__(self, scene, name, number, address, gateway, wire):
        self.scene, self.name, self.address, self.wire = scene, name, address, wire
        self.space = Namespace(name[0])
        self.data, self.log = scene.folder / f"{name}-data", scene.folder / f"{name}.log"
        self.configuration = scene.folder / f"{name}.toml"
        self.process = None
        a, s, o = scene.stranger, scene.middle, self.space
        for one, its, others in ((a, f"a{number}", "o0"), (s, wire, "o1")):
            run("ip", "link", "add", its, "netns", one.name, "type", "veth", "peer", "name", others, "netns", o.name)
        self.sensor, own = f"198.18.{number}.1", f"198.18.{number}.2"
        for space, device, its in (
            (a, f"a{number}", f"{gateway}/28"), (o, "o0", f"{address}/28"),
            (s, wire, f"{self.sensor}/30"), (o, "o1", f"{own}/30"),
        ):
            space.ip("addr", "add", its, "dev", device)
            space.ip("link", "set", device, "up")
        o.ip("route", "add", "default", "via", gateway)

    def komainu(self, *arguments):
        return run("ip", "netns", "exec", self.space.name, KOMAINU, "sensor", "outpost", *arguments).strip()

    def init(self):
        return self.komainu("init", "--data", self.data)

    def configure(self, fingerprint):
        self.configuration.write_text(
            f'[outpost]\nsensor = "{self.sensor}:4433"\nfingerprint = "{fingerprint}"\n'
            "connections_max = 2000\nconnections_per_source_max = 2000\n"
            f'[[outpost.expose]]\naddress = "{self.address}"\ndevice = "porch"\ntransport = "tcp"\n'
            "ports = [7, 80, 81, 8000, 8080, { port = 10023, as = 23 }]\n"
            f'[[outpost.expose]]\naddress = "{self.address}"\ndevice = "porch"\ntransport = "udp"\nports = [1900]\n'
            f'[[outpost.expose]]\naddress = "{self.address}"\ndevice = "fridge"\ntransport = "tcp"\n'
            "ports = [{ port = 8081, as = 80 }]\n"
        )

    def start(self, data=None):
        with open(self.log, "a") as log:
            self.process = self.space.start(
                KOMAINU, "sensor", "outpost", "--data", data or self.data, "--config", self.configuration,
                stdout=log, stderr=log, env=os.environ | {"KOMAINU__LOG__FORMAT": "json"},
            )

    def is_open(self, port=80):
        return self.scene.stranger.reaches(self.address, port)

    def until_open(self):
        wait_until(f"the ports of {self.name}", self.is_open)

    def until_closed(self):
        wait_until(f"that {self.name} is closed", lambda: not self.is_open())

    def events(self, name):
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, lines) if line["fields"].get("event") == name]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            equal(self.process.wait(10), 0, f"{self.name} ends cleanly")

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.space.remove()


class Sites(Scene):
    """A sensor and its outposts."""

    def __init__(self):
        super().__init__(INVENTORY)
        self.outposts = []

    def prepare(self):
        super().prepare()
        self.osaka = Outpost(self, "osaka", 1, OSAKA, GATE_OSAKA, "s3")
        self.lima = Outpost(self, "lima", 2, LIMA, GATE_LIMA, "s4")
        self.outposts = [self.osaka, self.lima]
        self.allow(True)
        self.start()
        command = ("sensor", "outpost", "sensor-fingerprint", "--data", self.data)
        self.fingerprint = self.komainu(*command).strip()
        for outpost in self.outposts:
            outpost.configure(self.fingerprint)
            outpost.start()
            outpost.until_open()

    def allow(self, lab_addresses):
        more = f'[sensor.outposts]\nlisten = "0.0.0.0:4433"\nlab_addresses = {str(lab_addresses).lower()}\n'
        for outpost, country in ((self.osaka, "JP"), (self.lima, "PE")):
            more += f'[[sensor.outposts.allowed]]\nname = "{outpost.name}"\nfingerprint = "{outpost.init()}"\n'
            more += f'devices = ["porch"]\nsite = "{outpost.name} 1"\ncountry = "{country}"\nstreams_max = 2500\n'
        self.configure(more)

    def until_all_open(self):
        for outpost in self.outposts:
            outpost.until_open()

    def visit(self, address, source, port=80, said=GET):
        return self.stranger.python(VISIT, address, port, said, source)

    def gives_a_page(self, address):
        return self.visit(address, STRANGER).endswith("200 OK")

    def summary(self, port, address):
        look = lambda: [x for x in self.lines("honeypot") if (x["src_port"], x["dest_ip"]) == (port, address)]
        return wait_until(f"the summary of {port}", look)[0]

    def close(self):
        for outpost in self.outposts:
            outpost.close()
        super().close()


CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


@check
def strangers_reach_one_device_at_three_places(scene):
    for address, source, where in (
        (OSAKA, STRANGER, {"name": "osaka", "site": "osaka 1", "country": "JP"}),
        (LIMA, UNKNOWN, {"name": "lima", "site": "lima 1", "country": "PE"}),
        (PUBLIC, STRANGER, None),
    ):
        port, first = scene.visit(address, source).split(" ", 1)
        equal(first, "HTTP/1.0 200 OK")
        equal(scene.devices_saw()[-1], f"tcp 80 {source} {port} 19")
        line = scene.summary(int(port), address)
        equal((line["src_ip"], line["dest_ip"], line["dest_port"]), (source, address, 80))
        equal((line["honeypot"].get("outpost"), line["honeypot"]["target"]["device"]), (where, "porch"))
    urls = [x["dest_ip"] for x in scene.lines("http", "eve.json") if x["http"]["url"] == "/x"]
    equal({OSAKA, LIMA, PUBLIC} <= set(urls), True, urls)


@check
def datagrams_reach_one_device_at_three_places(scene):
    for address, source in ((OSAKA, STRANGER), (LIMA, UNKNOWN), (PUBLIC, UNKNOWN)):
        port, first = scene.stranger.python(ASK, address, source).split(" ", 1)
        equal(first, "HTTP/1.1 200 OK")
        equal(scene.devices_saw()[-1], f"udp 1900 {source} {port} 221")
    wait_until(
        "the summary of a conversation",
        lambda: [x for x in scene.lines("honeypot") if x["proto"] == "UDP" and "outpost" in x["honeypot"]],
        40,
    )


@check
def whoever_never_connected_at_an_outpost_gets_no_more_than_it_sent(scene):
    scene.stop()
    scene.start()
    scene.until_all_open()
    # It was `reaches` that connected, with the first address.
    equal(int(scene.stranger.python(ASK_FOR_MANY, OSAKA, UNKNOWN)) <= 300, True, "it never connected")
    scene.visit(OSAKA, UNKNOWN)
    equal(300 < int(scene.stranger.python(ASK_FOR_MANY, OSAKA, UNKNOWN)) <= 3000, True, "it connected here")
    equal(int(scene.stranger.python(ASK_FOR_MANY, LIMA, UNKNOWN)) <= 300, True, "it connected elsewhere")
    equal(int(scene.stranger.python(ASK_FOR_MANY, PUBLIC, UNKNOWN)) <= 300, True, "it connected elsewhere")


@check
def the_end_of_one_direction_leaves_the_other_open(scene):
    code = (
        "c = socket.create_connection((sys.argv[1], 7)); data = bytes(range(256)) * 8000\n"
        "c.settimeout(20); c.sendall(data); c.shutdown(socket.SHUT_WR); said = b''\n"
        "while more := c.recv(65536): said += more\n"
        "print(said == data)\n"
    )
    equal(scene.stranger.python(code, OSAKA), "True")


@check
def a_port_may_be_another_one_than_the_device_has(scene):
    code = "c = socket.create_connection((sys.argv[1], 10023)); print(c.recv(100).decode(), c.getsockname()[1])"
    said, port = scene.stranger.python(code, OSAKA).rsplit(" ", 1)
    equal(said, "ExampleCam login: ")
    equal(scene.summary(int(port), OSAKA)["dest_port"], 23)


@check
def what_is_not_allowed_is_refused(scene):
    before = scene.devices_saw()
    equal(scene.visit(OSAKA, STRANGER, 81), "reset", "the device has nothing there")
    equal(scene.visit(OSAKA, STRANGER, 8000), "reset", "the kernel relays it, so nothing would be recorded")
    equal(scene.visit(OSAKA, STRANGER, 8081), "reset", "a device that is not this outpost's")
    equal(scene.stranger.reaches(OSAKA, 22), False)
    equal(scene.devices_saw(), before)
    reasons = lambda: {x["fields"]["reason"] for x in scene.osaka.events("sensor.stranger_refused")}
    wait_until("the reasons", lambda: {"unreachable", "port", "device"} <= reasons())


@check
def addresses_that_nobody_has_are_no_strangers(scene):
    scene.stop()
    scene.allow(False)
    scene.start()
    scene.until_all_open()
    equal(scene.visit(OSAKA, STRANGER), "reset")
    reasons = lambda: {x["fields"]["reason"] for x in scene.osaka.events("sensor.stranger_refused")}
    wait_until("the reason", lambda: "source" in reasons())
    scene.stop()
    scene.allow(True)
    scene.start()
    scene.until_all_open()


@check
def each_side_must_be_who_the_other_expects(scene):
    osaka = scene.osaka
    osaka.stop()
    stray = scene.folder / "stray-data"
    osaka.komainu("init", "--data", stray)
    before = len(osaka.events("sensor.tunnel_closed"))
    osaka.start(stray)
    wait_until("that the sensor does not know it", lambda: len(osaka.events("sensor.tunnel_closed")) > before)
    wait_until("that the sensor says so", lambda: "sensor.outpost_unknown" in scene.log.read_text())
    equal(osaka.is_open(), False)
    osaka.stop()
    before = len(osaka.events("sensor.tunnel_closed"))
    osaka.configure("00" * 32)
    osaka.start()
    wait_until("that it does not know the sensor", lambda: len(osaka.events("sensor.tunnel_closed")) > before)
    equal(osaka.is_open(), False)
    osaka.stop()
    osaka.configure(scene.fingerprint)
    osaka.start()
    osaka.until_open()


@check
def a_thousand_connections_at_the_same_time(scene):
    code = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n" + MANY
    began = time.monotonic()
    # From two networks: a sensor takes 512 connections of one.
    equal(scene.stranger.python(code, OSAKA, 1000, STRANGER, GATE_OSAKA, limit_s=120), "1000")
    print(f"1,000 connections held and served in {time.monotonic() - began:.1f} s", flush=True)


@check
def strangers_are_refused_while_the_tunnel_is_cut(scene):
    scene.middle.ip("link", "set", "s3", "down")
    scene.osaka.until_closed()
    equal(scene.lima.is_open(), True, "the other one goes on")
    scene.middle.ip("link", "set", "s3", "up")
    scene.osaka.until_open()
    equal(scene.visit(OSAKA, STRANGER).split(" ", 1)[1], "HTTP/1.0 200 OK")


@check
def kills_open_nothing(scene):
    hostile = [
        scene.hostile(scene.device, "d0", DEVICE, GATEWAY, DEVICE_2),
        scene.hostile(scene.device_2, "e0", DEVICE_2, GATEWAY_2, DEVICE),
    ]
    try:
        for _ in range(2):
            scene.osaka.process.kill()
            scene.osaka.process.wait()
            scene.osaka.until_closed()
            scene.osaka.start()
            wait_until("the device", lambda: scene.gives_a_page(OSAKA))
            readies = scene.readies()
            os.kill(scene.worker(), signal.SIGKILL)
            wait_until("another worker", lambda: scene.readies() > readies)
            for address in (OSAKA, LIMA):
                wait_until("the device", lambda: scene.gives_a_page(address))
            equal([one.poll() for one in hostile], [None, None], "the hostile devices go on")
    finally:
        for one in hostile:
            one.kill()
            one.wait()
    equal(scene.leaked(), (0, 0), "packets that got out")


@check
def the_end_of_the_sensor_closes_the_outposts(scene):
    scene.stop()
    equal(scene.sensor.returncode, 0)
    for outpost in scene.outposts:
        outpost.until_closed()
    scene.start()
    scene.until_all_open()
    for outpost in scene.outposts:
        outpost.stop()
    equal([outpost.is_open() for outpost in scene.outposts], [False, False])


def load(scene, sessions):
    worker, outpost = scene.worker(), pathlib.Path(f"/proc/{scene.osaka.process.pid}")
    processes = (worker, int(outpost.name))
    command = ["ip", "netns", "exec", scene.stranger.name, KOMAINU, "bench", "visits", "--visits", sessions]
    for place, address in (("here", PUBLIC), ("outpost", OSAKA)):
        for at_once in (1, 32, 128):
            before = [processor_s(pid) for pid in processes]
            said = run(*command, "--address", f"{address}:80", "--at-once", at_once).strip()
            spent = [1000 * (processor_s(pid) - was) / sessions for pid, was in zip(processes, before)]
            print(f"{place:>8} {at_once:>4} at once: {said}; for each, worker {spent[0]:.3f} ms, outpost {spent[1]:.3f} ms")
        got, took = map(float, scene.stranger.python(FILM, address, 100, limit_s=120).split())
        print(f"{place:>8} {got / 1e6:.0f} MB in {took:.2f} s: {got / took / 1e6:.0f} MB/s", flush=True)
    status = (outpost / "status").read_text()
    print(f" outpost {next(line for line in status.splitlines() if line.startswith('VmHWM'))}")


def main():
    words = sys.argv[1:]
    scene = Sites()
    try:
        if words[:1] == ["load"]:
            scene.prepare()
            load(scene, int(words[1]) if len(words) > 1 else 2000)
            return 0
        return relay.run_checks(
            "outposts", scene, CHECKS, words, lambda: [scene.log, *(outpost.log for outpost in scene.outposts)]
        )
    finally:
        scene.close()


if __name__ == "__main__":
    sys.exit(main())
