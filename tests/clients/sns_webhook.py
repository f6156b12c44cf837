"""Notifications: HTTP subscriptions confirmed and signed as SNS does, attributes, filters, batches, unsubscribing."""

import base64
import http.server
import json
import queue
import threading
import urllib.parse
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from harness import ACCOUNT, LIMIT_S, REGION, check, equal, refused, run


class Webhook:
    """An HTTP server that keeps what is posted to it."""

    def __init__(self):
        posts = self.posts = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                posts.put((dict((name.lower(), value) for name, value in self.headers.items()), json.loads(body)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.posts.get(timeout=LIMIT_S)


def verify(body):
    """As AWS's documentation tells receivers to verify a message (SNS developer guide, Verifying signatures)."""
    names = ["Message", "MessageId"]
    if body["Type"] == "Notification":
        names += ["Subject"] if "Subject" in body else []
        names += ["Timestamp", "TopicArn", "Type"]
    else:
        names += ["SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{body[name]}\n" for name in names).encode()
    with urllib.request.urlopen(body["SigningCertURL"], timeout=LIMIT_S) as answer:
        certificate = x509.load_pem_x509_certificate(answer.read())
    hash = {"1": hashes.SHA1(), "2": hashes.SHA256()}[body["SignatureVersion"]]
    certificate.public_key().verify(base64.b64decode(body["Signature"]), text, padding.PKCS1v15(), hash)


def subscribed(server, topic_name, **attributes):
    sns = server.boto("sns")
    topic = sns.create_topic(Name=topic_name)["TopicArn"]
    hook = Webhook()
    pending = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=hook.url, Attributes=attributes)
    equal(pending["SubscriptionArn"], "pending confirmation")
    headers, offer = hook.next()
    equal(headers["x-amz-sns-message-type"], "SubscriptionConfirmation")
    equal(offer["TopicArn"], topic)
    verify(offer)
    arn = sns.confirm_subscription(TopicArn=topic, Token=offer["Token"])["SubscriptionArn"]
    return sns, topic, hook, arn


@check
def a_signed_notification(server):
    sns, topic, hook, arn = subscribed(server, "signed")
    equal(topic, f"arn:aws:sns:{REGION}:{ACCOUNT}:signed")
    published = sns.publish(TopicArn=topic, Subject="A subject", Message="Ünïcode & <tags>")
    headers, body = hook.next()
    equal(headers["x-amz-sns-message-type"], "Notification")
    equal(headers["x-amz-sns-topic-arn"], topic)
    equal(headers["x-amz-sns-subscription-arn"], arn)
    equal((body["Message"], body["Subject"]), ("Ünïcode & <tags>", "A subject"))
    equal(body["MessageId"], published["MessageId"])
    verify(body)
    sns.publish(TopicArn=topic, Message="no subject")
    _, body = hook.next()
    equal("Subject" in body, False)
    verify(body)


@check
def version_2_of_the_signature(server):
    sns, topic, hook, _ = subscribed(server, "signed-2")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue="2")
    sns.publish(TopicArn=topic, Message="x")
    _, body = hook.next()
    equal(body["SignatureVersion"], "2")
    verify(body)


@check
def the_link_confirms_too(server):
    sns = server.boto("sns")
    topic = sns.create_topic(Name="by-link")["TopicArn"]
    hook = Webhook()
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=hook.url)
    _, offer = hook.next()
    with urllib.request.urlopen(offer["SubscribeURL"], timeout=LIMIT_S) as answer:
        equal(answer.status, 200)
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    equal(listed[0]["SubscriptionArn"].startswith(topic + ":"), True)


@check
def raw_messages_and_filters(server):
    sns, topic, hook, arn = subscribed(server, "filtered")
    sns.set_subscription_attributes(
        SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue='{"colour":["red"]}'
    )
    for colour in ("blue", "red"):
        attributes = {"colour": {"DataType": "String", "StringValue": colour}}
        sns.publish(TopicArn=topic, Message=colour, MessageAttributes=attributes)
    _, body = hook.next()
    equal(body["Message"], "red")
    equal(body["MessageAttributes"], {"colour": {"Type": "String", "Value": "red"}})
    verify(body)


@check
def a_batch(server):
    sns, topic, hook, _ = subscribed(server, "batch")
    entries = [{"Id": str(number), "Message": f"message {number}"} for number in range(3)]
    answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    equal([entry["Id"] for entry in answer["Successful"]], ["0", "1", "2"])
    equal(sorted(hook.next()[1]["Message"] for _ in range(3)), ["message 0", "message 1", "message 2"])


@check
def unsubscribing_by_the_link(server):
    sns, topic, hook, arn = subscribed(server, "goodbye")
    sns.publish(TopicArn=topic, Message="x")
    _, body = hook.next()
    equal(urllib.parse.parse_qs(urllib.parse.urlparse(body["UnsubscribeURL"]).query)["SubscriptionArn"], [arn])
    with urllib.request.urlopen(body["UnsubscribeURL"], timeout=LIMIT_S) as answer:
        equal(answer.status, 200)
    # The endpoint's owner is told, with a link that takes it back; until then nothing more is sent.
    headers, farewell = hook.next()
    equal(headers["x-amz-sns-message-type"], "UnsubscribeConfirmation")
    verify(farewell)
    confirmed = [one["SubscriptionArn"] for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]]
    equal(arn in confirmed, False)
    sns.publish(TopicArn=topic, Message="for nobody")
    with urllib.request.urlopen(farewell["SubscribeURL"], timeout=LIMIT_S) as answer:
        equal(answer.status, 200)
    sns.publish(TopicArn=topic, Message="back again")
    equal(hook.next()[1]["Message"], "back again")


@check
def mistakes_have_names(server):
    sns = server.boto("sns")
    missing = f"arn:aws:sns:{REGION}:{ACCOUNT}:nowhere"
    refused("NotFound", lambda: sns.publish(TopicArn=missing, Message="x"))
    refused("InvalidParameter", lambda: sns.create_topic(Name="no spaces"))
    topic = sns.create_topic(Name="mistakes")["TopicArn"]
    equal(sns.create_topic(Name="mistakes")["TopicArn"], topic)
    refused("InvalidParameter", lambda: sns.confirm_subscription(TopicArn=topic, Token="0" * 64))
    refused("InvalidParameter", lambda: sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="nobody"))
    sns.delete_topic(TopicArn=topic)
    refused("NotFound", lambda: sns.get_topic_attributes(TopicArn=topic))


run()
