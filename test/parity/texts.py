"""Texts for the parity test: Debian's package descriptions, and a list of nasty ones."""

import fcntl
import re
import subprocess
from pathlib import Path

LANGUAGES = ["en", "de", "fr", "es", "ja", "zh_CN", "ru", "ar", "ko", "pt_BR", "it", "pl", "uk"]


def apt_options(lists):
    """The system's own sources, but lists of our own: the machine's stay as they are."""
    return ["-o", f"Dir::State::Lists={lists}", "-o", f"Acquire::Languages={','.join(LANGUAGES)}"]


def fetch_lists(lists):
    """Brings the lists of all languages, once: suites that run side by side wait for each other."""
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    with open(lists.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if any(lists.glob("*Translation-*")):
            return
        # apt's sandbox user may not write into a checkout.
        subprocess.run(["apt-get", "update", "-q", "-o", "APT::Sandbox::User=root",
                        *apt_options(lists)], check=True, stdout=subprocess.DEVNULL)


def translation_files(lists):
    """(language, file) of every list of descriptions that apt knows and that is there."""
    listing = subprocess.run(
        ["apt-get", "indextargets", *apt_options(lists), "--format", "$(LANGUAGE)|$(FILENAME)",
         "Created-By: Translations"], check=True, capture_output=True, text=True).stdout
    pairs = [line.split("|", 1) for line in listing.splitlines()]
    return [(language, Path(name)) for language, name in pairs if Path(name).exists()]


def read_list(path):
    """The text of a list, in whatever compression apt keeps it."""
    return subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", str(path)], check=True,
                          capture_output=True).stdout.decode("utf-8", "replace")


def descriptions(control, language):
    """Of each package its title, and its title with the long description."""
    field = re.compile(rf"^Description-{re.escape(language)}: (.*(?:\n .*)*)", re.M)
    for match in field.finditer(control):
        lines = match.group(1).split("\n ")
        yield lines[0]
        if len(lines) > 1:
            yield "\n".join("" if line == "." else line for line in lines)


def debian_texts(cache):
    """Distinct texts by language."""
    lists = cache / "apt-lists"
    fetch_lists(lists)
    texts = {}
    for language, path in translation_files(lists):
        seen = texts.setdefault(language, {})
        seen.update(dict.fromkeys(descriptions(read_list(path), language)))
    return {language: list(seen) for language, seen in texts.items() if seen}


def sample(texts, count):
    """`count` texts spread evenly over the languages and over each language's list."""
    chosen = []
    share = -(-count // len(texts))
    for _, list_of_language in sorted(texts.items(), key=lambda item: len(item[1])):
        take = min(share, len(list_of_language))
        step = len(list_of_language) / take
        chosen += [list_of_language[int(i * step)] for i in range(take)]
    rest = [text for texts_of in texts.values() for text in texts_of]
    known = set(chosen)
    step = max(1, len(rest) // max(1, 2 * count))
    chosen += [text for text in rest[::step] if text not in known]
    return chosen[:count]


def nasty_texts():
    """Texts that break tokenizers."""
    specials = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"]
    controls = "".join(chr(c) for c in range(0x20)) + "\x7f" + "".join(map(chr, range(0x80, 0xA0)))
    return [
        "", " ", "   ", "\t\n\r", "\n", "\x0b\x0c", "\0", "a\0b", "\0\0\0", controls,
        "a" + "b".join(controls) + "c", "\u00a0", "a\u00a0b", "\u2028", "a\u2028b\u2029c",
        "a\u200bb\u200cc\u200dd\ufeffe\u2060f", "\ufeffhello", "\u00ad so\u00adft", "\u0085",
        "a\u0085b", "\u1680\u2000\u2003\u202f\u205f\u3000x", "\u180e", "\ufffd", "a\ufffdb", "\uffff",
        "\U0010ffff", "\ue000 private", "e\u0301", "\u00e9", "cafe\u0301 caf\u00e9", "a\u0323\u0301",
        "a\u0301\u0323", "\u0301", "\u0301\u0302\u0303 alone", "Z\u0351\u036b\u0343a\u0329l\u0321go",
        "\u1e9b\u0323", "\u212b \u2126 \u212a", "\u0344", "\u0f73\u0f75\u0f81", "\U0001d15e\U0001d1bb",
        "\U000110ab\U00011099\U000110ba", "\u302a\u302b\u302e", "\u034f a\u0301\u034f\u0316",
        "I\u0130\u0131i \u0130stanbul DI\u015eARI", "\u1e9e stra\u00dfe STRASSE", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2 \u03a3\u0399\u03a3\u03a5\u03a6\u039f\u03a3",
        "\u01c4\u01c5\u01c6 \ufb01 \ufb03", "\u4e2d\u6587\u5206\u8bcd", "\u6771\u4eac\u90fd\u306b\u4f4f\u3080",
        "\u30c6\u30ad\u30b9\u30c8 \uff83\uff77\uff7d\uff84 \u304c\u304b\u3099", "\u3400\u4dbf\u4dc0\u9fff\ua000", "\uf900\ufaff\ufa0e",
        "\U00020000\U0002a6df\U0002b820\U0002b920\U0002ceaf\U0002f800\U0002fa1f\U00030000",
        "\ud55c\uad6d\uc5b4 \ubb38\uc7a5", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "\u3131\u314f \uffa1", "\uac00\u11a8",
        "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd",
        "\u202eright to left\u202c", "\u2066isolated\u2069 \u200f\u200e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
        "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0ba8\u0bc6\u0bb0\u0bcd\u0b9a\u0bcd\u0b9a\u0bbf\u0bb2\u0bcd", "\u1019\u103c\u1014\u103a\u1019\u102c", "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0 \u1c92\u1c90",
        "\u166d\u1734\u1885\u1886\ua9bd\U000111c9", "\ua9bd\u0301 \u1b44\u1baa", "\U00011f00\U00011f02 \U0001e2ec \u0898\u089c",
        "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
        "\U0001f44d\U0001f3fd ok", "\u2764\ufe0f", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "1\ufe0f\u20e3",
        "x" * 99, "x" * 100, "x" * 101, "\u00e9" * 100, "\u00e9" * 101, "e\u0301" * 100, "e\u0301" * 101,
        "\u4e2d" * 100, "a" * 100 + "!" + "a" * 101, "hello" + "\u0301" * 200, "un" * 60,
        *specials, " ".join(specials), "".join(specials), "[cls]", "[ CLS ]", "[CLS", "CLS]", "[[CLS]]",
        "[MASK]word", "word[MASK]", "a [MASK] b", "[mask]", "[unused1]", "[CLS] [MASK] [unused1] [SEP]",
        "[C\u0301LS]", "[\u200bCLS]", "\uff3bCLS\uff3d", "<s></s><unk>", "##ing", "## ing # #", "##", "[UNK]s [UNK]",
        "!" * 50, "?!?!" * 200, "..." * 400, "-" * 1000, "_____", "a_b-c.d,e;f:g", "$100 +5% =x ^2 `c` |d| ~e",
        "don't can't I'm we'll", "C++ C# .NET", "user@example.org https://example.org/a?b=c&d=e#f",
        "\u2018quoted\u2019 \u201cdouble\u201d \u2026 \u2014 \u2013", "\u00bfqu\u00e9? \u00a1s\u00ed!", "\u3002\u3001\u300c\u300d\uff01\uff1f", "\u00b4\u00a8\u02c6\u02dc\u00af",
        "1234567890 3.14159 1,000,000 0x1F 1e-5", "\u0661\u0662\u0663 \u0967\u0968 \u2460 \u00bd \u2167 \u00b2",
        "\u2200x\u2208\u211d: x\u00b2 \u2265 0", "\U0001d400\U0001d44e \u2102 \u210f", "\u2500\u2502\u250c \u2588 \u25a0 \u2192 \u2122 \u00ae \u00a9",
        "hello world " * 30, "hello world " * 126, "hello world " * 127, "hello world " * 128,
        "hello world " * 5000, "x " * 253, "x " * 254, "x " * 255, "x " * 256, "\u4e2d" * 2000,
        "a" * 20000, "a\u0301" * 5000, "nospace," * 1000, ("word " * 2047) + "e\u0301 " + "tail " * 40,
        ("\u4e2d\u0301" * 3000), "\0" * 3000 + "end", " " * 5000 + "end", "[MASK]" * 300,
        "The quick brown fox jumps over the lazy dog.", "MIXED case TeXt With ACCENTS \u00c0\u00c9\u00ce\u00d5\u00dc",
    ]


def code_point_texts():
    """Every code point that can stand in UTF-8, each between letters and among others."""
    for c in range(0x110000):
        if not 0xD800 <= c <= 0xDFFF:
            yield f"a{chr(c)}b {chr(c)}"
