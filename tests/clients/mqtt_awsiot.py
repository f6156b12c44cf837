"""AWS's device SDKs: v2 (MQTT 3.1.1, MQTT 5, WebSocket with Signature Version 4) and v1."""

import queue

from AWSIoTPythonSDK.MQTTLib import AWSIoTMQTTClient
from awscrt import auth, mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder

from harness import LIMIT_S, REGION, check, equal, run


def round_trip_v2(connection, topic):
    connection.connect().result(LIMIT_S)
    arrived = queue.Queue()
    subscribed, _ = connection.subscribe(topic, mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: arrived.put(payload))
    equal(subscribed.result(LIMIT_S)["qos"], mqtt.QoS.AT_LEAST_ONCE)
    published, _ = connection.publish(topic, b"hello", mqtt.QoS.AT_LEAST_ONCE)
    published.result(LIMIT_S)
    equal(arrived.get(timeout=LIMIT_S), b"hello")
    connection.disconnect().result(LIMIT_S)


@check
def sdk_v2_mqtt3(server):
    for port in (server.mqtts_port, server.tls_port):
        files = server.anybody()
        connection = mqtt_connection_builder.mtls_from_path(
            endpoint="localhost",
            port=port,
            cert_filepath=files["cert"],
            pri_key_filepath=files["key"],
            ca_filepath=files["ca"],
            client_id="sdk-v2",
            clean_session=True,
        )
        round_trip_v2(connection, "sdk/v2")


def round_trip_mqtt5(make, topic):
    connected, stopped, arrived = queue.Queue(), queue.Queue(), queue.Queue()
    client = make(
        on_lifecycle_connection_success=lambda data: connected.put(data.connack_packet),
        on_lifecycle_connection_failure=lambda data: connected.put(data.exception),
        on_lifecycle_stopped=lambda data: stopped.put(data),
        on_publish_received=lambda data: arrived.put(data.publish_packet),
    )
    client.start()
    connack = connected.get(timeout=LIMIT_S)
    if not isinstance(connack, mqtt5.ConnackPacket):
        raise AssertionError(f"not connected: {connack}")
    subscribe = mqtt5.SubscribePacket([mqtt5.Subscription(topic, mqtt5.QoS.AT_LEAST_ONCE)])
    equal(client.subscribe(subscribe).result(LIMIT_S).reason_codes, [mqtt5.SubackReasonCode.GRANTED_QOS_1])
    publish = mqtt5.PublishPacket(qos=mqtt5.QoS.AT_LEAST_ONCE, payload=b"hello", topic=topic)
    equal(client.publish(publish).result(LIMIT_S).puback.reason_code, mqtt5.PubackReasonCode.SUCCESS)
    equal(arrived.get(timeout=LIMIT_S).payload, b"hello")
    client.stop()
    stopped.get(timeout=LIMIT_S)


@check
def sdk_v2_mqtt5(server):
    files = server.anybody()
    for port in (server.mqtts_port, server.tls_port):
        def make(port=port, **callbacks):
            return mqtt5_client_builder.mtls_from_path(
                endpoint="localhost",
                port=port,
                cert_filepath=files["cert"],
                pri_key_filepath=files["key"],
                ca_filepath=files["ca"],
                client_id="sdk-v2-mqtt5",
                **callbacks,
            )
        round_trip_mqtt5(make, "sdk/mqtt5")


def credentials(server):
    return auth.AwsCredentialsProvider.new_static(*server.key)


@check
def sdk_v2_mqtt3_over_websocket(server):
    connection = mqtt_connection_builder.websockets_with_default_aws_signing(
        endpoint="localhost",
        port=server.tls_port,
        region=REGION,
        credentials_provider=credentials(server),
        ca_filepath=server.ca,
        client_id="sdk-websocket",
        clean_session=True,
    )
    round_trip_v2(connection, "sdk/websocket")


@check
def sdk_v2_mqtt5_over_websocket(server):
    def make(**callbacks):
        return mqtt5_client_builder.websockets_with_default_aws_signing(
            endpoint="localhost",
            port=server.tls_port,
            region=REGION,
            credentials_provider=credentials(server),
            ca_filepath=server.ca,
            client_id="sdk-websocket5",
            **callbacks,
        )
    round_trip_mqtt5(make, "sdk/websocket5")


@check
def a_websocket_with_a_wrong_secret_is_refused(server):
    connection = mqtt_connection_builder.websockets_with_default_aws_signing(
        endpoint="localhost",
        port=server.tls_port,
        region=REGION,
        credentials_provider=auth.AwsCredentialsProvider.new_static(server.key[0], "wrong"),
        ca_filepath=server.ca,
        client_id="sdk-wrong",
        clean_session=True,
    )
    try:
        connection.connect().result(LIMIT_S)
    except Exception as error:
        if "WEBSOCKET_UPGRADE_FAILURE" not in str(error):
            raise
    else:
        raise AssertionError("it was let in")


@check
def sdk_v1(server):
    files = server.anybody()
    client = AWSIoTMQTTClient("sdk-v1")
    client.configureEndpoint("localhost", server.mqtts_port)
    client.configureCredentials(files["ca"], files["key"], files["cert"])
    client.configureConnectDisconnectTimeout(LIMIT_S)
    client.configureMQTTOperationTimeout(LIMIT_S)
    equal(client.connect(), True)
    arrived = queue.Queue()
    equal(client.subscribe("sdk/v1", 1, lambda _client, _data, message: arrived.put(message.payload)), True)
    equal(client.publish("sdk/v1", "hello", 1), True)
    equal(arrived.get(timeout=LIMIT_S), b"hello")
    client.disconnect()


run()
