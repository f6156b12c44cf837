"""Signing in to the console through OpenID providers: one from PyPI, and one of ours that makes each mistake once."""

import logging
import os
import pathlib
import re
import shutil
import subprocess
import threading
import warnings

import openid
import requests
from harness import KOMAINU, check, equal, run, wait_until
from playwright.sync_api import sync_playwright
from visitors import PASSWORD, Browser, Console, accept, says

# Authlib wants TLS, and this provider is on this machine. What it and its provider will change one day is no news here.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
warnings.simplefilter("ignore")
logging.getLogger("werkzeug").setLevel(logging.ERROR)
import oidc_provider_mock  # noqa: E402
import werkzeug.serving  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
ROLES = '[console.oidc.roles]\nviewer = ["staff"]\nanalyst = ["soc"]\nadmin = ["ops"]\n'


class Guarded(Console):
    """A server whose operators come through a provider: first that from PyPI, later that of ours."""

    def __init__(self, folder):
        super().__init__(folder)
        self.theirs = werkzeug.serving.make_server("127.0.0.1", 0, oidc_provider_mock.app(), threaded=True)
        threading.Thread(target=self.theirs.serve_forever, daemon=True).start()
        self.ours = openid.Provider(folder / "ours")
        self.visitors = 0
        self.secret = folder / "secret"
        self.secret.write_text(openid.SECRET + "\n")
        self.configure(f"http://127.0.0.1:{self.theirs.server_port}")

    def configure(self, issuer, keys="", roles=ROLES):
        self.configuration.write_text(
            '[console]\nproxies = ["127.0.0.1"]\n[console.oidc]\n'
            f'issuer = "{issuer}"\nclient_id = "{openid.CLIENT}"\nclient_secret_file = "{self.secret}"\n'
            f'name = "Example ID"\n{keys}\n{roles}'
        )

    def restart(self, issuer, keys=""):
        self.stop()
        self.configure(issuer, keys)
        self.start()
        self.ready()

    def ready(self):
        wait_until("the console", lambda: self.listens(self.console_port))

    def with_ours(self, keys=""):
        """Restarts with the provider of ours, at which `person` of it signs in."""
        self.restart(self.ours.issuer, f'ca_file = "{self.ours.ca}"\n{keys}')
        self.ours.fault = None
        self.ours.person = {"sub": "1", "preferred_username": "yui", "groups": ["staff"]}

    def person(self, subject, **claims):
        """Says who somebody is at the provider from PyPI."""
        address = f"http://127.0.0.1:{self.theirs.server_port}/users/{subject}"
        equal(requests.put(address, json=claims, timeout=30).status_code, 204)

    def visitor(self):
        """A browser whose address is its own."""
        browser = Browser(self.url)
        # What the environment says of certificates would count more.
        browser.session.trust_env, browser.session.verify = False, str(self.ours.ca)
        self.visitors += 1
        browser.session.headers["X-Forwarded-For"] = f"192.0.2.{self.visitors}"
        return browser

    def audit(self):
        """The audit trail as an admin reads it, one line each, newest first."""
        page = self.visitor()
        link = self.command("operators", "sign-in", "root").split()[-1]
        page.post("/enter", {"token": link.split("token=")[1]}, page=link.removeprefix(self.url))
        rows = re.findall(r"<tr>(.*?)</tr>", page.get("/admin/audit").text, re.S)
        return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows[1:]]


def comes(console, subject, action=None, path="/oidc/sign-in"):
    """The browser and what it was shown at last, when somebody signs in at the provider from PyPI."""
    browser = console.visitor()
    at_provider = says(browser.get(path), "Authorize Client", 200)
    form = {"action": action} if action else {"sub": subject}
    return browser, browser.session.post(at_provider.url, data=form, timeout=60)


def arrives(console):
    """The same at the provider of ours, which asks nothing."""
    browser = console.visitor()
    return browser, browser.get("/oidc/sign-in")


def is_out(browser):
    equal("komainu_session" in browser.session.cookies, False, "they are signed in all the same")


@check
def mistakes_in_the_configuration_are_refused(console):
    console.ready()
    accept(Browser(console.url), console.first_link(), "root")
    console.people["root"] = "admin"
    text = console.configuration.read_text()
    for old, new, expected in [
        (str(console.secret), "/nowhere", "console.oidc.client_secret_file"),
        ("http://127.0.0.1", "http://192.0.2.1", "console.oidc.issuer"),
        (ROLES, "", "console.oidc.roles"),
        ('client_id = "komainu"', "", "console.oidc.client_id"),
        ("[console.oidc.roles]", 'ca_file = "/nowhere"\n[console.oidc.roles]', "console.oidc.ca_file"),
    ]:
        console.stop()
        console.configuration.write_text(text.replace(old, new))
        refused = refused_start(console)
        equal((refused.returncode != 0, expected in refused.stderr), (True, True), refused.stderr)
        equal(openid.SECRET in refused.stderr + refused.stdout, False, "the secret is shown")
    console.configuration.write_text(text)
    console.start()
    console.ready()
    equal("redirect URL" in console.log.read_text(), True)


def refused_start(console):
    """A server that does not come to serve."""
    command = [KOMAINU, "serve", "--data", console.data, "--config", console.configuration]
    ports = (("--api", console.api_port), ("--mqtts", console.mqtts_port), ("--tls", console.tls_port))
    for flag, port in (*ports, ("--console", console.console_port)):
        command += [flag, f"127.0.0.1:{port}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@check
def somebody_comes_for_the_first_time(console):
    says(console.visitor().get("/sign-in"), "Sign in with Example ID", 200)
    console.person("mei-1", preferred_username="Mei", groups=["staff", "soc"])
    browser, page = comes(console, "mei-1", path="/oidc/sign-in?then=%2Fsamples%3Fstate%3Ddone")
    equal(page.url, f"{console.url}/samples?state=done", page.text[:2000])
    says(browser.get("/account"), "You sign in through Example ID", 200)
    says(browser.get("/admin/operators"), "another role", 403)
    listed = console.command("operators", "list")
    equal(re.search(r"mei +analyst +enabled +no +\S+ +http://127.0.0.1", listed) is not None, True, listed)
    trail = console.audit()
    equal([line for line in trail if "sign in through the provider" in line and "mei" in line and "done" in line] != [], True, trail)
    equal([line for line in trail if "the OpenID provider" in line and "mei analyst" in line] != [], True, trail)


@check
def the_role_is_what_the_provider_says_today(console):
    console.person("mei-1", preferred_username="renamed", groups=["ops"])
    browser, page = comes(console, "mei-1")
    equal(page.url, f"{console.url}/", page.text[:2000])
    operators = says(browser.get("/admin/operators"), "signs in through Example ID", 200)
    equal("renamed" in operators.text, False, "the name in the audit trail stays that of one person")
    says(browser.get("/admin/audit"), "mei admin", 200)
    refused = console.visitor()
    says(browser.post("/admin/operators/mei/role", {"role": "viewer"}, page="/admin/operators"), "sign in with a password", 403)
    says(browser.post("/admin/operators/mei/reset", {}, page="/admin/operators"), "sign in with a password", 403)
    says(refused.sign_in("mei"), "is not right", 401)
    console.person("mei-1", groups=["staff"])
    browser, _ = comes(console, "mei-1")
    says(browser.get("/admin/operators"), "another role", 403)


@check
def who_has_no_role_stays_out(console):
    console.person("eve-1", preferred_username="eve", groups=["others"])
    browser, page = comes(console, "eve-1")
    says(page, "You have no role here", 403)
    is_out(browser)
    equal("eve" in console.command("operators", "list"), False)
    equal([line for line in console.audit() if "no-role eve" in line and "refused" in line] != [], True)
    japanese = console.visitor()
    japanese.session.headers["Accept-Language"] = "ja"
    form = says(japanese.get("/oidc/sign-in"), "Authorize", 200)
    says(japanese.session.post(form.url, data={"sub": "eve-1"}, timeout=60), "ロールがありません", 403)


@check
def who_is_disabled_stays_out(console):
    console.command("operators", "disable", "mei")
    browser, page = comes(console, "mei-1")
    says(page, "Your account is disabled", 403)
    is_out(browser)
    console.command("operators", "enable", "mei")
    equal(comes(console, "mei-1")[1].url, f"{console.url}/")


@check
def whoever_declines_is_told(console):
    browser, page = comes(console, None, action="deny")
    # This provider leaves the state out when somebody declines.
    equal(page.status_code in (400, 403), True, page.text)
    is_out(browser)


@check
def a_name_is_never_shared(console):
    console.browser("ken", "analyst")
    console.person("ken-1", preferred_username="Ken", groups=["ops"])
    browser, page = comes(console, "ken-1")
    says(page, "Somebody else has your name here", 409)
    is_out(browser)
    equal(re.search(r"ken +analyst", console.command("operators", "list")) is not None, True)
    console.person("other-1", preferred_username="mei", groups=["ops"])
    says(comes(console, "other-1")[1], "Somebody else has your name here", 409)
    console.person("strange-1", preferred_username="<b>\u202e", groups=["ops"])
    says(comes(console, "strange-1")[1], "no name that can be used", 403)


@check
def signing_out_offers_the_provider(console):
    browser, _ = comes(console, "mei-1")
    page = browser.post("/sign-out", {}, page="/account")
    says(page, "You are signed out here", 200)
    says(page, "Sign out of Example ID as well")
    equal(browser.get("/oidc/sign-out").url.startswith(f"http://127.0.0.1:{console.theirs.server_port}/oauth2/end_session"), True)
    equal(browser.get("/account").url.startswith(f"{console.url}/sign-in"), True)


@check
def an_answer_is_for_one_browser_and_counts_once(console):
    browser = console.visitor()
    at_provider = browser.get("/oidc/sign-in")
    back = browser.session.post(at_provider.url, data={"sub": "mei-1"}, timeout=60, allow_redirects=False)
    answer = back.headers["Location"].removeprefix(console.url)
    other = console.visitor()
    says(other.get(answer), "does not count any more", 400)
    other.get("/oidc/sign-in")
    says(other.get(answer), "does not count any more", 400)
    is_out(other)
    changed = re.sub(r"state=\w+", "state=" + "0" * 64, answer)
    says(browser.get(changed), "does not count any more", 400)
    cookies = browser.session.cookies.copy()
    equal(browser.get(answer).url, f"{console.url}/")
    # The same once more, as somebody who looked over a shoulder would.
    replay = console.visitor()
    replay.session.cookies = cookies
    says(replay.get(answer), "does not count any more", 400)
    is_out(replay)


@check
def who_tries_without_end_waits(console):
    stranger = Browser(console.url)
    stranger.session.headers["X-Forwarded-For"] = "203.0.113.77"
    statuses = [stranger.get("/oidc/callback?code=a&state=b").status_code for _ in range(32)]
    equal(statuses, [400] * 30 + [429] * 2)
    equal(comes(console, "mei-1")[1].url, f"{console.url}/", "others are let in")


@check
def each_mistake_of_a_provider_is_found(console):
    console.with_ours()
    equal(arrives(console)[1].url, f"{console.url}/", "without a mistake")
    for fault, reason, page in [
        ("iss", "token-issuer", "cannot be relied on"),
        ("aud", "token-audience", "cannot be relied on"),
        ("azp", "token-party", "cannot be relied on"),
        ("nonce", "token-nonce", "cannot be relied on"),
        ("sub", "token-malformed", "cannot be relied on"),
        ("key", "token-signature", "cannot be relied on"),
        ("kid", "token-key", "cannot be relied on"),
        ("none", "token-algorithm", "cannot be relied on"),
        ("hs256", "token-algorithm", "cannot be relied on"),
        ("exp", "token-time", "Clocks differ"),
        ("future", "token-time", "Clocks differ"),
        ("userinfo", "token-subject", "cannot be relied on"),
        ("mix-up", "wrong-issuer", "cannot be relied on"),
        ("no-iss", "wrong-issuer", "cannot be relied on"),
        ("client", "provider-misfit", "do not fit together"),
    ]:
        console.ours.fault = fault
        browser, answer = arrives(console)
        says(answer, page, 502)
        is_out(browser)
        for secret in (openid.SECRET, reason, "invalid_client"):
            equal(secret in answer.text, False, f"{fault}: a visitor sees {secret}")
        equal([line for line in console.audit() if reason in line] != [], True, f"{fault} is not in the audit trail")
    equal(openid.SECRET in console.log.read_text(), False, "the log has the secret")


@check
def claims_may_be_beside_the_token(console):
    console.ours.fault = "beside"
    browser, page = arrives(console)
    equal(page.url, f"{console.url}/", page.text[:2000])
    equal("/userinfo" in console.ours.asked, True)
    says(browser.get("/account"), "yui")


@check
def tokens_do_not_have_the_provider_asked_without_end(console):
    console.with_ours()
    equal(arrives(console)[1].url, f"{console.url}/")
    asked = console.ours.asked.count("/keys")
    console.ours.fault = "kid"
    for _ in range(5):
        says(arrives(console)[1], "cannot be relied on", 502)
    equal(console.ours.asked.count("/keys") - asked <= 1, True, "it is asked for each token")


@check
def a_provider_that_is_down_is_told_and_passwords_work(console):
    console.with_ours()
    for fault, page, status in [
        ("down", "does not answer", 503),
        ("large", "does not answer", 503),
        ("metadata", "do not fit together", 502),
    ]:
        console.ours.fault = fault
        browser = console.visitor()
        says(browser.get("/oidc/sign-in"), page, status)
        is_out(browser)
    says(console.visitor().sign_in("root"), "Overview", 200)
    console.ours.fault = None
    equal(arrives(console)[1].url, f"{console.url}/", "it is asked again")


@check
def strangers_keep_nobody_out(console):
    mine = console.visitor()
    equal(mine.sign_in("root").url, f"{console.url}/")
    mine.session.cookies.set("komainu_session", None)
    networks = iter(range(1, 255))
    for _ in range(10):
        stranger = Browser(console.url)
        stranger.session.headers["X-Forwarded-For"] = f"198.51.{next(networks)}.1"
        equal({stranger.sign_in("root", "wrong password").status_code for _ in range(10)}, {401})
        equal(stranger.sign_in("root", "wrong password").status_code, 429)
    new = Browser(console.url)
    new.session.headers["X-Forwarded-For"] = "198.51.200.1"
    says(new.sign_in("root"), "Too many wrong attempts", 429)
    # The browser of its owner is known, wherever it is now.
    mine.session.headers["X-Forwarded-For"] = "198.51.1.1"
    equal(mine.sign_in("root").url, f"{console.url}/", "its owner is kept out")


@check
def without_passwords_the_command_line_is_the_way_back(console):
    console.with_ours("passwords = false")
    page = says(console.visitor().get("/sign-in"), "Sign in with Example ID", 200)
    equal('name="password"' in page.text, False, "it asks for a password")
    browser = console.visitor()
    fields = {"form_key": browser.form_key("/sign-in"), "name": "root", "password": PASSWORD}
    says(browser.session.post(f"{console.url}/sign-in", data=fields, timeout=30), "sign in with a password", 403)
    equal(arrives(console)[1].url, f"{console.url}/")
    link = console.command("operators", "sign-in", "root").split()[-1]
    token = {"token": link.split("token=")[1]}
    equal(browser.post("/enter", token, page=link.removeprefix(console.url)).url, f"{console.url}/")
    says(browser.get("/admin/operators"), "nobody is invited", 200)


@check
def a_person_signs_in_with_a_browser(console):
    console.restart(f"http://127.0.0.1:{console.theirs.server_port}")
    screens = pathlib.Path(os.environ.get("KOMAINU_SCREENS", console.folder / "screens"))
    screens.mkdir(parents=True, exist_ok=True)
    console.person("mei-1", groups=["ops"])
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        for scheme, size, locale in [("light", (1440, 900), "en-US"), ("dark", (390, 844), "ja-JP")]:
            viewport = dict(zip(("width", "height"), size))
            window = chromium.new_context(viewport=viewport, color_scheme=scheme, locale=locale)
            tab = window.new_page()
            wrong = []
            # The page of the provider has a style from elsewhere, which nobody needs.
            window.route(lambda address: not address.startswith("http://127.0.0.1:"), lambda route: route.abort())
            is_ours = lambda message: message.location["url"].startswith(console.url)  # noqa: E731
            tab.on("console", lambda message: message.type == "error" and is_ours(message) and wrong.append(message.text))
            tab.on("pageerror", lambda error: wrong.append(str(error)))
            tab.goto(f"{console.url}/admin/operators")
            tab.screenshot(path=screens / f"oidc-sign-in-{scheme}.png", full_page=True)
            tab.click("a.provider")
            tab.fill("input[name=sub]", "mei-1")
            tab.click("button:has-text('Authorize')")
            # Back where the person wanted to go, by a chain of redirects that begins elsewhere.
            tab.wait_for_url(f"{console.url}/admin/operators")
            tab.screenshot(path=screens / f"oidc-operators-{scheme}.png", full_page=True)
            tab.goto(f"{console.url}/account")
            tab.screenshot(path=screens / f"oidc-account-{scheme}.png", full_page=True)
            tab.goto(f"{console.url}/oidc/callback?state=a")
            tab.screenshot(path=screens / f"oidc-refused-{scheme}.png", full_page=True)
            # Browsers tell of a page with an error's status in their console.
            equal([text for text in wrong if "400" not in text], [], "the browser complains")
            window.close()
        chromium.close()


run(Guarded)
