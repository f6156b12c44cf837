"""Publishing over HTTPS: curl with a device's certificate, the AWS CLI and boto3 with an operator's key."""

import json
import os
import subprocess

from harness import Mqtt, check, equal, refused, run


def curl(server, files, path, *more):
    command = ["curl", "--silent", "--show-error", "--max-time", "30", "--cacert", server.ca]
    if files:
        command += ["--cert", files["cert"], "--key", files["key"]]
    command += ["--write-out", "\n%{http_code}", *more, f"https://localhost:{server.tls_port}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    body, _, status = done.stdout.rpartition("\n")
    return done.returncode, int(status or 0), body


@check
def curl_with_a_certificate(server):
    reader = Mqtt(server, server.anybody(), "reader").connect()
    reader.subscribe("from/curl/+", 1)
    for options in (["--no-alpn"], ["--http1.1"], []):
        done = curl(server, server.anybody(), "/topics/from%2Fcurl%2Fhere?qos=1", "--data", '{"by":"curl"}', *options)
        equal(done[:2], (0, 200), f"{options}: {done}")
        message = reader.next()
        equal((message.topic, message.payload, message.qos), ("from/curl/here", b'{"by":"curl"}', 1))
    done = curl(server, server.anybody(), "/topics/from/curl/plain-slashes?qos=1", "--data", "x")
    equal((done[1], reader.next().topic), (200, "from/curl/plain-slashes"), done)
    reader.close()


@check
def curl_without_a_certificate_is_refused(server):
    equal(curl(server, None, "/topics/from%2Fcurl%2Fhere?qos=1", "--data", "x")[1] in (401, 403), True)


@check
def curl_where_the_policy_does_not_allow_it(server):
    iot = server.boto("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    folder = server.folder / "nobody"
    folder.mkdir()
    (folder / "cert").write_text(made["certificatePem"])
    (folder / "key").write_text(made["keyPair"]["PrivateKey"])
    files = {"cert": str(folder / "cert"), "key": str(folder / "key")}
    equal(curl(server, files, "/topics/x?qos=1", "--data", "x")[1], 401)


@check
def the_aws_cli(server):
    reader = Mqtt(server, server.anybody(), "cli-reader").connect()
    reader.subscribe("from/cli", 1)
    command = ["aws", "iot-data", "publish", "--topic", "from/cli", "--qos", "1", "--payload", '{"by":"cli"}']
    done = subprocess.run(command, env=server.environment(), capture_output=True, text=True, check=False)
    equal(done.returncode, 0, done.stderr)
    equal(json.loads(reader.next().payload), {"by": "cli"})
    wrong = server.environment() | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    done = subprocess.run(command, env=wrong, capture_output=True, text=True, check=False)
    equal(done.returncode != 0 and "InvalidSignatureException" in done.stderr, True, done.stderr)
    reader.close()


@check
def boto3_with_bytes_and_retained(server):
    data = server.boto("iot-data")
    payload = os.urandom(4096)
    data.publish(topic="from/boto3", qos=1, retain=True, payload=payload)
    reader = Mqtt(server, server.anybody(), "boto3-reader").connect()
    reader.subscribe("from/boto3", 1)
    message = reader.next()
    equal((message.payload == payload, message.retain), (True, True))
    refused("InvalidRequestException", lambda: data.publish(topic="no/+/wildcards", qos=1, payload=b"x"))
    reader.close()


run()
