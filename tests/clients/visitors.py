"""People at the console, as checks need them: operators who are signed in, and what their browsers do with forms."""

import html
import re

import requests
from harness import Server, equal

PASSWORD = "three lions at the gate"


class Console(Server):
    """A server whose console is asked, with its first operator."""

    def __enter__(self):
        super().__enter__()
        self.url = f"http://127.0.0.1:{self.console_port}"
        self.people = {}
        return self

    def first_link(self):
        return re.findall(r"http://\S+/welcome\?token=\w+", self.log.read_text())[-1]

    def browser(self, name, role="viewer"):
        """A browser in which an operator is signed in, who is invited when they are not there yet."""
        if name not in self.people:
            link = self.command("operators", "invite", name, "--role", role).split()[-1]
            accept(Browser(self.url), link, name)
            self.people[name] = role
        browser = Browser(self.url)
        equal(browser.sign_in(name).url, f"{self.url}/", f"{name} is not let in")
        return browser


class Browser:
    """What a browser does with forms and cookies."""

    def __init__(self, url):
        self.url = url
        self.session = requests.Session()
        self.session.headers["User-Agent"] = "checks"

    def get(self, path, **options):
        return self.session.get(self.url + path, timeout=30, **options)

    def form_key(self, path):
        return re.search(r'name="form_key" value="(\w+)"', self.get(path).text)[1]

    def post(self, path, fields, page=None, **options):
        """Sends a form with the key of the page on which it stands."""
        fields = {"form_key": self.form_key(page or path)} | fields
        return self.session.post(self.url + path, data=fields, timeout=60, **options)

    def sign_in(self, name, password=PASSWORD, code=""):
        return self.post("/sign-in", {"name": name, "password": password, "code": code})


def accept(browser, link, name, password=PASSWORD):
    token = link.split("token=")[1]
    fields = {"token": token, "name": name, "new": password, "repeated": password}
    return browser.post("/welcome", fields, page=f"/welcome?token={token}")


def says(response, text, status=None):
    """Fails unless the page has this text, as people read it."""
    if status is not None:
        equal(response.status_code, status, response.text)
    if text not in html.unescape(response.text):
        raise AssertionError(f"{response.url} ({response.status_code}) does not say {text!r}:\n{response.text}")
    return response
