"""Vocabularies trained on Debian's texts, laid out as the directories that users have.

Weights and vocabularies of the real models cannot be had everywhere; what decides whether ids are
equal is how a tokenizer works, and that is the same with a vocabulary of our own.
"""

import json
from pathlib import Path

import texts as corpus

XLMR_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
MODERNBERT_SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False))


def describe(folder, model_type, tokenizer_class, **fields):
    """config.json and tokenizer_config.json, as far as they decide about the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", {"model_type": model_type})
    write_json(folder / "tokenizer_config.json",
               {"tokenizer_class": tokenizer_class, "model_max_length": 512, **fields})


def save_again(source, target):
    """As transformers writes it: everything in tokenizer.json."""
    from transformers import AutoTokenizer
    AutoTokenizer.from_pretrained(str(source)).save_pretrained(str(target))
    (target / "config.json").write_text((source / "config.json").read_text())


def copy(source, target, names):
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        (target / name).write_bytes((source / name).read_bytes())


# ---- SentencePiece Unigram, XLM-R ----------------------------------------------------------------


def train_sentencepiece(path, lines, size):
    """With nmt_nfkc, whose charsmap XLM-R has too."""
    import sentencepiece
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(path.with_suffix("")), vocab_size=size,
        model_type="unigram", character_coverage=0.9995, num_threads=2, minloglevel=2)


def sentencepiece_parts(path):
    """Pieces as XLM-R orders them, and the charsmap in base64."""
    import base64
    from sentencepiece import sentencepiece_model_pb2
    proto = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
    pieces = [[piece.piece, piece.score] for piece in proto.pieces]
    vocab = [[token, 0.0] for token in XLMR_SPECIAL[:4]] + pieces[3:] + [["<mask>", 0.0]]
    return vocab, base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()


def added(content, token_id, **fields):
    return {"id": token_id, "content": content, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True, **fields}


def xlmr_json(vocab, normalizer, pre_tokenizer):
    ids = {piece: i for i, (piece, _) in enumerate(vocab)}
    tokens = [added(token, ids[token], lstrip=token == "<mask>") for token in XLMR_SPECIAL]
    template = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}}]
    special = {token: {"id": token, "ids": [ids[token]], "tokens": [token]}
               for token in ("<s>", "</s>")}
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": sorted(tokens, key=lambda token: token["id"]),
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
            "post_processor": {"type": "TemplateProcessing", "single": template, "pair": template + [
                {"Sequence": {"id": "B", "type_id": 0}}], "special_tokens": special},
            "decoder": None, "model": {"type": "Unigram", "unk_id": 3, "vocab": vocab}}


def old_metaspace():
    """As files of before 2024 have it."""
    return {"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": "\u2581", "str_rep": "\u2581", "add_prefix_space": True}]}


def new_normalizer(charsmap):
    return {"type": "Sequence", "normalizers": [
        {"type": "Strip", "strip_left": False, "strip_right": True},
        {"type": "Precompiled", "precompiled_charsmap": charsmap},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]}


def xlmr_directories(root, lines, size):
    hub = root / "xlmr-hub"
    describe(hub, "xlm-roberta", "XLMRobertaTokenizer", bos_token="<s>", eos_token="</s>",
             unk_token="<unk>", pad_token="<pad>", sep_token="</s>", cls_token="<s>",
             mask_token={"__type": "AddedToken", "content": "<mask>", "lstrip": True,
                         "rstrip": False, "normalized": True, "single_word": False})
    model = hub / "sentencepiece.bpe.model"
    if not model.exists():
        train_sentencepiece(model, lines, size)
        (hub / "sentencepiece.bpe.vocab").unlink()
    vocab, charsmap = sentencepiece_parts(model)
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    write_json(hub / "tokenizer.json", xlmr_json(vocab, precompiled, old_metaspace()))
    save_again(hub, root / "xlmr-saved")
    copy(hub, root / "xlmr-model-only",
         ["sentencepiece.bpe.model", "config.json", "tokenizer_config.json"])
    plain = root / "xlmr-plain-class"
    describe(plain, "xlm-roberta", "PreTrainedTokenizerFast")
    write_json(plain / "tokenizer.json", xlmr_json(
        vocab, new_normalizer(charsmap),
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}))
    return [hub, root / "xlmr-saved", root / "xlmr-model-only", plain]


# ---- byte-level BPE ------------------------------------------------------------------------------


def train_bpe(lines, size, special, add_prefix_space, normalizer=None):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def write_vocabulary_files(folder, tokenizer):
    """vocab.json and merges.txt, as GPT-2 and RoBERTa came."""
    model = json.loads(tokenizer.to_str())["model"]
    write_json(folder / "vocab.json", model["vocab"])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")


def merges_as_text(path):
    """Rewrites the rules as files of before 2024 have them."""
    content = json.loads(path.read_text())
    content["model"]["merges"] = [
        merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]
    write_json(path, content)


def roberta_directories(root, lines, size):
    from tokenizers import AddedToken, processors
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = train_bpe(lines, size, tokens[:4], False)
    tokenizer.add_special_tokens([AddedToken(token, lstrip=token == "<mask>", normalized=False)
                                  for token in tokens])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    hub = root / "roberta-hub"
    describe(hub, "roberta", "RobertaTokenizer", trim_offsets=True)
    write_vocabulary_files(hub, tokenizer)
    tokenizer.save(str(hub / "tokenizer.json"))
    merges_as_text(hub / "tokenizer.json")
    save_again(hub, root / "roberta-saved")
    copy(hub, root / "roberta-files-only",
         ["vocab.json", "merges.txt", "config.json", "tokenizer_config.json"])
    prefixed = root / "roberta-prefix-space"
    copy(hub, prefixed, ["tokenizer.json", "config.json"])
    describe(prefixed, "roberta", "RobertaTokenizer", add_prefix_space=True)
    plain = root / "roberta-plain-class"
    copy(hub, plain, ["tokenizer.json", "config.json"])
    describe(plain, "roberta", "PreTrainedTokenizerFast")
    return [hub, root / "roberta-saved", root / "roberta-files-only", prefixed, plain]


def modernbert_directories(root, lines, size):
    from tokenizers import AddedToken, normalizers, processors
    tokenizer = train_bpe(lines, size, ["|||IP_ADDRESS|||", "<|padding|>"], False, normalizers.NFC())
    runs = [AddedToken(" " * count, normalized=True, special=False) for count in range(24, 1, -1)]
    words = [AddedToken(word, normalized=True, special=False)
             for word in ("|||EMAIL_ADDRESS|||", "<|endoftext|>")]
    tokenizer.add_tokens(runs + words)
    tokenizer.add_special_tokens([AddedToken(token, lstrip=token == "[MASK]", normalized=False)
                                  for token in MODERNBERT_SPECIAL])
    ids = {token: tokenizer.token_to_id(token) for token in MODERNBERT_SPECIAL}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])])
    hub = root / "modernbert-hub"
    describe(hub, "modernbert", "PreTrainedTokenizerFast", cls_token="[CLS]", sep_token="[SEP]",
             pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]")
    tokenizer.save(str(hub / "tokenizer.json"))
    save_again(hub, root / "modernbert-saved")
    return [hub, root / "modernbert-saved"]


# ---- WordPiece, MPNet and DistilBERT -------------------------------------------------------------


def train_wordpiece(lines, size, special, unknown):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(lines, trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=special, show_progress=False))
    return tokenizer


def write_vocabulary_text(folder, tokenizer):
    ids = tokenizer.get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(ids, key=ids.get)) + "\n")


def mpnet_directories(root, lines, size):
    from tokenizers import AddedToken, processors
    special = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
    tokenizer = train_wordpiece(lines, size, special, "[UNK]")
    tokenizer.add_special_tokens([AddedToken(token, lstrip=token == "<mask>", normalized=False)
                                  for token in special])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    hub = root / "mpnet-hub"
    describe(hub, "mpnet", "MPNetTokenizer", do_lower_case=True, bos_token="<s>", eos_token="</s>",
             sep_token="</s>", cls_token="<s>", unk_token="[UNK]", pad_token="<pad>",
             mask_token="<mask>", strip_accents=None, tokenize_chinese_chars=True)
    write_vocabulary_text(hub, tokenizer)
    tokenizer.save(str(hub / "tokenizer.json"))
    save_again(hub, root / "mpnet-saved")
    copy(hub, root / "mpnet-vocabulary-only", ["vocab.txt", "config.json", "tokenizer_config.json"])
    return [hub, root / "mpnet-saved", root / "mpnet-vocabulary-only"]


def distilbert_directories(root, lines, size):
    from tokenizers import processors
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = train_wordpiece(lines, size, special, "[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    hub = root / "distilbert-hub"
    # Contradicts tokenizer.json: which of the two counts depends on the class.
    describe(hub, "distilbert", "DistilBertTokenizer", do_lower_case=False)
    write_vocabulary_text(hub, tokenizer)
    tokenizer.save(str(hub / "tokenizer.json"))
    by_model = root / "distilbert-no-class"
    copy(hub, by_model, ["tokenizer.json", "config.json"])
    write_json(by_model / "tokenizer_config.json", {"do_lower_case": False})
    copy(hub, root / "distilbert-vocabulary-only",
         ["vocab.txt", "config.json", "tokenizer_config.json"])
    return [hub, by_model, root / "distilbert-vocabulary-only"]


def directories(root, debian, training_lines, size):
    """All directories, made where they are not yet there."""
    root = Path(root) / f"{training_lines}-{size}"
    done = root / "done.json"
    if done.exists():
        return [root / name for name in json.loads(done.read_text())]
    lines = corpus.sample(debian, training_lines)
    made = (xlmr_directories(root, lines, size) + roberta_directories(root, lines, size) +
            modernbert_directories(root, lines, size) + mpnet_directories(root, lines, size) +
            distilbert_directories(root, lines, size))
    write_json(done, [folder.name for folder in made])
    return made
