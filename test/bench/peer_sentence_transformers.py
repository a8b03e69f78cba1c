"""usage: peer_sentence_transformers.py MODEL_DIRECTORY float32|bfloat16 TEXTS.json"""

import sys

import peer
import sentence_transformers
import torch


def main(directory, dtype, texts_file):
    model = sentence_transformers.SentenceTransformer(
        directory, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
    peer.serve(lambda texts: model.encode(texts, batch_size=32, normalize_embeddings=True),
               texts_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
