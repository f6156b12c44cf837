"""A persona is recorded from real servers, and what listens then says to curl and to a socket what they do."""

import pathlib
import shutil
import socket
import subprocess

from harness import KOMAINU, LIMIT_S, Sensor, check, equal, run, wait_until

PAGES = {
    "index.html": b"<html><link rel=stylesheet href=style.css><body><img src='/img/logo.gif'><a href=/reboot.html>x</a>\n",
    "style.css": b"body { background: url(img/back.gif) }\n",
    "img/logo.gif": b"GIF89a" + bytes(range(256)),
    "img/back.gif": b"GIF89a" + bytes(reversed(range(256))),
    "rootDesc.xml": b"<root><device><serialNumber>KM00112233</serialNumber></device></root>\n",
    "reboot.html": b"rebooting\n",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Device:
    """Servers that stand for a device: BusyBox' web server and vsftpd, on the loopback interface."""

    def __init__(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder, self.web, self.ftp, self.running = folder, free_port(), free_port(), []
        for name, contents in PAGES.items():
            path = folder / "www" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents)
        options = {
            "listen": "YES",
            "listen_address": "127.0.0.1",
            "listen_port": self.ftp,
            "background": "NO",
            "ftpd_banner": "Example NAS FTP server",
            "run_as_launching_user": "YES",
            "seccomp_sandbox": "NO",
        }
        configuration = folder / "vsftpd.conf"
        configuration.write_text("".join(f"{key}={value}\n" for key, value in options.items()))
        self.log = folder / "servers.log"

    def __enter__(self):
        log = open(self.log, "wb")
        for command in (
            ["busybox", "httpd", "-f", "-p", f"127.0.0.1:{self.web}", "-h", str(self.folder / "www")],
            ["vsftpd", str(self.folder / "vsftpd.conf")],
        ):
            self.running.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        for port in (self.web, self.ftp):
            wait_until(f"the server on port {port}", lambda: is_open(port))
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.kill()
            process.wait()


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def curl(port, path):
    """The body, and status and type, as curl gets them."""
    shown = ["--write-out", "\n%{http_code} %{content_type}", "--max-time", str(LIMIT_S), "--silent"]
    done = subprocess.run(["curl", *shown, f"http://127.0.0.1:{port}{path}"], capture_output=True, check=True)
    body, _, told = done.stdout.rpartition(b"\n")
    return body, told.decode()


def greeting(port):
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client:
        seen = b""
        while not seen.endswith(b"\n"):
            seen += client.recv(1024)
        return seen


@check
def a_recording_answers_as_the_device_does(device):
    out = device.folder / "recorded"
    command = [KOMAINU, "sensor", "record", "127.0.0.1", "--out", out, "--name", "recorded", "--ssdp-port", "0"]
    command += ["--ports", f"{device.web},{device.ftp}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    equal("KM00112233" in told and "serial number" in told, True, told)
    text = (out / "persona.toml").read_text()
    equal("reboot.html" in text, False, "what sounds as if it did something is not asked for")
    with Sensor(device.folder / "sensor", persona=str(out / "persona.toml")) as sensor:
        for path in ["/", *(f"/{name}" for name in PAGES if name != "reboot.html"), "/gone.html"]:
            (body, told), (its_body, its_told) = curl(device.web, path), curl(sensor.port(device.web), path)
            # BusyBox gives no type to what it does not know; a persona's pages all have one.
            equal((its_body, its_told.startswith(told)), (body, True), f"{path}: {told} {its_told}")
        equal(greeting(sensor.port(device.ftp)), greeting(device.ftp))


@check
def a_folder_that_is_there_is_left_alone(device):
    out = pathlib.Path(device.folder / "there")
    out.mkdir()
    (out / "mine").write_text("mine")
    command = [KOMAINU, "sensor", "record", "127.0.0.1", "--out", out, "--ports", str(device.web), "--ssdp-port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    equal((done.returncode != 0, "cannot make the folder" in done.stderr), (True, True), done.stderr)
    equal([path.name for path in out.iterdir()], ["mine"])


run(Device)
