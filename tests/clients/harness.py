"""What the client checks share: a server of their own, devices, and the runner.

A check is a function with the decorator `check`; it gets the script's server and raises when something is wrong. Run
one script by hand from the root of the repository, after one `cargo xtask test` has built and installed everything:

    target/tools/clients/bin/python tests/clients/boto3_fleet.py
"""

import fcntl
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

import boto3
import botocore.config
import botocore.exceptions
import paho.mqtt.client as paho

ROOT = pathlib.Path(__file__).resolve().parents[2]
KOMAINU = os.environ.get("KOMAINU", str(ROOT / "target/driven/komainu"))
REGION = "us-east-1"
ACCOUNT = "123456789012"
LIMIT_S = 30

_checks = []


def check(function):
    """Makes a function one of the script's checks, in the order in which they stand."""
    _checks.append(function)
    return function


def run(kind=None, **options):
    """Runs the script's checks against one server and exits; its options are those of `Server`, or of `kind`."""
    script = pathlib.Path(sys.argv[0]).stem
    only = sys.argv[1:]
    scratch = os.environ.get("KOMAINU_SCRATCH") or tempfile.mkdtemp(prefix="komainu-checks-")
    failed = 0
    with (kind or Server)(pathlib.Path(scratch), **options) as server:
        for function in _checks:
            name = f"{script}::{function.__name__}"
            if only and function.__name__ not in only:
                continue
            began = time.monotonic()
            try:
                function(server)
                print(f"check {name} ... ok, {time.monotonic() - began:.1f} s", flush=True)
            except Exception:
                failed += 1
                traceback.print_exc()
                print(f"check {name} ... FAILED", flush=True)
        if failed:
            print(f"--- the server's last words (all of them: {server.log})")
            print("\n".join(server.log.read_text().splitlines()[-60:]))
    sys.stdout.flush()
    # Threads of client libraries must not keep the script alive.
    os._exit(1 if failed else 0)


def wait_until(what, look, limit_s=LIMIT_S, pause_s=0.05):
    """Looks until there is something to see and gives it back."""
    deadline = time.monotonic() + limit_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} was not seen within {limit_s} s")
        time.sleep(pause_s)


def equal(seen, expected, what=""):
    """Fails unless the two are equal, and shows both."""
    if seen != expected:
        raise AssertionError(f"{what}\n  seen:     {seen!r}\n  expected: {expected!r}")


def refused(code, act, message=None):
    """Fails unless AWS's client raises this error code; gives the whole error."""
    try:
        answer = act()
    except botocore.exceptions.ClientError as error:
        equal(error.response["Error"]["Code"], code, error)
        if message and message not in error.response["Error"]["Message"]:
            raise AssertionError(f"{error} does not say {message!r}") from error
        return error
    raise AssertionError(f"{code} was expected, and it was done: {answer}")


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


class Server:
    """A `komainu serve` on a data folder of its own."""

    def __init__(self, folder, configuration="", smtp=None):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "komainu.log"
        self.configuration = folder / "komainu.toml"
        self.configuration.write_text(configuration or "[detect]\nshort_windows = true\n")
        self.smtp = smtp
        self.api_port, self.mqtts_port, self.tls_port = free_port(), free_port(), free_port()
        self.console_port = free_port()
        self.endpoint_url = f"http://127.0.0.1:{self.api_port}"
        self.process = None
        self.key = None

    def __enter__(self):
        try:
            self.start()
            self.ca = self.enroll("harness")["ca"]
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        command = [KOMAINU, "serve", "--data", self.data, "--config", self.configuration]
        command += ["--api", f"127.0.0.1:{self.api_port}", "--mqtts", f"127.0.0.1:{self.mqtts_port}"]
        command += ["--tls", f"127.0.0.1:{self.tls_port}", "--console", f"127.0.0.1:{self.console_port}"]
        if self.smtp:
            command += ["--smtp", self.smtp]
        # Only a check that is about it has a laboratory: what strangers leave behind is run otherwise.
        environment = os.environ if "[lab]" in self.configuration.read_text() else os.environ | {"KOMAINU__LAB__RUN": "false"}
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        for port in (self.api_port, self.mqtts_port, self.tls_port):
            wait_until(f"a listener on port {port}", lambda port=port: self.listens(port))
        if not self.key:
            self.key = wait_until("the first access key", self.printed_key)

    def listens(self, port):
        if self.process.poll() is not None:
            raise AssertionError(f"komainu ended ({self.process.returncode}):\n{self.log.read_text()[-3000:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def printed_key(self):
        found = {}
        for line in self.log.read_text().splitlines():
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                if f"{name}=" in line:
                    found[name] = line.split(f"{name}=")[1].split()[0].strip('"')
        return (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) if len(found) == 2 else None

    def stop(self):
        """Asks the server to end and waits; its exit status must be 0."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            status = self.process.wait(LIMIT_S)
            equal(status, 0, "the server's exit status after SIGTERM")

    def kill(self):
        """Ends the server without a word, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def command(self, *arguments):
        command = [KOMAINU, *arguments, "--data", self.data, "--config", self.configuration]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{command} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def enroll(self, name, *options):
        """Enrols a device; gives the paths of its files."""
        folder = self.folder / name
        self.command("enroll", name, *options, "--out", folder)
        return {
            "cert": str(folder / f"{name}.cert.pem"),
            "key": str(folder / f"{name}.private.key"),
            "ca": str(folder / "root-CA.crt"),
        }

    def anybody(self):
        """The files of a certificate that may do everything, as in AWS's walkthrough."""
        folder = self.folder / "anybody"
        files = {"cert": str(folder / "cert"), "key": str(folder / "key"), "ca": self.ca}
        if not folder.exists():
            document = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'
            iot = self.boto("iot")
            iot.create_policy(policyName="Anything", policyDocument=document)
            made = iot.create_keys_and_certificate(setAsActive=True)
            iot.attach_policy(policyName="Anything", target=made["certificateArn"])
            folder.mkdir()
            (folder / "cert").write_text(made["certificatePem"])
            (folder / "key").write_text(made["keyPair"]["PrivateKey"])
        return files

    def boto(self, service, region=REGION, key=None):
        key_id, secret = key or self.key
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=region,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            # A refusal must be seen as it is, not after several tries.
            config=botocore.config.Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )

    def environment(self):
        """What an AWS client is to be told, as environment variables."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return clean | {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.key[0],
            "AWS_SECRET_ACCESS_KEY": self.key[1],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }


class Terminal:
    """A program at a terminal of 24 lines and 80 columns, as a person would use it."""

    def __init__(self, command):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.program = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.seen = b""

    def until(self, end):
        """What is shown up to `end`, and what came with it."""
        deadline = time.monotonic() + LIMIT_S
        while end not in self.seen:
            if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"{end} was not seen, but {self.seen!r}")
            self.seen += os.read(self.master, 4096)
        before, self.seen = self.seen, b""
        return before

    def enter(self, line):
        os.write(self.master, line + b"\r")

    def wait(self):
        """The status of the program, when it has ended."""
        status = self.program.wait(LIMIT_S)
        os.close(self.master)
        return status


class Sensor:
    """A `komainu sensor` on a data folder of its own, and what it wrote down."""

    def __init__(self, folder, persona="camera", configuration="", options=()):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "komainu.log"
        self.configuration = folder / "komainu.toml"
        self.configuration.write_text(configuration)
        self.persona = persona
        self.options = list(options)
        self.ports = {}
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        # The ports of a persona are fixed; where some are taken, another offset may find them free.
        for attempt in range(20):
            # The highest is one that the system gave a server (60,999), moved by less than 4,536.
            offset = 1001 + (os.getpid() + 1013 * attempt) % 3500
            command = [KOMAINU, "sensor", "--data", self.data, "--config", self.configuration]
            command += ["--persona", self.persona, "--port-offset", str(offset), *self.options]
            with open(self.log, "w") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            wait_until("`ready`", lambda: self.is_ready() or self.process.poll() is not None)
            if self.process.poll() is None:
                self.offset = offset
                return
            if "Address already in use" not in self.log.read_text():
                break
        raise AssertionError(f"the sensor ended ({self.process.returncode}):\n{self.log.read_text()[-3000:]}")

    def is_ready(self):
        return "ready" in self.log.read_text().splitlines()

    def port(self, port):
        """Where a port of the persona is open."""
        return self.offset + port

    def connect(self, port):
        return socket.create_connection(("127.0.0.1", self.port(port)), LIMIT_S)

    def lines(self, name):
        """The lines of an event log."""
        path = self.data / "sensor" / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def session(self, client_port):
        """The summary of the connection that came from a port, and its flow's lines of both logs, when it is over."""

        def look():
            ended = [line for line in self.lines("honeypot.json") if line["event_type"] == "honeypot"]
            mine = [line for line in ended if line["src_port"] == client_port]
            return mine and mine[-1]

        summary = wait_until(f"the summary of the session from port {client_port}", look)
        flow = summary["flow_id"]
        # The two logs are written one after the other.
        wait_until("the flow", lambda: any(line["flow_id"] == flow for line in self.lines("eve.json")))
        lines = {name: [x for x in self.lines(name) if x["flow_id"] == flow] for name in ("eve.json", "honeypot.json")}
        return summary["honeypot"], lines["eve.json"], lines["honeypot.json"]

    def command(self, *arguments):
        command = [KOMAINU, "sensor", *arguments, "--data", self.data]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{command} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def artifact(self, sha256):
        """The bytes of an artifact, as the command exports them."""
        out = self.folder / f"{sha256}.out"
        out.unlink(missing_ok=True)
        self.command("artifacts", "export", sha256, "--out", out)
        return out.read_bytes()

    def kill(self):
        """Ends the sensor without a word, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Asks the sensor to end and waits; its exit status must be 0."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            equal(self.process.wait(LIMIT_S), 0, "the sensor's exit status after SIGTERM")


class Mqtt:
    """A paho client that notes what happens to it."""

    def __init__(self, server, files, client_id, version=5, clean=True, expiry_s=None, will=None, port=None, alpn=None):
        self.version = paho.MQTTv5 if version == 5 else paho.MQTTv311
        options = {} if version == 5 else {"clean_session": clean}
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=self.version, **options
        )
        context = ssl.create_default_context(cafile=files["ca"])
        if files.get("cert"):
            context.load_cert_chain(files["cert"], files["key"])
        if alpn:
            context.set_alpn_protocols([alpn])
        self.client.tls_set_context(context)
        if will:
            self.client.will_set(**will)
        self.messages = []
        self.connack = None
        self.disconnected = None
        self.acknowledged = set()
        self.granted = {}
        self._lock = threading.Condition()
        self.client.on_message = self._on_message
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = self._on_publish
        self.client.on_subscribe = self._on_subscribe
        self.port = port or server.mqtts_port
        self.clean = clean
        self.expiry_s = expiry_s

    def _note(self, change):
        with self._lock:
            change()
            self._lock.notify_all()

    def _on_message(self, client, userdata, message):
        self._note(lambda: self.messages.append(message))

    def _on_connect(self, client, userdata, flags, reason, properties):
        self._note(lambda: setattr(self, "connack", (flags, reason, properties)))

    def _on_disconnect(self, client, userdata, flags, reason, properties):
        self._note(lambda: setattr(self, "disconnected", reason))

    def _on_publish(self, client, userdata, mid, reason, properties):
        self._note(lambda: self.acknowledged.add(mid))

    def _on_subscribe(self, client, userdata, mid, reasons, properties):
        self._note(lambda: self.granted.__setitem__(mid, reasons))

    def wait(self, what, look, limit_s=LIMIT_S):
        with self._lock:
            if not self._lock.wait_for(look, limit_s):
                raise AssertionError(f"{what} was not seen within {limit_s} s")
        return look()

    def connect(self):
        options = {}
        if self.version == paho.MQTTv5:
            properties = paho.Properties(paho.PacketTypes.CONNECT)
            if self.expiry_s is not None:
                properties.SessionExpiryInterval = self.expiry_s
            options = {"clean_start": self.clean, "properties": properties}
        self.client.connect("localhost", self.port, keepalive=60, **options)
        self.client.loop_start()
        self.wait("CONNACK", lambda: self.connack or self.disconnected)
        if self.connack is None:
            raise AssertionError(f"the connection ended before CONNACK: {self.disconnected}")
        if self.connack[1].is_failure:
            raise AssertionError(f"CONNECT was refused: {self.connack[1]}")
        return self

    def subscribe(self, filter, qos=1):
        _, mid = self.client.subscribe(filter, qos)
        return self.wait(f"SUBACK for {filter}", lambda: self.granted.get(mid))[0]

    def publish(self, topic, payload, qos=1, retain=False, **options):
        sent = self.client.publish(topic, payload, qos, retain, **options)
        self.wait(f"the acknowledgement for {topic}", lambda: sent.mid in self.acknowledged)

    def next(self, limit_s=LIMIT_S):
        self.wait("a message", lambda: self.messages, limit_s)
        with self._lock:
            return self.messages.pop(0)

    def wait_disconnected(self, limit_s=LIMIT_S):
        return self.wait("the end of the connection", lambda: self.disconnected, limit_s)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def drop(self):
        """Ends the connection without DISCONNECT."""
        self.client.loop_stop()
        sock = self.client.socket()
        if sock:
            sock.close()
