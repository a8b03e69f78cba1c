"""Throughput, latency and likeness of all peers, interleaved: what one process computes."""

import statistics

import numpy as np


def measure(peers, rounds, one_count, matmul_limits):
    """Per peer: {"SET": [seconds, …], "us": [microseconds, …]}, each peer's turn in each round; and
    what `matmul_limits` gives in its turns: medians by dtype."""
    results = {peer.label: {"us": []} for peer in peers}
    limits = []
    for turn in range(rounds + 1):
        if turn > 0:
            limits.append(matmul_limits())
        for peer in peers:
            for texts in ("short", "long", "mixed"):
                answer = peer.ask(op="batch", set=texts)
                if turn > 0:  # the first is for warming up
                    results[peer.label].setdefault(texts, []).append(answer["seconds"])
            if turn > 0:
                results[peer.label]["us"] += peer.ask(op="one", set="short", count=one_count)["us"]
                results[peer.label]["rss"] = answer["rss"]
    return results, {dtype: statistics.median(each[dtype] for each in limits)
                     for dtype in limits[0]}


def tokens_of(peer, sets):
    """What the sets cost in tokens, asked of ours: the others have the same tokenizer."""
    return {name: peer.ask(op="batch", set=name)["tokens"] for name in sets}


def vectors(peer, name, count, work):
    file = work / f"{peer.label.replace(' ', '-')}.f32"
    peer.ask(op="vectors", set=name, file=str(file))
    return np.fromfile(file, np.float32).reshape(count, -1)


def smallest_cosines(peers, reference, name, count, work):
    """Of each peer to the reference peer's vectors."""
    wanted = vectors(reference, name, count, work)
    found = {}
    for peer in peers:
        got = vectors(peer, name, count, work)
        lengths = np.linalg.norm(got, axis=1) * np.linalg.norm(wanted, axis=1)
        found[peer.label] = float(((got * wanted).sum(axis=1) / lengths).min())
    return found


def summary(peer, result, counts, tokens):
    row = {"start_seconds": peer.start_seconds, "rss_first": peer.rss, "rss_load": result["rss"],
           "p50_us": float(np.percentile(result["us"], 50)),
           "p99_us": float(np.percentile(result["us"], 99))}
    for name, count in counts.items():
        seconds = statistics.median(result[name])
        row[name] = {"texts_per_second": count / seconds,
                     "tokens_per_second": tokens[name] / seconds}
    return row
