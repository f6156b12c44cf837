"""What the console tells while it is open: alarms as they come and go, and messages that were given up."""

import http.server
import json
import queue
import threading

import requests
from agents import Agent, behavior, report
from harness import ACCOUNT, LIMIT_S, REGION, check, equal, free_port, run, wait_until
from visitors import Console, says

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
METRICS = free_port()


class Stream:
    """The news of a console, as a browser's `EventSource` reads them (HTML standard, "Server-sent events")."""

    def __init__(self, browser):
        self.events = queue.Queue()
        self.answer = browser.session.get(f"{browser.url}/live", stream=True, timeout=60)
        equal((self.answer.status_code, self.answer.headers["content-type"]), (200, "text/event-stream"))
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        kind, data = None, []
        try:
            for line in self.answer.iter_lines(decode_unicode=True):
                if line:
                    name, _, value = line.partition(":")
                    kind = value.strip() if name == "event" else kind
                    data += [value.strip()] if name == "data" else []
                elif data:
                    # A browser dispatches nothing without data.
                    self.events.put(kind or "message")
                    kind, data = None, []
                else:
                    kind = None
        except (requests.exceptions.RequestException, AttributeError):
            # The server has ended the stream.
            pass
        self.events.put("end")

    def next(self):
        return self.events.get(timeout=LIMIT_S)


class Endpoint:
    """A webhook that confirms its subscription and then answers every message with one status."""

    def __init__(self, status):
        self.status, self.posts = status, queue.Queue()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                kind = self.headers["x-amz-sns-message-type"]
                self.send_response(200 if kind == "SubscriptionConfirmation" else endpoint.status)
                self.send_header("content-length", "0")
                self.end_headers()
                endpoint.posts.put((kind, body))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.posts.get(timeout=LIMIT_S)


class Place(Console):
    """A console beside which metrics are read."""

    def metric(self, name):
        text = requests.get(f"http://127.0.0.1:{METRICS}/metrics", timeout=30).text
        return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} "))


def ports(count):
    return report(listening_tcp_ports={"ports": [{"port": 1000 + port} for port in range(count)], "total": count})


@check
def an_alarm_is_news_when_it_begins_and_when_it_ends(server):
    iot = server.boto("iot")
    few = behavior("fewPorts", "aws:num-listening-tcp-ports", "less-than-equals", count=5)
    iot.create_security_profile(securityProfileName="Ports", behaviors=[few])
    iot.attach_security_profile(securityProfileName="Ports", securityProfileTargetArn=f"{ARN}:all/things")
    agent = Agent(server, "cam-1")
    agent.accepted(ports(2))
    stream = Stream(server.browser("vera"))
    # A report without an alarm is no news.
    agent.accepted(ports(3))
    agent.accepted(ports(9))
    equal(stream.next(), "alarms")
    says(server.browser("vera").get("/alarms"), "fewPorts", 200)
    equal(stream.events.qsize(), 0, "one alarm was told twice")
    agent.accepted(ports(2))
    equal(stream.next(), "alarms")
    says(server.browser("vera").get("/alarms"), "No alarm is active", 200)
    agent.close()


@check
def news_are_for_those_who_are_signed_in(server):
    answer = requests.get(f"{server.url}/live", timeout=30, allow_redirects=False)
    equal((answer.status_code, answer.headers["location"].split("?")[0]), (303, "/sign-in"))
    browser = server.browser("vera")
    stream = Stream(browser)
    browser.post("/sign-out", {}, page="/account")
    # A stream looks every 15 seconds whether its session still is.
    equal(stream.next(), "end")


def subscribed(server, topic_name, endpoint):
    sns = server.boto("sns")
    topic = sns.create_topic(Name=topic_name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    kind, body = endpoint.next()
    equal(kind, "SubscriptionConfirmation")
    token = json.loads(body)["Token"]
    sns.confirm_subscription(TopicArn=topic, Token=token)
    return sns, topic


@check
def a_message_that_is_given_up_is_shown_with_its_error(server):
    gone = Endpoint(410)
    sns, topic = subscribed(server, "gone", gone)
    browser = server.browser("vera")
    equal(server.metric("komainu_outbox_dead"), 0)
    sns.publish(TopicArn=topic, Message="for nobody")
    equal(gone.next()[0], "Notification")
    wait_until("that it is given up", lambda: server.metric("komainu_outbox_dead") == 1)
    equal(server.metric('komainu_deliveries_total{outcome="dead"}'), 1)
    says(browser.get("/topics"), "given up 1", 200)
    page = says(browser.get("/topics/gone"), "given up", 200)
    says(page, "the endpoint answered 410 Gone")
    equal('"pipeline.delivery_dead"' in server.log.read_text(), True)
    # It is not tried again, also not by another start; what comes later goes its own way.
    server.stop()
    server.start()
    wait_until("the metrics of the new start", lambda: server.listens(METRICS))
    equal(server.metric("komainu_outbox_dead"), 1)
    says(server.browser("vera").get("/topics/gone"), "the endpoint answered 410 Gone", 200)
    equal(gone.posts.qsize(), 0)


@check
def a_message_that_fails_is_shown_until_it_is_delivered(server):
    broken = Endpoint(500)
    sns, topic = subscribed(server, "broken", broken)
    sns.publish(TopicArn=topic, Message="sooner or later")
    equal(broken.next()[0], "Notification")
    browser = server.browser("vera")
    wait_until("that it waits", lambda: "tried again" in browser.get("/topics/broken").text)
    says(browser.get("/topics/broken"), "the endpoint answered 500 Internal Server Error")
    equal(server.metric('komainu_deliveries_total{outcome="retried"}'), 1)
    equal(server.metric("komainu_outbox_waiting"), 1)
    # What an operator does: mend the endpoint. The message comes by itself, and nothing is left of it.
    broken.status = 200
    equal(broken.next()[0], "Notification")
    wait_until("that nothing waits", lambda: server.metric("komainu_outbox_waiting") == 0)
    says(browser.get("/topics"), "given up 1", 200)
    equal("tried again" in browser.get("/topics/broken").text, False)


run(Place, configuration=f'[detect]\nshort_windows = true\n[listen]\nmetrics = "127.0.0.1:{METRICS}"\n')
