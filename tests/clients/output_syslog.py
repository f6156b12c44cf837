"""Alarms and attacks for other systems: rsyslog over TLS and a file, while the collector goes away and comes back."""

import ipaddress
import json
import pathlib
import subprocess
import tempfile

import requests
from agents import Agent, behavior, report
from handing_in import Hub, session
from harness import ACCOUNT, LIMIT_S, REGION, check, equal, free_port, run, wait_until
from self_signed import certified

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
RSYSLOGD = "/usr/sbin/rsyslogd"
# Lines that wait for a way (docs/output.md).
QUEUE_LINES_MAX = 10_000

# Fields of the Elastic Common Schema 8.17 and their types (https://www.elastic.co/guide/en/ecs/8.17/ecs-field-reference.html):
# what stands in a line outside of `komainu` is one of these.
KEYWORD = lambda value: isinstance(value, str)  # noqa: E731
KEYWORDS = lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value)  # noqa: E731
LONG = lambda value: isinstance(value, int) and not isinstance(value, bool)  # noqa: E731
FIELDS = {
    "@timestamp": lambda value: value.endswith("Z") and "T" in value,
    "message": KEYWORD,
    "tags": KEYWORDS,
    "ecs.version": lambda value: value == "8.17.0",
    "event.kind": lambda value: value in ("alert", "event"),
    "event.category": lambda value: set(value) <= {"intrusion_detection", "network"},
    "event.type": lambda value: set(value) <= {"info", "connection"},
    "event.action": KEYWORD,
    "event.id": KEYWORD,
    "event.module": KEYWORD,
    "event.dataset": KEYWORD,
    "event.severity": LONG,
    "rule.name": KEYWORD,
    "rule.ruleset": KEYWORD,
    "device.id": KEYWORD,
    "cloud.account.id": KEYWORD,
    "cloud.region": KEYWORD,
    "source.ip": lambda value: bool(ipaddress.ip_address(value)),
    "source.address": KEYWORD,
    "source.geo.country_iso_code": lambda value: len(value) == 2,
    "source.as.number": LONG,
    "destination.port": LONG,
    "network.protocol": KEYWORD,
    "network.transport": lambda value: value in ("tcp", "udp"),
    "observer.name": KEYWORD,
    "observer.product": KEYWORD,
    "observer.type": KEYWORD,
}


def is_ecs(line):
    """Fails unless every field has a name and a type of the schema; gives the names."""
    names = {}

    def walk(value, path):
        for name, inner in value.items():
            if isinstance(inner, dict):
                walk(inner, f"{path}{name}.")
            else:
                names[path + name] = inner

    walk({name: value for name, value in line.items() if name != "komainu"}, "")
    for name, value in names.items():
        equal(name in FIELDS and FIELDS[name](value), True, f"{name} is {value!r} in {line}")
    return set(names)


class Rsyslog:
    """Debian's rsyslogd, which takes messages over TLS and writes each as a line."""

    def __init__(self, folder, certificate, key):
        self.folder, self.port = folder, free_port()
        self.file = folder / "messages"
        self.configuration = folder / "rsyslog.conf"
        folder.mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(f"""
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="{certificate}" defaultNetstreamDriverCertFile="{certificate}"
  defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="plain" type="string" string="%pri% %app-name% %msgid% %timestamp:::date-rfc3339% %msg%\\n")
input(type="imtcp" port="{self.port}" address="127.0.0.1")
action(type="omfile" file="{self.file}" template="plain")
""")
        self.process = None

    def start(self):
        command = [RSYSLOGD, "-n", "-f", self.configuration, "-i", self.folder / "pid"]
        with open(self.folder / "rsyslogd.log", "a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until("that rsyslogd listens", self.listens)

    def listens(self):
        if self.process.poll() is not None:
            raise AssertionError(f"rsyslogd ended: {(self.folder / 'rsyslogd.log').read_text()}")
        found = subprocess.run(["ss", "-tlnH", f"sport = :{self.port}"], capture_output=True, text=True, check=True)
        return found.stdout

    def stop(self):
        self.process.terminate()
        self.process.wait(LIMIT_S)

    def messages(self):
        """What came: priority, program, message id, time, and the line."""
        if not self.file.exists():
            return []
        # What is being written has no end yet.
        whole = self.file.read_text().rpartition("\n")[0]
        parts = [message.split(" ", 4) for message in whole.splitlines()]
        return [(*head, json.loads(line)) for *head, line in parts]


class Place(Hub):
    """A server at which a sensor hands in what checks write, with metrics."""

    def metric(self, name):
        text = requests.get(f"http://127.0.0.1:{METRICS}/metrics", timeout=30).text
        return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} "))

    def events(self, event):
        lines = self.log.read_text().splitlines()
        return [json.loads(line)["fields"] for line in lines if f'"{event}"' in line]


METRICS = free_port()
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="komainu-output-"))
CERTIFICATE, KEY = certified(FOLDER / "collector", "collector of a test")
OTHER, _ = certified(FOLDER / "other", "somebody else")
RSYSLOG = Rsyslog(FOLDER / "rsyslog", CERTIFICATE, KEY)
ECS_FILE = FOLDER / "ecs.ndjson"
RSYSLOG.start()


def told_alarms(messages, action):
    return [line for *_, line in messages if line["event"]["action"] == action]


@check
def a_devices_alarm_is_told_in_both_ways(server):
    iot = server.boto("iot")
    iot.create_thing(thingName="cam-1")
    few = behavior("fewPorts", "aws:num-listening-tcp-ports", "less-than-equals", count=5)
    iot.create_security_profile(securityProfileName="Ports", behaviors=[few])
    iot.attach_security_profile(securityProfileName="Ports", securityProfileTargetArn=f"{ARN}:all/things")
    agent = Agent(server, "cam-1")

    def open_ports(count, look):
        def step():
            ports = {"ports": [{"port": 1000 + port} for port in range(count)], "total": count}
            agent.accepted(report(listening_tcp_ports=ports))
            return look()
        return wait_until(f"what follows from {count} ports", step, pause_s=0.3)

    open_ports(9, lambda: told_alarms(RSYSLOG.messages(), "in-alarm"))
    violation = iot.list_active_violations(thingName="cam-1")["activeViolations"][0]["violationId"]
    open_ports(2, lambda: told_alarms(RSYSLOG.messages(), "alarm-cleared"))
    messages = RSYSLOG.messages()
    equal([message[:3] for message in messages], [("132", "komainu", "alarm")] * 2)
    lines = [message[-1] for message in messages]
    for line in lines:
        equal(is_ecs(line) >= {"@timestamp", "event.kind", "event.category", "rule.name", "device.id"}, True, line)
        equal((line["device"]["id"], line["rule"], line["event"]["id"], line["event"]["kind"]),
              ("cam-1", {"name": "fewPorts", "ruleset": "Ports"}, violation, "alert"))
        equal((line["cloud"], line["komainu"]["metric"]), (
            {"account": {"id": ACCOUNT}, "region": REGION}, "aws:num-listening-tcp-ports"))
    equal([(line["event"]["action"], line["komainu"]["value"]) for line in lines], [("in-alarm", 9), ("alarm-cleared", 2)])
    # Event and header have one time, whatever calendar the collector writes it in.
    equal(all(message[3][:10] == message[-1]["@timestamp"][:10] for message in messages), True, messages)
    equal([json.loads(line) for line in ECS_FILE.read_text().splitlines()], lines)
    agent.close()


@check
def a_collector_that_comes_back_gets_what_waited(server):
    before = len(RSYSLOG.messages())
    equal(server.hand_in(1, 1, [session(1)]), 200)
    wait_until("the attack", lambda: len(RSYSLOG.messages()) == before + 1)
    RSYSLOG.stop()
    for number in range(2, 12):
        equal(server.hand_in(1, number, [session(number)]), 200)
    wait_until("that the collector is missed", lambda: server.events("output.failed"))
    RSYSLOG.start()
    sources = {f"192.0.2.{number}" for number in range(1, 12)}
    came = lambda: {line["source"]["ip"] for *_, line in RSYSLOG.messages()[before:]}  # noqa: E731
    wait_until("all that waited", lambda: came() >= sources, limit_s=60)
    equal(came(), sources)
    attacks = [message for message in RSYSLOG.messages()[before:]]
    equal({message[:3] for message in attacks}, {("134", "komainu", "attack")})
    for *_, line in attacks:
        equal(is_ecs(line) >= {"source.ip", "destination.port", "network.protocol", "observer.name"}, True, line)
    equal([event["way"] for event in server.events("output.works")].count("syslog") >= 2, True)
    equal(server.metric('komainu_output_lines_total{outcome="dropped"}'), 0)


@check
def beyond_the_bound_lines_are_dropped_and_told(server):
    RSYSLOG.stop()
    before = len(RSYSLOG.messages())
    batch, batches = 1100, 10
    for number in range(batches):
        first = 1000 + number * batch
        equal(server.hand_in(2, number + 1, [session(first + place) for place in range(batch)]), 200)
    sent = batch * batches
    dropped = server.metric('komainu_output_lines_total{outcome="dropped"}')
    # One is in the sender's hands.
    equal(dropped, sent - QUEUE_LINES_MAX - 1)
    equal(server.events("output.dropped")[-1]["dropped"] > 0, True)
    RSYSLOG.start()
    wait_until("the others", lambda: len(RSYSLOG.messages()) >= before + QUEUE_LINES_MAX + 1, limit_s=90, pause_s=0.5)
    equal(server.metric('komainu_output_lines_total{outcome="dropped"}'), dropped)
    # The file has them all: the ways do not wait for each other.
    equal(sum(1 for line in ECS_FILE.open() if '"komainu.attack"' in line), 11 + sent)


@check
def a_collector_with_another_certificate_is_told_nothing(server):
    configuration = f'[output]\nsyslog = "tls://127.0.0.1:{RSYSLOG.port}"\nsyslog_ca_file = "{OTHER}"\n'
    before = len(RSYSLOG.messages())
    with Place(server.folder / "second", configuration=configuration) as second:
        equal(second.hand_in(1, 1, [session(1)]), 200)
        failed = wait_until("that it is refused", lambda: second.events("output.failed"))[0]
        equal("certificate" in failed["error"].lower(), True, failed)
    equal(len(RSYSLOG.messages()), before)


run(Place, configuration=f"""
[listen]
metrics = "127.0.0.1:{METRICS}"
[detect]
short_windows = true
[output]
file = "{ECS_FILE}"
syslog = "tls://127.0.0.1:{RSYSLOG.port}"
syslog_ca_file = "{CERTIFICATE}"
""")
