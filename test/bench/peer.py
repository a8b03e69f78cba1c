"""What the Python peers share: a loop that does what the driver asks, one JSON object a line.

A peer is a function from texts to an array of normalised vectors.
"""

import json
import os
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def one_by_one(encode, texts):
    microseconds = []
    for text in texts:
        started = time.perf_counter()
        encode([text])
        microseconds.append((time.perf_counter() - started) * 1e6)
    return microseconds


def answer(encode, request, sets):
    texts = sets[request["set"]][: request.get("count")]
    if request["op"] == "one":
        return {"us": one_by_one(encode, texts)}
    started = time.perf_counter()
    vectors = encode(texts)
    seconds = time.perf_counter() - started
    if request["op"] == "vectors":
        vectors.astype("float32").tofile(request["file"])
    return {"seconds": seconds, "texts": len(texts), "rss": resident_bytes()}


def serve(encode, texts_file):
    with open(texts_file, encoding="utf-8") as file:
        sets = json.load(file)
    encode(["the first answer"])
    print(json.dumps({"rss": resident_bytes()}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(encode, json.loads(line), sets)), flush=True)
