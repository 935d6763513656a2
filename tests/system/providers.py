"""Identity providers that behave like the ones people have: their documents, paths and token shapes, on loopback.

Each is an Issuer of the harness with its own idea of where documents lie, what `iss` looks like and which claims there
are. The shapes follow the providers' public documentation.
"""
import base64
import datetime
import json
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness import CANARY, Issuer, b64

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
OTHER_TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
APPLICATION = "6731de76-14a6-49ae-97bc-6eba6914391e"
GOOGLE_CLIENT = "32555940559.apps.googleusercontent.com"
KEYCLOAK_CLIENT = "kubiya-mcp"


def key(subject):
    return f"kb-{CANARY}-{subject}"


def certificates(*names):
    """A new authority and a certificate of it for these names: three PEM texts, the authority's, the certificate, its key."""
    def sign(subject, issuer, key, signer, *extensions):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=1)))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    known_by = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (sign(name("authority"), name("authority"), authority, authority, x509.BasicConstraints(True, None), known_by),
            sign(name(names[0]), name("authority"), key, authority,
                 x509.SubjectAlternativeName([x509.DNSName(n) for n in names])), pem.decode())


class Provider(Issuer):
    """`issuer` is what its tokens say; `documents` maps a path to what is served there."""

    def __init__(self):
        super().__init__()
        self.asked = []
        self.down = False
        self.issuer = self.url
        self.documents = {}
        self.describe()

    def describe(self):
        raise NotImplementedError

    def publish(self, path, issuer, **more):
        self.documents[path] = {"issuer": issuer, "authorization_endpoint": self.url + "/authorize",
                                "token_endpoint": self.url + "/token", "jwks_uri": self.url + "/keys",
                                "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"], **more}

    def document(self, path):
        self.asked.append(path)
        if self.down:
            return None
        if path == "/keys":
            self.fetches += 1
            return self.broken if self.broken is not None else json.dumps({"keys": self.jwks()}).encode()
        return json.dumps(self.documents[path]).encode() if path in self.documents else None

    def issue(self, claims, **changes):
        now = int(time.time())
        claims = {"iat": now, "exp": now + 600, **claims, **changes}
        claims = {name: value for name, value in claims.items() if value is not ...}
        return self.sign({"alg": "RS256", "typ": "JWT", "kid": "rsa"}, claims)


class Auth0(Provider):
    def describe(self):
        self.issuer = self.url + "/"
        self.publish("/.well-known/openid-configuration", self.issuer)

    def ada(self, audience, **changes):
        return self.issue({"iss": self.issuer, "sub": "auth0|6553da60a54af58e29493993",
                           "aud": [audience, self.url + "/userinfo"], "scope": "openid profile", "gty": "password",
                           "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "permissions": ["read", "execute"],
                           "kubiya_api_key": key("auth0")}, **changes)

    def opaque(self):
        """What a client gets that asked for no audience: encrypted for Auth0 itself."""
        header = {"alg": "dir", "enc": "A256GCM", "iss": self.issuer}
        return ".".join([b64(json.dumps(header)), "", b64(b"initial-vect"), b64(b"ciphertext" * 9), b64(b"0123456789abcdef")])


class Okta(Provider):
    def describe(self):
        self.issuer = self.url + "/oauth2/default"
        for path in ("/.well-known/oauth-authorization-server/oauth2/default", "/oauth2/default/.well-known/openid-configuration"):
            self.publish(path, self.issuer, introspection_endpoint=self.issuer + "/v1/introspect")

    def ada(self, **changes):
        return self.issue({"ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "iss": self.issuer,
                           "aud": "api://default", "sub": "ada@corp.example", "cid": "0oacqf8qaJw56czJi0g4",
                           "uid": "00ujmkLgagxeRrAg20g3", "scp": ["openid", "execute"], "groups": ["Everyone", "Platform"],
                           "kubiya_api_key": key("okta")}, **changes)


class Google(Provider):
    def describe(self):
        self.publish("/.well-known/openid-configuration", self.url)

    def ada(self, **changes):
        return self.issue({"iss": self.issuer, "azp": GOOGLE_CLIENT, "aud": GOOGLE_CLIENT, "sub": "112233445566778899001",
                           "hd": "corp.example", "email": "ada@corp.example", "email_verified": True,
                           "at_hash": "lNlSmc7Fv2f9HD4SOFZ1Yg", "name": "Ada Lovelace"}, **changes)


class Entra(Provider):
    """The document of `organizations` names no tenant: its issuer is a template."""

    def describe(self):
        self.publish("/organizations/v2.0/.well-known/openid-configuration", self.url + "/{tenantid}/v2.0",
                     tenant_region_scope=None, cloud_instance_name="microsoftonline.com")
        self.publish(f"/{TENANT}/v2.0/.well-known/openid-configuration", f"{self.url}/{TENANT}/v2.0")

    def jwks(self):
        keys = super().jwks()
        keys[0]["issuer"] = self.url + "/{tenantid}/v2.0"
        keys[1]["issuer"] = f"{self.url}/{OTHER_TENANT}/v2.0"
        return keys

    def ada(self, tenant=TENANT, **changes):
        return self.issue({"aud": APPLICATION, "iss": f"{self.url}/{tenant}/v2.0", "aio": "ATQAy/8TAAAA", "azpacr": "0",
                           "azp": "11112222-bbbb-3333-cccc-4444dddd5555", "name": "Ada Lovelace", "ver": "2.0",
                           "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "preferred_username": "ada@corp.example",
                           "scp": "access_as_user", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "tid": tenant,
                           "roles": ["execute"]}, **changes)

    def v1(self, tenant=TENANT, **changes):
        return self.ada(tenant, aud=f"api://{APPLICATION}", iss=f"https://sts.windows.net/{tenant}/", ver="1.0", azp=...,
                        appid="11112222-bbbb-3333-cccc-4444dddd5555", **changes)


class Keycloak(Provider):
    def describe(self):
        self.issuer = self.url + "/realms/main"
        self.publish("/realms/main/.well-known/openid-configuration", self.issuer,
                     introspection_endpoint=self.issuer + "/protocol/openid-connect/token/introspect")

    def ada(self, **changes):
        return self.issue({"iss": self.issuer, "aud": [KEYCLOAK_CLIENT, "account"], "typ": "Bearer", "azp": "claude",
                           "sub": "d7f5a6a2-3c1b-4f0f-9d0e-0a8a4a2b5c11", "scope": "openid profile",
                           "preferred_username": "ada", "realm_access": {"roles": ["admin", "offline_access", "ops"]},
                           "resource_access": {KEYCLOAK_CLIENT: {"roles": ["execute"]},
                                               "realm-management": {"roles": ["manage-users"]}},
                           "kubiya_api_key": key("keycloak")}, **changes)


class Asked(Provider):
    """Is asked with forms, and answers with JSON."""

    def describe(self):
        self.publish("/.well-known/openid-configuration", self.url, introspection_endpoint=self.url + "/introspect")
        self.questions = []  # (headers, form) of each
        self.status = 200
        handler = self.server.RequestHandlerClass
        outer = self

        def do_post(request):
            form = request.rfile.read(int(request.headers["Content-Length"])).decode()
            body = json.dumps(outer.answer(dict(request.headers), form)).encode()
            request.send_response(outer.status)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)

        handler.do_POST = do_post

    def answer(self, headers, form):
        self.questions.append((headers, urllib.parse.parse_qs(form)))
        return self.reply({name: values[0] for name, values in self.questions[-1][1].items()})

    def reply(self, form):
        raise NotImplementedError

    @staticmethod
    def basic(headers):
        return base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()


class Opaque(Asked):
    """Tokens that only it can read; it answers about them (RFC 7662) to a client that proves who it is."""

    def describe(self):
        super().describe()
        self.tokens = {}

    def reply(self, form):
        return self.tokens.get(form["token"], {"active": False})

    def allow(self, token, audience, **changes):
        members = {"active": True, "iss": self.url, "sub": "ada", "aud": audience, "scope": "read execute", "client_id": "agent",
                   "exp": int(time.time()) + 600, **changes}
        self.tokens[token] = {name: value for name, value in members.items() if value is not ...}
        return token


class Exchanging(Asked):
    """Gives a token of its own for a caller's (RFC 8693), and is the service that takes it, at /billing."""

    def describe(self):
        super().describe()
        self.given = {}  # subject by token
        self.instead = None  # of the answer
        self.visits = []  # subjects at /billing, None for a stranger
        handler = self.server.RequestHandlerClass
        documents = handler.do_GET
        outer = self

        def do_get(request):
            if request.path == "/billing":
                token = request.headers.get("Authorization", "").removeprefix("Bearer ")
                outer.visits.append(outer.given.get(token))
            documents(request)

        handler.do_GET = do_get

    def document(self, path):
        return b'"paid"' if path == "/billing" else super().document(path)

    def reply(self, form):
        if self.instead is not None:
            return self.instead
        claims = json.loads(base64.urlsafe_b64decode(form["subject_token"].split(".")[1] + "=="))
        token = self.issue({"iss": self.url, "sub": claims["sub"], "aud": form["audience"], "act": {"sub": "mcp"},
                            "scope": form.get("scope", ""), "jti": f"{CANARY}-{len(self.given)}"})
        self.given[token] = claims["sub"]
        return {"access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer", "expires_in": 300}
