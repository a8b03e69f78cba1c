"""Served for real: 64 clients with one short text each over HTTP, ours beside
sentence-transformers under FastAPI and uvicorn and beside infinity. scripts/bench-served starts it.

One server runs at a time, wrk on the same cores; every text is asked for once and our worker's cache
is off. Prints a table, and each server's smallest cosine to the first one's vectors.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import corpus
import peers

sys.path.insert(0, str(peers.ROOT / "test" / "support"))
from cluster import Cluster, free_port  # noqa: E402  (after the path is set)

MODEL = peers.ROOT / "models" / "all-MiniLM-L6-v2"
CHECKED = 4


class Ours:
    """The front with one worker."""

    field, pick = "texts", staticmethod(lambda answer: answer["embeddings"])

    def __init__(self, dtype):
        self.name = f"ml_cluster, one worker, {dtype}"
        self.cluster = Cluster(options=("--dtype", dtype, "--cache-bytes", "0"))
        self.cluster.variables.pop("OMP_WAIT_POLICY")
        self.url = f"{self.cluster.url}/infer"

    def __enter__(self):
        self.cluster.__enter__()
        return self

    def __exit__(self, *_):
        self.cluster.stop()

    def processes(self):
        return [self.cluster.front.pid, *(w.pid for w in self.cluster.workers.values())]


class Program:
    """A server that is one program."""

    def __init__(self, name, path, field, pick, command):
        self.name, self.field, self.pick = name, field, pick
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{path}"
        self.command = [str(part) for part in command(self.port)]

    def __enter__(self):
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1",
                                    "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def processes(self):
        return [self.process.pid]


def fastapi():
    return Program("sentence-transformers, FastAPI", "/embed", "texts",
                   lambda answer: answer["embeddings"],
                   lambda port: [peers.python_of("fastapi"), peers.HERE / "peer_fastapi.py",
                                 MODEL, port])


def infinity():
    return Program("infinity, torch", "/embeddings", "input",
                   lambda answer: [each["embedding"] for each in answer["data"]],
                   lambda port: [peers.python_of("infinity").parent / "infinity_emb", "v2",
                                 "--model-id", MODEL, "--engine", "torch", "--device", "cpu",
                                 "--no-bettertransformer", "--host", "127.0.0.1", "--port", port])


def body(server, texts):
    return json.dumps({server.field: texts, "model": "all-MiniLM-L6-v2"}
                      if server.field == "input" else {server.field: texts})


def ask(server, texts):
    request = urllib.request.Request(server.url, data=body(server, texts).encode(),
                                     headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return server.pick(json.load(answer))


def first_answer(server, texts, seconds=180):
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return ask(server, texts)
        if time.monotonic() > end:
            raise RuntimeError(f"{server.name} does not answer")
        time.sleep(0.2)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(
        sum(x * x for x in a) * sum(y * y for y in b))


def script(server, texts, folder):
    """A text per request; each of wrk's two threads goes through its own half."""
    lines = Path(folder) / "bodies"
    lines.write_text("\n".join(body(server, [text]) for text in texts), encoding="utf-8")
    lua = Path(folder) / "post.lua"
    lua.write_text(f"""
local count = 0
function setup(thread) thread:set("id", count); count = count + 1 end
function init(args)
  bodies = {{}}
  local i = 0
  for line in io.lines("{lines}") do
    if i % 2 == id then bodies[#bodies + 1] = line end
    i = i + 1
  end
  at = 0
  wrk.headers["Content-Type"] = "application/json"
end
function request()
  at = at % #bodies + 1
  return wrk.format("POST", nil, nil, bodies[at])
end
""")
    return lua


def milliseconds(text):
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def load(server, texts, clients, seconds):
    """What wrk prints."""
    with tempfile.TemporaryDirectory(prefix="served_") as folder:
        done = subprocess.run(
            ["wrk", "-t2", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s",
             script(server, texts, folder), server.url],
            stdout=subprocess.PIPE, text=True, check=True).stdout
    if "Non-2xx" in done or "Socket errors" in done:
        raise RuntimeError(f"{server.name}: {done}")
    return done


def figures(done):
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", done).group(1)),
            *(milliseconds(re.search(rf"^ +{p}% +(\S+)", done, re.M).group(1)) for p in (50, 99)))


def resident(server):
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in server.processes()]
    return sum(pages) * os.sysconf("SC_PAGESIZE")


def measure(make, texts, reference, options):
    with make() as server:
        got = first_answer(server, texts[:CHECKED])
        reference.setdefault("vectors", got)
        smallest = min(cosine(a, b) for a, b in zip(reference["vectors"], got))
        # Warm; a slow server may answer nothing in it, so it is not read.
        load(server, texts, options.clients, max(1, options.seconds // 4))
        rate, p50, p99 = figures(load(server, texts, options.clients, options.seconds))
        return {"name": server.name, "rate": rate, "p50": p50, "p99": p99,
                "resident": resident(server), "cosine": smallest}


def merged(rounds):
    columns = ("rate", "p50", "p99", "resident", "cosine")
    return rounds[0] | {c: statistics.median(each[c] for each in rounds) for c in columns}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--dtypes", default="float32,bfloat16,int8", help="of our worker")
    options = parser.parse_args()
    texts = corpus.sets(10000, 1, 1)["short"]
    makers = [fastapi, infinity, *(lambda d=d: Ours(d) for d in options.dtypes.split(","))]
    reference, results = {}, [[] for _ in makers]
    for _, (at, make) in itertools.product(range(options.rounds), enumerate(makers)):
        results[at].append(measure(make, texts, reference, options))
    rows = [merged(rounds) for rounds in results]
    print("| server | requests/s | × FastAPI | × infinity | p50 | p99 | resident | cosine |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['name']} | {row['rate']:,.0f} | {row['rate'] / rows[0]['rate']:.1f} "
              f"| {row['rate'] / rows[1]['rate']:.1f} | {row['p50']:,.0f} ms | {row['p99']:,.0f} ms "
              f"| {row['resident'] / 2**20:,.0f} MiB | {row['cosine']:.4f} |")


if __name__ == "__main__":
    main()
