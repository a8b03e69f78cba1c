"""Tokenizing, padding and pooling round a session that takes padded batches, as every runtime of
ONNX files needs it: by length, 32 texts a batch, mean pooling, L2 norm."""

import json
from pathlib import Path

import numpy as np
import tokenizers

BATCH = 32


def load_tokenizer(directory):
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(directory) / "tokenizer.json"))
    limits = json.loads((Path(directory) / "sentence_bert_config.json").read_text())
    tokenizer.enable_truncation(limits["max_seq_length"])
    tokenizer.enable_padding()
    return tokenizer


def pool(states, mask):
    weights = mask[:, :, None].astype(np.float32)
    vectors = (states * weights).sum(axis=1) / weights.sum(axis=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def encoder(directory, run):
    """`run`: from the model's inputs by name to the last hidden state."""
    tokenizer = load_tokenizer(directory)

    def encode_batch(texts):
        encodings = tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        states = run({"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids})
        return pool(states, mask)

    def encode(texts):
        order = np.argsort([-len(text) for text in texts], kind="stable")
        parts = [encode_batch([texts[i] for i in order[at:at + BATCH]])
                 for at in range(0, len(order), BATCH)]
        vectors = np.concatenate(parts)
        return vectors[np.argsort(order)]

    return encode
