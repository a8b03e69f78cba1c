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

    def test_a_suite_beside_the_others_gives_way(self):
        policy = ["bash", "-c", "chrt --pid $$; cat /proc/self/autogroup"]
        seen = []
        with mock.patch("builtins.print"), mock.patch.object(run_tests, "BESIDE", ({"a_suite"},)):
            run_tests.run("a_suite", policy, lambda output, _: seen.append(output) or (1, 0))
        self.assertIn("SCHED_IDLE", seen[0])
        if "autogroup" in seen[0]:
            self.assertIn("nice 19", seen[0])


class Main(unittest.TestCase):
    def test_the_closing_line_is_over_all_suites_those_beside_too(self):
        suites = [("first", ["sleep", "0"], lambda *_: (2, 0)),
                  ("beside", ["sleep", "1"], lambda *_: (3, 1)),
                  ("beside too", ["sleep", "0"], lambda *_: (5, 0)),
                  ("last", ["sleep", "0"], lambda *_: (4, 0))]
        with (tempfile.TemporaryDirectory(prefix="run_tests_") as folder,
              mock.patch.object(run_tests, "LOGS", pathlib.Path(folder)),
              mock.patch.object(run_tests, "BESIDE", ({"beside"}, {"beside too"})),
              mock.patch.object(run_tests, "suites", lambda: suites),
              mock.patch("builtins.print") as printed):
            self.assertEqual(run_tests.main([]), 1)
        self.assertEqual(printed.call_args_list[-1].args, ("14 passed, 1 failed",))


if __name__ == "__main__":
    unittest.main()
