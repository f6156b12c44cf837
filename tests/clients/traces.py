"""Traces for a collector of OpenTelemetry, which reads them with OpenTelemetry's own classes (PyPI opentelemetry-proto)."""

import http.server
import json
import pathlib
import queue
import re
import tempfile
import threading

import requests
from agents import Agent, behavior, report
from handing_in import Hub, session
from harness import ACCOUNT, LIMIT_S, REGION, ROOT, check, equal, free_port, refused, run, wait_until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from visitors import Console

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
TOKEN = "Bearer a-token-that-nobody-may-see"


class Collector:
    """A collector: takes spans over OTLP/HTTP and keeps them."""

    def __init__(self, port=0):
        self.bodies, self.spans, self.resources, self.tokens, lock = [], [], [], set(), threading.Lock()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                is_ours = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
                self.send_response(200 if is_ours else 404)
                self.send_header("content-length", "0")
                self.end_headers()
                request = ExportTraceServiceRequest.FromString(body)
                with lock:
                    collector.bodies.append(body)
                    collector.tokens.add(self.headers["authorization"])
                    for part in request.resource_spans:
                        collector.resources.append(values(part.resource))
                        collector.spans += [span for scope in part.scope_spans for span in scope.spans]

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def named(self, name, **expected):
        """The newest span of this name with these attributes, when it is there."""
        expected = {key.replace("__", "."): value for key, value in expected.items()}
        for span in reversed(self.spans):
            if span.name == name and values(span).items() >= expected.items():
                return span
        return None

    def wait(self, name, **expected):
        return wait_until(f"a span {name} with {expected}", lambda: self.named(name, **expected))

    def children(self, span):
        return {each.name for each in self.spans if each.parent_span_id == span.span_id}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def values(told):
    """The attributes of a span, an event or a resource."""
    kinds = {each.key: each.value.WhichOneof("value") for each in told.attributes}
    return {each.key: getattr(each.value, kinds[each.key]) for each in told.attributes}


class Place(Console, Hub):
    """A server with a console, at which a sensor hands in what checks write."""


class Webhook:
    """Keeps what is posted to it."""

    def __init__(self):
        posts = self.posts = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                posts.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


COLLECTOR = Collector()
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="komainu-traces-"))
HEADERS = FOLDER / "headers"
HEADERS.write_text(f"Authorization: {TOKEN}\n")


@check
def a_report_is_followed_to_the_delivery_of_its_alarm(server):
    iot, sns, hook = server.boto("iot"), server.boto("sns"), Webhook()
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=hook.url)
    sns.confirm_subscription(TopicArn=topic, Token=hook.posts.get(timeout=LIMIT_S)["Token"])
    few = behavior("fewPorts", "aws:num-listening-tcp-ports", "less-than-equals", count=5)
    target = {"alertTargetArn": topic, "roleArn": f"arn:aws:iam::{ACCOUNT}:role/any"}
    iot.create_security_profile(securityProfileName="Ports", behaviors=[few], alertTargets={"SNS": target})
    iot.attach_security_profile(securityProfileName="Ports", securityProfileTargetArn=f"{ARN}:all/things")
    agent = Agent(server, "cam-1")
    ports = {"ports": [{"port": 1000 + port} for port in range(9)], "total": 9}
    content = report(listening_tcp_ports=ports)
    agent.accepted(content)
    hook.posts.get(timeout=LIMIT_S)
    delivery = COLLECTOR.wait("delivery", komainu__outcome="done", komainu__protocol="http", komainu__attempt=1)
    alarm = COLLECTOR.wait("alarm", komainu__thing="cam-1", komainu__profile="Ports", komainu__behavior="fewPorts")
    judge = COLLECTOR.wait("report.judge")
    whole = COLLECTOR.wait("report", komainu__thing="cam-1", komainu__outcome="accepted")
    violation = iot.list_active_violations(thingName="cam-1")["activeViolations"][0]["violationId"]
    equal(values(alarm)["komainu.violation"], violation)
    equal(values(alarm)["komainu.deliveries"], 1)
    equal(values(whole)["messaging.message.body.size"], len(json.dumps(content)))
    spans = (delivery, alarm, judge, whole)
    equal({span.trace_id for span in spans}, {whole.trace_id}, "the trace is broken")
    equal([span.parent_span_id for span in spans], [alarm.span_id, judge.span_id, whole.span_id, b""])
    wait_until("all parts of a report", lambda: COLLECTOR.children(whole) == {"report.decode", "report.judge", "report.answer"})
    equal(whole.kind, Span.SPAN_KIND_CONSUMER)
    for span in spans:
        equal(0 <= span.end_time_unix_nano - span.start_time_unix_nano < 20e9, True, span)
    # A report that ended long ago does not last until its message is out of the house.
    equal(whole.start_time_unix_nano <= alarm.start_time_unix_nano <= delivery.start_time_unix_nano, True)
    # It is linked to its connection, which is told when it ends.
    link = whole.links[0]
    agent.close()
    connection = COLLECTOR.wait("mqtt.connection", messaging__client__id="cam-1")
    equal((connection.trace_id, connection.span_id), (link.trace_id, link.span_id))
    equal(values(connection)["komainu.outcome"], "CLIENT_INITIATED_DISCONNECT")
    equal(values(connection)["komainu.thing"], "cam-1")


@check
def a_report_that_is_refused_says_so(server):
    agent = Agent(server, "breaker")
    equal(agent.send(b'{"secret-of-a-device":', raw=True)[0], "rejected")
    COLLECTOR.wait("report", komainu__outcome="rejected")
    agent.close()


@check
def requests_are_named_by_what_they_ask_for(server):
    iot = server.boto("iot")
    iot.create_thing(thingName="lamp")
    span = COLLECTOR.wait("iot/CreateThing", http__response__status_code=200)
    seen = values(span)
    equal((span.kind, seen["rpc.system"], seen["rpc.service"], seen["rpc.method"]),
          (Span.SPAN_KIND_SERVER, "aws-api", "iot", "CreateThing"))
    equal((seen["http.request.method"], seen["network.peer.address"]), ("POST", "127.0.0.1"))
    refused("ResourceNotFoundException", lambda: iot.describe_thing(thingName="nobody-is-called-so"))
    COLLECTOR.wait("iot/DescribeThing", http__response__status_code=404)

    requests.request("PROPFIND-secret", f"{server.endpoint_url}/secret-path?secret-query=1", timeout=30)
    COLLECTOR.wait("api.request", http__request__method="_OTHER")

    headers = {"x-apikey": ":".join(server.key)}
    url = f"{server.endpoint_url}/api/v1/alarms"
    requests.get(url, params={"state": "secret-word"}, headers=headers, timeout=30)
    COLLECTOR.wait("/api/v1/alarms", http__response__status_code=400)
    requests.get(url, headers=headers, timeout=30)
    span = COLLECTOR.wait("/api/v1/alarms", http__response__status_code=200)
    equal(COLLECTOR.children(span), {"read"})

    browser = server.browser("vera")
    browser.get("/alarms/secret-in-a-path")
    span = COLLECTOR.wait("GET /alarms/{violation}", http__response__status_code=404)
    equal(values(span)["http.route"], "/alarms/{violation}")
    COLLECTOR.wait("POST /sign-in", http__response__status_code=303)


@check
def a_batch_of_a_sensor_is_followed_into_the_lake(server):
    equal(server.hand_in(0xA, 1, [session(3), session(4)]), 200)
    batch = COLLECTOR.wait("hub.batch", komainu__sensor="tokyo", komainu__sequence=1)
    equal(values(batch)["komainu.epoch"], "000000000000000a")
    route = "/komainu/v1/sensors/{sensor}/records"
    whole = COLLECTOR.wait(route, http__response__status_code=200)
    equal((batch.trace_id, batch.parent_span_id), (whole.trace_id, whole.span_id))
    wait_until("what is done with a batch", lambda: COLLECTOR.children(batch) == {"hub.records", "lake.append"})
    equal(values(COLLECTOR.named("lake.append"))["komainu.rows"] >= 2, True)


@check
def a_sample_is_followed_through_the_laboratory(server):
    headers = {"x-apikey": ":".join(server.key)}
    answer = requests.post(f"{server.endpoint_url}/api/v3/files", headers=headers, timeout=60,
                           files={"file": ("notes.txt", b"secret-in-a-sample http://192.0.2.77/x\n")})
    equal(answer.status_code, 200, answer.text)
    span = COLLECTOR.wait("examination", komainu__outcome="done", komainu__attempt=1)
    equal(values(span)["komainu.bytes"], 39)
    equal(len(values(span)["komainu.sample"]), 64)
    wait_until("its parts", lambda: COLLECTOR.children(span) >= {"triage", "analysis"})
    analysis = COLLECTOR.wait("analysis")
    wait_until("its lesson", lambda: COLLECTOR.children(analysis) == {"lesson"})


@check
def spans_are_those_of_the_documentation(server):
    text = (ROOT / "docs/traces.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    catalogue = {re.findall(r"`([^`]+)`", row[1])[0]: set(re.findall(r"`([^`]+)`", row[4])) for row in rows}
    for span in COLLECTOR.spans:
        seen = set(values(span))
        name = span.name
        if name not in catalogue:
            # Named by its route or its operation.
            name = "api.request" if "komainu.request" in seen else "console.request"
        equal(seen <= catalogue[name], True, f"{span.name}: {seen - catalogue[name]} is not documented")
    equal({resource["service.name"] for resource in COLLECTOR.resources}, {"komainu"})


@check
def nothing_secret_is_told(server):
    secrets = [server.key[1], TOKEN, "secret", "pass3", "three lions", *server.people]
    told = b"".join(COLLECTOR.bodies)
    for secret in secrets:
        equal(secret.encode() in told, False, f"{secret!r} is in a span")
    equal(COLLECTOR.tokens, {TOKEN})
    equal(TOKEN in server.log.read_text(), False)


@check
def a_collector_that_does_not_answer_is_told_and_stops_nothing(server):
    port = free_port()
    configuration = f'[traces]\nendpoint = "http://127.0.0.1:{port}"\n'
    with Place(server.folder / "second", configuration=configuration) as second:
        iot = second.boto("iot")
        for number in range(50):
            iot.create_thing(thingName=f"thing-{number}")
        wait_until("that the collector is missed", lambda: '"traces.failed"' in second.log.read_text())
        late = Collector(port)

        def asked_and_told():
            iot.list_things()
            return late.named("iot/ListThings")

        wait_until("a span at the collector that came late", asked_and_told, pause_s=0.3)
        equal('"traces.works"' in second.log.read_text(), True)
        equal(second.log.read_text().count('"traces.failed"'), 1, "it is told more than once a minute")
        # What waits when the server stops is told.
        iot.describe_endpoint()
    wait_until("the last words", lambda: late.named("iot/DescribeEndpoint"))


@check
def a_part_of_all_traces_may_be_collected(server):
    none = Collector()
    configuration = f'[traces]\nendpoint = "http://127.0.0.1:{none.port}"\nsample_ratio = 0.0\n'
    with Place(server.folder / "third", configuration=configuration) as third:
        third.boto("iot").list_things()
    equal(none.spans, [])


run(Place, configuration=f"""
[detect]
short_windows = true
[lab]
run = true
[traces]
endpoint = "http://127.0.0.1:{COLLECTOR.port}"
headers_file = "{HEADERS}"
""")
