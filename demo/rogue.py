"""The walkthrough's rogue program: a device's own identity, abused.

It subscribes to /rogue/agent and floods the same topic with 100 random characters as JSON, so that the device sends
and receives far more than is normal for it. It uses AWS's Python SDK and nothing but the device's own certificate.
"""

import argparse
import itertools
import json
import random
import string
import time

from awscrt import mqtt
from awsiot import mqtt_connection_builder

TOPIC = "/rogue/agent"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--endpoint", required=True)
    arguments.add_argument("--root-ca", required=True)
    arguments.add_argument("--cert", required=True)
    arguments.add_argument("--key", required=True)
    arguments.add_argument("--client-id", required=True)
    arguments.add_argument("--rate", type=float, default=1.0, help="messages a second (the walkthrough's is 1)")
    given = arguments.parse_args()

    connection = mqtt_connection_builder.mtls_from_path(
        endpoint=given.endpoint,
        cert_filepath=given.cert,
        pri_key_filepath=given.key,
        ca_filepath=given.root_ca,
        client_id=given.client_id,
        clean_session=True,
        keep_alive_secs=30,
    )
    connection.connect().result()
    print("connected", flush=True)

    received = itertools.count(1)
    subscribed, _ = connection.subscribe(
        topic=TOPIC,
        qos=mqtt.QoS.AT_MOST_ONCE,
        callback=lambda **_: print(f"received {next(received)}", flush=True),
    )
    subscribed.result()
    print(f"subscribed to {TOPIC}", flush=True)

    for number in itertools.count(1):
        text = "".join(random.choices(string.ascii_letters, k=100))
        connection.publish(topic=TOPIC, payload=json.dumps({"message": text}), qos=mqtt.QoS.AT_MOST_ONCE)
        print(f"sent {number}", flush=True)
        time.sleep(1 / given.rate)


if __name__ == "__main__":
    main()
