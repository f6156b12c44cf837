"""Indicators guard the fleet: taught on the command line, seen by boto3 and AWS's agents, told by mail."""

import datetime
import email
import email.policy
import itertools
import json
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import cbor2
from aiosmtpd.controller import Controller

from harness import ACCOUNT, LIMIT_S, REGION, Mqtt, Server, check, equal, free_port, refused, run, wait_until

# Where the environments of other programs stand beside that of this one.
TOOLS = pathlib.Path(sys.executable).parents[2]

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
METRIC = "komainu:indicator-matches"
SAMPLE = "5d41402abc4b2a76b9719d911017c592" * 2
ORIGIN = ["--sample", SAMPLE, "--detonation", "d-7", "--session", "0192f7a1-3c5e", "--sensor", "tokyo"]
REPORT_IDS = itertools.count(1)
CONFIGURATION = "[detect]\nshort_windows = true\n[intel]\ndocumentation_addresses = true\nown_networks = [\"198.51.100.0/24\"]\n"


class MailServer:
    """Keeps what it gets."""

    def __init__(self):
        self.mails = queue.Queue()
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self.controller.start()
        self.address = f"127.0.0.1:{self.controller.port}"

    async def handle_DATA(self, server, session, envelope):
        self.mails.put(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 kept"

    def text(self):
        """The next mail's subject and text."""
        mail = self.mails.get(timeout=LIMIT_S)
        return mail["Subject"], mail.get_body(("plain",)).get_content()

    def about(self, *words):
        """The text of the next mail that has all these words; others are passed over."""
        while True:
            subject, text = self.text()
            if all(word in subject + text for word in words):
                return text


class Agent:
    """A registered device that reports whom it is connected to."""

    def __init__(self, server, thing, format="json"):
        self.thing, self.format = thing, format
        server.boto("iot").create_thing(thingName=thing)
        self.client = Mqtt(server, server.anybody(), thing).connect()
        for outcome in ("accepted", "rejected"):
            self.client.subscribe(f"$aws/things/{thing}/defender/metrics/{format}/{outcome}")

    def report(self, *peers, **custom):
        connections = [{"remote_addr": peer} for peer in peers]
        established = {"connections": connections, "total": len(connections)}
        content = {
            "header": {"report_id": next(REPORT_IDS), "version": "1.0"},
            "metrics": {"tcp_connections": {"established_connections": established}},
        }
        if custom:
            content["custom_metrics"] = {name.replace("_", "-"): [value] for name, value in custom.items()}
        encode, decode = {"json": (json.dumps, json.loads), "cbor": (cbor2.dumps, cbor2.loads)}[self.format]
        self.client.publish(f"$aws/things/{self.thing}/defender/metrics/{self.format}", encode(content))
        message = self.client.next()
        equal(message.topic.rsplit("/", 1)[1], "accepted", message.payload)
        return decode(message.payload)

    def close(self):
        self.client.close()


def active(server, profile, thing):
    found = server.boto("iot").list_active_violations(securityProfileName=profile)["activeViolations"]
    return next((violation for violation in found if violation["thingName"] == thing), None)


def events(server, profile, thing):
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    found = server.boto("iot").list_violation_events(
        startTime=now - hour, endTime=now + hour, securityProfileName=profile, thingName=thing
    )
    return [event["violationEventType"] for event in found["violationEvents"]]


def refusal(server, *arguments):
    """What the command says when it refuses."""
    try:
        server.command("indicators", *arguments)
    except AssertionError as error:
        return str(error)
    raise AssertionError(f"{arguments} was not refused")


@check
def the_metric_is_one_like_others(server):
    iot = server.boto("iot")
    behavior = {
        "name": "matches",
        "metric": METRIC,
        "criteria": {"comparisonOperator": "less-than", "value": {"count": 1}, "consecutiveDatapointsToClear": 1},
    }
    equal(iot.validate_security_profile_behaviors(behaviors=[behavior])["valid"], True)
    windowed = json.loads(json.dumps(behavior))
    windowed["criteria"] |= {"durationSeconds": 300, "value": {"number": 0.5}}
    equal(iot.validate_security_profile_behaviors(behaviors=[windowed])["valid"], True)
    for wrong in ({"comparisonOperator": "in-cidr-set", "value": {"cidrs": ["203.0.113.0/24"]}}, {"value": {"count": 1}}):
        bad = dict(behavior, criteria=wrong)
        equal(iot.validate_security_profile_behaviors(behaviors=[bad])["valid"], False, wrong)
    unknown = dict(behavior, metric="komainu:no-such-metric")
    refused("InvalidRequestException", lambda: iot.create_security_profile(securityProfileName="Bad", behaviors=[unknown]))
    iot.create_security_profile(securityProfileName="Quick", behaviors=[behavior])
    iot.attach_security_profile(securityProfileName="Quick", securityProfileTargetArn=f"{ARN}:all/registered-things")
    seen = iot.describe_security_profile(securityProfileName="Quick")["behaviors"][0]
    equal((seen["metric"], seen["criteria"]["value"]), (METRIC, {"count": 1}))


@check
def the_profile_that_is_shipped(server):
    sns, iot = server.boto("sns"), server.boto("iot")
    equal("nobody is told" in server.command("indicators", "guard"), True)
    try:
        server.command("indicators", "guard", "--topic", "NoSuchTopic")
        raise AssertionError("a topic that is not there was taken")
    except AssertionError as error:
        equal("does not exist" in str(error), True, error)
    topic = sns.create_topic(Name="Threats")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    _, text = MAIL_SERVER.text()
    urllib.request.urlopen(re.search(r"http\S*Action=ConfirmSubscription\S*", text).group(), timeout=LIMIT_S).read()
    for _ in range(2):
        server.command("indicators", "guard", "--topic", "Threats")
    seen = iot.describe_security_profile(securityProfileName="KomainuIndicators")
    equal(seen["alertTargets"]["SNS"]["alertTargetArn"], topic)
    targets = iot.list_targets_for_security_profile(securityProfileName="KomainuIndicators")["securityProfileTargets"]
    equal([target["arn"] for target in targets], [f"{ARN}:all/registered-things"])


@check
def what_is_no_indicator_is_refused_with_its_reason(server):
    for value, reason in (
        ("10.0.0.1:23", "private"),
        ("127.0.0.1", "loopback"),
        ("169.254.169.254:80", "link-local"),
        ("224.0.0.1", "multicast"),
        ("198.51.100.7:23", "own networks"),
        ("8.8.8.8:53", "public resolver"),
        ("104.16.1.1:443", "Cloudflare"),
        ("camera.local", "only counts in one network"),
    ):
        said = refusal(server, "add", value)
        equal(reason in said, True, said)
    equal("no network" in refusal(server, "add", "203.0.113.0/24"), True)
    listed = server.command("indicators", "list", "--refused")
    equal("10.0.0.1:23  is a private address" in listed, True, listed)
    equal(server.command("indicators", "list"), "")


@check
def a_report_meets_an_indicator_that_is_there(server):
    equal("new" in server.command("indicators", "add", "203.0.113.66:23", *ORIGIN), True)
    equal("known" in server.command("indicators", "add", "203.0.113.66:23", "--sample", "ab" * 32), True)
    agent, other = Agent(server, "reporter"), Agent(server, "cborist", "cbor")
    agent.report("203.0.113.66:80")
    equal(active(server, "Quick", "reporter"), None, "another port is not meant")
    began = time.monotonic()
    agent.report("192.0.2.9:443", "203.0.113.66:23")
    violation = active(server, "Quick", "reporter")
    print(f"    a report to its violation: {time.monotonic() - began:.3f} s")
    value = violation["lastViolationValue"]
    equal((value["count"], value["cidrs"]), (1, ["203.0.113.66"]))
    equal(f"sample={SAMPLE}" in value["strings"][0], True, value)
    text = MAIL_SERVER.about("reporter", "KomainuIndicators")
    for word in ("203.0.113.66:23", SAMPLE, "d-7", "0192f7a1-3c5e", "tokyo", f"artifacts export {SAMPLE}", "indicators show"):
        equal(word in text, True, f"{word} is not in\n{text}")
    other.report("203.0.113.66:23")
    equal(active(server, "Quick", "cborist")["thingName"], "cborist")
    agent.report("192.0.2.9:443")
    equal((active(server, "Quick", "reporter"), events(server, "Quick", "reporter")), (None, ["alarm-cleared", "in-alarm"]))
    equal(bool(active(server, "KomainuIndicators", "reporter")), True, "ten reports clear the shipped profile's alarm")
    values = server.boto("iot").list_metric_values(
        thingName="reporter",
        metricName=METRIC,
        startTime=datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1),
        endTime=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1),
    )["metricDatumList"]
    equal([value["value"]["count"] for value in values], [0, 1, 0])
    agent.close()
    other.close()


@check
def a_new_indicator_counts_within_a_second_and_looks_back(server):
    agent = Agent(server, "earlier")
    agent.report("203.0.113.77:4444")
    equal(active(server, "Quick", "earlier"), None)
    began = time.monotonic()
    server.command("indicators", "add", "203.0.113.77:4444", *ORIGIN)
    added_s = time.monotonic() - began
    violation = wait_until("the violation", lambda: active(server, "Quick", "earlier"), pause_s=0.01)
    print(f"    add: {added_s:.3f} s, to the violation found looking back: {time.monotonic() - began:.3f} s")
    equal("way=looking-back" in violation["lastViolationValue"]["strings"][0], True, violation)
    text = MAIL_SERVER.about("earlier", "KomainuIndicators")
    equal("Found looking back" in text and SAMPLE in text, True, text)
    sightings = server.command("indicators", "sightings", "--thing", "earlier")
    equal(len(sightings.splitlines()), 1, sightings)
    equal("looking-back" in sightings and "203.0.113.77:4444" in sightings, True, sightings)
    before = events(server, "Quick", "earlier")
    server.command("indicators", "hunt", "203.0.113.77:4444")
    agent.report("192.0.2.9:443")
    wait_until("the end of the alarm", lambda: not active(server, "Quick", "earlier"))
    equal(events(server, "Quick", "earlier"), ["alarm-cleared", *before], "looking back twice finds once")
    agent.report("203.0.113.78:23")
    began = time.monotonic()
    server.command("indicators", "add", "203.0.113.79:23")
    agent.report("203.0.113.79:23")
    print(f"    add to a violation by a report: {time.monotonic() - began:.3f} s")
    equal(bool(active(server, "Quick", "earlier")), True)
    agent.close()


@check
def names_and_lists_of_agents_that_tell_more(server):
    server.command("indicators", "add", "c2.example.net")
    agent = Agent(server, "talkative")
    agent.report(blocked_hosts={"string_list": ["c2.example.net"]})
    equal(active(server, "Quick", "talkative"), None, "only the lists of remotes are looked at")
    agent.report(remote_endpoints={"string_list": ["ntp.example.org:123", "x.C2.example.net:48101", "nonsense"]})
    found = active(server, "Quick", "talkative")["lastViolationValue"]
    equal((found["count"], "remote=x.c2.example.net:48101" in found["strings"][0]), (1, True), found)
    agent.report()
    equal(active(server, "Quick", "talkative"), None)
    server.command("indicators", "add", "203.0.113.80")
    agent.report(remote_addresses={"ip_list": ["203.0.113.80"]})
    equal(active(server, "Quick", "talkative")["lastViolationValue"]["count"], 1)
    agent.close()


@check
def lists_are_imported_and_taken_back(server):
    plain = server.folder / "list.txt"
    plain.write_text("# a feed\n203.0.113.90\n203.0.113.91:23 # telnet\n10.0.0.9\nnonsense\n")
    said = server.command("indicators", "import", plain, "--feed", "abuse")
    equal(said.splitlines()[-1], "2 new, 0 known, 1 refused, 1 unusable", said)
    table = server.folder / "list.csv"
    table.write_text(f"ip,port,threat,confidence,sha256\n203.0.113.91,23,c2,99,{SAMPLE}\n2001:db8::5,23,c2,80,\n")
    equal(server.command("indicators", "import", table).splitlines()[-1], "1 new, 1 known, 0 refused, 0 unusable")
    objects = server.folder / "list.json"
    objects.write_text(json.dumps([{"value": "evil.example.org", "threat": "mining"}, "203.0.113.92"]))
    equal(server.command("indicators", "import", objects).splitlines()[-1], "2 new, 0 known, 0 refused, 0 unusable")
    shown = server.command("indicators", "show", "203.0.113.91:23")
    equal("feed abuse" in shown and "confidence 99 %" in shown and SAMPLE in shown, True, shown)
    agent = Agent(server, "listed")
    agent.report("203.0.113.90:1")
    equal(bool(active(server, "Quick", "listed")), True)
    server.command("indicators", "revoke", "203.0.113.90", "--reason", "ours")
    agent.report("203.0.113.90:1")
    equal(active(server, "Quick", "listed"), None, "what was taken back does not count")
    equal(server.command("indicators", "import", plain, "--feed", "abuse").splitlines()[-1], "0 new, 1 known, 2 refused, 1 unusable")
    equal("revoked" in server.command("indicators", "list", "--state", "revoked"), True)
    equal("there is no indicator" in refusal(server, "show", "203.0.113.1"), True)
    agent.close()


@check
def a_kill_in_between_loses_nothing(server):
    agent = Agent(server, "survivor")
    agent.report("203.0.113.100:23")
    server.kill()
    # No server runs: the command works on the folder, and the server looks back when it starts.
    server.command("indicators", "add", "203.0.113.100:23", *ORIGIN)
    server.start()
    violation = wait_until("the violation after the start", lambda: active(server, "Quick", "survivor"))
    equal("way=looking-back" in violation["lastViolationValue"]["strings"][0], True, violation)
    for number in range(5):
        server.command("indicators", "add", f"203.0.113.{101 + number}:23", *ORIGIN)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        server.start()
    listed = server.command("indicators", "list")
    for number in range(5):
        equal(f"203.0.113.{101 + number}:23\n" in listed, True, listed)
    equal(active(server, "Quick", "survivor")["violationId"], violation["violationId"])
    equal(events(server, "Quick", "survivor"), ["in-alarm"], "killed five times, told once")
    agent.client.drop()


class OwnNetworkServer(Server):
    """On the ports that AWS's agents insist on; the script has a network of its own."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.mqtts_port, self.tls_port = 8883, 443


def start_agent(server, program, thing, format):
    """One of AWS's agents, as it is."""
    files = server.enroll(thing)
    agent = next((TOOLS / program).glob("lib/*/site-packages/AWSIoTDeviceDefenderAgentSDK/agent.py"))
    command = [TOOLS / program / "bin/python", agent, "--endpoint", "localhost", "-r", files["ca"]]
    command += ["-c", files["cert"], "-k", files["key"], "-id", thing, "--format", format, "-i", "5"]
    with open(server.folder / f"{thing}.log", "w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


@check
def agents_of_aws_meet_an_indicator(server):
    things = {"classic": ("agent-1.1.1", "json"), "current": ("agent-2.0.0", "json"), "binary": ("agent-2.0.0", "cbor")}
    programs = []
    try:
        with socket.create_server(("203.0.113.66", 23)) as master, socket.create_connection(("203.0.113.66", 23)):
            bot, _ = master.accept()
            for thing, (program, format) in things.items():
                programs.append(start_agent(server, program, thing, format))
            for thing in things:
                violation = wait_until(f"the violation of {thing}", lambda thing=thing: active(server, "Quick", thing), 90)
                equal("remote=203.0.113.66:23" in violation["lastViolationValue"]["strings"][0], True, violation)
            bot.close()
        for thing in things:
            wait_until(f"the end of the alarm of {thing}", lambda thing=thing: not active(server, "Quick", thing), 90)
    finally:
        for program in programs:
            program.kill()
            program.wait()


def enter_own_network():
    """Runs the script anew in a network of its own, where 203.0.113.66 is and the agents' ports are free."""
    if os.environ.get("KOMAINU_OWN_NETWORK"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "route", "add", "local", "203.0.113.66", "dev", "lo"], check=True)
        return
    for options in (["--user", "--map-root-user", "--net"], ["--net"]):
        if subprocess.run(["unshare", *options, "true"], capture_output=True, check=False).returncode == 0:
            environment = os.environ | {"KOMAINU_OWN_NETWORK": "1"}
            os.execvpe("unshare", ["unshare", *options, sys.executable, *sys.argv], environment)
    raise SystemExit("this machine allows no network namespaces")


enter_own_network()
MAIL_SERVER = MailServer()
run(kind=OwnNetworkServer, smtp=MAIL_SERVER.address, configuration=CONFIGURATION)
