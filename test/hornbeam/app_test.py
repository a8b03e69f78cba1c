"""The example app in erlang/priv/hornbeam, on real workers: Python asks through the functions that
ml_cluster_hornbeam:register/0 registers, in a stand-in for Hornbeam."""

import asyncio
import json
import pathlib
import subprocess
import sys
import threading
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from cluster import EBIN, ROOT, Cluster, eventually  # noqa: E402


class Erlang(types.ModuleType):
    """What Python sees of Erlang under Hornbeam: erlang.call."""

    def __init__(self, process):
        super().__init__("erlang")
        self.process = process
        self.lock = threading.Lock()

    def call(self, name, *arguments):
        with self.lock:
            self.process.stdin.write(json.dumps([name, arguments]) + "\n")
            self.process.stdin.flush()
            reply = json.loads(self.process.stdout.readline())
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply["ok"]


def web_node(cluster):
    """The node that Hornbeam would be: our front in it, no HTTP of its own."""
    names = ",".join(f"'{name}'" for name in cluster.names)
    code = (f"ok = application:load(ml_cluster), application:set_env(ml_cluster, workers, [{names}]),"
            "application:set_env(ml_cluster, http, false),"
            "{ok, _} = application:ensure_all_started(ml_cluster),"
            "ok = ml_cluster_hornbeam:register(), ok = hornbeam:serve().")
    subprocess.run(["erlc", "-o", cluster.folder, ROOT / "test" / "hornbeam" / "hornbeam.erl"],
                   check=True)
    name = cluster.front_name.replace("front_", "web_")
    return subprocess.Popen(
        ["erl", "-name", name, "-noshell", "-kernel", "inet_dist_use_interface", "{127,0,0,1}",
         "-kernel", "logger_level", "error", "-pa", EBIN, cluster.folder, "-eval", code],
        env=cluster.variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class UnderHornbeam(unittest.TestCase):
    """The app in Python, the front in the web node, real workers."""

    @classmethod
    def start(cls, cluster, up):
        process = web_node(cluster)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.kill)
        cls.erlang = sys.modules["erlang"] = Erlang(process)
        sys.path.insert(0, str(ROOT / "erlang" / "priv" / "hornbeam"))
        import app
        app.erlang = cls.erlang
        cls.app = staticmethod(app.app)
        eventually(lambda: cls.erlang.call("ml_cluster_metrics")["cluster"]["nodes"] == up,
                   what=f"{up} workers")

    def ask(self, method, path, value=None):
        sent = []
        body = b"" if value is None else json.dumps(value).encode()

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path}
        asyncio.run(self.app(scope, receive, send))
        return sent[0]["status"], json.loads(sent[1]["body"])


class App(UnderHornbeam):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(workers=2).__enter__()
        cls.addClassCleanup(cls.cluster.stop)
        cls.start(cls.cluster, up=2)

    def test_infer_is_the_fronts(self):
        texts = [f"text {i}: Übergröße" for i in range(40)]
        status, answer = self.ask("POST", "/infer", {"texts": texts})
        self.assertEqual(status, 200)
        self.assertEqual(answer["embeddings"],
                         self.cluster.post("/infer", {"texts": texts})["embeddings"])
        self.assertIn(answer["node"], self.cluster.names)
        self.assertIsInstance(answer["cached"], int)

    def test_parallel_keeps_the_order(self):
        texts = [f"parallel {i}" for i in range(25)]
        status, answer = self.ask("POST", "/infer/parallel", {"texts": texts})
        self.assertEqual((status, answer["nodes_used"]), (200, 2))
        self.assertEqual(answer["embeddings"],
                         self.cluster.post("/infer", {"texts": texts})["embeddings"])

    def test_no_texts(self):
        self.assertEqual(self.ask("POST", "/infer", {"texts": []})[1]["embeddings"], [])

    def test_cluster(self):
        status, answer = self.ask("GET", "/cluster")
        self.assertEqual(status, 200)
        self.assertEqual([(n["node"], n["status"]) for n in answer["gpu_nodes"]],
                         [(name, "online") for name in sorted(self.cluster.names)])
        self.assertEqual(answer["gpu_nodes"][0]["model"]["default_dimensions"], 384)
        self.assertTrue(answer["this_node"].startswith("web_"))

    def test_metrics_rise(self):
        before = self.ask("GET", "/metrics")[1]["requests"]["total"]
        self.ask("POST", "/infer", {"texts": ["counted"]})
        self.assertEqual(self.ask("GET", "/metrics")[1]["requests"]["total"], before + 1)

    def test_what_is_wrong_has_its_status(self):
        self.assertEqual(self.ask("POST", "/infer", {"texts": "bare"})[0], 422)
        self.assertEqual(self.ask("POST", "/infer", {})[0], 422)
        self.assertEqual(self.ask("GET", "/nowhere")[0], 404)
        status, answer = self.ask("POST", "/infer", {"texts": ["a"], "model": "nope"})
        self.assertEqual(status, 503)
        self.assertIn("unknown_model", answer["error"]["message"])

    def test_a_failure_is_an_exception_in_python(self):
        with self.assertRaisesRegex(RuntimeError, "bad_argument"):
            self.erlang.call("ml_cluster_encode", "no list")

    def test_the_other_functions_answer_as_the_workers_do(self):
        texts = [f"registered {i}" for i in range(4)]
        expected = self.cluster.post("/infer", {"texts": texts})["embeddings"]
        answer = self.erlang.call("ml_cluster_encode_parallel", texts, "default", {"format": "list"})
        self.assertEqual((answer["embeddings"], sorted(answer["nodes"])),
                         (expected, sorted(self.cluster.names)))
        self.assertEqual(self.erlang.call("ml_cluster_predict", texts[0]), expected[0])
        self.assertEqual(self.erlang.call("ml_cluster_predict", texts, None), expected)
        self.assertEqual(self.erlang.call("ml_cluster_tokenize", ["hello world"], "default"),
                         [[101, 7592, 2088, 102]])
        cosines = self.erlang.call("ml_cluster_similarity", texts[0], texts, "default")
        self.assertEqual((len(cosines), round(cosines[0], 6)), (4, 1))


class ManyWorkers(UnderHornbeam):
    """Rows of workers that are not there are as long as others, but for what those say of themselves."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(workers=1).__enter__()
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.names += [f"worker{i}_that_is_gone@127.0.0.1" for i in range(300)]
        cls.start(cls.cluster, up=1)

    def test_the_cluster_is_shown_whole(self):
        status, answer = self.ask("GET", "/cluster")
        self.assertEqual(status, 200, answer)
        self.assertEqual([node["node"] for node in answer["gpu_nodes"]], sorted(self.cluster.names))

    def test_a_part_says_how_many_are_missing(self):
        first = self.erlang.call("ml_cluster_status")
        self.assertEqual(len(first["workers"]) + first["omitted"], 301)
        last = self.erlang.call("ml_cluster_status", 300)
        self.assertEqual((len(last["workers"]), last["omitted"]), (1, 0))
        self.assertEqual(self.erlang.call("ml_cluster_status", 1000)["workers"], [])


class TwoKinds(UnderHornbeam):
    """Workers whose vectors differ, as in an upgrade."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(workers=1).__enter__()
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.options = ("--compute-threads", "1", "--dtype", "bfloat16")
        cls.cluster.names.append(cls.cluster.names[0].replace("worker1", "worker2"))
        cls.cluster.start_worker(cls.cluster.names[1])
        cls.start(cls.cluster, up=2)

    def test_an_answer_of_several_calls_is_of_one(self):
        for count in (12, 40, 100):
            texts = [f"text {i} of {count}" for i in range(count)]
            float32 = self.cluster.post("/infer", {"texts": texts})["embeddings"]
            for path in ("/infer", "/infer/parallel"):
                status, answer = self.ask("POST", path, {"texts": texts})
                self.assertEqual(status, 200, answer)
                same = [got == expected for got, expected in zip(answer["embeddings"], float32)]
                self.assertIn(same, ([True] * count, [False] * count))


if __name__ == "__main__":
    unittest.main()
