"""What a refused client is told to ask its provider for."""
import json
import re
import unittest

from harness import Issuer, Server


def asked(headers):
    return re.search(r' scope="([^"]*)"', headers["www-authenticate"]).group(1)


class SignInScopes(unittest.TestCase):
    def setUp(self):
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)

    def seen(self, **env):
        """The scopes of a 401, of a 403 and of the metadata document."""
        server = Server(self.issuer, env=env)
        self.addCleanup(server.close)
        reader = self.issuer.token(server.audience, scope="read")
        refused = server.call(reader, "execute_workflow", name="x")
        self.assertEqual(refused[0], 403)
        document = json.loads(server.get("/.well-known/oauth-protected-resource/mcp")[2])
        return asked(server.call(None, "whoami")[1]), asked(refused[1]), document["scopes_supported"]

    def test_are_this_servers_by_default(self):
        self.assertEqual(self.seen(), ("execute read", "execute", ["admin", "execute", "read", "write"]))

    def test_are_the_providers_where_it_knows_no_others(self):
        seen = self.seen(KUBIYA_AUTH_SIGN_IN_SCOPES="openid email")
        self.assertEqual(seen, ("email openid", "email openid", ["email", "openid"]))


if __name__ == "__main__":
    unittest.main()
