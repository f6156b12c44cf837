"""Who may come in, and what they may do: certificates of every wrong kind, deactivation, policies with variables."""

import datetime
import json
import ssl
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from harness import ACCOUNT, REGION, Mqtt, check, equal, refused, run

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
ALLOW_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'


def name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def self_signed(key, common="device", begins=NOW - DAY, ends=NOW + DAY, issuer=None, issuer_key=None):
    builder = x509.CertificateBuilder().subject_name(name(common)).issuer_name(issuer or name(common))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(begins).not_valid_after(ends)
    return builder.sign(issuer_key or key, hashes.SHA256())


def keep(server, folder, certificate_pem, key):
    folder = server.folder / folder
    folder.mkdir(exist_ok=True)
    (folder / "cert").write_text(certificate_pem)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key").write_bytes(key_pem)
    return {"cert": str(folder / "cert"), "key": str(folder / "key"), "ca": server.ca}


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def turned_away(server, files, client_id="intruder"):
    """Fails unless the connection ends before a CONNACK that lets the client in."""
    try:
        client = Mqtt(server, files, client_id).connect()
    except (AssertionError, OSError, ssl.SSLError):
        return
    client.close()
    raise AssertionError(f"{client_id} was let in")


def registered(server, folder, key, policy=ALLOW_ALL, active=True, **options):
    """A certificate that its maker signed, registered as it is."""
    iot = server.boto("iot")
    text = pem(self_signed(key, folder, **options))
    arn = iot.register_certificate_without_ca(certificatePem=text, status="ACTIVE" if active else "INACTIVE")["certificateArn"]
    iot.create_policy(policyName=f"{folder}-policy", policyDocument=policy)
    iot.attach_policy(policyName=f"{folder}-policy", target=arn)
    return keep(server, folder, text, key), arn


@check
def created_by_the_server(server):
    iot = server.boto("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_policy(policyName="created", policyDocument=ALLOW_ALL)
    iot.attach_policy(policyName="created", target=made["certificateArn"])
    key = serialization.load_pem_private_key(made["keyPair"]["PrivateKey"].encode(), None)
    equal(isinstance(key, rsa.RSAPrivateKey) and key.key_size, 2048)
    Mqtt(server, keep(server, "created", made["certificatePem"], key), "created").connect().close()


@check
def signed_from_a_request(server):
    iot = server.boto("iot")
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(name("asked")).sign(key, hashes.SHA256())
    text = request.public_bytes(serialization.Encoding.PEM).decode()
    made = iot.create_certificate_from_csr(certificateSigningRequest=text, setAsActive=True)
    iot.create_policy(policyName="asked", policyDocument=ALLOW_ALL)
    iot.attach_policy(policyName="asked", target=made["certificateArn"])
    Mqtt(server, keep(server, "asked", made["certificatePem"], key), "asked").connect().close()
    refused("InvalidRequestException", lambda: iot.create_certificate_from_csr(certificateSigningRequest="nonsense"))


@check
def somebody_elses_but_registered(server):
    for kind, key in (("rsa", rsa.generate_private_key(65537, 2048)), ("ec", ec.generate_private_key(ec.SECP256R1()))):
        files, _ = registered(server, f"own-{kind}", key)
        Mqtt(server, files, f"own-{kind}").connect().close()


@check
def none_at_all(server):
    turned_away(server, {"ca": server.ca})


@check
def unknown(server):
    key = ec.generate_private_key(ec.SECP256R1())
    turned_away(server, keep(server, "unknown", pem(self_signed(key)), key))


@check
def one_that_claims_our_issuer(server):
    with open(server.ca, "rb") as file:
        issuer = x509.load_pem_x509_certificate(file.read()).subject
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    forged = self_signed(key, issuer=issuer, issuer_key=other)
    turned_away(server, keep(server, "forged", pem(forged), key))


@check
def expired(server):
    files, _ = registered(server, "expired", ec.generate_private_key(ec.SECP256R1()), begins=NOW - 3 * DAY, ends=NOW - DAY)
    turned_away(server, files)


@check
def not_yet_valid(server):
    files, _ = registered(server, "early", ec.generate_private_key(ec.SECP256R1()), begins=NOW + DAY, ends=NOW + 3 * DAY)
    turned_away(server, files)


@check
def not_active(server):
    files, arn = registered(server, "sleeping", ec.generate_private_key(ec.SECP256R1()), active=False)
    turned_away(server, files)
    server.boto("iot").update_certificate(certificateId=arn.rsplit("/", 1)[1], newStatus="ACTIVE")
    Mqtt(server, files, "sleeping").connect().close()


@check
def without_a_policy(server):
    iot = server.boto("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    key = serialization.load_pem_private_key(made["keyPair"]["PrivateKey"].encode(), None)
    turned_away(server, keep(server, "powerless", made["certificatePem"], key))


@check
def deactivation_disconnects_within_a_second(server):
    for status in ("INACTIVE", "REVOKED"):
        files, arn = registered(server, f"stolen-{status}", ec.generate_private_key(ec.SECP256R1()))
        client = Mqtt(server, files, f"stolen-{status}").connect()
        began = time.monotonic()
        server.boto("iot").update_certificate(certificateId=arn.rsplit("/", 1)[1], newStatus=status)
        client.wait_disconnected(limit_s=5)
        took = time.monotonic() - began
        if took > 1.0:
            raise AssertionError(f"{status} took {took:.2f} s to disconnect")
        client.client.loop_stop()
        turned_away(server, files)


@check
def a_policy_of_its_own_name_only(server):
    topic = f"arn:aws:iot:{REGION}:{ACCOUNT}:topic/own/${{iot:ClientId}}/*"
    filter = f"arn:aws:iot:{REGION}:{ACCOUNT}:topicfilter/own/${{iot:ClientId}}/*"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"arn:aws:iot:{REGION}:{ACCOUNT}:client/modest*"},
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": topic},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": filter},
        ],
    }
    files, _ = registered(server, "modest", ec.generate_private_key(ec.SECP256R1()), policy=json.dumps(policy))
    turned_away(server, files, "immodest")
    client = Mqtt(server, files, "modest1").connect()
    equal(client.subscribe("own/modest1/#").is_failure, False)
    equal(client.subscribe("own/modest2/#").is_failure, True)
    client.publish("own/modest1/x", "mine")
    equal(client.next().payload, b"mine")
    client.client.publish("own/modest2/x", "not mine", 1)
    client.wait("a refusal or the end", lambda: client.disconnected or len(client.acknowledged) > 1)
    client.client.loop_stop()


@check
def an_exchanged_policy_counts_at_once(server):
    files, arn = registered(server, "demoted", ec.generate_private_key(ec.SECP256R1()))
    client = Mqtt(server, files, "demoted").connect()
    equal(client.subscribe("anything/1").is_failure, False)
    iot = server.boto("iot")
    iot.detach_policy(policyName="demoted-policy", target=arn)
    # Either the server ends the connection, or it refuses what is no longer allowed.
    try:
        seen = client.subscribe("anything/2")
    except AssertionError:
        equal(client.disconnected is not None, True, "neither refused nor disconnected")
    else:
        equal(seen.is_failure, True)
    client.client.loop_stop()


run()
