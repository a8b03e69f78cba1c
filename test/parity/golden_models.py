#!/usr/bin/env python3
"""Tiny models with weights from a counter-based hash, and what transformers computes with them.

`golden_models.py --write` writes test/cpp/model/golden/*.json, which the C++ tests hold the worker to
without Python; without `--write` it checks that those files still are what transformers gives. The
last line is "N passed, N failed".
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

GOLDEN = Path(__file__).resolve().parents[1] / "cpp" / "model" / "golden"
MAX_DELTA = 2e-6
VOCABULARY = 64
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2,
         "num_attention_heads": 2, "intermediate_size": 40, "max_position_embeddings": 160}
AFTER_PADDING = SIZES | {"pad_token_id": 1, "type_vocab_size": 1}


def labels(count):
    return {"num_labels": count}


def models():
    """Name → (model class, configuration). Heads: one label, two, three."""
    t = transformers
    distil = {"vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 40,
              "max_position_embeddings": 160}
    modern = SIZES | {"num_hidden_layers": 4, "local_attention": 8, "pad_token_id": 0,
                      "bos_token_id": None, "eos_token_id": None, "cls_token_id": None,
                      "sep_token_id": None}
    return {
        "bert": (t.BertModel, t.BertConfig(**SIZES)),
        "bert_scores": (t.BertForSequenceClassification, t.BertConfig(**SIZES, **labels(3))),
        "camembert": (t.CamembertModel, t.CamembertConfig(**AFTER_PADDING)),
        "distilbert": (t.DistilBertModel, t.DistilBertConfig(**distil)),
        "distilbert_scores": (t.DistilBertForSequenceClassification,
                              t.DistilBertConfig(**distil, **labels(2))),
        "modernbert": (t.ModernBertModel, t.ModernBertConfig(**modern)),
        "modernbert_biases": (t.ModernBertModel,
                              t.ModernBertConfig(**modern, attention_bias=True, mlp_bias=True,
                                                 norm_bias=True)),
        "modernbert_scores": (t.ModernBertForSequenceClassification,
                              t.ModernBertConfig(**modern, classifier_pooling="mean",
                                                 **labels(3))),
        "mpnet": (t.MPNetModel, t.MPNetConfig(**SIZES)),
        "mpnet_scores": (t.MPNetForSequenceClassification, t.MPNetConfig(**SIZES, **labels(1))),
        "roberta": (t.RobertaModel, t.RobertaConfig(**AFTER_PADDING)),
        "roberta_scores": (t.RobertaForSequenceClassification,
                           t.RobertaConfig(**AFTER_PADDING, **labels(1))),
        "xlm_roberta": (t.XLMRobertaModel, t.XLMRobertaConfig(**AFTER_PADDING)),
    }


def hashed(name, count):
    """Numbers in [-1, 1): splitmix64 of the name's FNV-1a hash plus a counter."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        x = (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) +
             np.uint64(seed))
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)


def hashed_tensor(name, shape):
    values = hashed(name, int(np.prod(shape)))
    if len(shape) == 1:
        values = values * np.float32(0.125) + np.float32(name.endswith(".weight"))
    else:
        values = values * np.float32(0.25)
    return torch.from_numpy(values.reshape(shape))


def fill(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(hashed_tensor(name, tuple(parameter.shape)))
    return model.eval()


def inputs():
    """Ids 0 … 63; a padding token inside, a pair, and lengths on both sides of a local window."""
    texts = [list(2 + (7 * i + n) % 60 for i in range(n)) for n in (1, 2, 3, 5, 6, 17, 150)]
    texts[5][4] = 1
    made = [{"ids": ids, "second_start": 0} for ids in texts]
    made.append({"ids": [2, 9, 3, 30, 31, 3], "second_start": 3})
    return made


def compute(model, item):
    ids = torch.tensor([item["ids"]])
    extra = {}
    if model.config.model_type == "bert":
        start = item["second_start"] or len(item["ids"])
        extra["token_type_ids"] = (torch.arange(ids.shape[1]) >= start).long()[None]
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids), **extra)
    if "logits" not in output:
        return output.last_hidden_state[0].mean(dim=0)
    logits = output.logits[0]
    return torch.sigmoid(logits) if len(logits) == 1 else logits


def golden(model):
    fill(model)
    kept = ("architectures", "model_type", "id2label")
    config = {key: value for key, value in model.config.to_dict().items()
              if key in kept or key not in transformers.PretrainedConfig().to_dict()}
    config["architectures"] = [type(model).__name__]
    tensors = {name: list(value.shape) for name, value in model.named_parameters()}
    return {"config": config, "tensors": tensors, "inputs": inputs(),
            "outputs": [compute(model, item).tolist() for item in inputs()]}


def write(path, value):
    lines = [f" {json.dumps(key)}: " + json.dumps(part) for key, part in value.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def same(stored, made):
    if any(stored[key] != made[key] for key in ("tensors", "inputs")):
        return False, "tensors or inputs differ"
    delta = max(float(np.abs(np.float32(a) - np.float32(b)).max())
                for a, b in zip(stored["outputs"], made["outputs"]))
    return delta <= MAX_DELTA, f"largest difference {delta:.1e}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    passed = failed = 0
    for name, (model_class, config) in models().items():
        path = GOLDEN / f"{name}.json"
        made = json.loads(json.dumps(golden(model_class(config))))
        if options.write:
            write(path, made)
        ok, detail = same(json.loads(path.read_text()), made)
        passed += ok
        failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {name}: {detail}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
