#!/usr/bin/env python3
"""The further tokenizers (Unigram, byte-level BPE, MPNet's and DistilBERT's WordPiece) against Hugging Face, id by id.

Vocabularies are trained on Debian's texts and laid out as users have them (vocabularies.py); each
directory is read by `transformers` and by build/parity_tool. Pairs of texts are compared with their
token types and cut as CrossEncoder has them cut (`longest_first`), BERT's too. Differences of Unigram count only if
they are no exact ties: each is listed with the scores of both segmentations. The last line is
"N passed, N failed".
"""

import argparse
import json
import os
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

import texts as corpus  # noqa: E402  (after the environment is set)
import vocabularies  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
MAX_TIES = 2 / 10000  # of all texts
LIMITS = (2, 3, 64, 256)
CUT_LINES = 500
CODE_POINT_DIRECTORIES = ("xlmr-hub", "modernbert-hub")  # all tables of Unicode that are used
SPECIAL = ["<s>", "</s>", "<pad>", "<unk>", "<mask>", "[CLS]", "[SEP]", "[MASK]",
           "|||EMAIL_ADDRESS|||", "<|endoftext|>"]


def nasty_texts():
    """Further than those of texts.py: what these tokenizers stumble over."""
    wide = [f"\uff1c{token[1:-1]}\uff1e" for token in SPECIAL if token.startswith("<")]
    glued = ["a" + token + "b" for token in SPECIAL]
    spaced = [f"x  {token}  y {token}" for token in SPECIAL]
    blanks = [" " * count + "x" + " " * count for count in (1, 2, 3, 23, 24, 25, 26, 49, 3000)]
    return corpus.nasty_texts() + wide + glued + spaced + blanks + [
        "\u2581", "\u2581\u2581a", "a\u2581b", " \u2581 ", "a \u2581b", "\u2581<mask>", "\u00a0\u0301x",
        "\u2460\u0301", "x\u0301\u2460 \u00bd\u0327", "\u00bd\u0327\u0327", "a\r\nb\r\r\n", "\u0600\u00bd\u0301",
        "\ufe70", "\u3164 \u1160", "\u1100\u1161\u11a8\u0301", "\u00a9\u200d\u2122", "\u2122\u0301", "\ufb01\u0301",
        "'s't're've'm'll'd'S'x", "I'll we've 'tis he'd  's", "  's", " '", "12ab34 \u0663\u0664a\u00b2\u00b3",
        "\t\ta\n\n\nb \n c", "a \u3000 b", "\x1c\x1d\x1e\x1fa", "x\x85y \x85", "\u1c89\u1c8a \U00010d40\U0002ebf0x",
        "xxx xxxx xxxxx III PPP ooo", "a" * 3001, "xX" * 700, "\U00012345" * 900, "\u4e2d\u6587" * 1500,
        "word \u0600 " * 600, "e\u0301 \u00bd " * 900, "tab\tend\n" * 900, "mixed \u3000" * 700,
        ("x" * 2047) + " <mask> tail", ("word " * 420) + "  <mask>" + (" word" * 420),
    ]


def code_points():
    """Every code point, a few hundred of one block to a text."""
    for start in range(0, 0x110000, 64):
        block = [chr(c) for c in range(start, start + 64) if not 0xD800 <= c <= 0xDFFF]
        if block:
            yield "".join(f"a{c}b1{c}2 {c}\u0301 " for c in block)


def is_reordered(line):
    one_by_one = "".join(unicodedata.normalize("NFD", c) for c in line)
    return one_by_one != unicodedata.normalize("NFD", line)


class Reference:
    """A directory as `transformers` reads it."""

    def __init__(self, folder):
        from transformers import AutoTokenizer
        self.whole = AutoTokenizer.from_pretrained(str(folder))
        self.tokenizer = self.whole.backend_tokenizer
        self.tokenizer.no_padding()
        model = json.loads(self.tokenizer.to_str())["model"]
        self.is_unigram = model["type"] == "Unigram"
        self.pieces = model["vocab"] if self.is_unigram else None

    def ids(self, lines, limit, side):
        if limit:
            self.tokenizer.enable_truncation(limit, direction=side)
        else:
            self.tokenizer.no_truncation()
        return [encoding.ids for encoding in self.tokenizer.encode_batch(lines)]

    def pairs(self, pairs, limit, side):
        """Ids and types, as sentence-transformers has them made for a CrossEncoder."""
        self.whole.truncation_side = side
        made = self.whole([a for a, _ in pairs], [b for _, b in pairs], max_length=limit,
                          truncation="longest_first" if limit else False)
        types = made.get("token_type_ids", [[0] * len(ids) for ids in made["input_ids"]])
        return [list(pair) for pair in zip(made["input_ids"], types)]

    def placed(self, lines):
        """Of each text its tokens with their places in bytes, special ones with their names."""
        self.tokenizer.no_truncation()
        for line, encoding in zip(lines, self.tokenizer.encode_batch(lines)):
            before = [0]
            for c in line:
                before.append(before[-1] + len(c.encode()))
            yield [[i, token] if special else [i, before[begin], before[end]]
                   for i, token, special, (begin, end) in zip(
                       encoding.ids, encoding.tokens, encoding.special_tokens_mask,
                       encoding.offsets)]

    def text(self, ids):
        return "".join(self.pieces[i][0] for i in ids)

    def score(self, ids):
        return sum(self.pieces[i][1] for i in ids)


def tie(reference, ours, theirs):
    """(our part, their part, score) if the same text was cut up otherwise with the same score."""
    if not reference.is_unigram:
        return None
    start = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)
    if start is None:
        return None
    end = 0
    while ours[len(ours) - 1 - end] == theirs[len(theirs) - 1 - end]:
        end += 1
    a, b = ours[start:len(ours) - end], theirs[start:len(theirs) - end]
    if reference.text(a) != reference.text(b) or reference.score(a) != reference.score(b):
        return None
    return ([reference.pieces[i][0] for i in a], [reference.pieces[i][0] for i in b],
            reference.score(a))


class Comparison:
    def __init__(self, tool):
        self.tool = tool
        self.passed = 0
        self.failed = 0

    def check(self, name, reference, folder, lines, limit=None, side="right"):
        ours = self.tool.ids(folder, lines, limit, side)
        theirs = reference.ids(lines, limit, side)
        wrong = [i for i in range(len(lines)) if ours[i] != theirs[i]]
        ties = {i: tie(reference, ours[i], theirs[i]) for i in wrong}
        proven = [i for i in wrong if ties[i]]
        bad = [i for i in wrong if not ties[i]]
        ok = not bad and len(proven) <= MAX_TIES * len(lines)
        self.passed += ok
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {name}: of {len(lines)} texts {len(bad)} differ, and "
              f"{len(proven)} by an exact tie", flush=True)
        for i in proven:
            print(f"     tie: ours {ties[i][0]!a}, theirs {ties[i][1]!a}, both {ties[i][2]!r}")
        for i in bad[:5]:
            self.show(lines[i], ours[i], theirs[i])

    def check_places(self, name, reference, folder, lines):
        """Where the ids are the same; whether they are is another check's business. Of marks that
        normalising puts in another order Hugging Face tells the place where they came to stand, and
        controls that a text begins with, where they are dropped, it does not count."""
        lines = [line for line in lines
                 if not is_reordered(line) and unicodedata.category(line[:1] or " ") != "Cc"]
        out, _ = self.tool.run(["pieces", folder], lines)
        ours = [json.loads(line) for line in out.splitlines()]
        theirs = list(reference.placed(lines))
        same = [i for i in range(len(lines))
                if [piece[0] for piece in ours[i]] == [piece[0] for piece in theirs[i]]]
        bad = [i for i in same if ours[i] != theirs[i]]
        self.passed += not bad
        self.failed += bool(bad)
        print(f"{'FAIL' if bad else 'ok  '} {name}: of {len(same)} texts the places differ in "
              f"{len(bad)}", flush=True)
        for i in bad[:3]:
            self.show(lines[i], ours[i], theirs[i])

    def check_pairs(self, name, reference, folder, pairs, limit, side):
        arguments = ["pairs", folder] + ([limit, side] if limit else [])
        out, _ = self.tool.run(arguments, pairs)
        ours = [json.loads(line) for line in out.splitlines()]
        theirs = reference.pairs(pairs, limit, side)
        bad = [i for i in range(len(pairs)) if ours[i] != theirs[i]]
        self.passed += not bad
        self.failed += bool(bad)
        print(f"{'FAIL' if bad else 'ok  '} {name}: {len(bad)} of {len(pairs)} pairs differ",
              flush=True)
        for i in bad[:3]:
            print(f"     {str(pairs[i])[:80]!a}\n       ours   {str(ours[i])[:200]}\n"
                  f"       theirs {str(theirs[i])[:200]}")

    @staticmethod
    def show(line, ours, theirs):
        at = next((k for k, (a, b) in enumerate(zip(ours, theirs)) if a != b), 0)
        print(f"     {line[:80]!a}, from id {at} on\n       ours   {ours[at:at + 16]}\n"
              f"       theirs {theirs[at:at + 16]}")


def make_pairs(lines, count=400):
    """Long with short, short with long, two of a length, and the empty text on either side."""
    some = corpus.sample({"all": lines}, count)
    return (list(zip(some, reversed(some))) + list(zip(some[:50], some[:50])) +
            [["", line] for line in some[:20]] + [[line, ""] for line in some[:20]] +
            [[f"{a} {b} {a}", b] for a, b in zip(some[:80], some[1:81])] + [["", ""]])


def check_pairs(comparison, folder, lines):
    reference = Reference(folder)
    for limit, side in ((None, "right"), (9, "right"), (33, "right"), (64, "right"), (65, "right"),
                        (65, "left"), (64, "left")):
        cut = f", cut {side} to {limit}" if limit else ""
        comparison.check_pairs(f"{folder.name}, pairs{cut}", reference, folder, make_pairs(lines),
                               limit, side)


def check_directory(comparison, folder, lines, nasty, thorough):
    """`thorough`: all lines, all limits and every code point; one directory of each family."""
    reference = Reference(folder)
    name = folder.name
    if not thorough:
        lines = corpus.sample({"all": lines}, 1000)
    comparison.check(f"{name}, Debian", reference, folder, lines)
    comparison.check(f"{name}, nasty", reference, folder, nasty)
    if thorough:
        comparison.check_places(f"{name}, places", reference, folder, nasty + lines)
    for side in ("right", "left"):
        for limit in LIMITS if thorough else (64,):
            some = nasty + lines[:CUT_LINES if limit != 64 else max(CUT_LINES, len(lines) // 5)]
            comparison.check(f"{name}, cut {side} to {limit}", reference, folder, some, limit, side)
    if name in CODE_POINT_DIRECTORIES:
        comparison.check(f"{name}, every code point", reference, folder, list(code_points()))


def one_thread_speed(folder, lines):
    """Of Hugging Face, in a process of its own, for its number of threads is fixed at its start."""
    script = ("import json, sys, time\nfrom transformers import AutoTokenizer\n"
              "t = AutoTokenizer.from_pretrained(sys.argv[1]).backend_tokenizer\n"
              "t.no_padding(); t.enable_truncation(256)\nlines = json.load(sys.stdin)\n"
              "start = time.perf_counter(); t.encode_batch(lines)\n"
              "print(len(lines) / (time.perf_counter() - start))")
    done = subprocess.run([sys.executable, "-c", script, str(folder)], input=json.dumps(lines),
                          capture_output=True, text=True, check=True,
                          env={**os.environ, "TOKENIZERS_PARALLELISM": "false"})
    return float(done.stdout)


def print_speed(comparison, folder, named_lines):
    for name, lines in named_lines:
        theirs = one_thread_speed(folder, lines)
        _, measured = comparison.tool.run(["ids", folder, 256, "right"], lines)
        ours = len(lines) / measured["seconds"]
        print(f"     speed on one thread, {folder.name}, {name}: {ours:.0f} texts/s, Hugging Face "
              f"{theirs:.0f} ({ours / theirs:.1f} times)", flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", default=str(ROOT / "build" / "parity_tool"))
    parser.add_argument("--lines", type=int, default=5000, help="Debian texts to compare")
    parser.add_argument("--training-lines", type=int, default=20000)
    parser.add_argument("--vocabulary", type=int, default=12000, help="tokens to train")
    parser.add_argument("--speed", action="store_true", help="also compare texts/s on one thread")
    parser.add_argument("--only", default="", help="directories whose name holds this")
    parser.add_argument("--cache", type=Path, default=ROOT / ".deps" / "texts")
    parser.add_argument("--vocabularies", type=Path, default=ROOT / ".deps" / "vocabularies")
    return parser.parse_args()


def main():
    from parity import Tool
    options = parse_arguments()
    comparison = Comparison(Tool(options.tool, 1))
    debian = corpus.debian_texts(options.cache)
    lines = corpus.sample(debian, options.lines)
    print(f"{len(lines)} texts in {len(debian)} languages")
    folders = [folder for folder in vocabularies.directories(
        options.vocabularies, debian, options.training_lines, options.vocabulary)
        if options.only in folder.name]
    nasty = nasty_texts()
    small = ROOT / "models" / "all-MiniLM-L6-v2"
    for folder in folders + [small]:
        # Hugging Face makes every combination of what it cuts off: memory grows as the square.
        check_pairs(comparison, folder, [line[:300] for line in lines])
    comparison.check_places(f"{small.name}, places", Reference(small), small,
                            nasty + lines + list(code_points()))
    for folder in folders:
        check_directory(comparison, folder, lines, nasty, folder.name.endswith("-hub"))
    titles = [line for line in lines if "\n" not in line][:2000]
    descriptions = [line for line in lines if "\n" in line][:1000]
    for folder in folders if options.speed else ():
        if folder.name.endswith("-hub"):
            print_speed(comparison, folder, [("titles", titles), ("descriptions", descriptions)])
    print(f"{comparison.passed} passed, {comparison.failed} failed")
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main())
