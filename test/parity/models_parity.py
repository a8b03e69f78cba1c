#!/usr/bin/env python3
"""Every architecture, module and head against live sentence-transformers.

The models have random weights at the real configuration (hidden size, heads, buckets, windows), by
default with fewer layers; their tokenizer is all-MiniLM-L6-v2's. Normalised vectors may differ by
1e-5 in any element. The last line is "N passed, N failed".
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np  # noqa: E402  (after the environment is set)
import torch  # noqa: E402
import transformers  # noqa: E402
from sentence_transformers import CrossEncoder, SentenceTransformer  # noqa: E402
from sentence_transformers.base.modules import Dense, Normalize, Transformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling  # noqa: E402

import texts as corpus  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "support"))
from checks import Checks  # noqa: E402  (after the path is set)

MINILM = ROOT / "models" / "all-MiniLM-L6-v2"
MAX_DELTA = 1e-5
LEAST_COSINE = {"bfloat16": 0.9999, "int8": 0.98}
VOCABULARY = 30522


def architectures():
    """Name → (configuration, its real number of layers)."""
    t = transformers
    base = {"vocab_size": VOCABULARY}
    roberta = base | {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    unmarked = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None,
                "cls_token_id": None, "sep_token_id": None}
    return {
        "bert (paraphrase-multilingual-MiniLM-L12-v2)":
            (t.BertConfig(**base, hidden_size=384, intermediate_size=1536), 12),
        "bert (bert-base)": (t.BertConfig(**base), 12),
        "distilbert": (t.DistilBertConfig(**base), 6),
        "mpnet (all-mpnet-base-v2)":
            (t.MPNetConfig(**base, max_position_embeddings=514, layer_norm_eps=1e-5), 12),
        "roberta": (t.RobertaConfig(**roberta), 12),
        "xlm-roberta": (t.XLMRobertaConfig(**roberta), 12),
        "modernbert": (t.ModernBertConfig(**base, **unmarked), 22),
    }


def run_tool(folder, lines, threads=2, dtype="float32", batch_tokens=2048):
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    command = [ROOT / "build" / "parity_tool", "vectors", folder, threads, dtype, batch_tokens]
    done = subprocess.run([str(part) for part in command], input=data, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return np.frombuffer(done.stdout, np.float32).reshape(len(lines), -1)


def normalized(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def with_layers(config, layers):
    """A configuration of that many layers; ModernBERT's kinds of attention follow."""
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    return config


def random_model(auto_class, config):
    """transformers' initial weights, with norms, biases and relative bias that do something."""
    torch.manual_seed(1)
    model = auto_class.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            if "relative" in name:
                parameter.normal_(0, 1)
    return model


def save(model, folder):
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(MINILM / name, folder)
    if model.config.model_type != "bert":
        # The others' own tokenizers give no token types.
        path = Path(folder) / "tokenizer_config.json"
        names = {"model_input_names": ["input_ids", "attention_mask"]}
        path.write_text(json.dumps(json.loads(path.read_text()) | names))


def check_invariance(checks, name, folder, lines, dtype):
    expected = run_tool(folder, lines, dtype=dtype)
    order = np.random.default_rng(1).permutation(len(lines))
    shuffled = [lines[i] for i in order]
    different = 0
    for threads, budget in ((1, 1), (2, 700), (1, 16384)):
        rows = run_tool(folder, shuffled, threads, dtype, budget)
        different += sum(expected[i].tobytes() != row.tobytes() for i, row in zip(order, rows))
    checks.check(f"{name}, {dtype}: same bytes in any batch", different == 0,
                 f"{different} of {3 * len(lines)} texts differ")


def check_architecture(checks, name, config, lines):
    with tempfile.TemporaryDirectory() as folder:
        save(random_model(transformers.AutoModel, config), folder)
        theirs = SentenceTransformer(folder, device="cpu").encode(lines, batch_size=8)
        ours = run_tool(folder, lines)
        delta = float(np.abs(normalized(ours) - normalized(theirs)).max())
        checks.check(name, delta <= MAX_DELTA, f"{len(lines)} texts, largest difference {delta:.1e}")
        for dtype, least in LEAST_COSINE.items():
            rows = run_tool(folder, lines, dtype=dtype)
            cosine = float((normalized(rows) * normalized(ours)).sum(axis=1).min())
            checks.check(f"{name}, {dtype}", cosine >= least, f"smallest cosine {cosine:.6f}")
        for dtype in ("float32", "bfloat16"):
            check_invariance(checks, name, folder, lines[:12], dtype)


def check_modules(checks, lines):
    """Every pooling at once, behind it Dense, LayerNorm and Normalize, saved and loaded."""
    transformer = Transformer(str(MINILM))
    pooling = Pooling(384, pooling_mode=Pooling.POOLING_MODES)
    torch.manual_seed(2)
    chains = {
        "all pooling modes": [pooling],
        "Dense (tanh), Normalize": [Pooling(384), Dense(384, 100), Normalize()],
        "Dense (gelu, residual), LayerNorm":
            [Pooling(384, "cls"), Dense(384, 50, bias=False, activation_function=torch.nn.GELU(),
                                        use_residual=True), LayerNorm(50)],
        "Normalize, Dense (identity)":
            [Pooling(384, ("max", "mean")), Normalize(),
             Dense(768, 7, activation_function=torch.nn.Identity())],
    }
    for name, modules in chains.items():
        model = SentenceTransformer(modules=[transformer, *modules], device="cpu")
        with tempfile.TemporaryDirectory() as folder:
            model.save(folder)
            ours = run_tool(folder, lines)
        theirs = model.encode(lines, batch_size=8)
        delta = float(np.abs(normalized(ours) - normalized(theirs)).max())
        checks.check(f"modules: {name}", delta <= MAX_DELTA, f"largest difference {delta:.1e}")


def check_lower_case(checks, lines):
    """do_lower_case before a tokenizer that keeps upper case."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(MINILM, folder, dirs_exist_ok=True)
        for name, changes in (("tokenizer_config.json", {"do_lower_case": False}),
                              ("sentence_bert_config.json", {"do_lower_case": True})):
            path = Path(folder) / name
            path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        model = SentenceTransformer(folder, device="cpu")
        mixed = [line.title() for line in lines] + ["\u0130STANBUL, STRASSE \u1e9e, \u039f\u03a3"]
        theirs = model.encode(mixed, batch_size=8)
        delta = float(np.abs(run_tool(folder, mixed) - theirs).max())
    checks.check("lower case asked for", delta <= MAX_DELTA, f"largest difference {delta:.1e}")


def check_prompt(checks, lines):
    """include_prompt false: the prompt's tokens are computed and not pooled."""
    prompt = "represent this sentence: "
    modules = [Transformer(str(MINILM)), Pooling(384, ("cls", "mean", "weightedmean"),
                                                 include_prompt=False)]
    model = SentenceTransformer(modules=modules, device="cpu")
    tokenizer = model.tokenizer
    unpooled = len(tokenizer(prompt)["input_ids"]) - 1
    inputs = [{"ids": tokenizer(prompt + line, truncation=True, max_length=model.max_seq_length)
               ["input_ids"], "unpooled": unpooled} for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        ours = run_tool(folder, inputs)
    theirs = model.encode(lines, prompt=prompt)
    delta = float(np.abs(normalized(ours) - normalized(theirs)).max())
    checks.check("modules: prompt left out", delta <= MAX_DELTA, f"largest difference {delta:.1e}")


def pair_input(encoding):
    types = encoding.get("token_type_ids", [])
    return {"ids": encoding["input_ids"], "second_start": types.index(1) if 1 in types else 0}


def check_cross_encoder(checks, name, config, lines, labels, saved):
    config.num_labels = labels
    pairs = list(zip(lines, reversed(lines)))
    with tempfile.TemporaryDirectory() as folder:
        save(random_model(transformers.AutoModelForSequenceClassification, config), folder)
        model = CrossEncoder(folder, device="cpu")
        theirs = model.predict(pairs, batch_size=8).reshape(len(pairs), labels)
        if saved:
            folder = os.path.join(folder, "saved")
            model.save(folder)
        inputs = [pair_input(model.tokenizer(a, b, truncation=True)) for a, b in pairs]
        ours = run_tool(folder, inputs)
        delta = float(np.abs(ours - theirs).max())
        checks.check(f"cross-encoder, {name}, {labels} labels", delta <= MAX_DELTA,
                     f"{len(pairs)} pairs, largest difference {delta:.1e}")
        check_invariance(checks, f"cross-encoder, {name}", folder, inputs[:8], "float32")


def ranks(values):
    return np.argsort(np.argsort(values)).astype(np.float64)


def check_precision(checks, lines, count):
    """The real model in lower precision: cosine, and the order of similarities of pairs."""
    exact = run_tool(MINILM, lines)
    random = np.random.default_rng(3)
    first, second = random.integers(0, len(lines), (2, count))
    similarity = (exact[first] * exact[second]).sum(axis=1)
    for dtype, least in LEAST_COSINE.items():
        rows = run_tool(MINILM, lines, dtype=dtype)
        cosines = (rows * exact).sum(axis=1)
        other = (rows[first] * rows[second]).sum(axis=1)
        spearman = np.corrcoef(ranks(similarity), ranks(other))[0, 1]
        checks.check(f"all-MiniLM-L6-v2, {dtype}", cosines.min() >= least and spearman >= 0.99,
                     f"{len(lines)} texts, smallest cosine {cosines.min():.6f}, mean "
                     f"{cosines.mean():.6f}; Spearman of {count} pairs {spearman:.5f}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all-layers", action="store_true", help="as many as the real models have")
    parser.add_argument("--texts", type=int, default=16, help="of each architecture")
    parser.add_argument("--precision-texts", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=10000)
    parser.add_argument("--only", default="", help="architectures whose name begins so")
    parser.add_argument("--cache", type=Path, default=ROOT / ".deps" / "texts")
    return parser.parse_args()


def main():
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    options = parse_arguments()
    checks = Checks()
    debian = corpus.debian_texts(options.cache)
    some = corpus.sample(debian, options.texts)
    # Both sides of every limit: a local window, buckets that widen, the longest text.
    lines = ["a", *some, " ".join(some)[:700], " ".join(some * 30)]
    for name, (config, real) in architectures().items():
        if not name.startswith(options.only):
            continue
        layers = real if options.all_layers else min(real, 4 if "modern" in name else 2)
        config = with_layers(config, layers)
        check_architecture(checks, f"{name}, {layers} layers", config, lines)
        if "multilingual" not in name and "xlm" not in name:
            labels = 1 if config.model_type in ("bert", "mpnet") else 3
            check_cross_encoder(checks, name, config, lines[:12], labels,
                                saved=config.model_type == "bert")
    check_modules(checks, lines)
    check_prompt(checks, lines[:8])
    check_lower_case(checks, lines[:8])
    check_precision(checks, corpus.sample(debian, options.precision_texts), options.pairs)
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
