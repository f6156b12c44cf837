"""Security profiles and topics at the console: written, tried on what devices reported, saved, seen by AWS's client; who is
told, and what became of it."""

import datetime
import html
import itertools
import json
import re
import time

from harness import ACCOUNT, REGION, Mqtt, check, equal, free_port, run, wait_until
from visitors import Console, says

IOT = f"arn:aws:iot:{REGION}:{ACCOUNT}"
SNS = f"arn:aws:sns:{REGION}:{ACCOUNT}"
HOSTILE = "<b>\u202e\u200b'\"&</textarea>"


REPORT_IDS = itertools.count(1)


class Agent:
    """A device that reports and waits for the answer."""

    def __init__(self, server, thing):
        self.topic = f"$aws/things/{thing}/defender/metrics/json"
        self.client = Mqtt(server, server.anybody(), thing).connect()
        for outcome in ("accepted", "rejected"):
            self.client.subscribe(f"{self.topic}/{outcome}")

    def report(self, bytes_out, **custom):
        """A report of bytes sent and of numbers of custom metrics."""
        stats = {"bytes_in": 1, "bytes_out": bytes_out, "packets_in": 1, "packets_out": 1}
        content = {
            "header": {"report_id": next(REPORT_IDS), "version": "1.0"},
            "metrics": {"network_stats": stats},
            "custom_metrics": {name: [{"number": value}] for name, value in custom.items()},
        }
        self.client.publish(self.topic, json.dumps(content), 0)
        message = self.client.next()
        equal(message.topic.rsplit("/", 1)[1], "accepted", message.payload)

    def close(self):
        self.client.close()


def row(name, metric, operator, value, window="", to_alarm="1", to_clear="1"):
    return [name, metric, operator, value, window, to_alarm, to_clear]


def form(*rows, **fields):
    """The editor's form with these behaviors."""
    columns = ["b-name", "b-metric", "b-operator", "b-value", "b-window", "b-alarm", "b-clear"]
    return {column: [one[place] for one in rows] for place, column in enumerate(columns)} | fields


def seconds(text):
    """A time as the console shows it, in seconds since 1970."""
    return int(datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc).timestamp())


def firings(page):
    """What a trial lists: device, behavior, when it was raised, when it ended."""
    table = page.text.split("Each time it would have fired")
    found = []
    for line in re.findall(r"<tr>(.*?)</tr>", table[1], re.S)[1:] if len(table) > 1 else []:
        times = re.findall(r"<time[^>]*>([^<]*)</time>", line)
        device = re.search(r'href="/devices/([^"]*)"', line)[1]
        behavior = re.search(r'data-label="Behavior">([^<]*)<', line)[1]
        found.append((device, behavior, *map(seconds, times)))
    return sorted(found)


@check
def without_any_the_pages_say_what_to_run(console):
    viewer = console.browser("vera")
    says(viewer.get("/profiles"), "create-security-profile", 200)
    says(viewer.get("/topics"), "aws sns create-topic", 200)


@check
def a_profile_of_the_console_is_one_of_aws(console):
    analyst = console.browser("anna", "analyst")
    console.boto("iot").create_thing_group(thingGroupName="cameras")
    console.boto("sns").create_topic(Name="alarms")
    fields = form(
        row("bytes", "aws:all-bytes-out", "less-than", "1000", "300", "2", "3"),
        row("ports", "aws:listening-tcp-ports", "in-port-set", "22, 443"),
        row("peers", "aws:destination-ip-addresses", "not-in-cidr-set", "192.0.2.0/24\r\n2001:db8::/32"),
        row("load", "cpu", "less-than-equals", "0.5"),
        row("words", "names", "in-strings", "a, b\r\n<c>"),
        row("kept", "aws:num-messages-sent", "keep", ""),
        name="cameras",
        description="as it should be",
        target=["group:cameras", "unregistered"],
        topic=f"{SNS}:alarms",
        retain=["aws:all-bytes-in"],
        do="save",
    )
    fields["b-suppress"] = ["1"]
    fields["retain-more"] = "temperature"
    answer = analyst.post("/profiles/new", fields)
    says(answer, "The profile is saved", 200)
    equal(answer.url, f"{console.url}/profiles/cameras?said=profile-saved")
    iot = console.boto("iot")
    described = iot.describe_security_profile(securityProfileName="cameras")
    equal(described["behaviors"], [
        {"name": "bytes", "metric": "aws:all-bytes-out", "criteria": {
            "comparisonOperator": "less-than", "value": {"count": 1000}, "durationSeconds": 300,
            "consecutiveDatapointsToAlarm": 2, "consecutiveDatapointsToClear": 3}},
        {"name": "ports", "metric": "aws:listening-tcp-ports", "suppressAlerts": True, "criteria": {
            "comparisonOperator": "in-port-set", "value": {"ports": [22, 443]},
            "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
        {"name": "peers", "metric": "aws:destination-ip-addresses", "criteria": {
            "comparisonOperator": "not-in-cidr-set", "value": {"cidrs": ["192.0.2.0/24", "2001:db8::/32"]},
            "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
        {"name": "load", "metric": "cpu", "criteria": {
            "comparisonOperator": "less-than-equals", "value": {"number": 0.5},
            "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
        {"name": "words", "metric": "names", "criteria": {
            "comparisonOperator": "in-set", "value": {"strings": ["a, b", "<c>"]},
            "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}},
        {"name": "kept", "metric": "aws:num-messages-sent"},
    ])
    equal(described["securityProfileDescription"], "as it should be")
    equal(described["alertTargets"]["SNS"]["alertTargetArn"], f"{SNS}:alarms")
    equal(described["additionalMetricsToRetain"], ["aws:all-bytes-in", "temperature"])
    equal(described["version"], 1)
    targets = iot.list_targets_for_security_profile(securityProfileName="cameras")["securityProfileTargets"]
    equal([target["arn"] for target in targets], [f"{IOT}:all/unregistered-things", f"{IOT}:thinggroup/cameras"])

    # What the form shows is what it takes: saving without a change changes nothing but the version.
    page = analyst.get("/profiles/cameras/edit")
    shown = fields | {"version": "1", "do": "save"}
    for text in ("0.5", "a, b\n<c>", 'value="group:cameras" checked', "192.0.2.0/24\n2001:db8::/32"):
        says(page, text, 200)
    says(analyst.post("/profiles/cameras/edit", shown), "The profile is saved", 200)
    again = iot.describe_security_profile(securityProfileName="cameras")
    changing = ("version", "lastModifiedDate", "ResponseMetadata")
    equal({name: value for name, value in again.items() if name not in changing},
          {name: value for name, value in described.items() if name not in changing})
    says(console.browser("vera").get("/profiles/cameras"), "bytes sent", 200)


@check
def a_trial_finds_what_detection_finds(console):
    analyst, iot = console.browser("anna"), console.boto("iot")
    agent = Agent(console, "press-1")
    behaviors = [row("hot", "heat", "less-than", "50"), row("hotter", "heat", "less-than", "50", "", "2", "2"),
                 row("sum", "aws:all-bytes-out", "less-than", "100", "2")]
    # Values are kept from now on, and nothing is judged.
    kept = form(row("watch", "heat", "keep", ""), name="press", target="unregistered", do="save", retain="aws:all-bytes-out")
    says(analyst.post("/profiles/new", kept), "The profile is saved", 200)
    heats = [10, 60, 70, 20, 30, 80, 20, 90, 95] + [10] * 10

    def reported():
        for heat in heats:
            agent.report(heat, heat=heat)
            time.sleep(0.4)
        time.sleep(3)

    reported()
    tried = analyst.post("/profiles/press/edit", form(*behaviors, name="press", target="unregistered", version="1", days="1", do="try"))
    says(tried, "would have fired", 200)
    before = firings(tried)
    equal(len([firing for firing in before if firing[1] == "hot"]), 3, before)
    equal(len([firing for firing in before if firing[1] == "hotter"]), 2, before)
    # Nothing was saved by that.
    equal(iot.describe_security_profile(securityProfileName="press")["version"], 1)

    saved = analyst.post("/profiles/press/edit", form(*behaviors, name="press", target="unregistered", version="1", do="save", retain="aws:all-bytes-out"))
    says(saved, "The profile is saved", 200)
    since = datetime.datetime.now(datetime.timezone.utc)
    reported()

    def live():
        """Alarms of the profile in force, as AWS's client sees them."""
        events = []
        for page in iot.get_paginator("list_violation_events").paginate(
            startTime=since - datetime.timedelta(hours=1), endTime=since + datetime.timedelta(hours=1), securityProfileName="press"
        ):
            events += page["violationEvents"]
        found = {}
        for event in sorted(events, key=lambda event: event["violationEventTime"]):
            at = int(event["violationEventTime"].timestamp())
            alarm = found.setdefault(event["violationId"], [event["thingName"], event["behavior"]["name"]])
            alarm.append(at)
        return sorted(map(tuple, found.values()))

    wait_until("the alarms' ends", lambda: len(live()) >= 5 and all(len(alarm) == 4 for alarm in live()))
    tried = analyst.post("/profiles/press/edit", form(*behaviors, name="press", target="unregistered", version="2", days="1", do="try"))
    after = [firing for firing in firings(tried) if firing[2] >= int(since.timestamp())]
    equal(after, live(), "a trial and detection differ on the same reports")
    says(tried, "Did fire, on devices")
    says(console.browser("vera").get("/profiles/press"), "heat", 200)
    agent.close()


@check
def who_saves_second_is_told(console):
    analyst, iot = console.browser("anna"), console.boto("iot")
    mine = form(row("b", "m", "less-than", "77"), name="both", target="all", do="save")
    says(analyst.post("/profiles/new", mine), "The profile is saved", 200)
    iot.update_security_profile(securityProfileName="both", securityProfileDescription="by somebody else")
    answer = analyst.post("/profiles/both/edit", mine | {"version": "1", "description": "mine"})
    says(answer, "it has version 2 now", 409)
    says(answer, 'value="mine"')
    equal(iot.describe_security_profile(securityProfileName="both")["securityProfileDescription"], "by somebody else")
    says(analyst.post("/profiles/both/edit", mine | {"version": "1", "description": "mine", "over": "2"}), "is saved", 200)
    equal(iot.describe_security_profile(securityProfileName="both")["securityProfileDescription"], "mine")
    says(analyst.post("/profiles/both/delete", {"version": "1"}), "changed this profile meanwhile", 409)
    says(analyst.post("/profiles/both/delete", {"version": "3"}), "The profile is deleted", 200)
    says(analyst.get("/profiles/both"), "There is no such page", 404)


@check
def roles_are_enforced(console):
    viewer = console.browser("vera")
    for path in ("/profiles/new", "/profiles/cameras/edit", "/profiles/cameras/delete"):
        says(viewer.get(path), "role analyst", 403)
    for path in ("/profiles/new", "/profiles/cameras/edit", "/profiles/cameras/delete", "/topics", "/topics/alarms/test",
                 "/topics/alarms/subscribe", "/topics/alarms/unsubscribe"):
        says(viewer.post(path, {"name": "x", "do": "save"}, page="/account"), "role analyst", 403)
    page = viewer.get("/profiles/cameras").text + viewer.get("/topics/alarms").text + viewer.get("/profiles").text
    for text in ("/edit", "/delete", "/profiles/new", "/topics/alarms/test"):
        equal(text in page, False, text)


@check
def what_others_wrote_is_text(console):
    analyst, iot = console.browser("anna"), console.boto("iot")
    iot.create_security_profile(
        securityProfileName="hostile",
        securityProfileDescription=HOSTILE,
        behaviors=[{"name": "b", "metric": "m", "criteria": {"comparisonOperator": "in-set", "value": {"strings": [HOSTILE, "x" * 900]}}}],
    )
    for path in ("/profiles", "/profiles/hostile", "/profiles/hostile/edit", "/profiles/hostile/delete"):
        page = analyst.get(path)
        equal(page.status_code, 200, path)
        equal("<b>" in page.text, False, path)
    equal("\u202e" in analyst.get("/profiles/hostile").text, False, "a text turns the direction of the page")
    says(analyst.get("/profiles/hostile"), "\\u{202e}")
    # In the form it is as it is, or saving would change it.
    form_page = analyst.get("/profiles/hostile/edit").text
    equal(html.escape(HOSTILE, quote=False).replace('"', "&quot;") in form_page, True, form_page)
    wrong = form(row(HOSTILE, HOSTILE, "less-than", HOSTILE, HOSTILE), name=HOSTILE, groups=HOSTILE, topic=HOSTILE, do="save")
    page = analyst.post("/profiles/new", wrong)
    equal(page.status_code, 422)
    equal("<b>" in page.text or "</textarea>'" in page.text, False, page.text)
    for path in ("/profiles/%3Cb%3E", "/profiles/%00", "/topics/%E2%80%AE", "/topics/" + "a" * 300, "/topics?after=%3Cb%3E"):
        equal(analyst.get(path).status_code in (200, 404), True, path)
    # As many as AWS allows: all are there, most of them folded.
    many = [{"name": f"b{number}", "metric": f"m{number}"} for number in range(100)]
    iot.update_security_profile(securityProfileName="hostile", behaviors=many)
    page = analyst.get("/profiles/hostile/edit")
    equal((page.status_code, page.text.count('name="b-name"'), page.text.count("<fieldset class=\"behavior")), (200, 100, 10))
    equal(len(page.content) <= 150_000, True, f"{len(page.content)} bytes")
    too_many = form(*[row(f"b{number}", "m", "less-than", "1") for number in range(120)], name="many", do="save")
    says(analyst.post("/profiles/new", too_many), "at most 100 behaviors", 422)
    iot.delete_security_profile(securityProfileName="hostile")


@check
def topics_say_what_became_of_messages(console):
    analyst, viewer, sns = console.browser("anna"), console.browser("vera"), console.boto("sns")
    says(analyst.post("/topics", {"name": "night shift"}), "topic name", 422)
    says(analyst.post("/topics", {"name": "night"}), "The topic is made", 200)
    equal(f"{SNS}:night" in [topic["TopicArn"] for topic in sns.list_topics()["Topics"]], True)
    says(analyst.post("/topics/night/subscribe", {"protocol": "email", "endpoint": "nonsense"}), "name@domain", 422)
    # Nobody listens there.
    url = f"http://user:secret@127.0.0.1:{free_port()}/hook"
    says(analyst.post("/topics/night/subscribe", {"protocol": "http", "endpoint": url}), "asked for agreement", 200)
    page = wait_until("a failed attempt", lambda: (lambda page: page if "tried again" in page.text else None)(viewer.get("/topics/night")))
    says(page, "asks for agreement")
    says(page, "http://****:****@127.0.0.1")
    equal("secret" in page.text, False, "a password is shown")
    says(viewer.get("/topics"), "tried again 1", 200)
    listed = sns.list_subscriptions_by_topic(TopicArn=f"{SNS}:night")["Subscriptions"]
    equal([one["SubscriptionArn"] for one in listed], ["PendingConfirmation"])
    says(analyst.post("/topics/night/test", {}, page="/topics"), "test message is on its way", 200)
    says(analyst.get("/topics/night"), "Nobody has agreed yet", 200)
    subscription = re.search(r'name="subscription" value="([0-9a-f-]+)"', analyst.get("/topics/night").text)[1]
    says(analyst.post("/topics/night/unsubscribe", {"subscription": subscription}), "subscription is ended", 200)
    equal(sns.list_subscriptions_by_topic(TopicArn=f"{SNS}:night")["Subscriptions"], [])
    says(viewer.get(f"/search?q={SNS}:night"), "/topics/night", 200)
    says(viewer.get("/search?q=cam"), "/profiles/cameras", 200)
    admin = console.browser("ada", "admin")
    for text in ("security profile made", "security profile changed", "security profile deleted", "topic made", "subscribed",
                 "subscription ended", "test message sent"):
        says(admin.get("/admin/audit"), text, 200)


@check
def both_languages_are_whole(console):
    analyst = console.browser("anna")
    analyst.session.headers["Accept-Language"] = "ja"
    for path in ("/profiles", "/profiles/cameras", "/profiles/new", "/profiles/cameras/edit", "/topics", "/topics/night"):
        page = analyst.get(path)
        equal(page.status_code, 200, path)
        equal('lang="ja"' in page.text, True, path)
        equal(re.findall(r">((?:profiles?|editor|topics?|trial|behavior)\.[a-z-]+)<", page.text), [], path)


run(Console)
