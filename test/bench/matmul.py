"""The machine's matrix-multiply limit: the best of several runs of torch at sizes like a model's.

Prints a JSON object: dtype to floating-point operations per second.
"""

import json
import time

import torch

ROWS, INNER, COLUMNS = 2048, 384, 1536


def best(dtype):
    a = torch.randn(ROWS, INNER).to(dtype)
    layer = torch.nn.Linear(INNER, COLUMNS).to(dtype)
    seconds = []
    with torch.inference_mode():
        for _ in range(60):
            started = time.perf_counter()
            layer(a)
            seconds.append(time.perf_counter() - started)
    return 2 * ROWS * INNER * COLUMNS / min(seconds)


if __name__ == "__main__":
    print(json.dumps({"float32": best(torch.float32), "bfloat16": best(torch.bfloat16)}))
