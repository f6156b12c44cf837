"""The console's pages about sessions and sensors, and its news, with a sensor that strangers visit."""

import html
import http.client
import json
import os
import re
import socket
import time

from harness import LIMIT_S, check, equal, run, wait_until
from visitors import Console, says

# What the camera opens.
PORTS = (23, 80, 81, 2323, 34567)
HOSTILE = b"echo '<script>alert(1)</script>'\xe2\x80\xae\x1b[2J"


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


OFFSETS = (1000 + (os.getpid() + 1013 * attempt) % 25000 for attempt in range(20))
OFFSET = next(offset for offset in OFFSETS if all(is_free(offset + port) for port in PORTS))
CONFIGURATION = f"""
[sensor]
id = "gate"
run_in_serve = true
personas = ["camera"]
port_offset = {OFFSET}
"""


class Site(Console):
    def start(self):
        super().start()
        wait_until("the sensor's port", lambda: not is_free(OFFSET + 23))


def visit(lines):
    """Somebody logs in by Telnet and types lines; gives what was shown."""
    shown = b""
    with socket.create_connection(("127.0.0.1", OFFSET + 23), LIMIT_S) as client:
        client.settimeout(LIMIT_S)
        for line in lines:
            while not shown.rstrip().endswith((b":", b"#", b"$")):
                shown += client.recv(4096)
            client.sendall(line + b"\r\n")
            # What comes now is the answer to this line.
            shown += b"\n"
            time.sleep(0.2)
        client.settimeout(2)
        try:
            while more := client.recv(4096):
                shown += more
        except TimeoutError:
            pass
    return shown


def session_of(browser):
    """The page of the latest attack by Telnet, from its row in the list."""
    def look():
        rows = re.findall(r'href="(/sessions/at\?[^"]+)"', browser.get("/attacks?where=protocol=telnet").text)
        return html.unescape(rows[0]) if rows else None
    return browser.get(wait_until("a row of the attack", look))


@check
def a_session_is_told_from_its_row_on(server):
    visit([b"root", b"xc3511", b"uname -a", HOSTILE, b"echo hi > /tmp/x; chmod +x /tmp/x", b"exit"])
    browser = server.browser("mei", "viewer")
    page = session_of(browser)
    address = re.fullmatch(r".*/sessions/([0-9a-f]{32})\?sensor=gate&at=\d+", page.url)
    for text in ("Transcript", "Terminal", "uname -a", "armv7l", "log-in", "let in", "/tmp/x", "\\u{202e}", "Files left behind"):
        says(page, text, 200)
    for bad in ("<script>alert", "\u202e", "\x1b"):
        equal(bad in page.text, False, f"{bad!r} stands on the page")
    equal(len(page.content) < 150_000, True, "its size")
    # The same by its id alone, and by the search.
    says(browser.get(f"/sessions/{address[1]}"), "uname -a", 200)
    says(browser.get(f"/search?q={address[1]}"), f"/sessions/{address[1]}", 200)
    raw = browser.get(f"/sessions/{address[1]}/records")
    equal(raw.headers["content-disposition"], f'attachment; filename="session-{address[1]}.jsonl"')
    lines = [json.loads(line) for line in raw.text.splitlines()]
    kinds = [line["line"]["event_type"] for line in lines]
    equal([kind in kinds for kind in ("login", "command", "honeypot", "flow")], [True] * 4, kinds)
    equal(len({line["line"]["flow_id"] for line in lines}), 1, "lines of one connection")


@check
def what_is_not_kept_says_so(server):
    browser = server.browser("mei")
    says(browser.get("/sessions/" + "0" * 32), "komainu sensors records", 404)
    says(browser.get("/sessions/at?sensor=gate&at=1700000000000&source=192.0.2.1"), "komainu sensors records", 200)
    for path in ("/sessions/x", "/sessions/at", "/sessions/at?sensor=a%20b&at=1&source=x"):
        equal(browser.get(path).status_code, 404, path)


@check
def sensors_say_how_they_are(server):
    browser = server.browser("mei")
    page = browser.get("/sensors")
    says(page, "healthy", 200)
    says(page, "/sensors/gate")
    equal("gate  online" in server.command("sensors", "list"), True)
    page = browser.get("/sensors/gate")
    for text in ("camera telnet 23", "Latest sessions", "Batches that never came", "/sessions/"):
        says(page, text, 200)


@check
def appliances_say_what_attacks_them(server):
    browser = server.browser("mei")
    page = says(browser.get("/appliances"), "ip_camera", 200)
    link = re.search(r'href="(/appliances/[^"]+)"', page.text)[1]
    for by in ("protocol", "port", "label", "country"):
        says(browser.get(f"{link}?by={by}"), "/sources/127.0.0.1", 200)


class News:
    """A stream of news, as a browser has it."""

    def __init__(self, server, browser):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.console_port, timeout=40)
        cookies = "; ".join(f"{name}={value}" for name, value in browser.session.cookies.items())
        self.connection.request("GET", "/live", headers={"Cookie": cookies})
        self.answer = self.connection.getresponse()

    def until(self, start):
        """Reads up to a line with this start; gives it, or nothing when the stream ends."""
        while line := self.answer.readline():
            if line.startswith(start):
                return line.decode()
        return None


@check
def news_of_attacks_come_in_seconds(server):
    browser = server.browser("mei")
    news = News(server, browser)
    equal((news.answer.status, news.answer.headers["content-type"]), (200, "text/event-stream"))
    news.until(b"retry:")
    began = time.monotonic()
    visit([b"root", b"xc3511", b"exit"])
    came = time.monotonic()
    equal(news.until(b"event:"), "event: attacks\n")
    equal(time.monotonic() - came < 10, True, f"told after {time.monotonic() - began:.1f} s")
    # There is one for every tab, up to what leaves connections for pages.
    others = [News(server, browser) for _ in range(3)]
    equal([other.answer.status for other in others], [200, 200, 503])
    for other in others:
        other.connection.close()
    # Signing out ends it at the next sign of life.
    browser.post("/sign-out", {}, page="/account")
    equal(news.until(b"event: nothing"), None)
    equal(News(server, browser).answer.status, 303)


@check
def streams_end_with_the_server(server):
    news = News(server, server.browser("mei"))
    news.until(b"retry:")
    began = time.monotonic()
    server.stop()
    equal(news.until(b"event: nothing"), None)
    equal(time.monotonic() - began < 20, True, "the server waits for no stream")
    server.start()


run(Site, configuration=CONFIGURATION)
