"""From the start of a program to its first answer, files in the page cache: ours, called by a BEAM
node, and sentence-transformers in a Python process, in turns."""

import statistics

import peers
import through_rpc


def measure(model, dtype, rounds, threads, work):
    """Rows by name: the seconds of each round, and the resident bytes of the last."""
    texts = work / "none.json"
    texts.write_text("{}", encoding="utf-8")
    ours, theirs = {"seconds": []}, {"seconds": []}
    for _ in range(rounds + 1):
        seconds, ours["rss"] = through_rpc.first_answer(model, dtype, work)
        ours["seconds"].append(seconds)
        peer = peers.start("sentence_transformers", dtype, model, texts, work, threads)
        peer.stop()
        theirs["seconds"].append(peer.start_seconds)
        theirs["rss"] = peer.rss
    for each in (ours, theirs):
        del each["seconds"][0]  # it filled the page cache
        each["median"] = statistics.median(each["seconds"])
    return {"sentence_transformers": theirs, "ml_worker": ours}
