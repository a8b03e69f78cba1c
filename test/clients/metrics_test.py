"""What Prometheus' own parsers read from /metrics."""

import pathlib
import sys
import unittest
import urllib.request

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as prometheus

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from cluster import Cluster  # noqa: E402


class MetricsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(Cluster(workers=1))
        for path in ("/infer", "/nothing/1", "/nothing/2", "/v1/models/x"):
            try:
                cls.cluster.post(path, {"texts": ["a", "b"]})
            except OSError:
                pass

    def scrape(self, accept, parse):
        request = urllib.request.Request(self.cluster.url + "/metrics", headers={"accept": accept})
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
            kind = answer.headers["content-type"]
        return kind, {family.name: family for family in parse(text)}

    def assert_histogram(self, family, label):
        """The counts by this label, over all the others."""
        self.assertEqual(family.type, "histogram")
        series = {}
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                others = frozenset(pair for pair in sample.labels.items() if pair[0] != "le")
                series.setdefault(others, []).append((float(sample.labels["le"]), sample.value))
        counts = {}
        for labels, buckets in series.items():
            self.assertEqual(buckets[-1][0], float("inf"))
            self.assertEqual(buckets, sorted(buckets), "bounds and counts rise together")
            value = dict(labels)[label]
            counts[value] = counts.get(value, 0) + buckets[-1][1]
        return counts

    def check(self, families):
        routes = self.assert_histogram(families["ml_cluster_http_request_seconds"], "route")
        self.assertGreaterEqual(routes["/infer"], 1)
        self.assertFalse([route for route in routes if "nothing" in route])
        workers = self.assert_histogram(families["ml_cluster_worker_seconds"], "worker")
        self.assertEqual(list(workers), self.cluster.names)
        self.assertGreaterEqual(workers[self.cluster.names[0]], 1)
        outcomes = self.assert_histogram(families["ml_cluster_worker_seconds"], "outcome")
        self.assertGreaterEqual(outcomes["answered"], 1)
        calls = self.assert_histogram(families["ml_cluster_call_seconds"], "function")
        self.assertGreaterEqual(calls["encode"], 1)

    def test_the_text_format(self):
        kind, families = self.scrape("text/plain;version=0.0.4",
                                     prometheus.text_string_to_metric_families)
        self.assertEqual(kind, "text/plain; version=0.0.4; charset=utf-8")
        self.check(families)

    def test_openmetrics(self):
        kind, families = self.scrape(
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            openmetrics.text_string_to_metric_families)
        self.assertEqual(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.check(families)


if __name__ == "__main__":
    unittest.main()
