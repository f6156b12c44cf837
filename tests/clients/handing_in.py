"""A sensor that is none: what it hands in is written by checks, line by line."""

import json
import subprocess

from harness import KOMAINU, Server, equal

NAME = "tokyo"


class Hub(Server):
    """A server at which a sensor was enrolled; what it hands in is written here."""

    def start(self):
        super().start()
        if not hasattr(self, "files"):
            self.files = self.enroll(NAME, "--sensor")

    def hand_in(self, epoch, sequence, lines):
        """Hands a batch in; gives the status, 0 when nobody answers."""
        path = self.folder / f"batch-{epoch:x}-{sequence}"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        url = f"https://localhost:{self.tls_port}/komainu/v1/sensors/{NAME}/records?epoch={epoch:016x}&sequence={sequence}"
        command = ["curl", "--silent", "--max-time", "30", "--cacert", self.files["ca"], "--cert", self.files["cert"]]
        command += ["--key", self.files["key"], "--output", "/dev/null", "--write-out", "%{http_code}"]
        command += ["--data-binary", f"@{path}", url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return int(done.stdout or 0)

    def rows(self, *question):
        """The answer to a question, row by row."""
        return [json.loads(line) for line in self.command(*question, "--json").splitlines()]

    def count(self, *question):
        return self.rows(*question)[0]["count"]

    def refused(self, *question):
        """What a question is refused with."""
        done = subprocess.run([KOMAINU, *question, "--data", self.data], capture_output=True, text=True, check=False)
        equal(done.returncode != 0, True, question)
        return done.stderr


def session(number, **more):
    """The summary of a session, as a sensor writes it."""
    at = f"2025-11-{1 + number % 20:02}T{number % 24:02}:00:00.000000+0000"
    summary = {
        "session": {"id": f"{number:032x}", "start": at, "end": at},
        "sensor": {"id": "liar"},
        "target": {"kind": "emulated", "persona": "camera", "type": "ip_camera", "model": "Example DB-1"},
        "auth": [{"timestamp": at, "user": "root", "password": f"pass{number % 7}", "accepted": False}],
        "label": ["scan", "bruteforce", "dropper"][number % 3],
        "geo": {"country": ["CN", "US", "JP"][number % 3], "asn": 64500},
    } | more
    line = {
        "timestamp": at, "event_type": "honeypot", "src_ip": f"192.0.2.{number % 50}", "src_port": 40000,
        "dest_ip": "198.51.100.1", "dest_port": [23, 80][number % 2], "proto": "TCP", "app_proto": "telnet",
        "honeypot": summary,
    }
    return {"log": "honeypot", "line": line}
