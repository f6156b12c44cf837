"""Devices that report, as checks need them, and behaviors that judge them."""

import itertools
import json

import cbor2
from harness import Mqtt, equal

REPORT_IDS = itertools.count(1)


def report(**metrics):
    return {"header": {"report_id": next(REPORT_IDS), "version": "1.0"}, "metrics": metrics}


def stats(bytes_out):
    return {"bytes_in": 1, "bytes_out": bytes_out, "packets_in": 1, "packets_out": 1}


class Agent:
    """A device that reports what it is told to."""

    def __init__(self, server, thing):
        self.thing = thing
        self.client = Mqtt(server, server.anybody(), thing).connect()
        for format in ("json", "cbor"):
            for outcome in ("accepted", "rejected"):
                self.client.subscribe(f"$aws/things/{thing}/defender/metrics/{format}/{outcome}")

    def send(self, content, format="json", raw=False):
        """Sends a report and gives the outcome and the answer."""
        encode, decode = {"json": (json.dumps, json.loads), "cbor": (cbor2.dumps, cbor2.loads)}[format]
        self.client.publish(f"$aws/things/{self.thing}/defender/metrics/{format}", content if raw else encode(content), 0)
        message = self.client.next()
        equal(message.topic.split("/")[-2], format)
        return message.topic.rsplit("/", 1)[1], decode(message.payload)

    def accepted(self, content, **options):
        outcome, answer = self.send(content, **options)
        equal(outcome, "accepted", answer)
        return answer

    def close(self):
        self.client.close()


def behavior(name, metric, operator, duration_s=None, **value):
    criteria = {"comparisonOperator": operator, "value": value}
    if duration_s:
        criteria["durationSeconds"] = duration_s
    return {"name": name, "metric": metric, "criteria": criteria}
