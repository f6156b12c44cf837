"""The monthly report of a real server: HTML and PDF of a month that was made up, in both languages, and what is refused."""

import datetime
import io
import os
import re
import stat
import subprocess
import unicodedata

import pypdf
from harness import KOMAINU, check, equal, run
from visitors import Console, says

# Where no server listens and nothing is installed.
NOWHERE = "/nowhere"


def last_month():
    first = datetime.datetime.now(datetime.UTC).replace(day=1)
    return (first - datetime.timedelta(days=1)).strftime("%Y-%m")


def refused(server, *arguments, **environment):
    """What the command is refused with."""
    command = [KOMAINU, "monthly", *arguments, "--data", server.data, "--config", server.configuration]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    equal(done.returncode != 0, True, arguments)
    equal(done.stdout, "", arguments)
    return done.stderr


def has(text, wanted, what):
    if wanted not in text:
        raise AssertionError(f"{what} has no {wanted!r}:\n{text[:4000]}")


@check
def html_needs_nothing_from_elsewhere(server):
    server.command("lake", "demo", "--attacks", "20000", "--days", "120")
    for language, title in (("en", "Security report"), ("ja", "月次セキュリティレポート")):
        out = server.folder / f"{language}.html"
        server.command("monthly", "--language", language, "--out", str(out))
        text = out.read_text()
        has(text, title, out)
        has(text, "made up" if language == "en" else "架空", out)
        equal(stat.S_IMODE(out.stat().st_mode), 0o600, out)
        equal(len(text.encode()) < 1_000_000, True, "the size of the document")
        equal(re.findall(r"https?://|<script|<a |href=|src=|url\(", text), [], "what leads elsewhere")
    equal(server.command("monthly")[:15], "<!DOCTYPE html>", "what is on standard output")


@check
def pdf_has_its_texts_on_each_page(server):
    words = {"en": ["Security report", "Attacks day by day", "MADE-UP ATTACKS"], "ja": ["月次セキュリティレポート", "日ごとの攻撃", "架空"]}
    for language, wanted in words.items():
        out = server.folder / f"{language}.pdf"
        server.command("monthly", "--language", language, "--out", str(out))
        pages = pypdf.PdfReader(io.BytesIO(out.read_bytes())).pages
        equal(3 <= len(pages) <= 20, True, f"{len(pages)} pages")
        # Fonts have one picture for a character and for the radical that looks the same: either may come back.
        texts = [unicodedata.normalize("NFKC", page.extract_text()) for page in pages]
        for word in wanted:
            has("".join(texts), word, out)
        for number, text in enumerate(texts, 1):
            has(text, wanted[-1], f"page {number} of {out}")
    left = [path.name for path in server.folder.iterdir() if path.name.endswith(".unfinished")]
    equal(left, [], "what is left behind")


@check
def the_console_hands_it_out(server):
    browser = server.browser("vera")
    month = last_month()
    says(browser.get(f"/report?month={month}"), f"/report/{month}.html?lang=ja", 200)
    answer = browser.get(f"/report/{month}.html?lang=ja")
    equal(answer.headers["content-disposition"], f'attachment; filename="komainu-{month}-ja.html"')
    says(answer, "月次セキュリティレポート", 200)
    shown = browser.get(f"/report/{month}.html?view=1")
    equal("content-disposition" in shown.headers, False, "what is shown is no file")
    equal("script-src" in shown.headers["content-security-policy"], False, shown.headers)
    equal(browser.get("/report/9000-01.html").status_code, 404)


@check
def what_cannot_be_done_is_refused(server):
    out = str(server.folder / "report.pdf")
    has(refused(server, "--month", "yesterday"), "2026-10", "a bad month")
    has(refused(server, "--month", "9000-01"), "has not begun", "a month in the future")
    has(refused(server, "--out", str(server.folder / "report.txt")), "must end in .html or .pdf", "another ending")
    has(refused(server, "--out", f"{NOWHERE}/report.html"), "cannot write", "a folder that is not there")
    has(refused(server, "--out", out, PATH=NOWHERE), "apt install chromium", "no browser")
    has(refused(server, "--out", out, "--browser", f"{NOWHERE}/chromium"), "there is no program", "another browser")
    has(refused(server, "--out", out, "--browser", "/bin/false"), "made no PDF", "what is no browser")
    equal((server.folder / "report.pdf").exists(), False, "half a file")


run(Console)
