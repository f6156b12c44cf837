"""Devices, groups and alarms in the console: what a device did is seen, verified and suppressed, and AWS's API says the same."""

import datetime
import re

from agents import Agent, behavior, report
from harness import ACCOUNT, REGION, check, equal, run, wait_until
from visitors import Console, says

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
# A name that a device may report under, and that nobody should see as anything but text. It fits one level of a topic.
HOSTILE = "<b>\u202e'\"& x"
VIOLATION = r"/alarms/([0-9a-f-]{36})"


def ports(count):
    return {"ports": [{"port": 1000 + port} for port in range(count)], "total": count}


def lacks(response, *texts):
    """Fails when the page has one of these in its markup."""
    for text in texts:
        if text in response.text:
            raise AssertionError(f"{response.url} has {text!r}:\n{response.text}")
    return response


@check
def a_fleet_without_anything_says_what_to_run(console):
    browser = console.browser("vera")
    # The harness has enrolled one device for itself.
    says(browser.get("/devices"), "harness", 200)
    says(browser.get("/devices?q=nobody"), "No registered device fits", 200)
    says(browser.get("/groups"), "aws iot create-thing-group", 200)
    says(browser.get("/alarms"), "No alarm is active", 200)
    for path in ("/devices/nobody", "/groups/nobody", "/alarms/nobody", "/alarms/00000000-0000-4000-8000-000000000000"):
        equal(browser.get(path).status_code, 404, path)


@check
def what_a_device_does_is_on_its_pages(console):
    iot = console.boto("iot")
    iot.create_thing_type(thingTypeName="camera")
    iot.create_thing_group(thingGroupName="site", thingGroupProperties={"thingGroupDescription": "the <i>site</i>"})
    iot.create_thing_group(thingGroupName="hall", parentGroupName="site")
    iot.create_thing(thingName="cam-1", thingTypeName="camera", attributePayload={"attributes": {"place": "door/1"}})
    iot.add_thing_to_thing_group(thingGroupName="hall", thingName="cam-1")
    certificate = iot.create_keys_and_certificate(setAsActive=True)["certificateArn"]
    iot.attach_thing_principal(thingName="cam-1", principal=certificate)
    few = behavior("fewPorts", "aws:num-listening-tcp-ports", "less-than-equals", count=5)
    few["criteria"]["consecutiveDatapointsToAlarm"] = 2
    iot.create_security_profile(securityProfileName="Ports", behaviors=[few])
    iot.attach_security_profile(securityProfileName="Ports", securityProfileTargetArn=f"{ARN}:thinggroup/site")
    agent = Agent(console, "cam-1")
    browser = console.browser("vera")
    connections = {"connections": [{"remote_addr": "198.51.100.7:4444"}], "total": 1}
    for count in (2, 9, 9):
        agent.accepted(
            report(listening_tcp_ports=ports(count), tcp_connections={"established_connections": connections})
        )
    page = wait_until("the alarm", lambda: (page := browser.get("/alarms")) and re.search(VIOLATION, page.text) and page)
    says(page, "number of open TCP ports: more than 5, twice in a row")
    says(page, "cam-1")
    says(browser.get("/"), "1 not verified", 200)
    says(browser.get("/devices"), "In alarm", 200)
    device = says(browser.get("/devices/cam-1"), "connected", 200)
    for text in ("camera", "hall", "place", "door/1", "Ports", "Certificates", "fewPorts", "<svg"):
        says(device, text)
    wait_until("the connection", lambda: "198.51.100.7" in browser.get("/devices/cam-1").text)
    says(browser.get("/groups"), "hall", 200)
    group = says(browser.get("/groups/site"), "cam-1", 200)
    says(group, "the <i>site</i>")
    lacks(group, "<i>site")
    says(browser.get("/devices?group=site"), "cam-1", 200)
    says(browser.get("/devices?q=CAM&type=camera"), "cam-1", 200)
    says(browser.get("/search?q=cam-"), "/devices/cam-1", 200)
    violation = re.search(VIOLATION, page.text)[1]
    says(browser.get(f"/search?q={violation}"), f"/alarms/{violation}", 200)
    agent.close()
    wait_until("that it is gone", lambda: "not connected" in browser.get("/devices/cam-1").text)


def violation_of(console, thing):
    found = console.boto("iot").list_active_violations(thingName=thing, listSuppressedAlerts=True)["activeViolations"]
    return found[0]


@check
def an_alarm_is_verified_by_those_who_may(console):
    violation = violation_of(console, "cam-1")["violationId"]
    path = f"/alarms/{violation}"
    viewer, analyst = console.browser("vera"), console.browser("anna", "analyst")
    page = says(viewer.get(path), "more than 5, twice in a row", 200)
    says(page, "Analysts verify")
    lacks(page, 'name="state"')
    fields = {"state": "benign-positive", "description": "a <b>test</b>"}
    says(viewer.post(f"{path}/verify", fields, page="/account"), "role analyst", 403)
    equal(violation_of(console, "cam-1")["verificationState"], "UNKNOWN")
    says(analyst.post(f"{path}/verify", fields | {"description": "x" * 1001}, page=path), "At most 1000", 422)
    equal(analyst.post(f"{path}/verify", fields | {"state": "nonsense"}, page=path).status_code, 400)
    page = says(analyst.post(f"{path}/verify", fields, page=path), "a <b>test</b>", 200)
    lacks(page, "a <b>")
    seen = violation_of(console, "cam-1")
    equal((seen["verificationState"], seen["verificationStateDescription"]), ("BENIGN_POSITIVE", "a <b>test</b>"))
    says(viewer.get("/alarms?state=benign-positive"), violation, 200)
    lacks(viewer.get("/alarms?state=true-positive&range=24h"), violation)
    says(viewer.get("/"), "1 active", 200)
    # What is verified through AWS's API is seen here as well.
    console.boto("iot").put_verification_state_on_violation(violationId=violation, verificationState="TRUE_POSITIVE")
    says(viewer.get("/alarms?state=true-positive"), violation, 200)


@check
def alerts_are_suppressed_with_a_reason(console):
    iot = console.boto("iot")
    path = f"/alarms/{violation_of(console, 'cam-1')['violationId']}"
    viewer, analyst, admin = console.browser("vera"), console.browser("anna", "analyst"), console.browser("root", "admin")
    version = lambda: re.search(r'name="version" value="(\d+)"', analyst.get(path).text)[1]  # noqa: E731
    profile = lambda: iot.describe_security_profile(securityProfileName="Ports")  # noqa: E731
    suppressed = lambda: profile()["behaviors"][0].get("suppressAlerts", False)  # noqa: E731
    fields = {"version": version(), "reason": "a planned test"}
    says(viewer.post(f"{path}/suppress", fields, page="/account"), "role analyst", 403)
    says(analyst.post(f"{path}/suppress", fields | {"reason": " "}, page=path), "A reason is needed", 422)
    iot.update_security_profile(securityProfileName="Ports", securityProfileDescription="changed meanwhile")
    says(analyst.post(f"{path}/suppress", fields, page=path), "has changed since", 409)
    equal(suppressed(), False)
    says(analyst.post(f"{path}/suppress", fields | {"version": version()}, page=path), "Tell people again", 200)
    equal(suppressed(), True)
    equal(violation_of(console, "cam-1")["verificationStateDescription"], "a planned test")
    says(analyst.post(f"{path}/resume", {"version": version(), "reason": "it is over"}, page=path), "Suppress alerts", 200)
    equal(suppressed(), False)
    trail = says(admin.get("/admin/audit"), "alerts suppressed", 200)
    for text in ("alerts resumed", "alarm verified", "Ports/fewPorts a planned test", "benign-positive a <b>test</b>"):
        says(trail, text)


@check
def an_alarm_that_ends_has_a_history(console):
    browser = console.browser("vera")
    violation = violation_of(console, "cam-1")["violationId"]
    agent = Agent(console, "cam-1")
    agent.accepted(report(listening_tcp_ports=ports(1)))
    says(wait_until("the end", lambda: (page := browser.get(f"/alarms/{violation}")) and "cleared" in page.text and page), "Timeline")
    says(browser.get("/alarms?device=cam-1&range=24h"), "cleared", 200)
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    events = console.boto("iot").list_violation_events(startTime=now - hour, endTime=now + hour, thingName="cam-1")
    kinds = {event["violationEventType"] for event in events["violationEvents"]}
    equal(kinds, {"in-alarm", "alarm-cleared"})
    agent.close()


@check
def a_hostile_name_is_text(console):
    iot = console.boto("iot")
    iot.create_security_profile(
        securityProfileName="Strangers",
        behaviors=[behavior("noPorts", "aws:num-listening-tcp-ports", "less-than", count=1)],
    )
    iot.attach_security_profile(
        securityProfileName="Strangers", securityProfileTargetArn=f"{ARN}:all/unregistered-things"
    )
    agent = Agent(console, HOSTILE)
    agent.accepted(report(listening_tcp_ports=ports(3)))
    browser = console.browser("anna", "analyst")
    page = wait_until("the alarm", lambda: (page := browser.get("/alarms")) and "\\u{202e}" in page.text and page)
    says(page, "<b>\\u{202e}'\"& x")
    links = re.findall(r'href="(/devices/[^"]*%[^"]*)"', page.text)
    equal(len(links) > 0, True, "the device has no link")
    violation = next(found for found in re.findall(VIOLATION, page.text) if HOSTILE == console_name(iot, found))
    for path in ("/", "/alarms", "/devices", links[0], f"/alarms/{violation}", "/search?q=%3Cb%3E"):
        lacks(says(browser.get(path), "", 200), "<b>", "\u202e")
    says(browser.get(links[0]), "not registered", 200)
    says(browser.get("/devices"), "not registered", 200)
    says(browser.get("/alarms?device=" + links[0].removeprefix("/devices/")), violation, 200)
    agent.close()


def console_name(iot, violation):
    found = iot.list_active_violations(listSuppressedAlerts=True)["activeViolations"]
    return next((one["thingName"] for one in found if one["violationId"] == violation), None)


@check
def a_known_threat_leads_back_to_the_attack(console):
    sample, session = "ab" * 32, "cd" * 16
    console.command("indicators", "guard")
    console.command(
        "indicators", "add", "203.0.113.66:23", "--sample", sample, "--detonation", "run-1", "--session", session,
        "--sensor", "gate",
    )
    agent = Agent(console, "cam-1")
    connections = {"connections": [{"remote_addr": "203.0.113.66:23"}], "total": 1}
    agent.accepted(report(tcp_connections={"established_connections": connections}))
    browser = console.browser("vera")
    page = wait_until("the alarm", lambda: (page := browser.get("/alarms")) and "known threat" in page.text and page)
    violation = next(
        one["violationId"]
        for one in console.boto("iot").list_active_violations(thingName="cam-1")["activeViolations"]
        if one["behavior"]["metric"] == "komainu:indicator-matches"
    )
    says(page, violation)
    page = says(browser.get(f"/alarms/{violation}"), "From the attack to this alarm", 200)
    for link in (f"/samples/{sample}", f"/sessions/{session}", "/sensors/gate", "/indicators/", "/devices/cam-1"):
        says(page, f'href="{link}')
    says(page, "203.0.113.66:23")
    says(browser.get("/devices/cam-1"), "in its report", 200)
    agent.close()


@check
def pages_speak_japanese_and_stay_small(console):
    browser = console.browser("vera")
    violation = console.boto("iot").list_active_violations()["activeViolations"][0]["violationId"]
    browser.post("/account/language", {"language": "ja"}, page="/account")
    pages = {
        "/alarms": "未検証",
        f"/alarms/{violation}": "時系列",
        "/devices": "台の登録デバイス",
        "/devices/cam-1": "測定値",
        "/groups": "グループ",
        "/groups/site": "所属デバイス",
    }
    for path, text in pages.items():
        response = says(browser.get(path), text, 200)
        equal(len(response.content) < 150_000, True, f"{path} has {len(response.content)} bytes")


if __name__ == "__main__":
    # Addresses of documents may be indicators here, as no others can be.
    configuration = "[detect]\nshort_windows = true\n[intel]\ndocumentation_addresses = true\n[console]\nproxies = []\n"
    run(Console, configuration=configuration)
