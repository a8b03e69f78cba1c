"""The texts of the benchmark: English descriptions of Debian packages."""

import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "parity"))

import texts as debian  # noqa: E402  (after the path is set)


def sets(short, long, mixed, seed=1):
    """Short: titles. Long: titles with descriptions. Mixed: both, as they come."""
    chosen = random.Random(seed)
    english = debian.debian_texts(ROOT / ".deps" / "texts")["en"]
    titles = [text for text in english if "\n" not in text]
    descriptions = [text for text in english if text.count("\n") >= 4]
    return {"short": chosen.sample(titles, short), "long": chosen.sample(descriptions, long),
            "mixed": chosen.sample(titles, mixed - mixed // 4)
            + chosen.sample(descriptions, mixed // 4)}
