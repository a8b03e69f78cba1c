"""The tables, as Markdown."""

import platform


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def floating_point_operations(tokens, config):
    """Of the matrix multiplies with weights."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    return 2 * config["num_hidden_layers"] * (4 * hidden * hidden + 2 * hidden * inner) * tokens


def in_worker(rows, limits, config, cosines):
    def share(row, dtype, name):
        if dtype not in limits:
            return ""
        rate = floating_point_operations(row[name]["tokens_per_second"], config)
        return f"{rate / limits[dtype]:.2f}"

    lines = []
    for (name, dtype), row in rows.items():
        lines.append([
            name, dtype, *(f"{row[each]['texts_per_second']:.0f}" for each in
                           ("short", "long", "mixed")),
            f"{row['short']['tokens_per_second']:.0f}", f"{row['long']['tokens_per_second']:.0f}",
            share(row, dtype, "short"), share(row, dtype, "long"),
            f"{row['p50_us'] / 1000:.2f}", f"{row['p99_us'] / 1000:.2f}",
            f"{cosines[f'{name} {dtype}']:.5f}", f"{row['start_seconds']:.2f}",
            f"{row['rss_first'] / 2**20:.0f}", f"{row['rss_load'] / 2**20:.0f}"])
    return table(["peer", "dtype", "short texts/s", "long texts/s", "mixed texts/s",
                  "short tokens/s", "long tokens/s", "of matmul limit, short", "long",
                  "one text p50 ms", "p99 ms", "min cosine", "start s", "MiB at rest",
                  "MiB under load"], lines)


def ratios(rows):
    """Ours over the fastest other peer of the dtype; for latencies their time over ours' inverse."""
    lines = []
    for (name, dtype), ours in rows.items():
        others = {key[0]: row for key, row in rows.items()
                  if key[1] == dtype and key[0] != "ml_worker"}
        if name != "ml_worker" or not others:
            continue
        for each in ("short", "long", "mixed"):
            best = max(others, key=lambda key: others[key][each]["texts_per_second"])
            ratio = ours[each]["texts_per_second"] / others[best][each]["texts_per_second"]
            lines.append([dtype, f"{each} texts/s", best, f"{ratio:.2f} ×"])
        best = min(others, key=lambda key: others[key]["p50_us"])
        lines.append([dtype, "one text, p50 (time)", best,
                      f"{ours['p50_us'] / others[best]['p50_us']:.2f} ×"])
    return table(["dtype", "what", "against the fastest", "ours"], lines)


def beside_bulk(lines, batch):
    alone, beside = (next(line["p99_us"] for line in lines
                          if line["what"] == what and line["count"] == 1)
                     for what in ("callers", "beside_bulk"))
    return (f"One text's p99 alone {alone / 1000:.0f} ms, beside a bulk call {beside / 1000:.0f} ms: "
            f"{(beside - alone) / batch:.1f} of its batches of {batch / 1000:.0f} ms.\n\n")


def through_rpc(lines, rate, own):
    """`rate`, `own`: texts per second of 64 callers through rpc and in the worker itself."""
    rows = [[line["what"], line["count"], line["size"], line["calls"], line["texts_per_second"],
             f"{line['p50_us'] / 1000:.1f}", f"{line['p99_us'] / 1000:.1f}"]
            for line in lines if "calls" in line]
    seen = {line["what"]: line for line in lines if "calls" not in line}
    resident = (f"Resident {seen['start']['rss'] / 2**20:.0f} MiB at the first answer, "
                f"{seen['load']['rss'] / 2**20:.0f} MiB after load.\n\n")
    resident += (f"64 callers of one text each, in turns: {rate:.0f} texts/s, in the worker itself {own:.0f}: "
                 f"{rate / own:.2f} of it.\n\n")
    if "batch" in seen:
        resident += beside_bulk(lines, seen["batch"]["us"])
    head = ["series", "count", "texts a call", "calls", "texts/s", "p50 ms", "p99 ms"]
    return resident + table(head, rows)


def starting(rows):
    theirs = rows["sentence_transformers"]
    return table(["program", "first answer, s", "of sentence-transformers", "MiB at rest", "of it"],
                 [[name, f"{row['median']:.2f}", f"{row['median'] / theirs['median']:.3f}",
                   f"{row['rss'] / 2**20:.0f}", f"{row['rss'] / theirs['rss']:.2f}"]
                  for name, row in rows.items()])


def cached_lookups(rates):
    return table(["cached texts", "lookups/s"],
                 [["in the cache alone", f"{rates['cache']:.0f}"],
                  ["in calls of 4,096 texts to the service", f"{rates['service']:.0f}"]])


def heading(machine, versions, command):
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return (f"Machine: {machine}, {platform.system()} {platform.machine()}.  \n"
            f"Command: `{command}`.  \nVersions: {listed}.")
