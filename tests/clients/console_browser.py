"""The console in a real browser: every page with data and without, light and dark, narrow and wide, by keyboard and by axe.

Pages are found as people find them, by following links from the first one. Screenshots are left in the scratch folder
(`screens`), and in the folder that KOMAINU_SCREENS names.
"""

import json
import os
import pathlib
import re
import shutil
import time
import urllib.parse

import axe_playwright_python
from agents import Agent, behavior, report
from handing_in import Hub, session
from harness import ACCOUNT, REGION, check, equal, run, wait_until
from playwright.sync_api import sync_playwright
from visitors import Browser, Console, accept

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
# WCAG 2.2 A and AA, and what axe's authors hold for good practice.
AXE_RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .filter(({impact}) => impact === "serious" || impact === "critical")
    .map(({id, nodes}) => `${id}: ${nodes.slice(0, 3).map(({html}) => html.slice(0, 200)).join(" | ")}`)"""
PAGE_BYTES_MAX = 150_000
PAGES_MAX = 120
SCHEMES = ("light", "dark")
NARROW, USUAL, WIDE = (390, 844), (1440, 900), (1920, 1080)
SESSIONS = 600
# Parts of addresses that are no names.
WORDS = ("at", "codes", "delete", "edit", "new", "one", "refused")
# What leads to a file and not to a page.
DOWNLOAD = re.compile(r"/(export|records|pcap)\b|/samples/[^/]+/report\b|/report/")
# Markup that would run, what turns the direction of text, what clears terminals, what ends cells of tables, and a lot of it.
HOSTILE = "<img src=x onerror=\"window.struck=1\">'\"><script>window.struck=1</script>\u202e\x1b[2J\x00\n{{7*7}},=1+1"


class Screen(Hub, Console):
    """A server, a browser, and the pages that it has."""

    def __enter__(self):
        super().__enter__()
        self.playwright = sync_playwright().start()
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        self.chromium = self.playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        wait_until("the console", lambda: self.listens(self.console_port))
        accept(Browser(self.url), self.first_link(), "aiko")
        self.people["aiko"] = "admin"
        self.cookie = dict(self.browser("aiko").session.cookies)["komainu_session"]
        self.screens = pathlib.Path(os.environ.get("KOMAINU_SCREENS", self.folder / "screens"))
        self.screens.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *error):
        self.chromium.close()
        self.playwright.stop()
        super().__exit__(*error)

    def open(self, size=USUAL, scheme="light", locale="en-US", script=True):
        """A window of the browser in which aiko is signed in. What goes wrong in it is noted in `wrong`."""
        width, height = size
        window = self.chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            locale=locale,
            java_script_enabled=script,
            reduced_motion="reduce",
        )
        window.add_cookies([{"name": "komainu_session", "value": self.cookie, "url": self.url}])
        tab = window.new_page()
        tab.wrong = []
        tab.on("console", lambda message: message.type in ("error", "warning") and tab.wrong.append(message.text))
        tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
        tab.on("dialog", lambda dialog: (tab.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        tab.on("requestfailed", lambda request: self.failed(tab, request))
        tab.on("request", lambda request: self.is_ours(request.url) or tab.wrong.append(f"asked for {request.url}"))
        return tab

    def failed(self, tab, request):
        # A page that is left ends what it was listening to.
        if "ERR_ABORTED" not in (request.failure or ""):
            tab.wrong.append(f"{request.url}: {request.failure}")

    def is_ours(self, url):
        return url.startswith(f"{self.url}/") or url.startswith("data:")

    def show(self, tab, path):
        """Goes to a page, which must be there and in order; gives its answer."""
        answer = tab.goto(self.url + path, wait_until="load")
        equal(answer.status, 200, path)
        size = len(answer.body())
        equal(size <= PAGE_BYTES_MAX, True, f"{path} has {size} bytes")
        return answer

    def pages(self):
        """One address for each page that links lead to, with its state where the first link has one."""
        tab = self.open()
        found, seen, waiting = {}, set(), ["/", "/account"]
        while waiting and len(found) < PAGES_MAX:
            path = waiting.pop(0)
            kind = kind_of(path)
            if kind in seen:
                continue
            seen.add(kind)
            self.show(tab, path)
            found[kind] = path
            links = tab.eval_on_selector_all("a[href]:not([download])", "all => all.map((one) => new URL(one.getAttribute('href'), location).href)")
            for link in links:
                if link.startswith(f"{self.url}/") and not DOWNLOAD.search(link):
                    waiting.append(link.removeprefix(self.url).split("#")[0])
        equal(len(found) < PAGES_MAX, True, f"too many pages: {sorted(found)}")
        tab.context.close()
        return found

    def look_over(self, pages, name):
        """Looks at pages in both schemes and all widths; gives what is wrong with them."""
        wrong = []
        for scheme in SCHEMES:
            tab = self.open(scheme=scheme)
            for kind, path in pages.items():
                self.show(tab, path)
                tab.evaluate(AXE)
                wrong += [f"{scheme} {path}: {finding}" for finding in tab.evaluate(AXE_RUN)]
                for width, height in (NARROW, WIDE, USUAL):
                    tab.set_viewport_size({"width": width, "height": height})
                    out = tab.evaluate(OUT_OF_SIGHT)
                    wrong += [f"{scheme} {width} {path}: {found}" for found in out]
                    if width != WIDE[0] and (scheme == "light") == (width == NARROW[0]):
                        tab.screenshot(path=self.screens / f"{name}-{file_name(kind)}-{scheme}-{width}.png", full_page=True)
                wrong += [f"{scheme} {path}: {what}" for what in tab.wrong]
                tab.wrong.clear()
            tab.context.close()
        return wrong


# What sticks out of the window sideways, and is not in a box that scrolls.
OUT_OF_SIGHT = """() => {
    const width = document.documentElement.clientWidth;
    const found = [];
    if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} wide`);
    const hides = ({ overflowX, textOverflow }) => /auto|scroll/.test(overflowX) || textOverflow === "ellipsis";
    const scrolls = (one) => { for (let up = one.parentElement; up.tagName !== "MAIN"; up = up.parentElement)
        if (hides(getComputedStyle(up)) || up.tagName === "svg") return true; return false; };
    for (const one of document.querySelectorAll("main *")) {
        const { left, right, width: own } = one.getBoundingClientRect();
        if (own > 0 && (right > width + 1 || left < -1) && !scrolls(one) && getComputedStyle(one).position !== "absolute")
            found.push(`${one.tagName} ${one.className} reaches from ${Math.round(left)} to ${Math.round(right)}`);
    }
    return found.slice(0, 3);
}"""


def kind_of(path):
    """Pages of the same kind have the same: names of things are left out."""
    first, *rest = urllib.parse.urlsplit(path).path.strip("/").split("/")
    return "/".join(["", first, *(part if first == "admin" or part in WORDS else "*" for part in rest)])


def file_name(kind):
    return re.sub(r"\W+", "-", kind.replace("*", "one")).strip("-") or "overview"


@check
def empty_pages_say_what_to_do(screen):
    pages = screen.pages()
    print(f"  {len(pages)} pages: {' '.join(sorted(pages))}")
    equal(screen.look_over(pages, "empty"), [])


@check
def this_script_would_see_a_fault(screen):
    tab = screen.open(NARROW)
    screen.show(tab, "/account")
    tab.evaluate("""() => {
        const main = document.querySelector("main");
        main.insertAdjacentHTML("beforeend", '<img src="/nowhere.png"><p class="far">far</p><input id="nameless">');
        main.querySelector("p.far").style.width = "900px";
    }""")
    tab.evaluate(AXE)
    found = " ".join(tab.evaluate(AXE_RUN) + tab.evaluate(OUT_OF_SIGHT))
    tab.wait_for_function("() => document.querySelector('main > img').complete")
    for part in ("image-alt", "label", "P far reaches"):
        equal(part in found, True, found)
    equal(len(tab.wrong) >= 1, True, "the picture that is not there was not noticed")
    tab.context.close()


@check
def strangers_see_no_fault_either(screen):
    tab = screen.open()
    tab.context.clear_cookies()
    for path in ("/sign-in", "/sign-in?said=signed-out"):
        screen.show(tab, path)
        tab.evaluate(AXE)
        equal(tab.evaluate(AXE_RUN) + tab.wrong, [], path)
    tab.fill("input[name=name]", "aiko")
    tab.fill("input[name=password]", "three lions at the gate")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{screen.url}/")
    tab.context.close()


@check
def pages_with_data_are_in_order(screen):
    hand_in(screen)
    make_fleet(screen)
    make_samples(screen)
    pages = screen.pages()
    print(f"  {len(pages)} pages: {' '.join(sorted(pages))}")
    equal(screen.look_over(pages, "full"), [])


def hand_in(screen):
    """Hands in sessions of the last two days, and some in which everything that attackers choose is hostile."""
    now = time.time()
    lines = []
    for number in range(SESSIONS):
        line = session(number)
        at = time.strftime("%Y-%m-%dT%H:%M:%S.000000+0000", time.gmtime(now - (number + 1) * 2 * 86400 / SESSIONS))
        text = json.dumps(line).replace(line["line"]["timestamp"], at)
        lines.append(json.loads(text))
    for number in range(20):
        text = f"{HOSTILE} {number}"
        line = session(number, auth=[{"timestamp": at_now(now), "user": text, "password": text, "accepted": False}], label=text)
        line["line"]["timestamp"] = at_now(now)
        line["line"]["app_proto"] = text
        line["line"]["honeypot"]["session"] |= {"start": at_now(now), "end": at_now(now)}
        line["line"]["honeypot"]["target"] = {"kind": "emulated", "persona": text, "type": text, "model": text}
        line["line"]["honeypot"]["http"] = [{"timestamp": at_now(now), "method": "GET", "url": text, "user_agent": text * 20}]
        lines.append(line)
    batches = [lines[first : first + 100] for first in range(0, len(lines), 100)]
    for sequence, batch in enumerate(batches):
        equal(screen.hand_in(7, sequence, batch), 200)
    # The largest line that a sensor may send is refused as a whole, and nothing of it is on any page.
    large = session(1, auth=[{"timestamp": at_now(now), "user": "x" * 10_000_000, "password": "", "accepted": False}])
    equal(screen.hand_in(7, len(batches), [large]) in (200, 400, 413), True)
    wait_until("the attacks", lambda: screen.count("attacks") >= len(lines))


def make_fleet(screen):
    """Makes devices, of which one is in alarm, and says hostile things wherever AWS's API takes them."""
    iot, sns = screen.boto("iot"), screen.boto("sns")
    text = "<img src=x onerror=window.struck=1>\u202e"
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="operator@example.com")
    iot.create_thing_group(thingGroupName="site", thingGroupProperties={"thingGroupDescription": text})
    for number in range(30):
        iot.create_thing(thingName=f"camera-{number}", attributePayload={"attributes": {"place": f"door/{number}"}})
        iot.add_thing_to_thing_group(thingGroupName="site", thingName=f"camera-{number}")
    iot.create_security_profile(
        securityProfileName="Ports",
        securityProfileDescription=text,
        behaviors=[
            behavior("fewPorts", "aws:num-listening-tcp-ports", "less-than-equals", count=5),
            behavior("bytesOut", "aws:all-bytes-out", "less-than-equals", 300, count=10_000),
        ],
        alertTargets={"SNS": {"alertTargetArn": topic, "roleArn": f"arn:aws:iam::{ACCOUNT}:role/any"}},
    )
    group = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/site"
    iot.attach_security_profile(securityProfileName="Ports", securityProfileTargetArn=group)
    agent = Agent(screen, "camera-1")
    for count in (2, 3, 9, 12):
        ports = {"ports": [{"port": 1000 + port} for port in range(count)], "total": count}
        peers = {"connections": [{"remote_addr": "198.51.100.7:4444"}], "total": 1}
        agent.accepted(report(listening_tcp_ports=ports, tcp_connections={"established_connections": peers}))
    wait_until("the alarm", lambda: iot.list_active_violations()["activeViolations"])
    agent.close()


def make_samples(screen):
    """Hands a harmless file of our own in, and teaches an indicator."""
    file = screen.folder / "harmless.sh"
    file.write_text("#!/bin/sh\n# <img src=x onerror=window.struck=1>\necho harmless\n")
    screen.command("samples", "submit", file)
    screen.command("indicators", "add", "198.51.100.9:23", "--note", "<script>window.struck=1</script>\u202e")


def at_now(now):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000+0000", time.gmtime(now - 60))


@check
def what_attackers_wrote_is_never_markup(screen):
    tab = screen.open()
    seen = 0
    for path in screen.pages().values():
        text = screen.show(tab, path).text()
        seen += "window.struck" in text
        equal(tab.evaluate("() => [window.struck ?? null, document.querySelectorAll('main img[src=x], main script').length]"), [None, 0], path)
        # A field keeps what was typed into it; there it is by itself.
        text = re.sub(r'value="[^"]*"|<textarea[^>]*>[^<]*', "", text)
        for character in "\u202e\x1b\x00":
            equal(character in text, False, f"{path} has {character!r}")
    equal(seen >= 2, True, "no page shows it: this check shows nothing")
    equal(tab.wrong, [])
    tab.context.close()


@check
def everything_is_reached_by_keys(screen):
    tab = screen.open()
    screen.show(tab, "/")
    reached = []
    for _ in range(600):
        tab.keyboard.press("Tab")
        focus = tab.evaluate(FOCUS)
        if focus is None or focus["place"] in [one["place"] for one in reached]:
            break
        reached.append(focus)
    unseen = [one for one in reached if not one["shown"]]
    equal(unseen, [], "nobody sees where the focus is")
    places = {one["place"] for one in reached}
    wanted = tab.evaluate(FOCUSABLE)
    missing = [one for one in wanted if one not in places]
    equal(missing, [], f"the tab key leads to {len(reached)} of {len(wanted)} elements")
    tab.evaluate("() => document.activeElement.blur()")
    tab.keyboard.press("/")
    equal(tab.evaluate("() => document.activeElement.id"), "search")
    tab.keyboard.type("192.0.2.7")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/s*192.0.2.7*")
    screen.show(tab, "/attacks")
    tab.keyboard.press("?")
    equal(tab.evaluate("() => document.getElementById('keys').open"), True)
    tab.keyboard.press("Escape")
    equal(tab.evaluate("() => document.getElementById('keys').open"), False)
    tab.keyboard.press("j")
    tab.keyboard.press("j")
    equal(tab.evaluate("() => document.querySelectorAll('tr.here').length"), 1)
    tab.context.close()


PLACE = """const place = (one) => { const path = []; for (let at = one; at && at !== document.body; at = at.parentElement)
    path.unshift(`${at.tagName}${[...(at.parentElement?.children ?? [])].indexOf(at)}`); return path.join(">"); };"""
FOCUS = (
    "() => { " + PLACE + """ const one = document.activeElement; if (!one || one === document.body) return null;
    const marks = (style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
    const near = [one, one.parentElement, one.nextElementSibling].filter(Boolean);
    return { place: place(one), html: one.outerHTML.slice(0, 120), shown: near.some((at) => marks(getComputedStyle(at))) || one.tagName === "INPUT" }; }"""
)
FOCUSABLE = (
    "() => { " + PLACE + """ const visible = (one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: false });
    return [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea")]
        .filter((one) => visible(one) && !one.disabled && one.tabIndex >= 0 && one.type !== "radio").map(place); }"""
)


@check
def pages_are_read_without_script(screen):
    with_script, without = screen.open(), screen.open(script=False)
    for path in screen.pages().values():
        words = []
        for tab in (with_script, without):
            screen.show(tab, path)
            words.append(len(tab.locator("main").inner_text().split()))
        equal(words[1] >= words[0] * 0.9, True, f"{path}: {words[1]} words without script, {words[0]} with it")
    with_script.context.close()
    without.context.close()


@check
def japanese_pages_are_japanese(screen):
    tab = screen.open(locale="ja-JP")
    tab.context.set_extra_http_headers({"Accept-Language": "ja"})
    wrong = []
    for kind, path in screen.pages().items():
        screen.show(tab, path)
        equal(tab.evaluate("() => document.documentElement.lang"), "ja", path)
        title = tab.locator("h1").first.inner_text()
        if not re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", title) and "*" not in kind:
            wrong.append(f"{path}: {title}")
        wrong += [f"{path}: {found}" for found in tab.evaluate(OUT_OF_SIGHT)]
        tab.screenshot(path=screen.screens / f"japanese-{file_name(kind)}.png")
    equal(wrong, [])
    tab.context.close()


FIRST_PAINT = """() => new Promise((tell) => new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (one.name === "first-contentful-paint") tell(one.startTime);
}).observe({ type: "paint", buffered: true }))"""


@check
def pages_are_painted_soon(screen):
    """Says how long it takes; other programs use this machine, so the bound is generous."""
    tab = screen.open()
    paints = {}
    for path in screen.pages().values():
        screen.show(tab, path)
        paints[path] = tab.evaluate(FIRST_PAINT)
    slowest = max(paints, key=paints.get)
    print(f"  first paint: {sorted(paints.values())[len(paints) // 2]:.0f} ms in the middle, {paints[slowest]:.0f} ms at most ({slowest})")
    equal(paints[slowest] < 5_000, True, paints)
    tab.context.close()


if __name__ == "__main__":
    run(Screen, configuration="[detect]\nshort_windows = true\n[intel]\ndocumentation_addresses = true\n")
