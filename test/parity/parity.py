#!/usr/bin/env python3
"""The worker's tokenizer and model against Hugging Face `tokenizers` and sentence-transformers.

Token ids must be equal, id by id; vectors (float32) may differ by 1e-5 in any element. Needs a Python
with sentence-transformers, and build/parity_tool. The last line is "N passed, N failed".
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

import numpy as np  # noqa: E402  (after the environment is set)
import texts as corpus  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "support"))
from checks import Checks  # noqa: E402  (after the path is set)

MAX_DELTA = 1e-5


class Tool:
    """Runs parity_tool."""

    def __init__(self, binary, threads):
        self.binary = binary
        self.threads = threads

    def run(self, arguments, lines):
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        done = subprocess.run([self.binary, *map(str, arguments)], input=data, capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(f"parity_tool {arguments}: {done.stderr.decode(errors='replace')}")
        return done.stdout, json.loads(done.stderr or b"{}")

    def ids(self, model, lines, limit=None, side="right"):
        out, _ = self.run(["ids", model] + ([limit, side] if limit else []), lines)
        return [json.loads(line) for line in out.splitlines()]

    def vectors(self, model, lines):
        out, measured = self.run(["vectors", model, self.threads], lines)
        return np.frombuffer(out, np.float32).reshape(len(lines), -1), measured


def different(ours, theirs):
    return [i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b]


def compare_ids(report, name, ours, theirs, lines):
    wrong = different(ours, theirs) if len(ours) == len(theirs) else list(range(len(lines)))
    report.check(name, not wrong, f"{len(wrong)} of {len(lines)} texts differ")
    for i in wrong[:5]:
        print(f"     {lines[i][:80]!a}\n       ours   {ours[i][:24]}\n       theirs {theirs[i][:24]}")


def reference_ids(tokenizer, lines, limit=None, side="right"):
    tokenizer.no_padding()
    if limit:
        tokenizer.enable_truncation(limit, direction=side)
    else:
        tokenizer.no_truncation()
    return [encoding.ids for encoding in tokenizer.encode_batch(lines)]


def check_ids(report, tool, model, tokenizer, named_lines, limit):
    for name, lines in named_lines:
        compare_ids(report, f"ids, {name}", tool.ids(model, lines), reference_ids(tokenizer, lines),
                    lines)
    for side in ("right", "left"):
        for bound in (2, 3, limit):
            lines = [line for _, some in named_lines for line in some[:2000]]
            compare_ids(report, f"ids cut {side} to {bound}", tool.ids(model, lines, bound, side),
                        reference_ids(tokenizer, lines, bound, side), lines)


def reference_vectors(model, lines):
    """Longest first, as sentence-transformers sorts them anyway; a batch then wastes no padding."""
    return model.encode(lines, batch_size=32, convert_to_numpy=True, show_progress_bar=False)


def compare_vectors(report, name, ours, theirs):
    delta = float(np.abs(ours - theirs).max()) if len(ours) else 0.0
    ok = ours.shape == theirs.shape and bool(np.isfinite(ours).all()) and delta <= MAX_DELTA
    report.check(name, ok, f"{len(ours)} texts, largest difference {delta:.2e}")


def check_batch_invariance(report, tool, model, lines):
    """A text's vector is the same to the bit whatever else is in its batch."""
    shuffled = list(range(len(lines)))
    random.Random(1).shuffle(shuffled)
    straight, _ = tool.vectors(model, lines)
    mixed, _ = tool.vectors(model, [lines[i] for i in shuffled])
    wrong = sum(straight[i].tobytes() != row.tobytes() for i, row in zip(shuffled, mixed))
    report.check("same bytes in any batch", wrong == 0, f"{wrong} of {len(lines)} texts differ")


def check_saved_shape(report, tool, model, reference, lines):
    """The directory that sentence-transformers saves loads too, with the same vectors."""
    with tempfile.TemporaryDirectory() as folder:
        reference.save(folder)
        ours, _ = tool.vectors(folder, lines)
        expected, _ = tool.vectors(model, lines)
    same = ours.tobytes() == expected.tobytes()
    report.check("saved by sentence-transformers", same, f"{len(lines)} texts, same bytes: {same}")


def check_vocabulary_file(report, tool, model, tokenizer, lines):
    """Without tokenizer.json the vocabulary file gives the same ids."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("vocab.txt", "tokenizer_config.json"):
            (Path(folder) / name).write_bytes((model / name).read_bytes())
        compare_ids(report, "ids from vocab.txt", tool.ids(folder, lines),
                    reference_ids(tokenizer, lines), lines)


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def print_speed(name, count, seconds, measured):
    ours = count / measured["seconds"]
    theirs = count / seconds
    print(f"     speed, {name}: {ours:.0f} texts/s, sentence-transformers {theirs:.0f} "
          f"({ours / theirs:.2f} times); loaded in {measured['load_seconds']:.2f} s", flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", default=str(ROOT / "build" / "parity_tool"))
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "all-MiniLM-L6-v2")
    parser.add_argument("--texts", type=int, default=2000, help="texts whose vectors are compared")
    parser.add_argument("--ids", type=int, default=20000, help="further texts, ids only")
    parser.add_argument("--every-code-point", action="store_true", help="ids of 1.1 million texts")
    parser.add_argument("--threads", type=int, default=0, help="of our forward pass; 0: all cores")
    parser.add_argument("--cache", type=Path, default=ROOT / ".deps" / "texts")
    return parser.parse_args()


def check_model(report, tool, options, lines, nasty):
    from sentence_transformers import SentenceTransformer
    reference = SentenceTransformer(str(options.model), device="cpu")
    theirs, seconds = timed(reference_vectors, reference, lines)
    ours, measured = tool.vectors(options.model, lines)
    compare_vectors(report, "vectors, Debian", ours, theirs)
    print_speed("Debian", len(lines), seconds, measured)
    ours, _ = tool.vectors(options.model, nasty)
    compare_vectors(report, "vectors, nasty", ours, reference_vectors(reference, nasty))
    check_batch_invariance(report, tool, options.model, nasty + lines[:500])
    check_saved_shape(report, tool, options.model, reference, nasty + lines[:100])


def main():
    options = parse_arguments()
    report = Checks()
    tool = Tool(options.tool, options.threads)
    debian = corpus.debian_texts(options.cache)
    nasty = corpus.nasty_texts()
    lines = corpus.sample(debian, options.texts)
    more = corpus.sample(debian, options.ids)
    print("texts: " + ", ".join(f"{name} {len(some)}" for name, some in sorted(debian.items())))

    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    named = [("nasty", nasty), ("Debian", lines), ("more Debian", more)]
    if options.every_code_point:
        named.append(("every code point", list(corpus.code_point_texts())))
    check_ids(report, tool, options.model, tokenizer, named, 256)
    check_vocabulary_file(report, tool, options.model, tokenizer, nasty)
    check_model(report, tool, options, lines, nasty)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
