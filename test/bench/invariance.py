#!/usr/bin/env python3
"""What it costs that a text's vector does not depend on its batch: the layers of all-MiniLM-L6-v2
by oneDNN with the activation in the kernel, which is what the worker runs in bfloat16 (and whose sums
do not depend on the number of rows), beside at::linear and a GELU of its own, which is what PyTorch runs.

In turns, medians; prints a table. Also whether a row alone gives the bytes that it gives in a batch.
"""

import statistics
import time

import torch

HIDDEN, INNER = 384, 1536
ROUNDS = 31
# Rows: a short text, a long one, a full batch.
ROWS = (8, 128, 4096)


def layers(dtype):
    """Functions from rows to rows by name: (invariant, plain)."""
    up = torch.randn(INNER, HIDDEN, dtype=dtype) / HIDDEN**0.5
    bias = torch.randn(INNER, dtype=dtype)
    packed = torch.ops.mkldnn._reorder_linear_weight(up, 512)
    square = torch.randn(HIDDEN, HIDDEN, dtype=dtype) / HIDDEN**0.5
    packed_square = torch.ops.mkldnn._reorder_linear_weight(square, 512)
    op = torch.ops.mkldnn._linear_pointwise
    return {
        "384 to 384": (lambda x: op(x, packed_square, None, "none", [], ""),
                       lambda x: torch.nn.functional.linear(x, square)),
        "384 to 1536, GELU": (lambda x: op(x, packed, bias, "gelu", [], "none"),
                              lambda x: torch.nn.functional.gelu(
                                  torch.nn.functional.linear(x, up, bias))),
    }


def medians(functions, x):
    """Seconds of each function, called in turns."""
    times = [[] for _ in functions]
    for _ in range(ROUNDS + 3):
        for seconds, function in zip(times, functions):
            started = time.perf_counter()
            function(x)
            seconds.append(time.perf_counter() - started)
    return [statistics.median(seconds[3:]) for seconds in times]


def same_alone(function, x):
    """Each of the first rows, with one neighbour, beside the same row of the batch."""
    batch = function(x)
    return all(torch.equal(function(x[i : i + 2])[0], batch[i]) for i in range(min(16, len(x) - 1)))


def main():
    torch.manual_seed(1)
    print("| layer | dtype | rows | invariant / plain, time | same bytes: invariant | plain |")
    print("|---|---|---|---|---|---|")
    with torch.inference_mode():
        for name, functions in layers(torch.bfloat16).items():
            for rows in ROWS:
                x = torch.randn(rows, HIDDEN, dtype=torch.bfloat16)
                ours, plain = medians(functions, x)
                same = ["yes" if same_alone(each, x) else "no" for each in functions]
                print(f"| {name} | bfloat16 | {rows} | {ours / plain:.2f} | {same[0]} | {same[1]} |")


if __name__ == "__main__":
    main()
