"""A sensor that `komainu serve` runs: a process of its own, with fewer rights, that comes back and does not stay behind."""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import tempfile

import harness
from harness import LIMIT_S, Server, check, equal, run, wait_until

# What the camera opens.
PORTS = (23, 80, 81, 2323, 34567)
USER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


OFFSETS = (1000 + (os.getpid() + 1013 * attempt) % 25000 for attempt in range(20))
OFFSET = next(offset for offset in OFFSETS if all(is_free(offset + port) for port in PORTS))
CONFIGURATION = f"""
[sensor]
id = "gate"
run_in_serve = true
personas = ["camera"]
port_offset = {OFFSET}
"""


class Site(Server):
    def start(self):
        os.environ["KOMAINU_CHECK_SECRET"] = "not for the sensor"
        super().start()
        wait_until("the sensor's port", is_open)

    def sensor(self):
        """The process of the sensor, when it runs."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/children")
        found = [int(pid) for child in children for pid in child.read_text().split()]
        return found[0] if found else None


def is_open():
    return not is_free(OFFSET + 23)


def knock():
    with socket.create_connection(("127.0.0.1", OFFSET + 23), LIMIT_S) as client:
        client.recv(10)
        return client.getsockname()[1]


def has_session(server, port):
    return f'"src_port":{port}' in server.command("sensors", "records", "gate")


def is_gone(pid):
    path = pathlib.Path(f"/proc/{pid}/stat")
    return not path.exists() or path.read_text().rsplit(")", 1)[1].split()[0] == "Z"


@check
def its_records_reach_the_hub(server):
    port = knock()
    wait_until("the session", lambda: has_session(server, port))
    equal("gate  online" in server.command("sensors", "list"), True)


@check
def it_has_fewer_rights(server):
    pid = wait_until("the sensor", server.sensor)
    process = pathlib.Path(f"/proc/{pid}")
    equal(process.joinpath("environ").read_bytes(), b"", "its environment")
    status = dict(line.split(":\t", 1) for line in process.joinpath("status").read_text().splitlines() if ":\t" in line)
    equal(status["NoNewPrivs"], "1")
    opened = {os.readlink(descriptor) for descriptor in process.joinpath("fd").iterdir()}
    equal([path for path in opened if path.endswith(".db") or "authority" in path], [], opened)
    equal((server.data / "local-sensor/sensor.toml").read_text().count("smtp"), 0)


@check
def it_comes_back(server):
    first = wait_until("the sensor", server.sensor)
    os.kill(first, signal.SIGKILL)
    wait_until("another one", lambda: server.sensor() not in (None, first))
    wait_until("its port", is_open)
    port = knock()
    wait_until("the session", lambda: has_session(server, port))


@check
def it_does_not_outlive_the_server(server):
    pid = wait_until("the sensor", server.sensor)
    server.kill()
    wait_until("its end", lambda: is_gone(pid))
    server.start()
    pid = wait_until("the sensor", server.sensor)
    port = knock()
    server.stop()
    equal(is_gone(pid), True, "the sensor after the server has stopped")
    equal(has_session(server, port), True, "its last records found the hub")
    server.start()


@check
def it_runs_as_another_user(server):
    server.stop()
    # Where the other user may go, which the folders of this check need not be.
    open_folder = pathlib.Path(tempfile.mkdtemp(prefix="komainu-check-"))
    open_folder.chmod(0o755)
    harness.KOMAINU = shutil.copy(harness.KOMAINU, open_folder)
    folder = open_folder / "data"
    configuration = server.configuration.read_text()
    server.configuration.write_text(f'{configuration}user = "{USER}"\ndata = "{folder}"\n')
    server.start()
    pid = wait_until("the sensor", server.sensor)
    user = pwd.getpwnam(USER)
    equal(os.stat(f"/proc/{pid}").st_uid, user.pw_uid)
    key, records = (folder / "gate.private.key").stat(), (folder / "sensor").stat()
    equal((key.st_uid, key.st_gid, key.st_mode & 0o777), (os.geteuid(), user.pw_gid, 0o640), "it reads its key")
    equal((records.st_uid, records.st_mode & 0o777), (user.pw_uid, 0o700), "it writes its records")
    equal(folder.stat().st_uid, os.geteuid(), "and nothing beside them")
    port = knock()
    wait_until("the session", lambda: has_session(server, port))
    server.stop()
    shutil.rmtree(open_folder)


run(Site, configuration=CONFIGURATION)
