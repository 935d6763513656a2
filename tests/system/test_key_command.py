"""What `key create` refuses before anything is written, and what it warns of."""
import pathlib
import subprocess
import tempfile
import unittest

from harness import BINARY


def create(data, *arguments):
    return subprocess.run([BINARY, "key", "create", "--user", "x", *arguments, "--data-dir", data], capture_output=True,
                          text=True)


class KeyCreate(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.data = place.name + "/data"

    def test_takes_no_flag_for_a_scope(self):
        for scopes in (["--scopes"], ["--scopes", "-x"], ["--scopes", "read,--expires"], ["--scopes", "re\"ad"],
                       ["--scopes", "two words"], ["--scopes", "é"]):
            done = create(self.data, *scopes)
            self.assertEqual((done.returncode, done.stdout), (2, ""), (scopes, done.stderr))
        self.assertFalse(pathlib.Path(self.data).exists(), "nothing was made")

    def test_knows_the_scopes_of_the_configuration(self):
        config = pathlib.Path(self.data + ".yaml")
        config.write_text("identity:\n  scope_map: [ops-team=admin]\n")
        done = create(self.data, "--config", config, "--scopes", "ops-team", "read", "strange")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("scope strange", done.stderr)
        self.assertNotIn("scope ops-team", done.stderr)


if __name__ == "__main__":
    unittest.main()
