"""A suite's run: its counts, and that what it leaves running holds up nobody."""

import pathlib
import sys
import tempfile
import time
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import run_tests  # noqa: E402


class Run(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="run_tests_")
        self.addCleanup(folder.cleanup)
        patch = mock.patch.object(run_tests, "LOGS", pathlib.Path(folder.name))
        patch.start()
        self.addCleanup(patch.stop)

    def ran(self, script, reader=lambda output, status: (1, 0)):
        with mock.patch("builtins.print"):
            return run_tests.run("a_suite", ["bash", "-c", script], reader)

    def test_the_reader_gets_output_and_status(self):
        seen = []
        self.ran("echo out; echo err >&2; exit 3", lambda *got: seen.append(got) or (1, 0))
        self.assertEqual(seen, [("out\nerr\n", 3)])

    def test_a_bad_end_without_a_failure_counts_as_one(self):
        self.assertEqual(self.ran("exit 3"), (1, 1))
        self.assertEqual(self.ran("true", lambda *_: (0, 0)), (0, 1))

    def test_what_is_left_running_is_not_waited_for(self):
        started = time.monotonic()
        self.assertEqual(self.ran("sleep 60 & echo done"), (1, 0))
        self.assertLess(time.monotonic() - started, 30)


if __name__ == "__main__":
    unittest.main()
