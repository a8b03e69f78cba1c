"""Embeds the texts of a JSON file with live sentence-transformers; the last line is JSON vectors."""

import json
import pathlib
import sys

from sentence_transformers import SentenceTransformer

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    texts = json.loads(pathlib.Path(sys.argv[1]).read_text())
    model = SentenceTransformer(str(ROOT / "models" / "all-MiniLM-L6-v2"), device="cpu")
    print(json.dumps(model.encode(texts).astype(float).tolist()))


if __name__ == "__main__":
    main()
