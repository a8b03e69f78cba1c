"""Models of random weights for the functions that the default model does not have.

usage: small_models.py FOLDER [REFERENCE]

Writes to FOLDER, where they are not there yet: a cross-encoder of one label, a classifier of three,
a model with prompts that pooling leaves out and one with a default prompt; all with the tokenizer of
all-MiniLM-L6-v2. With REFERENCE, a JSON file of [{"model", "call", "input", "prompt"}], prints what
sentence-transformers makes of each as a line of JSON.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402  (after the environment is set)
from sentence_transformers import CrossEncoder, SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer  # noqa: E402
from transformers import (AutoTokenizer, BertConfig, BertForSequenceClassification,  # noqa: E402
                          BertModel)

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMPTS = {"query": "search for this: ", "passage": "passage: "}


def config(labels=None):
    fields = {"num_labels": labels} if labels else {}
    return BertConfig(vocab_size=30522, hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
                      intermediate_size=96, max_position_embeddings=128, initializer_range=0.5,
                      **fields)


def save(folder, model):
    model.eval().save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "models" / "all-MiniLM-L6-v2")
    tokenizer.model_max_length = 128
    tokenizer.save_pretrained(folder)


def write_classifier(folder, labels):
    save(folder, BertForSequenceClassification(config(labels)))


def write_prompted(folder, include_prompt, default):
    plain = folder.with_name(folder.name + ".plain")
    save(plain, BertModel(config()))
    transformer = Transformer(str(plain), max_seq_length=64)
    pooling = Pooling(48, pooling_mode="mean", include_prompt=include_prompt)
    SentenceTransformer(modules=[transformer, pooling], prompts=PROMPTS, device="cpu",
                        default_prompt_name=default).save_pretrained(str(folder))


WRITERS = {
    "small-cross-encoder": lambda folder: write_classifier(folder, 1),
    "small-classifier": lambda folder: write_classifier(folder, 3),
    "small-prompted": lambda folder: write_prompted(folder, False, None),
    "small-default-prompt": lambda folder: write_prompted(folder, True, "passage"),
}


def scores_of_texts(folder, texts):
    """CrossEncoder takes pairs only: what transformers gives for single texts."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return model(**batch).logits.double().tolist()


def reference(root, question):
    folder = str(root / question["model"])
    if question["call"] == "scores":
        return scores_of_texts(folder, question["input"])
    if question["call"] == "predict":
        pairs = [tuple(pair) for pair in question["input"]]
        return CrossEncoder(folder, device="cpu").predict(pairs).astype(float).tolist()
    model = SentenceTransformer(folder, device="cpu")
    texts, prompt = question["input"], question.get("prompt")
    if question["call"] == "embed_tokens":
        vectors = model.encode(texts, output_value="token_embeddings", prompt_name=prompt)
        return [vector.double().tolist() for vector in vectors]
    vectors = model.encode(texts, prompt_name=prompt)
    if question["call"] == "similarity":
        return model.similarity(vectors, vectors).double().tolist()
    return vectors.astype(float).tolist()


def main():
    root = pathlib.Path(sys.argv[1])
    for seed, (name, write) in enumerate(WRITERS.items()):
        if (root / name / "complete").exists():
            continue
        torch.manual_seed(seed)
        write(root / name)
        (root / name / "complete").touch()
    if len(sys.argv) > 2:
        for question in json.loads(pathlib.Path(sys.argv[2]).read_text()):
            print(json.dumps(reference(root, question)))


if __name__ == "__main__":
    main()
