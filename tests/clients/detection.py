"""Device Defender Detect through boto3: reports in every spelling, behaviors, violations and their history."""

import datetime
import json

from agents import REPORT_IDS, Agent, behavior, report, stats
from harness import ACCOUNT, REGION, Mqtt, check, equal, refused, run, wait_until

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
ALL_THINGS = f"{ARN}:all/things"


@check
def reports_in_both_formats_and_spellings(server):
    agent = Agent(server, "reporter")
    long = report(
        listening_tcp_ports={"ports": [{"port": 22, "interface": "eth0"}], "total": 1},
        listening_udp_ports={"ports": [{"port": 53}], "total": 1},
        network_stats=stats(100),
        tcp_connections={"established_connections": {"connections": [{"remote_addr": "192.0.2.1:443"}], "total": 1}},
    )
    short = {
        "hed": {"rid": next(REPORT_IDS), "v": "1.0"},
        "met": {
            "tp": {"pts": [{"pt": 22, "if": "eth0"}], "t": 1},
            "up": {"pts": [{"pt": 53}], "t": 1},
            "ns": {"bi": 1, "bo": 100, "pi": 1, "po": 1},
            "tc": {"ec": {"cs": [{"rad": "192.0.2.1:443", "lp": 5, "li": "eth0"}], "t": 1}},
        },
    }
    for format in ("json", "cbor"):
        for content, id in ((long, long["header"]["report_id"]), (short, short["hed"]["rid"])):
            answer = agent.accepted(content, format=format)
            equal((answer["thingName"], answer["reportId"], answer["status"]), ("reporter", id, "ACCEPTED"))
            age_ms = datetime.datetime.now().timestamp() * 1000 - answer["timestamp"]
            equal(abs(age_ms) < 60_000, True, "the answer's time is not in milliseconds of now")
    agent.close()


@check
def broken_reports_are_rejected(server):
    agent = Agent(server, "breaker")
    for format, content in (
        ("json", b"{"),
        ("json", b"[]"),
        ("json", b"{}"),
        ("json", b'{"header":{"report_id":1,"version":"1.0"}}'),
        ("json", b"\xff\xfe"),
        ("json", b"[" * 10_000),
        ("cbor", b"\xff"),
        ("cbor", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
    ):
        outcome, answer = agent.send(content, format=format, raw=True)
        equal((outcome, answer["status"]), ("rejected", "REJECTED"), content[:20])
        equal(answer["statusDetails"]["ErrorCode"], "InvalidPayload", content[:20])
    agent.accepted(report(network_stats=stats(1)))
    agent.close()


@check
def what_is_left_out_of_a_report_is_named(server):
    agent = Agent(server, "halfway")
    connections = {"connections": [{"remote_addr": "2001:0db8:0000:0000:00"}, {"remote_addr": "192.0.2.1:443"}], "total": 2}
    content = report(network_stats=stats(1), tcp_connections={"established_connections": connections})
    answer = agent.accepted(content)
    equal("remote_addr" in json.dumps(answer), True, f"the dropped peer is not named: {answer}")
    agent.close()


def profile(server, name, *behaviors, target=ALL_THINGS, **options):
    iot = server.boto("iot")
    iot.create_security_profile(securityProfileName=name, behaviors=list(behaviors), **options)
    iot.attach_security_profile(securityProfileName=name, securityProfileTargetArn=target)
    return iot


def active(iot, profile_name):
    found = iot.list_active_violations(securityProfileName=profile_name)["activeViolations"]
    return {violation["behavior"]["name"]: violation for violation in found}


def events(iot, profile_name, kind):
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    found = iot.list_violation_events(startTime=now - hour, endTime=now + hour, securityProfileName=profile_name)
    return [event for event in found["violationEvents"] if event["violationEventType"] == kind]


@check
def an_alarm_from_a_report_and_its_end(server):
    iot = server.boto("iot")
    iot.create_thing_group(thingGroupName="watched")
    iot.create_thing(thingName="sender")
    iot.add_thing_to_thing_group(thingGroupName="watched", thingName="sender")
    target = f"{ARN}:thinggroup/watched"
    profile(server, "Bytes", behavior("bytesOut", "aws:all-bytes-out", "less-than", 2, count=1000), target=target)
    agent, other = Agent(server, "sender"), Agent(server, "bystander")

    def report_until(bytes_out, look):
        def step():
            for one in (agent, other):
                one.accepted(report(network_stats=stats(bytes_out)))
            return look()
        return wait_until(f"the effect of {bytes_out} bytes", step, pause_s=0.3)

    violation = report_until(5000, lambda: active(iot, "Bytes").get("bytesOut"))
    equal(violation["thingName"], "sender")
    equal(violation["lastViolationValue"]["count"] >= 5000, True, violation)
    equal(violation["verificationState"], "UNKNOWN")
    iot.put_verification_state_on_violation(violationId=violation["violationId"], verificationState="TRUE_POSITIVE")
    equal(active(iot, "Bytes")["bytesOut"]["verificationState"], "TRUE_POSITIVE")
    report_until(1, lambda: not active(iot, "Bytes"))
    raised, cleared = events(iot, "Bytes", "in-alarm"), events(iot, "Bytes", "alarm-cleared")
    equal(([event["violationId"] for event in raised], [event["violationId"] for event in cleared]), ([violation["violationId"]],) * 2)
    equal({event["thingName"] for event in raised}, {"sender"}, "the profile is for a group that bystander is not in")
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    values = iot.list_metric_values(thingName="sender", metricName="aws:all-bytes-out", startTime=now - hour, endTime=now + hour)
    equal(len(values["metricDatumList"]) > 0, True, "no values of the metric were kept")
    agent.close()
    other.close()


@check
def sets_of_addresses_and_ports(server):
    iot = profile(
        server,
        "Sets",
        behavior("peers", "aws:destination-ip-addresses", "in-cidr-set", cidrs=["192.0.2.0/24", "2001:db8::/32"]),
        behavior("ports", "aws:listening-tcp-ports", "not-in-port-set", ports=[23, 2323]),
    )
    agent = Agent(server, "setter")

    def send(peers, ports):
        connections = [{"remote_addr": peer} for peer in peers]
        return agent.accepted(
            report(
                tcp_connections={"established_connections": {"connections": connections, "total": len(connections)}},
                listening_tcp_ports={"ports": [{"port": port} for port in ports], "total": len(ports)},
            )
        )

    send(["192.0.2.1:443", "[2001:db8::1]:443", "2001:db8::2:443"], [22])
    send(["198.51.100.7:4444"], [22, 23])
    found = wait_until("both violations", lambda: (seen := active(iot, "Sets")) and len(seen) == 2 and seen)
    equal(found["peers"]["lastViolationValue"]["cidrs"], ["198.51.100.7"])
    equal(found["ports"]["lastViolationValue"]["ports"], [22, 23])
    send([], [])
    wait_until("the end of both", lambda: not active(iot, "Sets"))
    agent.close()


@check
def what_the_gateway_measures_needs_no_agent(server):
    iot = profile(
        server,
        "Cloud",
        behavior("size", "aws:message-byte-size", "less-than", count=2000),
        behavior("sent", "aws:num-messages-sent", "less-than", 2, count=10),
        behavior("connects", "aws:num-connection-attempts", "less-than", 2, count=3),
        behavior("from", "aws:source-ip-address", "in-cidr-set", cidrs=["198.51.100.0/24"]),
    )
    talker = Mqtt(server, server.anybody(), "talker").connect()

    def talk():
        talker.publish("talk", b"x" * 3000, 1)
        for _ in range(12):
            talker.publish("talk", b"x", 0)
        for _ in range(4):
            Mqtt(server, server.anybody(), "visitor").connect().close()
        mine = iot.list_active_violations(securityProfileName="Cloud")["activeViolations"]
        seen = {(violation["thingName"], violation["behavior"]["name"]) for violation in mine}
        wanted = {("talker", "size"), ("talker", "sent"), ("talker", "from"), ("visitor", "connects")}
        return wanted <= seen

    wait_until("all four violations", talk, pause_s=0.2)
    talker.close()


@check
def behaviors_that_make_no_sense(server):
    iot = server.boto("iot")
    good = behavior("good", "aws:all-bytes-out", "less-than", 300, count=1)
    equal(iot.validate_security_profile_behaviors(behaviors=[good])["valid"], True)
    for bad in (
        behavior("b", "aws:all-bytes-out", "in-cidr-set", 300, cidrs=["10.0.0.0/8"]),
        behavior("b", "aws:all-bytes-out", "less-than", count=1),
        behavior("b", "aws:no-such-metric", "less-than", 300, count=1),
        behavior("b", "aws:listening-tcp-ports", "in-port-set", ports=[70000]),
    ):
        answer = iot.validate_security_profile_behaviors(behaviors=[bad])
        equal((answer["valid"], bool(answer["validationErrors"])), (False, True), bad)
        refused("InvalidRequestException", lambda bad=bad: iot.create_security_profile(securityProfileName="Bad", behaviors=[bad]))
    too_many = dict(good, criteria=dict(good["criteria"], consecutiveDatapointsToAlarm=11))
    message = iot.validate_security_profile_behaviors(behaviors=[too_many])["validationErrors"][0]["errorMessage"]
    equal("range" in message, True, message)


@check
def the_life_of_a_profile(server):
    iot = profile(server, "Life", behavior("b", "aws:all-bytes-out", "less-than", 300, count=1), tags=[{"Key": "k", "Value": "v"}])
    refused("ResourceAlreadyExistsException", lambda: iot.create_security_profile(securityProfileName="Life", behaviors=[]))
    seen = iot.describe_security_profile(securityProfileName="Life")
    equal((seen["version"], seen["behaviors"][0]["criteria"]["value"]), (1, {"count": 1}))
    updated = iot.update_security_profile(securityProfileName="Life", securityProfileDescription="new", expectedVersion=1)
    equal((updated["version"], updated["securityProfileDescription"]), (2, "new"))
    refused("VersionConflictException", lambda: iot.update_security_profile(securityProfileName="Life", securityProfileDescription="x", expectedVersion=1))
    equal("Life" in [one["name"] for one in iot.list_security_profiles()["securityProfileIdentifiers"]], True)
    mapped = iot.list_security_profiles_for_target(securityProfileTargetArn=ALL_THINGS)["securityProfileTargetMappings"]
    equal("Life" in [one["securityProfileIdentifier"]["name"] for one in mapped], True)
    iot.detach_security_profile(securityProfileName="Life", securityProfileTargetArn=ALL_THINGS)
    equal(iot.list_targets_for_security_profile(securityProfileName="Life")["securityProfileTargets"], [])
    iot.delete_security_profile(securityProfileName="Life")
    refused("ResourceNotFoundException", lambda: iot.describe_security_profile(securityProfileName="Life"))


run()
