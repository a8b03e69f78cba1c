"""Schemathesis holds the front to its own description: what it accepts, refuses and answers."""

import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from cluster import Cluster  # noqa: E402


class OpenApiTest(unittest.TestCase):
    def test_the_description_holds(self):
        program = pathlib.Path(sys.executable).parent / "schemathesis"
        with Cluster(workers=1) as cluster:
            done = subprocess.run(
                [program, "--config-file", HERE / "schemathesis.toml", "run",
                 cluster.url + "/openapi.json", "--no-color"],
                cwd=cluster.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                check=False)
            self.assertEqual(done.returncode, 0, done.stdout[-10000:])


if __name__ == "__main__":
    unittest.main()
