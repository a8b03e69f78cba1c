#!/usr/bin/env python3
"""What needs an NVIDIA GPU: the C++ cases, parity with sentence-transformers, --check, throughput.

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
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np  # noqa: E402  (after the environment is set)

# In the kit it lies beside this file.
sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))
from checks import Checks  # noqa: E402  (after the path is set)

# Of --dtype: the largest difference of an element (float32), the smallest cosine (16 bits).
LIMITS = {"float32": 1e-4, "float16": 0.9999, "bfloat16": 0.999}
# Single tokens of BERT's English vocabularies.
WORDS = ("the of and in to was he is as for on with that it his by at from her she you had an were "
         "but be this are not my they one which or have him me first all also their has up who out "
         "been when after there into new two its time would no what about said we over then other "
         "so more can if like back them only some could where just during before do made school "
         "through than now years most world may between down well three year while will later city "
         "under around did such being used state people part know against your many second team").split()


def run_cases(report, bin_dir, tag):
    done = subprocess.run([bin_dir / "test_model", f"[{tag}]"], capture_output=True, text=True)
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
    done = subprocess.run(
        [bin_dir / "parity_tool", "vectors", model, "0", dtype, str(batch_tokens), "cuda"],
        input="".join(json.dumps(text) + "\n" for text in texts).encode(), capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    measured = json.loads(done.stderr.decode().splitlines()[-1])
    return np.frombuffer(done.stdout, np.float32).reshape(len(texts), -1), measured


def cosines(a, b):
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def check_parity(report, bin_dir, name, model):
    from sentence_transformers import SentenceTransformer
    texts = some_texts(1000)
    exact = SentenceTransformer(str(model), device="cuda").encode(texts, batch_size=64)
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
        done = subprocess.run(
            [bin_dir / "ml_worker", "--check", "--device", "cuda", "--models-root", model.parent,
             "--model", model.name, "--state-dir", state], capture_output=True, text=True)
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
    def __init__(self, bin_dir, model, sets, work):
        file = work / "sets.json"
        file.write_text(json.dumps(sets))
        self.process = subprocess.Popen(
            [bin_dir / "bench_tool", model, "float16", file, "0", "0", "cuda"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def seconds(self, name, callers, each):
        request = {"op": "callers", "set": name, "callers": callers, "each": each}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["seconds"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def their_seconds(model, texts):
    """sentence-transformers in bfloat16 with SDPA, at its best batch size."""
    import torch
    from sentence_transformers import SentenceTransformer
    reference = SentenceTransformer(
        str(model), device="cuda",
        model_kwargs={"dtype": torch.bfloat16, "attn_implementation": "sdpa"})
    best = (float("inf"), 0)
    for size in (64, 256, 1024):
        reference.encode(texts[:size], batch_size=size)
        start = time.perf_counter()
        reference.encode(texts, batch_size=size)
        best = min(best, (time.perf_counter() - start, size))
    return best


def flops_per_token(model, tokens):
    config = json.loads((model / "config.json").read_text())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    return config["num_hidden_layers"] * (8 * hidden * hidden + 4 * hidden * inner
                                          + 4 * tokens * hidden)


def bench(bin_dir, name, model, tokens, count, peak, work):
    texts = texts_of(tokens, count)
    ours = Ours(bin_dir, model, {"all": texts}, work)
    each = max(1, min(256, count // 64))
    best = min(ours.seconds("all", 64, each) for _ in range(4))
    ours.close()
    theirs, size = their_seconds(model, texts[:max(1000, count // 4)])
    theirs *= count / max(1000, count // 4)
    total = tokens * count
    share = flops_per_token(model, tokens) * total / best / peak
    print(f"bench {name}, {tokens} tokens: ours {total / best / 1e6:.3f} million tokens/s "
          f"({100 * share:.1f} % of the peak); sentence-transformers bfloat16, batches of {size}: "
          f"{total / theirs / 1e6:.3f}; {theirs / best:.1f} times", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="folder of the programs")
    parser.add_argument("--model", type=Path, required=True, help="all-MiniLM-L6-v2")
    parser.add_argument("--peak", type=float, default=790e12, help="FLOP/s, dense, 16 bits")
    parser.add_argument("--only", choices=["cases", "parity", "check", "bench"])
    options = parser.parse_args()
    wanted = [options.only] if options.only else ["cases", "parity", "check", "bench"]
    report = Checks()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if "cases" in wanted:
            run_cases(report, options.bin, ".cuda")
            run_cases(report, options.bin, ".cuda-poison")
        if "check" in wanted:
            check_program(report, options.bin, options.model)
        if "parity" in wanted:
            check_parity(report, options.bin, "all-MiniLM-L6-v2", options.model)
        if "bench" in wanted:
            base = work / "base"
            base.mkdir()
            random_base(base, options.model)
            for name, model, tokens, count in (
                    ("all-MiniLM-L6-v2", options.model, 14, 40000),
                    ("all-MiniLM-L6-v2", options.model, 128, 20000),
                    ("BERT-base size", base, 50, 40000), ("BERT-base size", base, 512, 6000)):
                bench(options.bin, name, model, tokens, count, options.peak, work)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
