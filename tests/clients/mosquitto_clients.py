"""mosquitto_pub and mosquitto_sub, as Debian packages them."""

import subprocess

from harness import LIMIT_S, check, equal, run


def arguments(server, *more):
    files = server.anybody()
    where = ["--host", "localhost", "--port", str(server.mqtts_port), "--cafile", files["ca"]]
    return [*where, "--cert", files["cert"], "--key", files["key"], *more]


def versions(function):
    for version in ("mqttv311", "mqttv5"):
        def one(server, version=version):
            function(server, version)
        one.__name__ = f"{function.__name__}_{version}"
        check(one)
    return function


@versions
def a_retained_message_is_read_back(server, version):
    common = ["--protocol-version", version, "--topic", f"mosquitto/{version}", "--qos", "1"]
    publish = ["mosquitto_pub", *arguments(server, *common, "--retain", "--message", "hello")]
    done = subprocess.run(publish, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    equal(done.returncode, 0, done.stderr)
    read = ["mosquitto_sub", *arguments(server, *common, "-C", "1", "-W", str(LIMIT_S))]
    done = subprocess.run(read, capture_output=True, text=True, timeout=2 * LIMIT_S, check=False)
    equal((done.returncode, done.stdout), (0, "hello\n"), done.stderr)


@versions
def every_quality_of_service(server, version):
    for qos in ("0", "1", "2"):
        common = ["--protocol-version", version, "--topic", f"mosquitto/qos/{qos}", "--qos", qos]
        read = ["stdbuf", "-oL", "mosquitto_sub", *arguments(server, *common, "-C", "1", "-W", str(LIMIT_S), "--id", f"sub-{qos}", "-d")]
        reader = subprocess.Popen(read, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = []
        for line in reader.stdout:
            lines.append(line)
            if "Subscribed" in line:
                break
        publish = ["mosquitto_pub", *arguments(server, *common, "--message", f"with {qos}")]
        done = subprocess.run(publish, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        equal(done.returncode, 0, done.stderr)
        rest = reader.communicate(timeout=2 * LIMIT_S)[0]
        equal(f"with {qos}\n" in rest, True, "".join(lines) + rest)


run()
