"""Mail through servers of every temper (aiosmtpd): plain, with TLS and a password, failing at first."""

import email
import email.policy
import json
import queue
import re
import ssl
import urllib.error
import urllib.request

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from agents import Agent, behavior, report
from harness import ACCOUNT, LIMIT_S, REGION, Server, check, equal, free_port, run
from self_signed import certified


class MailServer:
    """Keeps what it gets. `refusals` are its first answers to a mail's text, before it takes one."""

    def __init__(self, refusals=(), **options):
        self.mails = queue.Queue()
        self.refusals = list(refusals)
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port(), **options)
        self.controller.start()
        self.address = f"127.0.0.1:{self.controller.port}"

    async def handle_DATA(self, server, session, envelope):
        if self.refusals:
            return self.refusals.pop(0)
        self.mails.put((email.message_from_bytes(envelope.content, policy=email.policy.default), envelope, session))
        return "250 kept"

    def next(self):
        return self.mails.get(timeout=LIMIT_S)


MAIL_SERVER = MailServer()


def text_of(mail):
    return mail.get_body(("plain",)).get_content()


def subscribe(server, mail_server, topic_name, address, protocol="email"):
    """Subscribes and follows the link in the mail."""
    sns = server.boto("sns")
    topic = sns.create_topic(Name=topic_name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=address)
    mail, envelope, _ = mail_server.next()
    equal(envelope.rcpt_tos, [address])
    if protocol == "email-json":
        link = json.loads(mail.get_content())["SubscribeURL"]
    else:
        link = re.search(r"http\S*Action=ConfirmSubscription\S*", text_of(mail)).group()
    with urllib.request.urlopen(link, timeout=LIMIT_S) as answer:
        equal(answer.status, 200)
    return sns, topic


@check
def a_mail_for_a_person(server):
    sns, topic = subscribe(server, MAIL_SERVER, "person", "person@example.com")
    sns.publish(TopicArn=topic, Subject="Grüße", Message="line one\nline two <b>not bold</b> — ümlaut")
    mail, _, _ = MAIL_SERVER.next()
    equal("Grüße" in mail["subject"], True, mail["subject"])
    equal("line two <b>not bold</b> — ümlaut" in text_of(mail), True, text_of(mail))
    page = mail.get_body(("html",)).get_content()
    equal("<b>not bold" in page, False, "what a publisher says became markup")
    equal("&lt;b&gt;not bold" in page, True, page)
    link = mail["list-unsubscribe"].strip("<>")
    with urllib.request.urlopen(link, timeout=LIMIT_S) as answer:
        equal(answer.status, 200)
    farewell, _, _ = MAIL_SERVER.next()
    equal("ConfirmSubscription" in text_of(farewell), True, "the farewell has no link that takes it back")
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    equal([one["SubscriptionArn"] for one in listed if one["SubscriptionArn"].startswith("arn:")], [])


@check
def a_mail_for_a_program(server):
    sns, topic = subscribe(server, MAIL_SERVER, "program", "program@example.com", "email-json")
    published = sns.publish(TopicArn=topic, Message="x" * 2000)
    body = json.loads(MAIL_SERVER.next()[0].get_content())
    equal((body["Type"], body["MessageId"], body["Message"]), ("Notification", published["MessageId"], "x" * 2000))


@check
def a_header_is_not_made_of_what_a_publisher_says(server):
    sns, topic = subscribe(server, MAIL_SERVER, "header", "header@example.com")
    try:
        sns.publish(TopicArn=topic, Subject="a\r\nBcc: other@example.com", Message="x")
    except sns.exceptions.InvalidParameterException:
        return
    mail, envelope, _ = MAIL_SERVER.next()
    equal((mail["bcc"], envelope.rcpt_tos), (None, ["header@example.com"]))


@check
def a_server_that_refuses_at_first(server):
    sns, topic = subscribe(server, MAIL_SERVER, "patience", "patience@example.com")
    MAIL_SERVER.refusals.append("451 try again later")
    sns.publish(TopicArn=topic, Message="sooner or later")
    equal("sooner or later" in text_of(MAIL_SERVER.next()[0]), True)
    equal(MAIL_SERVER.refusals, [])


class Password:
    """Lets one user in."""

    def __call__(self, server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"komainu", b"secret word")
        return AuthResult(success=good)


@check
def starttls_and_a_password(server):
    root, key = certified(server.folder / "mail-tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(root, key)
    mail_server = MailServer(tls_context=context, require_starttls=True, authenticator=Password(), auth_required=True)
    password = server.folder / "smtp-password"
    password.write_text("secret word\n")
    configuration = f'[smtp]\ntls = "starttls"\nuser = "komainu"\npassword_file = "{password}"\n'
    configuration += f'extra_roots_file = "{root}"\nfrom = "watch@example.com"\n'
    with Server(server.folder / "second", configuration=configuration, smtp=mail_server.address) as second:
        sns, topic = subscribe(second, mail_server, "secret", "secret@example.com")
        sns.publish(TopicArn=topic, Message="through TLS")
        mail, envelope, session = mail_server.next()
        equal((session.ssl is not None, session.authenticated), (True, True))
        equal(envelope.mail_from, "watch@example.com")
        equal("through TLS" in text_of(mail), True)


@check
def mails_in_japanese(server):
    """As a reader gets them: decoded by Python's own mail library from what travelled."""
    mail_server = MailServer()
    configuration = '[smtp]\nlanguage = "ja"\n[detect]\nshort_windows = true\n'
    with Server(server.folder / "japanese", configuration=configuration, smtp=mail_server.address) as second:
        sns, iot = second.boto("sns"), second.boto("iot")
        topic = sns.create_topic(Name="psirt")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="psirt@example.com")
        mail, _, _ = mail_server.next()
        equal(mail["subject"], "[Komainu] ご確認ください：psirt からのメッセージ")
        link = re.search(r"http\S*Action=ConfirmSubscription\S*", text_of(mail)).group()
        asked = {"Accept": "text/html", "Accept-Language": "ja,en;q=0.5"}
        with urllib.request.urlopen(urllib.request.Request(link, headers=asked), timeout=LIMIT_S) as answer:
            page = answer.read().decode()
            equal((answer.status, answer.headers["Content-Language"]), (200, "ja"))
        equal('<html lang="ja">' in page and "購読を確認しました" in page, True, page)
        # A link that was cut off says what to do, and programs still get SNS's XML.
        for headers, expected in ((asked, "このリンクは使えません"), ({}, "<Code>InvalidParameter</Code>")):
            try:
                urllib.request.urlopen(urllib.request.Request(link[:-4], headers=headers), timeout=LIMIT_S)
                raise AssertionError("a broken link was followed")
            except urllib.error.HTTPError as refused:
                said = refused.read().decode()
                equal((refused.code, expected in said), (400, True), said)

        # Programs read what they always read.
        sns.subscribe(TopicArn=topic, Protocol="email-json", Endpoint="siem@example.com")
        mail, _, _ = mail_server.next()
        equal(mail["subject"], "AWS Notification - Subscription Confirmation")
        with urllib.request.urlopen(json.loads(mail.get_content())["SubscribeURL"], timeout=LIMIT_S) as answer:
            equal(answer.status, 200)

        iot.create_security_profile(
            securityProfileName="Ports",
            behaviors=[behavior("portCount", "aws:num-listening-tcp-ports", "less-than", count=5)],
            alertTargets={"SNS": {"alertTargetArn": topic, "roleArn": f"arn:aws:iam::{ACCOUNT}:role/any"}},
        )
        everything = f"arn:aws:iot:{REGION}:{ACCOUNT}:all/things"
        iot.attach_security_profile(securityProfileName="Ports", securityProfileTargetArn=everything)
        agent = Agent(second, "camera-7")
        ports = {"ports": [{"port": 1000 + port} for port in range(9)], "total": 9}
        agent.accepted(report(listening_tcp_ports=ports))
        agent.close()
        mails = {}
        for _ in range(2):
            mail, envelope, _ = mail_server.next()
            mails[envelope.rcpt_tos[0]] = (mail, envelope)
        for_program, _ = mails["siem@example.com"]
        equal(for_program["subject"], "[Komainu] camera-7: portCount out of bounds")
        equal(json.loads(json.loads(for_program.get_content())["Message"])["violationEventType"], "in-alarm")

        mail, envelope = mails["psirt@example.com"]
        equal(mail["subject"], "[Komainu] camera-7：portCount が正常な範囲を外れました")
        equal(mail["content-language"], "ja")
        text = text_of(mail)
        for expected in ("【アラーム】camera-7 が正常な範囲を外れました", "開いている TCP ポート数は 9 です。", "正常な範囲は 5 未満です。", "次にすること"):
            equal(expected in text, True, text)
        html = mail.get_body(("html",)).get_content()
        equal('<html lang="ja">' in html and "camera-7 が正常な範囲を外れました" in html, True, html)
        # RFC 5322: no line has more than 998 bytes, prose no more than fits on a screen; all bytes are ASCII.
        raw = envelope.content
        equal(max(len(line) for line in raw.split(b"\r\n")) <= 998 and raw.isascii(), True)
        prose = [line for line in text.splitlines() if "http" not in line and "aws iot" not in line and "arn:" not in line]
        wide = [line for line in prose if sum(2 if ord(c) > 0x1100 else 1 for c in line) > 72]
        equal(wide, [])


run(smtp=MAIL_SERVER.address)
