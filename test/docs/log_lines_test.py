"""docs/OPERATIONS.md explains every line that the sources log, and none that they do not. No line
tells what it says is never logged."""

import pathlib
import re
import sys
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from cluster import ROOT, Cluster  # noqa: E402

CALL = re.compile(r"\blog::(?:debug|info|warning|error|contained)\(\s*")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
FORMAT = re.compile(r"~[0-9]*t?[a-z]")


def first_argument(text):
    """The text of a call's first argument, up to the comma or parenthesis that ends it."""
    depth, position = 0, 0
    while position < len(text):
        if literal := LITERAL.match(text, position):
            position = literal.end()
            continue
        if depth == 0 and text[position] in ",)":
            break
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        position += 1
    return text[:position]


def worker_lines():
    """Every message of the worker: literals side by side are one, those of a choice are two."""
    found = set()
    for file in [*(ROOT / "src").rglob("*.cc"), *(ROOT / "src").rglob("*.h")]:
        text = file.read_text()
        for call in CALL.finditer(text):
            argument = first_argument(text[call.end():])
            parts = [re.sub(r'^[^"]*\?', "", part) for part in argument.split(" : ")]
            found |= {"".join(LITERAL.findall(part)) for part in parts}
    return found - {""}


FRONT = ROOT / "erlang" / "src"


def front_lines():
    """One module has all texts of the front."""
    texts = re.findall(r'\{"((?:[^"\\]|\\.)*)",', (FRONT / "ml_cluster_log.erl").read_text())
    return {FORMAT.sub("…", text) for text in texts}


def explained(heading):
    page = (ROOT / "docs" / "OPERATIONS.md").read_text()
    section = re.split(r"^###? ", page.split(f"### {heading}\n")[1], flags=re.MULTILINE)[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].removeprefix("| ").replace("``", "`").strip("` ") for row in rows}


class LogLines(unittest.TestCase):
    maxDiff = None

    def test_worker(self):
        self.assertEqual(sorted(line.strip("` ") for line in worker_lines()),
                         sorted(explained("Worker")))

    def test_front(self):
        self.assertEqual(sorted(front_lines()), sorted(explained("Front")))

    def test_nothing_is_logged_past_that_module(self):
        self.assertEqual([], [file.name for file in FRONT.glob("*.erl")
                              if file.name != "ml_cluster_log.erl"
                              and re.search(r"\blogger:|\?LOG_|error_logger:", file.read_text())])


class Secrets(unittest.TestCase):
    TEXT, KEY = "the text of this test", "the-key-of-this-test"

    def test_no_log_has_a_text_a_vector_a_key_or_the_cookie(self):
        cluster = Cluster(options=("--compute-threads", "1", "--log-level", "debug", "--max-text-bytes", "1000"))
        (cluster.folder / "keys").write_text(self.KEY + "\n")
        cluster.environment = f'{{api_keys_file, "{cluster.folder}/keys"}}'
        with cluster:
            [vector] = cluster.post("/infer", {"texts": [self.TEXT]})["embeddings"]
            for path, body in (("/infer", {"texts": [self.TEXT * 100]}),
                               ("/infer", {"texts": self.TEXT}),
                               ("/infer", {"texts": [self.TEXT], "model": "nowhere"}),
                               ("/v1/embeddings", {"input": [self.TEXT], "dimensions": 100000}),
                               ("/embed", {"inputs": [self.TEXT], "normalize": self.TEXT})):
                with self.assertRaises(urllib.error.HTTPError, msg=path):
                    urllib.request.urlopen(cluster.request(path, body, {"x-request-id": "traced"}))
            cookie = (cluster.folder / ".erlang.cookie").read_text()
            logs = [cluster.log("front"), *(cluster.log(name) for name in cluster.names)]
        self.assertIn("a traced call failed", logs[1])
        for secret in (self.TEXT, self.KEY, cookie, str(vector[0])):
            self.assertEqual([log for log in logs if secret in log], [])


if __name__ == "__main__":
    unittest.main()
