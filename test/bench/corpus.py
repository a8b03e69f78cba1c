"""The texts of the benchmark: English descriptions of Debian packages."""

import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "parity"))

import texts as debian  # noqa: E402  (after the path is set)


def english_texts():
    return debian.debian_texts(ROOT / ".deps" / "texts")["en"]


def titles_of(english):
    return [text for text in english if "\n" not in text]


def different(count, seed=1):
    """So many short texts, no two of them the same: where titles run out they are numbered."""
    titles = titles_of(english_texts())
    random.Random(seed).shuffle(titles)
    turns = range(-(-count // len(titles)))
    return [f"{title}, {turn}" if turn else title for turn in turns for title in titles][:count]


def sets(short, long, mixed, seed=1):
    """Short: titles. Long: titles with descriptions. Mixed: both, as they come."""
    chosen = random.Random(seed)
    english = english_texts()
    titles = titles_of(english)
    descriptions = [text for text in english if text.count("\n") >= 4]
    return {"short": chosen.sample(titles, short), "long": chosen.sample(descriptions, long),
            "mixed": chosen.sample(titles, mixed - mixed // 4)
            + chosen.sample(descriptions, mixed // 4)}
