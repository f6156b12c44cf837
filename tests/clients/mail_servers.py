"""Mail through servers of every temper (aiosmtpd): plain, with TLS and a password, failing at first."""

import datetime
import email
import email.policy
import ipaddress
import json
import queue
import re
import ssl
import urllib.request

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness import LIMIT_S, Server, check, equal, free_port, run


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


def certified(folder):
    """A certificate for 127.0.0.1 that signs itself; gives its path, and a server's TLS context."""
    now = datetime.datetime.now(datetime.timezone.utc)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server of a test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    certificate = builder.sign(key, hashes.SHA256())
    folder.mkdir()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


class Password:
    """Lets one user in."""

    def __call__(self, server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"komainu", b"secret word")
        return AuthResult(success=good)


@check
def starttls_and_a_password(server):
    root, context = certified(server.folder / "mail-tls")
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


run(smtp=MAIL_SERVER.address)
