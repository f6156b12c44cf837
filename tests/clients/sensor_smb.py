"""A persona's shares: Samba's clients, impacket and nmap, and what is written down of them."""

import hashlib
import json
import pathlib
import subprocess

from harness import LIMIT_S, Sensor, check, equal, run, wait_until

PAYLOAD = b"Komainu was here.\nThis is a text file and nothing else.\n" + bytes(range(256)) * 1200
SHA256 = hashlib.sha256(PAYLOAD).hexdigest()

# impacket is a package of Debian, for its own Python.
SYSTEM_PYTHON = "/usr/bin/python3"
IMPACKET_VISIT = pathlib.Path(__file__).parent / "programs/impacket_visit.py"


def client(*command, succeeds=True):
    """Runs a program; gives back what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if succeeds and done.returncode != 0:
        raise AssertionError(f"{command} failed: {done.stdout}")
    return done.stdout


def smbclient(sensor, dialect, *arguments, succeeds=True):
    command = ["smbclient", "-p", sensor.port(445), "--option=client min protocol=NT1", "-m", dialect, *arguments]
    return client(*command, succeeds=succeeds)


def smb_events(sensor):
    return [line for line in sensor.lines("eve.json") if line["event_type"] == "smb"]


def no_anomaly(sensor):
    equal([line for line in sensor.lines("eve.json") if line["event_type"] == "anomaly"], [])


def a_visit(sensor, dialect, seen_as):
    """Everything that one does on a share, in one dialect."""
    put = sensor.folder / f"{dialect}.put"
    got = sensor.folder / f"{dialect}.got"
    put.write_bytes(PAYLOAD)
    listed = smbclient(sensor, dialect, "-N", "-L", "127.0.0.1")
    equal("hdd             Disk      Recordings" in listed and "IPC$" in listed, True, listed)
    name = f"left-{dialect}.bin"
    commands = [
        f"put {put} {name}",
        "mkdir folder",
        f"rename {name} folder\\moved.bin",
        "allinfo folder\\moved.bin",
        "ls folder\\*",
        f"get folder\\moved.bin {got}",
        "del folder\\moved.bin",
        "rmdir folder",
        "ls *.bin",
        "get readme.txt -",
    ]
    done = smbclient(sensor, dialect, "-U", "guest%", "//127.0.0.1/hdd", "-c", "; ".join(commands))
    equal(got.read_bytes() == PAYLOAD, True, "the file comes back as it went in")
    equal(f"moved.bin                           A   {len(PAYLOAD)}" in done, True, done)
    equal("NT_STATUS_NO_SUCH_FILE listing \\*.bin" in done, True, done)
    equal("Recordings are kept for 30 days." in done, True, done)

    def look():
        lines = [line for line in sensor.lines("eve.json") if line["event_type"] == "fileinfo"]
        # SMB1 names it from the root on.
        mine = [line["fileinfo"] for line in lines if line["fileinfo"]["filename"].removeprefix("\\") == name]
        return mine and mine[0]

    left = wait_until("the file that was left", look)
    equal((left["sha256"], left["size"], left["gaps"]), (SHA256, len(PAYLOAD), False))
    equal(sensor.artifact(SHA256) == PAYLOAD, True, "the artifact is the file")
    equal(any(line["smb"].get("dialect") == seen_as for line in smb_events(sensor)), True, f"dialect {seen_as}")
    no_anomaly(sensor)


@check
def smbclient_over_smb3(sensor):
    a_visit(sensor, "SMB3", "3.11")


@check
def smbclient_over_smb2(sensor):
    a_visit(sensor, "SMB2", "2.10")


@check
def smbclient_over_smb1(sensor):
    a_visit(sensor, "NT1", "NT LM 0.12")


@check
def each_dialect_is_spoken(sensor):
    for dialect in ("NT1", "SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"):
        seen = smbclient(sensor, dialect, "-N", "//127.0.0.1/hdd", "-c", "ls")
        equal("readme.txt" in seen, True, f"{dialect}: {seen}")


@check
def what_is_refused(sensor):
    missing = smbclient(sensor, "SMB3", "-N", "//127.0.0.1/other", "-c", "ls", succeeds=False)
    equal("NT_STATUS_BAD_NETWORK_NAME" in missing, True, missing)
    gone = smbclient(sensor, "SMB3", "-N", "//127.0.0.1/hdd", "-c", "get gone.txt -", succeeds=False)
    equal("NT_STATUS_OBJECT_NAME_NOT_FOUND" in gone, True, gone)


@check
def a_login_is_told_with_its_name(sensor):
    smbclient(sensor, "SMB3", "-U", "installer%not-this-one-0815", "//127.0.0.1/hdd", "-c", "ls")

    def look():
        summaries = [line["honeypot"] for line in sensor.lines("honeypot.json") if line["event_type"] == "honeypot"]
        return [one for summary in summaries for one in summary.get("auth", []) if one["user"] == "installer"]

    login = wait_until("the login", look)[0]
    equal(login["accepted"], True)


@check
def smbclient_signs_when_the_password_is_known(sensor):
    must = "--option=client signing = required"
    for dialect in ("SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"):
        put, got = sensor.folder / "signed.put", sensor.folder / "signed.got"
        put.write_bytes(PAYLOAD)
        commands = f"put {put} signed.bin; ls; get signed.bin {got}; del signed.bin"
        seen = smbclient(sensor, dialect, must, "-U", "root%xc3511", "//127.0.0.1/hdd", "-c", commands)
        equal("signed.bin" in seen and got.read_bytes() == PAYLOAD, True, f"{dialect}: {seen}")
        # A guest has no key: the client goes away.
        refused = smbclient(sensor, dialect, must, "-U", "root%another", "//127.0.0.1/hdd", "-c", "ls", succeeds=False)
        equal("readme.txt" in refused, False, f"{dialect}: {refused}")
    seen = client("rpcclient", "-p", sensor.port(445), must, "-U", "admin%123456", "127.0.0.1", "-c", "srvinfo")
    equal("Tidewatch recorder" in seen, True, seen)
    no_anomaly(sensor)


@check
def impacket_signs_as_an_account(sensor):
    # Not 3.1.1: with NTLM, impacket 0.10 leaves the negotiation out of what the key of 3.1.1 is made of.
    for dialect in ("SMB2_DIALECT_002", "SMB2_DIALECT_21", "SMB2_DIALECT_30"):
        account = ("admin", "123456")
        command = [SYSTEM_PYTHON, "-W", "ignore", IMPACKET_VISIT, sensor.port(445), dialect, len(PAYLOAD), *account]
        seen = json.loads(client(*command))
        equal((seen["is_same"], seen["is_guest"], seen["shares"]), (True, False, ["hdd", "IPC$"]), dialect)


@check
def rpcclient_learns_where_a_share_lies(sensor):
    command = "netshareenumall; netsharegetinfo hdd 502; netsharegetinfo gone 2; srvinfo"
    seen = client("rpcclient", "-p", sensor.port(445), "-U%", "127.0.0.1", "-c", command, succeeds=False)
    equal(seen.count("path:\tC:\\mnt\\hdd\\share"), 2, seen)
    equal("WERR_NERR_NETNAMENOTFOUND" in seen, True, seen)
    equal("Tidewatch recorder" in seen, True, seen)


@check
def impacket_in_each_dialect(sensor):
    for dialect in ("None", "SMB_DIALECT", "SMB2_DIALECT_002", "SMB2_DIALECT_21", "SMB2_DIALECT_30", "SMB2_DIALECT_311"):
        command = [SYSTEM_PYTHON, "-W", "ignore", IMPACKET_VISIT, sensor.port(445), dialect, len(PAYLOAD)]
        seen = json.loads(client(*command))
        equal(seen["shares"], ["hdd", "IPC$"], dialect)
        equal(seen["root"], [".", "..", "readme.txt", "left.bin"], dialect)
        equal(seen["folder"], [".", "..", "moved.bin"], dialect)
        equal(seen["is_same"], True, dialect)
        equal("STATUS_OBJECT_NAME_NOT_FOUND" in seen["path_on_pipes"], True, seen)
        equal(seen["server"], "TW-R08", dialect)
    path = "share\\komainu-note.txt"

    def look():
        return [line for line in smb_events(sensor) if path in json.dumps(line["smb"]).replace("\\\\", "\\")]

    asked = wait_until("the path that was asked for on IPC$", look)
    equal({line["smb"]["status"] for line in asked}, {"STATUS_OBJECT_NAME_NOT_FOUND"})
    no_anomaly(sensor)


@check
def nmap_sees_a_file_server(sensor):
    # smb-os-discovery finds a server at ports 445 and 139 only.
    scripts = "smb-protocols,smb-enum-shares,smb-ls,smb-security-mode,smb2-security-mode,smb2-time"
    port = sensor.port(445)
    command = ["nmap", "-Pn", "-n", "-p", port, "--script", scripts, "--script-args", f"smbport={port},ls.share=hdd"]
    command.append("127.0.0.1")
    seen = client(*command)
    wanted = (
        "NT LM 0.12 (SMBv1)",
        "311",
        "readme.txt",
        "Path: C:\\mnt\\hdd\\share",
        "Anonymous access: READ/WRITE",
        "account_used: guest",
        "Message signing enabled but not required",
    )
    for words in wanted:
        equal(words in seen, True, f"{words!r} in {seen}")
    equal("ERROR" in seen, False, seen)


@check
def port_139_grants_a_session(sensor):
    seen = client("smbclient", "-p", sensor.port(139), "-N", "//127.0.0.1/hdd", "-c", "ls")
    equal("readme.txt" in seen, True, seen)
    with sensor.connect(139) as raw:
        name = b"\x20" + b"CA" * 16 + b"\x00"
        raw.sendall(b"\x81\x00\x00" + bytes([2 * len(name)]) + name + name)
        equal(raw.recv(4), b"\x82\x00\x00\x00")


run(Sensor, configuration='[sensor]\nid = "check"\nconnections_per_source_max = 32\n', persona="recorder")
