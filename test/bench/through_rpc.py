"""The worker as a BEAM node calls it."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cluster import free_port  # noqa: E402  (after the path is set)

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "build" / "ml_worker"


def measure(model, dtype, texts, bulk, work):
    """The lines that rpc_bench.erl prints, as dictionaries."""
    return run("main", [WORKER, file_of(texts, work), model, dtype, str(bulk)], work)


def callers(model, dtype, texts, work):
    """Texts per second of 64 callers with one text each."""
    lines = run("callers", [WORKER, file_of(texts, work), model, dtype], work)
    return lines[-1]["texts_per_second"]


def file_of(texts, work):
    lines = work / "texts.txt"
    lines.write_text("\n".join(text.replace("\n", " ") for text in texts), encoding="utf-8")
    return lines


def first_answer(model, dtype, work):
    """Seconds from the start of the program to the answer of its first call, and resident bytes."""
    (line,) = run("first", [WORKER, model, dtype], work)
    return line["first_answer_ms"] / 1000, line["rss"]


def run(function, arguments, work):
    subprocess.run(["erlc", "-o", work, ROOT / "test" / "bench" / "rpc_bench.erl"], check=True)
    # An epmd of our own; it ends with the benchmark.
    environment = os.environ | {"ERL_EPMD_PORT": str(free_port()), "ERL_EPMD_ADDRESS": "127.0.0.1"}
    environment.pop("OMP_WAIT_POLICY", None)
    try:
        done = subprocess.run(
            ["erl", "-noshell", "-name", "bench@127.0.0.1", "-setcookie", secrets.token_hex(16),
             "-pa", work, "-s", "rpc_bench", function, *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=True)
    finally:
        subprocess.run(["epmd", "-kill"], env=environment, stdout=subprocess.DEVNULL, check=False)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
