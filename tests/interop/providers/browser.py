# SPDX-License-Identifier: Apache-2.0
"""A person at a browser, and the client application beside it, over plain HTTP."""
import base64
import hashlib
import html.parser
import http.client
import http.cookiejar
import json
import re
import secrets
import urllib.error
import urllib.parse
import urllib.request

CALLBACK = "http://127.0.0.1:8976/callback"  # nobody listens there: the code is read off the redirect
PAGES = 10  # a sign-in asks for fewer


class Forms(html.parser.HTMLParser):
    """The forms of a page: action, method and fields with their values."""

    def __init__(self, page):
        super().__init__()
        self.forms = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.forms.append({"action": attrs.get("action", ""), "method": attrs.get("method", "get").lower(), "fields": {}})
        elif tag in ("input", "button") and self.forms and attrs.get("name"):
            if attrs.get("type") not in ("checkbox", "radio"):
                self.forms[-1]["fields"].setdefault(attrs["name"], attrs.get("value") or "")

    def main(self):
        posts = [f for f in self.forms if f["method"] == "post"]
        return next((f for f in posts if "password" in f["fields"]), posts[0] if posts else None)


class StopAtCallback(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, body, code, message, headers, url):
        return None if url.startswith(CALLBACK) else super().redirect_request(request, body, code, message, headers, url)


class Browser:
    """One session. Takes cookies marked Secure over plain HTTP, as browsers do for loopback."""

    def __init__(self):
        policy = http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https"))
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar(policy))
        direct = urllib.request.ProxyHandler({})
        self.opener = urllib.request.build_opener(cookies, direct, StopAtCallback)

    def visit(self, url, fields=None):
        """The address it ends at and the page there; at the callback there is no page."""
        body = None if fields is None else urllib.parse.urlencode(fields).encode()
        try:
            with self.opener.open(urllib.request.Request(url, body), timeout=60) as answer:
                return answer.url, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            target = refusal.headers.get("Location", "")
            if target.startswith(CALLBACK):
                return target, None
            raise AssertionError(f"{url} answered {refusal.code}: {refusal.read()[:2000].decode(errors='replace')}") from None

    def sign_in(self, url, user, password):
        """Fills in what is asked until the provider sends the browser to the callback. Returns its parameters."""
        at, page = self.visit(url)
        for _ in range(PAGES):
            if page is None:
                return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(at).query))
            form = Forms(page).main()
            assert form, f"no form on {at}: {page[:2000]}"
            answers = {"login": user, "username": user, "password": password}
            fields = {name: answers.get(name, value) for name, value in form["fields"].items()}
            at, page = self.visit(urllib.parse.urljoin(at, form["action"]), fields)
        raise AssertionError(f"the sign-in does not end: {at}")


class Refused(Exception):
    """The provider's own word."""


def post(url, fields, basic=None):
    request = urllib.request.Request(url, urllib.parse.urlencode(fields).encode())
    if basic:
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(basic).encode()).decode())
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refusal:
        raise Refused(refusal.read().decode()) from None


def get(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as answer:
        return json.load(answer)


class Application:
    """A client that knows the MCP server's address only: RFC 9728, then the provider's document, then code and PKCE."""

    def __init__(self, server, client):
        self.client = client
        status, headers, _ = server.rpc(None, "tools/list")
        assert status == 401, status
        where = re.search(r'resource_metadata="([^"]+)"', headers["www-authenticate"]).group(1)
        self.scope = re.search(r' scope="([^"]+)"', headers["www-authenticate"]).group(1)
        self.resource = get(where)
        self.issuer = self.resource["authorization_servers"][0]
        self.provider = get(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        assert self.provider["issuer"] == self.issuer, self.provider["issuer"]

    def sign_in(self, user, password, scope=None, resource=None):
        """What the token endpoint answers. `scope` and `resource` stand for those that the MCP server names."""
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        common = {"client_id": self.client, "redirect_uri": CALLBACK, "resource": resource or self.resource["resource"]}
        asked = {**common, "response_type": "code", "scope": scope or self.scope, "state": state, "code_challenge": challenge,
                 "code_challenge_method": "S256"}
        url = self.provider["authorization_endpoint"] + "?" + urllib.parse.urlencode(asked)
        back = Browser().sign_in(url, user, password)
        if "error" in back:
            raise Refused(json.dumps(back))
        assert back["state"] == state, back
        return post(self.provider["token_endpoint"],
                    {**common, "grant_type": "authorization_code", "code": back["code"], "code_verifier": verifier})
