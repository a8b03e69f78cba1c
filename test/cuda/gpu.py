#!/usr/bin/env python3
"""What needs an NVIDIA GPU: the C++ cases, parity with sentence-transformers, --check, throughput,
and which batches and how many replicas suit the GPU.

Run by scripts/test-cuda. Needs the programs (--bin), and a Python with torch for CUDA and
sentence-transformers. The last line is "N passed, N failed".
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np  # noqa: E402  (after the environment is set)

# In the kit it lies beside this file.
sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
from checks import Checks  # noqa: E402  (after the path is set)

# Of --dtype: the largest difference of an element (float32), the smallest cosine (16 bits).
LIMITS = {"float32": 1e-4, "float16": 0.9999, "bfloat16": 0.999}
STEP_SECONDS = 180  # what takes longer hangs
# Single tokens of BERT's English vocabularies.
WORDS = ("the of and in to was he is as for on with that it his by at from her she you had an were "
         "but be this are not my they one which or have him me first all also their has up who out "
         "been when after there into new two its time would no what about said we over then other "
         "so more can if like back them only some could where just during before do made school "
         "through than now years most world may between down well three year while will later city "
         "under around did such being used state people part know against your many second team").split()


def run(command, **more):
    return subprocess.run(command, capture_output=True, check=False, timeout=STEP_SECONDS, **more)


def run_cases(report, bin_dir, tag):
    done = run([bin_dir / "test_model", f"[{tag}]"], text=True)
    tail = (done.stdout + done.stderr)[-4000:]
    counts = re.search(r"(\d+) passed", tail) or re.search(r"in (\d+) test case", tail)
    report.check(f"C++ [{tag}]", done.returncode == 0, counts.group(0) if counts else "")
    if done.returncode != 0 or "WARN" in tail or "warning" in tail:
        print(tail, flush=True)


def some_texts(count, seed=7):
    """Of 1 to 300 words, most of them short."""
    choose = random.Random(seed)
    return [" ".join(choose.choices(WORDS, k=min(int(choose.paretovariate(1.1) * 4), 300)))
            for _ in range(count)] + ["", "Zwei Knaben rannten über die Brücke."]


def our_vectors(bin_dir, model, dtype, texts, batch_tokens=16384):
    done = run([bin_dir / "parity_tool", "vectors", model, "0", dtype, str(batch_tokens), "cuda"],
               input="".join(json.dumps(text) + "\n" for text in texts).encode())
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    measured = json.loads(done.stderr.decode().splitlines()[-1])
    return np.frombuffer(done.stdout, np.float32).reshape(len(texts), -1), measured


def cosines(a, b):
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def check_parity(report, bin_dir, name, model):
    import torch
    from sentence_transformers import SentenceTransformer
    texts = some_texts(1000)
    # Said, because the type of the weights in the file is taken otherwise.
    exact = SentenceTransformer(str(model), device="cuda", model_kwargs={"dtype": torch.float32})
    exact = exact.encode(texts, batch_size=64)
    for dtype, limit in LIMITS.items():
        ours, measured = our_vectors(bin_dir, model, dtype, texts)
        if dtype == "float32":
            worst = float(np.abs(ours - exact).max())
            ok, said = worst <= limit, f"largest difference {worst:.2g}"
        else:
            worst = float(cosines(ours, exact).min())
            ok, said = worst >= limit, f"smallest cosine {worst:.6f}"
        report.check(f"{name} {dtype}", ok, f"{said} ({measured['numerics']})")
        alone, _ = our_vectors(bin_dir, model, dtype, texts[:200], 1)
        print(f"     largest difference between alone and in a batch: "
              f"{float(np.abs(alone - ours[:200]).max()):.2g}", flush=True)


def check_program(report, bin_dir, model):
    with tempfile.TemporaryDirectory() as state:
        done = run([bin_dir / "ml_worker", "--check", "--device", "cuda", "--models-root", model.parent,
                    "--model", model.name, "--state-dir", state], text=True)
    report.check("--check", done.returncode == 0, "\n" + done.stdout + done.stderr[-3000:])


def random_base(folder, model):
    """BERT-base's size with random weights, and the tokenizer of `model`."""
    import torch
    from transformers import BertConfig, BertModel
    torch.manual_seed(0)
    BertModel(BertConfig()).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (model / name).exists():
            (folder / name).write_bytes((model / name).read_bytes())
    return folder


def texts_of(tokens, count):
    choose = random.Random(tokens)
    return [" ".join(choose.choices(WORDS, k=tokens - 2)) for _ in range(count)]


class Ours:
    """bench_tool with a model in float16 on the GPU. `batch_tokens`, `replicas`: 0, the default."""

    def __init__(self, bin_dir, model, sets, work, batch_tokens=0, replicas=0):
        file = work / "sets.json"
        file.write_text(json.dumps(sets))
        command = [bin_dir / "bench_tool", model, "float16", file, "0", str(batch_tokens), "cuda"]
        self.process = subprocess.Popen(command + [str(replicas)] * (replicas > 0),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        hung = threading.Timer(STEP_SECONDS, self.process.kill)
        hung.start()
        line = self.process.stdout.readline()
        hung.cancel()
        if not line:
            raise RuntimeError(f"bench_tool ended with {self.process.wait()}, or hung")
        return json.loads(line)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def seconds(self, name, callers, each):
        return self.ask(op="callers", set=name, callers=callers, each=each)["seconds"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(STEP_SECONDS)
        finally:
            self.process.kill()


def reference_of(model):
    """sentence-transformers in bfloat16 with SDPA."""
    import torch
    from sentence_transformers import SentenceTransformer
    return SentenceTransformer(
        str(model), device="cuda",
        model_kwargs={"dtype": torch.bfloat16, "attn_implementation": "sdpa"})


def their_seconds(reference, texts):
    """At its best batch size; all shapes have come before the time that counts."""
    best = (float("inf"), 0)
    for size in (64, 256, 1024):
        reference.encode(texts, batch_size=size)
        start = time.perf_counter()
        reference.encode(texts, batch_size=size)
        best = min(best, (time.perf_counter() - start, size))
    return best


def percentiles(seconds):
    ordered = sorted(seconds)
    return "p50 {:.2f}, p99 {:.2f} ms".format(*(1e3 * ordered[int(len(ordered) * part)]
                                                for part in (0.5, 0.99)))


def their_times_of_one(reference, texts):
    seconds = []
    for text in texts:
        start = time.perf_counter()
        reference.encode([text])
        seconds.append(time.perf_counter() - start)
    return seconds


def matmul_peak():
    """FLOP/s of libtorch's own matrix product in 16 bits, which nothing above it exceeds."""
    import torch
    size, turns = 8192, 20
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.float16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(turns):
        a @ b
    torch.cuda.synchronize()
    return turns * 2 * size ** 3 / (time.perf_counter() - start)


def flops_per_token(model, tokens):
    config = json.loads((model / "config.json").read_text())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    return config["num_hidden_layers"] * (8 * hidden * hidden + 4 * hidden * inner
                                          + 4 * tokens * hidden)


def bench(bin_dir, name, model, tokens, count, peaks, work):
    """64 callers; `count` texts of ours, a part of them for the peer."""
    texts = texts_of(tokens, count)
    part = texts[:max(1000, min(20000, count // 4))]
    with Ours(bin_dir, model, {"all": texts, "some": texts[:500]}, work) as ours:
        best = min(ours.seconds("all", 64, max(1, min(256, count // 64))) for _ in range(4))
        alone = [us * 1e-6 for us in ours.ask(op="one", set="some")["us"]][100:]
    reference = reference_of(model)
    theirs, size = their_seconds(reference, part)
    theirs_alone = their_times_of_one(reference, texts[:300])[100:]
    rate, their_rate = tokens * count / best, tokens * len(part) / theirs
    shares = ", ".join(f"{100 * flops_per_token(model, tokens) * rate / peak:.1f} % of {what}"
                       for what, peak in peaks.items())
    print(f"bench {name}, {tokens} tokens: ours {rate / 1e6:.3f} million tokens/s ({shares}); "
          f"sentence-transformers bfloat16, batches of {size}: {their_rate / 1e6:.3f}; "
          f"{rate / their_rate:.1f} times. One text: ours {percentiles(alone)}; "
          f"theirs {percentiles(theirs_alone)}", flush=True)


def bench_mixed(bin_dir, name, model, work):
    """Texts of 1 to 300 words, most of them short."""
    texts = some_texts(40000)
    with Ours(bin_dir, model, {"all": texts}, work) as ours:
        best = min(ours.seconds("all", 64, 64) for _ in range(4))
    part = texts[:8000]
    theirs, size = their_seconds(reference_of(model), part)
    rate, their_rate = len(texts) / best, len(part) / theirs
    print(f"bench {name}, mixed lengths: ours {rate:.0f} texts/s; sentence-transformers bfloat16, "
          f"batches of {size}: {their_rate:.0f}; {rate / their_rate:.1f} times", flush=True)


def sweep(bin_dir, name, model, tokens, count, work, ends):
    """What the defaults of a GPU's batches and replicas (src/model/gpu_backend.cc) should be."""
    texts = texts_of(tokens, count)
    for replicas in (1, 2, 4):
        for batch_tokens in (8192, 16384, 32768, 65535):
            if time.monotonic() > ends:
                print(f"NOT RUN: {name}, {replicas} replicas, {batch_tokens} tokens", flush=True)
                continue
            with Ours(bin_dir, model, {"all": texts}, work, batch_tokens, replicas) as ours:
                best = min(ours.seconds("all", 64, 128) for _ in range(3))
            print(f"sweep {name}, {tokens} tokens, {replicas} replicas, batches of {batch_tokens}: "
                  f"{tokens * count / best / 1e6:.3f} million tokens/s", flush=True)


def steps(options, report, work):
    """Name and function of each, in order."""
    bin_dir, model, name = options.bin, options.model, "all-MiniLM-L6-v2"
    base = work / "base"
    base.mkdir()
    peaks = {"the peak": options.peak}
    ends = time.monotonic() + options.seconds
    for tag in (".cuda", ".cuda-memory", ".cuda-poison"):
        yield "cases", lambda tag=tag: run_cases(report, bin_dir, tag)
    yield "check", lambda: check_program(report, bin_dir, model)
    yield "parity", lambda: check_parity(report, bin_dir, name, model)
    yield "bench", lambda: peaks.update({"a matrix product": matmul_peak()})
    yield "bench", lambda: bench(bin_dir, name, model, 14, 400000, peaks, work)
    yield "bench", lambda: bench(bin_dir, name, model, 50, 150000, peaks, work)
    yield "bench", lambda: bench(bin_dir, name, model, 128, 60000, peaks, work)
    yield "bench", lambda: bench_mixed(bin_dir, name, model, work)
    yield "parity bench sweep", lambda: random_base(base, model)
    yield "parity", lambda: check_parity(report, bin_dir, "BERT-base size", base)
    yield "bench", lambda: bench(bin_dir, "BERT-base size", base, 50, 40000, peaks, work)
    yield "bench", lambda: bench(bin_dir, "BERT-base size", base, 512, 6000, peaks, work)
    yield "sweep", lambda: sweep(bin_dir, "BERT-base size", base, 50, 40000, work, ends)
    yield "sweep", lambda: sweep(bin_dir, name, model, 14, 200000, work, ends)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="folder of the programs")
    parser.add_argument("--model", type=Path, required=True, help="all-MiniLM-L6-v2")
    parser.add_argument("--peak", type=float, default=790e12, help="FLOP/s, dense, 16 bits")
    parser.add_argument("--only", choices=["cases", "check", "parity", "bench", "sweep"])
    parser.add_argument("--seconds", type=float, default=480, help="no sweep begins after these")
    options = parser.parse_args()
    report = Checks()
    with tempfile.TemporaryDirectory() as folder:
        for part, step in steps(options, report, Path(folder)):
            if options.only and options.only not in part:
                continue
            try:
                step()
            except Exception as error:  # the other steps can still tell something
                report.check(part, False, repr(error))
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
