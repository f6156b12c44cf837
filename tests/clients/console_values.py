"""Values on the console's pages in a real browser: their menu by mouse and keys, what it copies, where it leads; two products
beside each other; sensors that fell silent.

Screenshots are left in the folder that KOMAINU_SCREENS names, or in the scratch folder (`screens`).
"""

import os
import pathlib
import shutil
import time
import urllib.parse

import axe_playwright_python
from handing_in import Hub, session
from harness import check, equal, run, wait_until
from playwright.sync_api import sync_playwright
from visitors import Browser, Console, accept

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
AXE_RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .filter(({impact}) => impact === "serious" || impact === "critical").map(({id, nodes}) => `${id}: ${nodes[0].html}`)"""
HOSTILE = "<img src=x onerror=\"window.struck=1\">, \\ & = % \u202e"
MENU = """() => { const menu = document.getElementById("values"); if (!menu.matches(":popover-open")) return null;
    return [...menu.querySelectorAll("[data-do]")].filter((one) => !one.hidden).map((one) => one.dataset.do); }"""
FOCUS = "() => document.activeElement.dataset.do ?? document.activeElement.dataset.filter ?? document.activeElement.tagName"


class Screen(Hub, Console):
    """A server with attacks, and a browser."""

    def __enter__(self):
        super().__enter__()
        self.playwright = sync_playwright().start()
        self.chromium = self.playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        wait_until("the console", lambda: self.listens(self.console_port))
        accept(Browser(self.url), self.first_link(), "aiko")
        self.people["aiko"] = "admin"
        self.cookie = dict(self.browser("aiko").session.cookies)["komainu_session"]
        self.screens = pathlib.Path(os.environ.get("KOMAINU_SCREENS", self.folder / "screens"))
        self.screens.mkdir(parents=True, exist_ok=True)
        lines = []
        for number in range(60):
            line = session(number)
            at = time.strftime("%Y-%m-%dT%H:%M:%S.000000+0000", time.gmtime(time.time() - 60 - number))
            line["line"]["timestamp"] = at
            line["line"]["honeypot"]["session"] |= {"start": at, "end": at}
            model = HOSTILE if number % 7 == 0 else ("C-200" if number % 2 else "NAS-5")
            line["line"]["honeypot"]["target"] = {"kind": "emulated", "persona": "p", "type": "ip_camera", "model": model}
            lines.append(line)
        equal(self.hand_in(7, 0, lines), 200)
        wait_until("the attacks", lambda: self.count("attacks") >= len(lines))
        return self

    def __exit__(self, *error):
        self.chromium.close()
        self.playwright.stop()
        super().__exit__(*error)

    def open(self, path, size=(1440, 900), scheme="light", script=True):
        width, height = size
        window = self.chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=script,
            reduced_motion="reduce", permissions=["clipboard-read", "clipboard-write"],
        )
        window.add_cookies([{"name": "komainu_session", "value": self.cookie, "url": self.url}])
        tab = window.new_page()
        tab.wrong = []
        tab.on("console", lambda message: message.type in ("error", "warning") and tab.wrong.append(message.text))
        tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
        equal(tab.goto(self.url + path, wait_until="load").status, 200, path)
        return tab


def first(tab, kind):
    return tab.locator(f'main a[data-filter^="{kind}="]').first


@check
def a_click_opens_what_can_be_done(screen):
    tab = screen.open("/attacks?range=24h&where=transport%3Dtcp")
    source = first(tab, "source")
    name = source.inner_text()
    source.click()
    equal(tab.evaluate(MENU), ["look", "only", "without", "attacks", "search", "copy", "safe"])
    equal(tab.locator("#values p").inner_text(), name)
    links = {one: tab.locator(f"#values [data-do={one}]").get_attribute("href") for one in ("look", "only", "without", "attacks", "search")}
    equal(urllib.parse.urlsplit(links["look"]).path, f"/sources/{name}")
    wheres = lambda one: urllib.parse.parse_qs(urllib.parse.urlsplit(links[one]).query).get("where")  # noqa: E731
    equal((wheres("only"), wheres("without"), wheres("attacks")),
          (["transport=tcp", f"source={name}"], ["transport=tcp", f"source!={name}"], [f"source={name}"]))
    equal("range=24h" in links["without"], True, links)
    tab.locator("#values [data-do=copy]").click()
    equal(tab.evaluate("() => navigator.clipboard.readText()"), name)
    equal(tab.evaluate(MENU), None)
    source.click()
    tab.locator("#values [data-do=safe]").click()
    equal(tab.evaluate("() => navigator.clipboard.readText()"), name.replace(".", "[.]"))
    # What is left out is nowhere any more.
    source.click()
    tab.locator("#values [data-do=without]").click()
    tab.wait_for_url("**where=source*")
    equal(tab.locator(f'main table.tight a[href="/sources/{name}"]').count(), 0)
    equal(tab.wrong, [])
    tab.context.close()


@check
def keys_do_the_same(screen):
    tab = screen.open("/attacks?range=24h")
    port = first(tab, "port")
    for key in ("Enter", " "):
        port.focus()
        tab.keyboard.press(key)
        equal(tab.evaluate(MENU), ["only", "without", "attacks", "search", "copy"])
        equal((port.get_attribute("aria-haspopup"), port.get_attribute("aria-expanded")), ("menu", "true"))
        equal(tab.evaluate(FOCUS), "only")
        for pressed, focus in (("ArrowDown", "without"), ("End", "copy"), ("ArrowDown", "only"), ("ArrowUp", "copy"), ("Home", "only")):
            tab.keyboard.press(pressed)
            equal(tab.evaluate(FOCUS), focus, pressed)
        tab.keyboard.press("Escape")
        equal(tab.evaluate(MENU), None)
        equal(tab.evaluate(FOCUS).split("=")[0], "port")
    equal(tab.evaluate("() => document.querySelectorAll('[aria-expanded]').length"), 0)
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**port*")
    # A double click follows the link at once.
    tab.goto(f"{screen.url}/attacks?range=24h")
    source = first(tab, "source")
    path = source.get_attribute("href")
    source.dblclick()
    tab.wait_for_url(f"**{path}")
    equal(tab.wrong, [])
    tab.context.close()


@check
def hostile_values_are_texts(screen):
    for path in ("/attacks?range=24h&by=model", "/appliances", "/"):
        tab = screen.open(path)
        value = tab.locator("main a[data-filter^='model='][data-filter*='img']").first
        value.click()
        equal("<img" in tab.locator("#values p").inner_text(), True)
        only = tab.locator("#values [data-do=only]").get_attribute("href")
        tab.locator("#values [data-do=copy]").click()
        copied = tab.evaluate("() => navigator.clipboard.readText()")
        equal(copied, HOSTILE, path)
        equal(tab.goto(urllib.parse.urljoin(screen.url, only)).status, 200)
        equal(tab.locator("main strong.big").first.inner_text(), "9", only)
        equal(tab.evaluate("() => [window.struck ?? null, document.querySelectorAll('main img[src=x], #values img').length]"), [None, 0])
        equal(tab.wrong, [])
        tab.context.close()


@check
def the_menu_is_in_order_on_all_windows(screen):
    for scheme in ("dark", "light"):
        for size in ((390, 844), (1440, 900)):
            tab = screen.open("/attacks?range=24h", size, scheme)
            first(tab, "source").click()
            tab.evaluate(AXE)
            equal(tab.evaluate(AXE_RUN), [], f"{scheme} {size}")
            left, right, width = tab.evaluate("""() => { const { left, right } = document.getElementById("values").getBoundingClientRect();
                return [left, right, document.documentElement.clientWidth]; }""")
            equal(left >= 0 and right <= width and tab.evaluate("() => document.documentElement.scrollWidth") <= width, True, f"{left} {right} {width}")
            tab.screenshot(path=screen.screens / f"values-{scheme}-{size[0]}.png")
            tab.context.close()


@check
def without_script_values_are_links(screen):
    tab = screen.open("/attacks?range=24h", script=False)
    first(tab, "source").click()
    tab.wait_for_url("**/sources/**")
    tab.context.close()


@check
def two_products_are_beside_each_other(screen):
    for scheme, size in (("dark", (1440, 900)), ("light", (390, 844))):
        tab = screen.open("/appliances", size, scheme)
        tab.locator("a.button[href^='/compare']").click()
        tab.fill("input[name=with]", "C-200")
        tab.fill("input[name=and]", "NAS-5")
        tab.click("main form button.primary")
        tab.wait_for_url("**/compare?*with=C-200*")
        text = tab.locator("main").inner_text()
        for part in ("C-200", "NAS-5", "Protocol", "Credentials", "100.0 %"):
            equal(part in text, True, f"{part} is not in {text}")
        tab.evaluate(AXE)
        equal(tab.evaluate(AXE_RUN) + tab.wrong, [])
        equal(tab.evaluate("() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"), True)
        tab.screenshot(path=screen.screens / f"compare-{scheme}-{size[0]}.png", full_page=True)
        tab.context.close()


@check
def silent_sensors_stand_out(screen):
    """Who handed in once and is not heard of any more: after a start nobody is, which is as good as 90 seconds."""
    screen.stop()
    screen.start()
    wait_until("the console", lambda: screen.listens(screen.console_port))
    for path in ("/", "/sensors", "/admin/health"):
        tab = screen.open(path, scheme="dark")
        text = tab.locator("main").inner_text()
        equal("fell silent" in text and "Look whether" in text, True, f"{path}: {text[:800]}")
        tab.screenshot(path=screen.screens / f"silent-{path.strip('/').replace('/', '-') or 'overview'}.png")
        tab.context.close()


if __name__ == "__main__":
    run(Screen, configuration="[intel]\ndocumentation_addresses = true\n")
