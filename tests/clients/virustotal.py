"""VirusTotal's own client, vt-py, and its documentation's requests against the laboratory."""

import hashlib
import io
import json
import subprocess
import time

import requests
import vt

from harness import check, equal, run

SCRIPT = b"#!/bin/sh\n# Harmless: a file for the checks of VirusTotal's API.\necho checked\n"
FILE_BYTES_MAX = 32 * 1024 * 1024
STATUSES = ("queued", "in-progress", "completed")


def client(server, key=None):
    return vt.Client(":".join(key or server.key), host=server.endpoint_url)


def named(name, contents):
    """Contents as an open file of this name."""
    opened = io.BytesIO(contents)
    opened.name = name
    return opened


def digests(contents):
    return [hashlib.new(name, contents).hexdigest() for name in ("sha256", "sha1", "md5")]


def refused(code, act):
    """Fails unless VirusTotal's client raises this error code."""
    try:
        answer = act()
    except vt.APIError as error:
        equal(error.code, code, error)
        equal(bool(error.message), True, error)
        return
    raise AssertionError(f"{code} was expected, and it was done: {answer}")


def curl(server, path, *more, key=True):
    """What curl gets over TLS, as JSON."""
    command = ["curl", "--silent", "--show-error", "--max-time", "30", "--cacert", server.ca, *more]
    if key:
        command += ["--header", f"x-apikey: {':'.join(server.key)}"]
    done = subprocess.run([*command, f"https://localhost:{server.tls_port}{path}"], capture_output=True, check=True)
    return json.loads(done.stdout)


@check
def a_file_is_scanned(server):
    with client(server) as asked:
        analysis = asked.scan_file(named("/somewhere/checked.sh", SCRIPT))
        equal(analysis.type, "analysis")
        seen = asked.get_object("/analyses/{}", analysis.id)
        equal((seen.id, seen.status in STATUSES), (analysis.id, True), seen.status)
        equal(abs(seen.date.timestamp() - time.time()) < 60, True, seen.date)
        whole = asked.get_json("/analyses/{}", analysis.id)
        sha256, sha1, md5 = digests(SCRIPT)
        info = {"sha256": sha256, "sha1": sha1, "md5": md5, "size": len(SCRIPT)}
        equal(whole["meta"]["file_info"], info)
        equal(asked.get_object("/analyses/{}/item", analysis.id).id, sha256)
        # Again the same file: the same analysis, one time more.
        equal(asked.scan_file(named("other.sh", SCRIPT)).id, analysis.id)
        file = asked.get_object("/files/{}", sha256)
        equal((file.times_submitted, file.names, file.meaningful_name), (2, ["checked.sh", "other.sh"], "checked.sh"))


@check
def a_scan_that_is_waited_for_ends(server):
    """With a verdict; the laboratory of this check has no guests, so it says that it could not run the file."""
    with client(server) as asked:
        analysis = asked.scan_file(named("checked.sh", SCRIPT), wait_for_completion=True)
        equal(analysis.status, "completed")
        equal((sum(analysis.stats.values()), len(analysis.results)), (1, 1), analysis.to_dict())
        file = asked.get_object("/files/{}", digests(SCRIPT)[0])
        equal((file.type_tag, list(file.last_analysis_results)), ("shell", ["Komainu"]), file.to_dict())


@check
def a_file_has_three_names(server):
    sha256, sha1, md5 = digests(SCRIPT)
    with client(server) as asked:
        for digest in (sha256, sha1, md5, sha256.upper()):
            file = asked.get_object("/files/{}", digest)
            equal((file.type, file.id), ("file", sha256))
            equal((file.sha256, file.sha1, file.md5, file.size), (sha256, sha1, md5, len(SCRIPT)))
            equal(abs(file.first_submission_date.timestamp() - time.time()) < 60, True, file.first_submission_date)
            equal(len(file.last_analysis_stats), 8, file.last_analysis_stats)
            contents = io.BytesIO()
            asked.download_file(digest, contents)
            equal(contents.getvalue(), SCRIPT)
            for behaviour in asked.iterator("/files/{}/behaviours", digest, batch_size=10, limit=20):
                equal((behaviour.type, behaviour.sandbox_name), ("file_behaviour", "Komainu"))
                equal(asked.get_object("/file_behaviours/{}", behaviour.id).id, behaviour.id)
            equal(isinstance(asked.get_data("/files/{}/behaviour_summary", digest), dict), True)
        again = asked.post("/files/{}/analyse", md5)
        equal((again.status, again.json()["data"]["id"]), (200, f"f-{sha256}"))


@check
def what_is_not_there_has_virustotals_errors(server):
    unknown = "0" * 64
    with client(server) as asked:
        for path in (f"/files/{unknown}", f"/files/{unknown[:32]}", f"/analyses/f-{unknown}", "/files/x", "/urls/x"):
            refused("NotFoundError", lambda path=path: asked.get_object(path))
        refused("NotFoundError", lambda: asked.download_file(unknown, io.BytesIO()))
        refused("NotFoundError", lambda: list(asked.iterator("/files/{}/behaviours", unknown)))
        refused("NotFoundError", lambda: asked.scan_url("http://example.com/"))
    answer = requests.get(f"{server.endpoint_url}/api/v3/files/{unknown}", timeout=30)
    equal((answer.status_code, answer.json()["error"]["code"]), (401, "AuthenticationRequiredError"))
    for key in ((server.key[0], "wrong"), ("AKIDEXAMPLEEXAMPLE99", server.key[1]), ("nonsense", "")):
        with client(server, key) as asked:
            refused("WrongCredentialsError", lambda: asked.get_object("/files/{}", digests(SCRIPT)[0]))
            refused("WrongCredentialsError", lambda: asked.scan_file(named("x", b"x")))


@check
def files_of_all_sizes(server):
    with client(server) as asked:
        for size in (0, 1, 65_536, FILE_BYTES_MAX):
            contents = bytes(size)
            asked.scan_file(named("zeroes", contents))
            got = io.BytesIO()
            asked.download_file(digests(contents)[0], got)
            equal(got.getvalue() == contents, True, size)
        refused("BadRequestError", lambda: asked.scan_file(named("zeroes", bytes(FILE_BYTES_MAX + 1))))
        refused("BadRequestError", lambda: asked.scan_file(named("zeroes", bytes(2 * FILE_BYTES_MAX))))


@check
def the_requests_of_the_documentation(server):
    """As https://docs.virustotal.com/reference/files-scan has them for Python and for a shell."""
    url = f"{server.endpoint_url}/api/v3/files"
    headers = {"accept": "application/json", "x-apikey": ":".join(server.key)}
    files = {"file": ("<b>\u8a66\u3057.sh", SCRIPT + b"# requests\n", "application/x-sh")}
    answer = requests.post(url, files=files, data={"password": "infected"}, headers=headers, timeout=30)
    equal((answer.status_code, answer.json()["data"]["type"]), (200, "analysis"), answer.text)
    sha256 = digests(SCRIPT + b"# requests\n")[0]
    file = requests.get(f"{url}/{sha256}", headers=headers, timeout=30).json()["data"]
    equal(file["attributes"]["names"], ["<b>??.sh"])
    path = server.folder / "curl.sh"
    path.write_bytes(SCRIPT + b"# curl\n")
    # curl waits for a word before it sends a large form.
    for contents in (SCRIPT + b"# curl\n", bytes(2 << 20)):
        path.write_bytes(contents)
        analysis = curl(server, "/api/v3/files", "--form", f"file=@{path}")
        equal(analysis["data"]["id"], f"f-{digests(contents)[0]}")
        equal(analysis["data"]["links"]["self"].startswith(f"https://localhost:{server.tls_port}/api/v3/"), True, analysis)
    equal(curl(server, "/api/v3/files/upload_url")["data"], f"https://localhost:{server.tls_port}/api/v3/files")
    path.write_bytes(bytes(FILE_BYTES_MAX + (1 << 20)))
    equal(curl(server, "/api/v3/files", "--form", f"file=@{path}")["error"]["code"], "BadRequestError")


@check
def what_a_sensor_brings_is_a_file(server):
    files = server.enroll("tokyo", "--sensor")
    artifact = SCRIPT + b"# left on a sensor\n"
    sha256 = digests(artifact)[0]
    path = server.folder / "artifact"
    path.write_bytes(artifact)
    sensor = ["--cert", files["cert"], "--key", files["key"]]
    told = {"session": {"id": "0123456789abcdef"}, "artifacts": [{"sha256": sha256, "stored": True}]}
    line = {"log": "honeypot", "line": {"event_type": "honeypot", "honeypot": told}}
    records = "/komainu/v1/sensors/tokyo/records?epoch=000000000000000a&sequence=0"
    equal(curl(server, records, *sensor, "--data-binary", json.dumps(line) + "\n", key=False), {"stored": "new"})
    place = f"/komainu/v1/sensors/tokyo/artifacts/{sha256}"
    equal(curl(server, place, *sensor, "--upload-file", path, key=False), {})
    with client(server) as asked:
        file = asked.get_object("/files/{}", sha256)
        equal((file.size, file.downloadable, file.unique_sources), (len(artifact), False, 1))
        equal([tag for tag in file.tags if tag in ("confidential", "honeypot")], ["confidential", "honeypot"])
        refused("ForbiddenError", lambda: asked.download_file(sha256, io.BytesIO()))
        open_to_all = ["--header", "komainu-confidential: no", "--upload-file", path]
        equal(curl(server, place, *sensor, *open_to_all, key=False), {})
        contents = io.BytesIO()
        asked.download_file(sha256, contents)
        equal((contents.getvalue(), asked.get_object("/files/{}", sha256).times_submitted), (artifact, 2))


@check
def samples_outlive_the_server(server):
    server.kill()
    server.start()
    with client(server) as asked:
        file = asked.get_object("/files/{}", digests(SCRIPT)[2])
        equal((file.id, file.names), (digests(SCRIPT)[0], ["checked.sh", "other.sh"]))


@check
def a_revoked_key_opens_nothing(server):
    made = server.command("access-key", "create")
    found = [word.split("=")[-1].strip('"') for word in made.split() if "AWS_" in word and "=" in word]
    with client(server, found[:2]) as asked:
        equal(asked.get_object("/files/{}", digests(SCRIPT)[0]).type, "file")
        server.command("access-key", "revoke", found[0])
        refused("WrongCredentialsError", lambda: asked.get_object("/files/{}", digests(SCRIPT)[0]))


# With a laboratory, and without guests.
run(configuration='[lab]\nworkers = 1\n[sandbox]\nkits = "no-such-folder"\n')
