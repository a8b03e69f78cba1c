#!/usr/bin/env python3
"""Ours against its peers, on the same texts, interleaved, in one run. scripts/bench starts it.

Prints tables and stores them, with all figures as JSON, under build/bench/.
--smoke: ours and sentence-transformers in float32, few texts; fails unless all of it ran and the
vectors are alike. It states no times: a busy machine must not fail it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import corpus
import in_worker
import machine
import peers
import report
import starting
import through_rpc

ALL = [("sentence_transformers", "float32"), ("onnxruntime", "float32"), ("openvino", "float32"),
       ("ml_worker", "float32"), ("sentence_transformers", "bfloat16"), ("openvino", "bfloat16"),
       ("ml_worker", "bfloat16"), ("onnxruntime", "int8"), ("ml_worker", "int8")]
SMOKE = [("sentence_transformers", "float32"), ("ml_worker", "float32")]
SMALLEST_COSINE = 0.9999


def start_peers(chosen, model, texts, work, threads):
    started = []
    for name, dtype in chosen:
        peer = peers.start(name, dtype, model, texts, work, threads)
        if peer.error is not None:
            print(f"{peer.label}: not run: {' '.join(peer.error)}", file=sys.stderr)
        else:
            started.append(peer)
    return started


def matmul_limits():
    """Floating-point operations per second by dtype."""
    done = subprocess.run([peers.REFERENCE, peers.HERE / "matmul.py"], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)


def run_in_worker(chosen, sets, options, work):
    """Rows by (name, dtype), smallest cosines and limits."""
    texts = work / "texts.json"
    texts.write_text(json.dumps(sets), encoding="utf-8")
    started = start_peers(chosen, options.model, texts, work, options.threads)
    ours = next(peer for peer in started if peer.name == "ml_worker")
    counts = {name: len(each) for name, each in sets.items()}
    results, limits = in_worker.measure(started, options.rounds, options.one,
                                        dict if options.smoke else matmul_limits)
    tokens = in_worker.tokens_of(ours, sets)
    cosines = in_worker.smallest_cosines(started, started[0], "mixed", counts["mixed"], work)
    rows = {(peer.name, peer.dtype): in_worker.summary(peer, results[peer.label], counts, tokens)
            for peer in started}
    for peer in started:
        peer.stop()
    return rows, cosines, limits


def share_through_rpc(texts, options, work):
    """Texts per second of 64 callers through rpc and in the worker itself, in turns: medians."""
    short = work / "short.json"
    short.write_text(json.dumps({"short": texts[:10000]}), encoding="utf-8")
    turns = [(through_rpc.callers(options.model, options.rpc_dtype, texts[:10000], work),
              callers_in_worker(short, options, work)) for _ in range(options.rounds)]
    return [statistics.median(column) for column in zip(*turns)]


def callers_in_worker(texts, options, work):
    peer = peers.start("ml_worker", options.rpc_dtype, options.model, texts, work, options.threads)
    peer.ask(op="batch", set="short", count=64)
    answer = peer.ask(op="callers", set="short", callers=64)
    peer.stop()
    return answer["texts"] / answer["seconds"]


def cached_lookups():
    """Cached texts a second on one core: in the cache alone, and in calls to the service."""
    core = str(min(os.sched_getaffinity(0)))
    done = subprocess.run(["taskset", "-c", core, peers.ROOT / "build" / "cache_bench"], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--model", type=Path, default=peers.ROOT / "models" / "all-MiniLM-L6-v2")
    parser.add_argument("--only", choices=["worker", "rpc", "start", "cache"],
                        help="one part of the benchmark")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", type=int, default=100, help="single texts a round")
    parser.add_argument("--threads", type=int, default=0, help="of each peer (0: all cores)")
    parser.add_argument("--rpc-dtype", default="float32")
    parser.add_argument("--bulk", type=int, default=100000, help="texts of the bulk call")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.rounds, options.one = 1, 10
    if options.threads == 0:
        options.threads = machine.cores()
    return options


def smoke_verdict(rows, cosines):
    checks = {"both ran": len(rows) == len(SMOKE),
              "vectors alike": all(cosine >= SMALLEST_COSINE for cosine in cosines.values()),
              "all was measured": all(row["p50_us"] > 0 and row["rss_load"] > 0
                                      for row in rows.values())}
    for name, holds in checks.items():
        print(f"{'ok  ' if holds else 'FAIL'} {name}")
    failed = sum(not holds for holds in checks.values())
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


def main(arguments):
    options = parse(arguments)
    work = peers.ROOT / "build" / "bench"
    work.mkdir(parents=True, exist_ok=True)
    chosen = {"start": SMOKE, "cache": []}.get(options.only, SMOKE if options.smoke else ALL)
    sets = corpus.sets(64, 8, 32) if options.smoke else corpus.sets(768, 128, 256)
    config = json.loads((options.model / "config.json").read_text())
    command = " ".join(["scripts/bench", *arguments])
    parts = [report.heading(machine.cpu(), machine.versions({name for name, _ in chosen}), command)]
    stored = {}
    if options.only in (None, "worker"):
        rows, cosines, limits = run_in_worker(chosen, sets, options, work)
        stored |= {"rows": {" ".join(key): row for key, row in rows.items()}, "limits": limits,
                   "cosines": cosines}
        parts += [report.in_worker(rows, limits, config, cosines), report.ratios(rows)]
    if options.only in (None, "start") and not options.smoke:
        started = starting.measure(options.model, options.rpc_dtype, options.rounds,
                                   options.threads, work)
        stored["start"] = started
        parts += [f"Start to first answer, {options.rpc_dtype}, median of {options.rounds}:",
                  report.starting(started)]
    if options.only in (None, "rpc") and not options.smoke:
        texts = corpus.different(max(options.bulk, 10000))
        share = share_through_rpc(texts, options, work)
        lines = through_rpc.measure(options.model, options.rpc_dtype, texts, options.bulk, work)
        stored |= {"rpc": lines, "callers_through_rpc_and_in_worker": share}
        parts += [f"Through rpc, {options.rpc_dtype}:", report.through_rpc(lines, *share)]
    if options.only in (None, "cache") and not options.smoke:
        lookups = cached_lookups()
        stored["cached_lookups"] = lookups
        parts += ["Cached texts on one core:", report.cached_lookups(lookups)]
    text = "\n\n".join(parts)
    (work / "report.md").write_text(text + "\n", encoding="utf-8")
    (work / "report.json").write_text(json.dumps(stored, indent=1), encoding="utf-8")
    print(text)
    return smoke_verdict(rows, cosines) if options.smoke else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
