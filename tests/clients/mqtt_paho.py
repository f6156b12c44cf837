"""paho-mqtt, MQTT 3.1.1 and 5: quality of service, retained messages, wills, sessions that last, shared subscriptions."""

import time

import paho.mqtt.client as paho

from harness import Mqtt, check, equal, run, wait_until

def both_versions(function):
    """A check for each version of the protocol."""
    for version in (3, 5):
        def one(server, version=version):
            function(server, version)
        one.__name__ = f"{function.__name__}_v{version}"
        check(one)
    return function


@both_versions
def each_quality_of_service(server, version):
    client = Mqtt(server, server.anybody(), f"qos-{version}", version).connect()
    for qos in (0, 1, 2):
        topic = f"qos/{version}/{qos}"
        equal(int(client.subscribe(topic, qos).value), qos, "granted")
        client.publish(topic, f"with {qos}", qos)
        message = client.next()
        equal((message.topic, message.payload.decode(), message.qos), (topic, f"with {qos}", qos))
    client.close()


@both_versions
def a_large_payload(server, version):
    client = Mqtt(server, server.anybody(), f"large-{version}", version).connect()
    client.subscribe(f"large/{version}")
    payload = b"x" * (128 * 1024)
    client.publish(f"large/{version}", payload)
    equal(client.next().payload == payload, True)
    client.close()


@both_versions
def retained_messages(server, version):
    client = Mqtt(server, server.anybody(), f"retain-{version}", version).connect()
    topic = f"retained/{version}"
    client.publish(topic, "first", retain=True)
    client.publish(topic, "last", retain=True)
    client.subscribe(topic)
    message = client.next()
    equal((message.payload, message.retain), (b"last", True))
    client.publish(topic, b"", retain=True)
    client.close()
    later = Mqtt(server, server.anybody(), f"retain-later-{version}", version).connect()
    later.subscribe(topic)
    later.subscribe(f"after/{version}")
    later.publish(f"after/{version}", "marker")
    equal(later.next().payload, b"marker", "a retained message that was removed came back")
    later.close()


@both_versions
def the_will_of_one_who_vanishes(server, version):
    watcher = Mqtt(server, server.anybody(), f"watcher-{version}", version).connect()
    watcher.subscribe(f"will/{version}")
    will = {"topic": f"will/{version}", "payload": "gone", "qos": 1}
    polite = Mqtt(server, server.anybody(), f"polite-{version}", version, will=will).connect()
    polite.close()
    vanishing = Mqtt(server, server.anybody(), f"vanishing-{version}", version, will=will | {"payload": "vanished"}).connect()
    vanishing.drop()
    equal(watcher.next().payload, b"vanished", "only the one who did not take leave has a will")
    watcher.close()


@both_versions
def a_session_that_waits(server, version):
    options = {"version": version, "clean": False, "expiry_s": 3600}
    client = Mqtt(server, server.anybody(), f"waiting-{version}", **options).connect()
    equal(client.connack[0].session_present, False)
    client.subscribe(f"while/away/{version}", 1)
    client.close()
    sender = Mqtt(server, server.anybody(), f"sender-{version}", version).connect()
    for number in range(20):
        sender.publish(f"while/away/{version}", str(number), 1)
    sender.close()
    client = Mqtt(server, server.anybody(), f"waiting-{version}", **options).connect()
    equal(client.connack[0].session_present, True)
    equal([client.next().payload.decode() for _ in range(20)], [str(number) for number in range(20)])
    client.close()


@both_versions
def the_newcomer_wins(server, version):
    first = Mqtt(server, server.anybody(), f"twice-{version}", version).connect()
    # paho would come back at once and throw the newcomer out in turn.
    first.client.reconnect_delay_set(min_delay=60, max_delay=60)
    second = Mqtt(server, server.anybody(), f"twice-{version}", version).connect()
    first.wait_disconnected()
    equal(second.disconnected, None)
    second.close()


@check
def a_shared_subscription_takes_turns(server):
    readers = [Mqtt(server, server.anybody(), f"reader-{number}").connect() for number in range(2)]
    for reader in readers:
        reader.subscribe("$share/readers/work/+", 1)
    sender = Mqtt(server, server.anybody(), "work-sender").connect()
    for number in range(40):
        sender.publish(f"work/{number}", str(number), 1)
    wait_until("all of them", lambda: sum(len(reader.messages) for reader in readers) == 40)
    shares = sorted(len(reader.messages) for reader in readers)
    if shares[0] < 5:
        raise AssertionError(f"one reader did nearly everything: {shares}")
    everything = sorted(int(message.payload) for reader in readers for message in reader.messages)
    equal(everything, list(range(40)))
    for client in (*readers, sender):
        client.close()


@check
def properties_travel_with_a_message(server):
    client = Mqtt(server, server.anybody(), "properties").connect()
    client.subscribe("properties/here")
    properties = paho.Properties(paho.PacketTypes.PUBLISH)
    properties.ContentType = "text/plain"
    properties.ResponseTopic = "properties/answer"
    properties.CorrelationData = b"42"
    properties.UserProperty = [("colour", "red"), ("colour", "blue")]
    client.publish("properties/here", "x", 1, properties=properties)
    seen = client.next().properties
    equal((seen.ContentType, seen.ResponseTopic, seen.CorrelationData), ("text/plain", "properties/answer", b"42"))
    equal(seen.UserProperty, [("colour", "red"), ("colour", "blue")])
    client.close()


@check
def an_expired_message_does_not_arrive(server):
    options = {"clean": False, "expiry_s": 3600}
    client = Mqtt(server, server.anybody(), "expiry", **options).connect()
    client.subscribe("expiry/+", 1)
    client.close()
    sender = Mqtt(server, server.anybody(), "expiry-sender").connect()
    properties = paho.Properties(paho.PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = 1
    sender.publish("expiry/short", "short", 1, properties=properties)
    published = time.monotonic()
    sender.publish("expiry/long", "long", 1)
    # Not a wait for something to happen: the protocol's own second has to pass.
    time.sleep(max(0.0, published + 2.0 - time.monotonic()))
    client = Mqtt(server, server.anybody(), "expiry", **options).connect()
    equal(client.next().payload, b"long")
    for one in (client, sender):
        one.close()


@check
def the_agents_port_and_protocol_name(server):
    client = Mqtt(server, server.anybody(), "alpn", 3, port=server.tls_port, alpn="x-amzn-mqtt-ca").connect()
    client.subscribe("alpn/#")
    client.publish("alpn/here", "x")
    equal(client.next().payload, b"x")
    client.close()


run()
