"""The console, by programs that are no browser: signing in, roles, forms, codes, headers, and what strangers try."""

import base64
import concurrent.futures
import hashlib
import hmac
import html
import json
import re
import socket
import struct
import subprocess
import time

import requests
from harness import KOMAINU, check, equal, run, wait_until
from visitors import PASSWORD, Browser, Console, accept, says

OTHER_PASSWORD = "four lions at the gate"
HOSTILE = "<b>\u202e'\"&\x1b[2J"
# Pages about attacks.
SPANS = ("24h", "7d", "30d", "90d", "1y")
WATCH = ("/", "/attacks", "/sources/192.0.2.1", "/observables", "/trends", "/help")


def code_of(secret, at=None):
    """A one-time code, by a program of our own here (RFC 6238)."""
    step = int(time.time() if at is None else at) // 30
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start:start + 4])[0] & 0x7FFFFFFF) % 1000000:06}"


@check
def the_first_link_makes_an_admin_once(console):
    link = console.first_link()
    browser = Browser(console.url)
    says(browser.get(link.removeprefix(console.url)), "first admin", 200)
    says(accept(browser, link, "Aiko"), "1 to 64 characters", 422)
    says(accept(browser, link, "aiko", "short"), "too short", 422)
    says(accept(browser, link, "aiko", "Password2026!"), "Too many people", 422)
    says(accept(browser, link, "aiko"), "Your password is kept", 200)
    says(browser.get(link.removeprefix(console.url)), "does not count any more", 410)
    console.people["aiko"] = "admin"
    page = console.browser("aiko").get("/")
    says(page, "Operators", 200)
    listed = console.command("operators", "list")
    if "aiko" not in listed or "admin" not in listed:
        raise AssertionError(listed)


@check
def a_link_counts_once_even_if_many_come_at_once(console):
    link = console.command("operators", "invite", "many", "--role", "viewer").split()[-1]
    token = link.split("token=")[1]
    browsers = [Browser(console.url) for _ in range(4)]
    fields = {"token": token, "name": "many", "new": PASSWORD, "repeated": PASSWORD}
    keyed = [fields | {"form_key": browser.form_key(f"/welcome?token={token}")} for browser in browsers]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        sent = pool.map(lambda pair: pair[0].session.post(f"{console.url}/welcome", data=pair[1]), zip(browsers, keyed))
        statuses = sorted(response.status_code for response in sent)
    equal(statuses, [200, 410, 410, 410])


@check
def somebody_is_added_with_a_password(console):
    console.browser("aiko")
    password = console.command("operators", "add", "screen", "--role", "analyst").split()[-1]
    equal(re.fullmatch(r"[0-9a-f]{20}", password) is not None, True, password)
    says(Browser(console.url).sign_in("screen", password), "Overview", 200)
    command = [KOMAINU, "operators", "add", "screen", "--data", console.data]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    equal((refused.returncode, "operator screen exists" in refused.stderr), (1, True), refused.stderr)


@check
def a_link_signs_in_once(console):
    console.browser("aiko")
    link = console.command("operators", "sign-in", "aiko").split()[-1]
    browser = Browser(console.url)
    path = link.removeprefix(console.url)
    says(browser.get(path), "Sign in as aiko", 200)
    token = {"token": link.split("token=")[1]}
    equal(browser.post("/enter", token, page=path).url, f"{console.url}/", "the link does not sign in")
    says(browser.get("/admin/audit"), "link for signing in", 200)
    says(Browser(console.url).post("/enter", token, page="/sign-in"), "does not count any more", 410)


@check
def wrong_names_and_passwords_look_and_last_the_same(console):
    console.browser("ken")
    seen = {}
    for name, password in [("ken", "not the password"), ("nobody-here", PASSWORD), ("<script>", PASSWORD), ("ken", "")]:
        browser = Browser(console.url)
        key = browser.form_key("/sign-in")
        began = time.monotonic()
        fields = {"form_key": key, "name": name, "password": password}
        response = browser.session.post(f"{console.url}/sign-in", data=fields)
        took = time.monotonic() - began
        says(response, "is not right", 401)
        if "komainu_session" in browser.session.cookies:
            raise AssertionError("a session without a password")
        plain = re.sub(r'value="[^"]*"', "", response.text)
        seen[(name, password)] = (plain, took)
    equal(len({page for page, _ in seen.values()}), 1, "pages differ")
    times = [took for _, took in seen.values()]
    # Generous: other programs use this machine. Without the hash it would be a hundred times as fast.
    if min(times) < max(times) / 8:
        raise AssertionError(f"times tell who exists: {seen.keys()} {times}")


@check
def whoever_is_wrong_too_often_waits(console):
    browser = console.browser("mei")
    # Those of this check come through a proxy, so that their address is not that of other checks.
    stranger = Browser(console.url)
    stranger.session.headers["X-Forwarded-For"] = "203.0.113.1, 192.0.2.1"
    statuses = [stranger.sign_in("mei", "wrong password").status_code for _ in range(12)]
    equal(statuses, [401] * 10 + [429] * 2)
    response = says(stranger.sign_in("mei"), "Try again after", 429)
    equal(response.headers["Retry-After"], "900")
    says(browser.get("/account"), "mei", 200)
    # The address is closed as well, after thirty.
    statuses = {stranger.sign_in(f"someone-{number}", "wrong password").status_code for number in range(30)}
    equal(statuses, {401, 429})
    says(console.browser("aiko").get("/admin/audit"), "192.0.2.1")


@check
def forms_of_others_are_refused(console):
    browser = console.browser("aiko")
    good = {"form_key": browser.form_key("/admin/operators"), "name": "mallory", "role": "admin"}
    post = lambda fields, **headers: browser.session.post(  # noqa: E731
        f"{console.url}/admin/operators", data=fields, headers=headers, timeout=30
    )
    for fields, headers in [
        ({**good, "form_key": ""}, {}),
        ({**good, "form_key": "0" * 64}, {}),
        ({**good, "form_key": Browser(console.url).form_key("/sign-in")}, {}),
        (good, {"Origin": "http://evil.example"}),
        (good, {"Origin": "null"}),
        (good, {"Sec-Fetch-Site": "cross-site"}),
        (good, {"Sec-Fetch-Site": "same-site"}),
    ]:
        says(post(fields, **headers), "does not count any more", 403)
    says(post(good, **{"Content-Type": "text/plain"}), "cannot be read", 400)
    says(post({**good, "more": "x" * 300_000}), "too large", 413)
    if "mallory" in console.command("operators", "list"):
        raise AssertionError("it was done all the same")
    says(browser.get("/admin/audit"), "asked for what is not allowed")
    ours = {"Origin": console.url, "Sec-Fetch-Site": "same-origin"}
    says(post(good, **ours), "/welcome?token=", 200)


@check
def roles_are_enforced(console):
    viewer, analyst = console.browser("vera"), console.browser("anna", "analyst")
    for browser in (viewer, analyst):
        says(browser.get("/"), "Overview", 200)
        if "/admin/" in browser.get("/").text:
            raise AssertionError("the menu shows what is not allowed")
        for path in ("/admin/operators", "/admin/audit"):
            says(browser.get(path), "role admin", 403)
        says(browser.post("/admin/operators/vera/role", {"role": "admin"}, page="/account"), "role admin", 403)
    stranger = Browser(console.url)
    for path in ("/", "/account", "/admin/operators", "/search?q=a"):
        response = stranger.get(path, allow_redirects=False)
        equal((response.status_code, response.headers["Location"].split("?")[0]), (303, "/sign-in"), path)
    says(stranger.post("/account/language", {"language": "ja"}, page="/sign-in"), "Sign in", 200)
    admin = console.browser("aiko")
    says(admin.post("/admin/operators/vera/role", {"role": "analyst"}, page="/admin/operators"), "Saved", 200)
    equal("analyst" in console.command("operators", "list").split("vera")[1].split("\n")[0], True)
    says(admin.post("/admin/operators/aiko/role", {"role": "viewer"}, page="/admin/operators"), "last admin", 409)
    says(admin.post("/admin/operators/aiko/disable", {}, page="/admin/operators"), "last admin", 409)
    says(admin.post("/admin/operators/vera/disable", {}, page="/admin/operators"), "disabled", 200)
    equal(viewer.get("/", allow_redirects=False).status_code, 303, "a disabled operator is still in")
    says(Browser(console.url).sign_in("vera"), "is not right", 401)
    console.command("operators", "enable", "vera")
    says(Browser(console.url).sign_in("vera"), "Overview", 200)


@check
def codes_guard_an_account(console):
    browser = console.browser("cody")
    secret = re.search(r'name="secret" value="(\w{32})"', browser.get("/account/codes").text)[1]
    enrol = lambda **fields: browser.post(  # noqa: E731
        "/account/codes", {"secret": secret, "password": PASSWORD} | fields
    )
    says(enrol(code="000000"), "The code is not right", 422)
    now = time.time()
    says(enrol(code=code_of(secret, now), password="wrong password"), "present password is not right", 422)
    says(enrol(code=code_of(secret, now)), "asked for from now on", 200)
    stranger = Browser(console.url)
    says(stranger.sign_in("cody"), "is not right", 401)
    says(stranger.sign_in("cody", code=code_of(secret, now)), "is not right", 401)
    later = code_of(secret, now + 30)
    says(stranger.sign_in("cody", "wrong password", later), "is not right", 401)
    says(stranger.sign_in("cody", code=later), "Overview", 200)
    says(Browser(console.url).sign_in("cody", code=later), "is not right", 401)
    says(browser.post("/account/codes/remove", {"password": PASSWORD}, page="/account"), "not asked for", 200)
    says(Browser(console.url).sign_in("cody"), "Overview", 200)


@check
def sessions_end_when_they_should(console):
    one, two = console.browser("sen"), console.browser("sen")
    page = says(one.get("/account"), "this one", 200)
    other = re.search(r"/account/sessions/(\w{64})/end", page.text)[1]
    says(one.post(f"/account/sessions/{other}/end", {}, page="/account"), "The session is over", 200)
    equal(two.get("/", allow_redirects=False).status_code, 303)
    two = console.browser("sen")
    stolen = dict(one.session.cookies)
    says(one.post("/sign-out", {}, page="/account"), "signed out", 200)
    equal(requests.get(f"{console.url}/", cookies=stolen, allow_redirects=False).status_code, 303)
    three = console.browser("sen")
    says(three.post("/account/sessions/end", {}, page="/account"), "signed out", 200)
    equal(two.get("/", allow_redirects=False).status_code, 303)
    one, two = console.browser("sen"), console.browser("sen")
    fields = {"password": PASSWORD, "new": OTHER_PASSWORD, "repeated": OTHER_PASSWORD}
    says(one.post("/account/password", {**fields, "password": "wrong password"}, page="/account"), "not right", 422)
    says(one.post("/account/password", {**fields, "repeated": "another"}, page="/account"), "not the same", 422)
    says(one.post("/account/password", fields, page="/account"), "is changed", 200)
    equal(two.get("/", allow_redirects=False).status_code, 303)
    says(Browser(console.url).sign_in("sen", OTHER_PASSWORD), "Overview", 200)
    link = console.command("operators", "reset", "sen").split()[-1]
    says(accept(Browser(console.url), link, "sen"), "is kept", 200)
    equal(one.get("/", allow_redirects=False).status_code, 303)
    console.browser("sen")


@check
def what_strangers_type_is_text(console):
    stranger = Browser(console.url)
    response = stranger.sign_in(HOSTILE, HOSTILE)
    equal(response.status_code, 401)
    for page in (response.text, stranger.get(f"/{HOSTILE}").text, stranger.get(f"/sign-in?said={HOSTILE}").text):
        if "<b>" in page:
            raise AssertionError(page)
    admin = console.browser("aiko")
    for path in (f"/search?q={requests.utils.quote(HOSTILE)}", "/admin/audit", "/sign-in?then=//evil.example/"):
        # A field keeps what was typed into it; there it is by itself.
        page = re.sub(r'value="[^"]*"', "", admin.get(path).text)
        if "<b>" in page or "\u202e" in page or "\x1b" in page or "evil.example" in page:
            raise AssertionError(page)
    says(admin.get(f"/search?q={requests.utils.quote(HOSTILE)}"), "\\u{202e}'\"&\\x1b[2J", 200)
    says(admin.get("/search?q=aik"), "aiko", 200)
    # A browser may call itself anything.
    admin.session.headers["User-Agent"] = "<img src=x>"
    admin.sign_in("aiko")
    if "<img src=x>" in says(admin.get("/account"), "<img src=x>", 200).text:
        raise AssertionError("the name of a browser is markup")


@check
def every_answer_has_its_headers(console):
    admin = console.browser("aiko")
    style = re.search(r'href="(/assets/console\.\w+\.css)"', admin.get("/").text)[1]
    paths = [*WATCH, "/account", "/admin/operators", "/admin/audit", "/sign-in", "/nowhere", "/healthz", style]
    for path in paths:
        headers = admin.get(path).headers
        policy = headers["Content-Security-Policy"]
        for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'"):
            equal(part in policy, True, f"{path}: {policy}")
        equal("unsafe" in policy, False, policy)
        equal("frame-ancestors 'none'; base-uri 'none'" in policy, True, policy)
        equal(headers["X-Content-Type-Options"], "nosniff", path)
        equal(headers["Referrer-Policy"], "same-origin", path)
        expected = "public, max-age=31536000, immutable" if path == style else "no-store"
        equal(headers["Cache-Control"], expected, path)
    cookie = Browser(console.url).get("/sign-in").headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=Lax", "Path=/"):
        equal(part in cookie, True, cookie)
    for path in (*WATCH, "/account", "/admin/operators", "/admin/audit", "/sign-in"):
        page = admin.get(path).text
        equal(re.findall(r"\sstyle=|\son\w+=|<style|<script(?! type=\"module\" src)", page), [], path)
        equal(len(page) < 150_000, True, path)
    plain = admin.get(style, headers={"Accept-Encoding": "identity"})
    equal((plain.headers.get("Content-Encoding"), "--map-hot" in plain.text), (None, True))
    equal(admin.get(style, headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"], "gzip")


@check
def languages_are_chosen(console):
    browser = console.browser("lang")
    says(Browser(console.url).get("/sign-in", headers={"Accept-Language": "ja,en;q=0.5"}), "サインイン", 200)
    says(browser.post("/account/language", {"language": "ja"}, page="/account"), "保存しました", 200)
    page = says(browser.get("/", headers={"Accept-Language": "en"}), "概要", 200)
    equal('<html lang="ja"' in page.text, True)
    says(browser.post("/theme", {"theme": "light", "then": "/account"}, page="/account"), 'data-theme="light"', 200)


@check
def without_attacks_pages_say_what_to_run(console):
    for name, role in (("vera", "viewer"), ("anna", "analyst"), ("aiko", "admin")):
        browser = console.browser(name, role)
        for path in WATCH:
            equal(browser.get(path).status_code, 200, f"{path} for {name}")
    browser = console.browser("vera")
    says(browser.get("/"), "komainu serve --sensor camera", 200)
    says(browser.get("/sources/192.0.2.1"), "Nothing came from this address", 200)
    equal(browser.get("/sources/nonsense").status_code, 404)


@check
def made_up_attacks_are_shown_until_they_are_removed(console):
    browser = console.browser("vera")
    says_of_demo = console.command("lake", "demo", "--attacks", "60000", "--days", "120")
    equal("made-up attacks on 120 days" in says_of_demo, True, says_of_demo)
    paths = [f"{path}?range={span}" for path in ("/", "/attacks", "/trends", "/observables") for span in SPANS]
    paths += [f"/attacks?by={by}" for by in ("source", "country", "asn", "sensor", "model", "port", "label", "release")]
    paths += ["/trends?country=CN", "/trends?protocol=telnet", "/trends?appliance=camera&compare=port"]
    paths += ["/observables/one?kind=credential&value=root%3Aroot", "/attacks?where=label%3Dexploit&country=CN,US"]
    source = re.search(r"/sources/[0-9.]+", browser.get("/attacks?by=source").text)[0]
    for language in ("en", "ja"):
        for path in [source, *paths]:
            page = browser.get(path, headers={"Accept-Language": language})
            equal(page.status_code, 200, path)
            equal(len(page.content) < 150_000, True, f"{path} has {len(page.content)} bytes")
            equal(re.findall(r"\sstyle=|\son\w+=|<style|role=\"alert\"", page.text), [], path)
            equal(("komainu lake demo --remove" in page.text), True, path)
    # What pages say is what the lake has.
    of_china = says(browser.get("/attacks?range=90d&country=CN"), "country=CN", 200)
    exported = browser.get("/attacks/export?range=90d&country=CN&format=csv")
    equal(exported.headers["Content-Disposition"], 'attachment; filename="attacks.csv"')
    lines = exported.text.strip().split("\r\n")
    equal(lines[0].split(",")[:3], ["time", "source", "country"])
    equal({line.split(",")[2] for line in lines[1:]}, {"CN"})
    counted = int(re.sub(r"\D", "", re.search(r'<strong class="big">([^<]*)', of_china.text)[1]))
    equal(len(lines) - 1, min(counted, 10_000))
    as_json = browser.get("/attacks/export?range=90d&country=CN&format=jsonl").text.splitlines()
    equal([json.loads(line)["country"] for line in as_json], ["CN"] * (len(lines) - 1))
    # From a page of rows to the older ones.
    older = re.search(r'href="([^"]*before=\d+)"', browser.get("/attacks").text)[1]
    says(browser.get(html.unescape(older)), "Newest", 200)
    says(browser.get("/search?q=198[.]51[.]100[.]7"), "/sources/198.51.100.7", 200)
    says(browser.get("/search?q=CVE-2017-17215"), "/observables?q=CVE-2017-17215", 200)
    console.command("lake", "demo", "--remove")
    says(browser.get("/"), "No attack yet", 200)
    equal((console.data / "lake-demo").exists(), False)


@check
def hostile_questions_are_text(console):
    browser = console.browser("vera")
    quoted = requests.utils.quote(HOSTILE)
    for path in (
        f"/attacks?where={quoted}",
        f"/attacks?model={quoted}&where=model~%3D{quoted}&by={quoted}",
        f"/attacks?range={quoted}&from={quoted}&to={quoted}&before={quoted}",
        f"/attacks?where={'a' * 3000}",
        f"/observables?q={quoted}&protocol={quoted}&appliance={quoted}",
        f"/observables/one?kind=command&value={quoted}",
        f"/trends?country={quoted}&compare={quoted}",
        f"/sources/{quoted}",
        "/attacks?from=0001-01-01&to=9999-12-31",
        "/trends?from=2026-01-01&to=2026-01-01T01:00",
    ):
        page = browser.get(path)
        equal(page.status_code in (200, 404), True, f"{path}: {page.status_code}")
        # A field keeps what was typed into it; there it is by itself.
        text = re.sub(r'value="[^"]*"', "", page.text)
        for bad in ("<b>", "\u202e", "\x1b"):
            equal(bad in text, False, f"{path} has {bad!r}")
        equal(len(page.content) < 150_000, True, path)
    says(browser.get("/attacks?where=port%3Dmany"), "This is no test of a column: port=many", 200)
    equal(browser.get("/attacks/export?where=nonsense").status_code, 422)


@check
def what_is_no_browser_does_no_harm(console):
    equal(requests.get(f"{console.url}/healthz").text, "ok\n")
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        equal(requests.request(method, f"{console.url}/").status_code, 405, method)
    for sent in (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET http://[/ HTTP/1.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\nCookie: \xff\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ):
        try:
            with socket.create_connection(("127.0.0.1", console.console_port), 30) as stream:
                stream.sendall(sent)
                stream.shutdown(socket.SHUT_WR)
                answer = stream.recv(4096)
        except OSError:
            # It was closed before all of it was read.
            continue
        equal(answer[:9] in (b"", b"HTTP/1.1 "), True, answer)
    equal(requests.get(f"{console.url}/healthz").text, "ok\n")
    equal("console.failed" in console.log.read_text(), False)


@check
def what_was_done_is_written_down(console):
    admin = console.browser("aiko")
    page = html.unescape(admin.get("/admin/audit").text)
    for text in ("aiko", "sign in", "refused", "done", "127.0.0.1"):
        equal(text in page, True, text)
    older = re.search(r'href="(/admin/audit\?before=\d+)"', page)
    pages = 1
    while older:
        page = html.unescape(admin.get(older[1]).text)
        older = re.search(r'href="(/admin/audit\?before=\d+)" rel="next"', page)
        pages += 1
    equal("link for the first operator" in page, True, f"the first line is on page {pages}")
    log = console.log.read_text()
    for text in (PASSWORD, OTHER_PASSWORD, "wrong password"):
        equal(text in log, False, text)
    kept = b"".join(path.read_bytes() for path in console.data.glob("accounts.db*"))
    for cookie in admin.session.cookies:
        equal(cookie.value.encode() in kept, False, "a token is written down")
    equal(PASSWORD.encode() in kept, False)
    equal(b"$argon2id$v=19$m=65536,t=3,p=1$" in kept, True)


@check
def everything_is_there_after_a_restart(console):
    browser = console.browser("aiko")
    console.kill()
    console.start()
    wait_until("the console", lambda: console.listens(console.console_port))
    says(browser.get("/"), "Operators", 200)
    equal(len(re.findall(r"/welcome\?token=", console.log.read_text())), 1, "a second link for a first operator")
    command = [KOMAINU, "operators", "invite", "Not A Name", "--data", console.data]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    equal((refused.returncode, "operator name contains" in refused.stderr), (1, True), refused.stderr)


@check
def it_speaks_tls_when_it_is_told_to(console):
    console.stop()
    configuration = console.configuration.read_text()
    console.configuration.write_text(configuration.replace("[console]\n", "[console]\ntls = true\n"))
    console.start()
    wait_until("the console", lambda: console.listens(console.console_port))
    url = f"https://localhost:{console.console_port}"
    response = requests.get(f"{url}/sign-in", verify=console.ca, timeout=30)
    says(response, "Sign in", 200)
    equal("; Secure" in response.headers["Set-Cookie"], True)
    equal(response.headers["Strict-Transport-Security"], "max-age=31536000")
    link = console.command("operators", "reset", "aiko").split()[-1]
    equal(link.startswith("https://127.0.0.1:"), True, link)


run(Console, configuration='[detect]\nshort_windows = true\n[console]\nproxies = ["127.0.0.1"]\n')
