"""An OpenID provider for checks that is as strict as one should be, and makes each mistake when it is told to.

It speaks TLS with a certificate of its own, sends every browser straight back as whoever `person` is, and takes a code once,
with the secret of RFC 7636 that belongs to it and ours in the header.
"""

import base64
import datetime
import hashlib
import http.server
import ipaddress
import json
import secrets
import ssl
import threading
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

CLIENT, SECRET = "komainu", "a secret: with+signs&100%"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Provider:
    """A provider on this machine. `fault` is the mistake that it makes, `person` who signs in there."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.fault, self.person = None, {}
        self.codes, self.asked = {}, []
        self.name_of_key = "first"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                provider.answer(self, None)

            def do_POST(self):
                provider.answer(self, self.rfile.read(int(self.headers["Content-Length"])).decode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.ca = folder / "provider-ca.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate(folder))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.issuer = f"https://127.0.0.1:{self.server.server_port}/realm"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def certificate(self, folder):
        """Makes a root certificate and one of this machine by it; gives the file of the latter with its key."""

        def signed(subject, public, issuer, by, extension):
            name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])  # noqa: E731
            now = datetime.datetime.now(datetime.timezone.utc)
            builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(public)
            builder = builder.serial_number(x509.random_serial_number()).add_extension(extension, critical=True)
            builder = builder.not_valid_before(now - datetime.timedelta(days=1))
            return builder.not_valid_after(now + datetime.timedelta(days=30)).sign(by, hashes.SHA256())

        root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        is_root = x509.BasicConstraints(ca=True, path_length=0)
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        pem = serialization.Encoding.PEM
        self.ca.write_bytes(signed("root", root.public_key(), "root", root, is_root).public_bytes(pem))
        kept = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        both = signed("127.0.0.1", leaf.public_key(), "root", root, here).public_bytes(pem) + leaf.private_bytes(pem, *kept)
        (folder / "provider.pem").write_bytes(both)
        return folder / "provider.pem"

    def answer(self, handler, body):
        place = urllib.parse.urlsplit(handler.path)
        fields = dict(urllib.parse.parse_qsl(place.query if body is None else body))
        path = place.path.removeprefix("/realm")
        self.asked.append(path)
        if self.fault == "down":
            return self.send(handler, 503, b"")
        if self.fault == "large":
            return self.send(handler, 200, b" " * 600_000)
        answers = {
            "/.well-known/openid-configuration": self.metadata,
            "/keys": self.keys,
            "/authorize": self.authorize,
            "/token": lambda fields: self.token(fields, handler.headers),
            "/userinfo": self.userinfo,
        }
        status, answer = answers.get(path, lambda _: (404, {}))(fields)
        if status == 303:
            return self.send(handler, 303, b"", ("Location", answer))
        return self.send(handler, status, json.dumps(answer).encode())

    def send(self, handler, status, body, header=("Content-Type", "application/json")):
        handler.send_response(status)
        handler.send_header(*header)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def metadata(self, _):
        return 200, {
            "issuer": "https://other.example" if self.fault == "metadata" else self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "authorization_response_iss_parameter_supported": True,
        }

    def keys(self, _):
        public = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "kid": self.name_of_key, "n": number(public.n), "e": number(public.e)}
        return 200, {"keys": [{"kty": "of-tomorrow"}, key]}

    def authorize(self, fields):
        asked = [fields.get(name) for name in ("response_type", "client_id", "code_challenge_method")]
        if asked != ["code", CLIENT, "S256"] or "openid" not in fields.get("scope", ""):
            return 400, {"error": "invalid_request"}
        code = secrets.token_urlsafe(600)
        self.codes[code] = fields
        issuer = {"mix-up": "https://other.example", "no-iss": None}.get(self.fault, self.issuer)
        answer = {"code": code, "state": fields["state"]} | ({"iss": issuer} if issuer else {})
        return 303, f"{fields['redirect_uri']}?{urllib.parse.urlencode(answer)}"

    def token(self, fields, headers):
        quoted = f"{CLIENT}:{urllib.parse.quote(SECRET, safe='')}"
        given = base64.b64decode(headers.get("Authorization", "").removeprefix("Basic ") or b"").decode()
        if urllib.parse.unquote(given) != urllib.parse.unquote(quoted) or self.fault == "client":
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(fields.get("code"), None)
        challenge = encoded(hashlib.sha256(fields.get("code_verifier", "").encode()).digest())
        if not asked or asked["code_challenge"] != challenge or asked["redirect_uri"] != fields["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": "<b>unknown</b>"}
        return 200, {"access_token": "access", "token_type": "Bearer", "id_token": self.id_token(asked["nonce"])}

    def userinfo(self, _):
        return 200, self.person | ({"sub": "somebody else"} if self.fault == "userinfo" else {})

    def id_token(self, nonce):
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        claims |= {"sub": self.person["sub"]} if self.fault in ("beside", "userinfo") else self.person
        claims |= {
            "iss": {"iss": "https://other.example"},
            "aud": {"aud": "somebody-else"},
            "azp": {"aud": [CLIENT, "other"], "azp": "other"},
            "exp": {"exp": now - 3600, "iat": now - 7200},
            "future": {"iat": now + 3600, "exp": now + 7200},
            "nonce": {"nonce": "another"},
            "sub": {"sub": ""},
        }.get(self.fault, {})
        header = {"alg": "RS256", "kid": self.name_of_key}
        if self.fault == "none":
            return f"{encoded(json.dumps({'alg': 'none'}).encode())}.{encoded(json.dumps(claims).encode())}."
        if self.fault == "hs256":
            header["alg"] = "HS256"
        if self.fault == "kid":
            header["kid"] = "unknown"
        signed = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}".encode()
        if self.fault == "hs256":
            # The public key as a secret that both have: what a confused verifier takes.
            form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            mac = hmac.HMAC(self.key.public_key().public_bytes(*form), hashes.SHA256())
            mac.update(signed)
            return f"{signed.decode()}.{encoded(mac.finalize())}"
        key = self.other if self.fault == "key" else self.key
        return f"{signed.decode()}.{encoded(key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))}"
