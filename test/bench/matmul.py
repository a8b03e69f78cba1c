"""The machine's matrix-multiply limit: what torch reaches in some seconds at a size like a model's.

Prints a JSON object: dtype to floating-point operations per second.
"""

import json
import time

import torch

ROWS, INNER, COLUMNS = 2048, 384, 1536
SECONDS = 2


def limit(dtype):
    a = torch.randn(ROWS, INNER).to(dtype)
    layer = torch.nn.Linear(INNER, COLUMNS).to(dtype)
    with torch.inference_mode():
        layer(a)
        products, started = 0, time.perf_counter()
        while time.perf_counter() - started < SECONDS:
            layer(a)
            products += 1
        seconds = time.perf_counter() - started
    return 2 * ROWS * INNER * COLUMNS * products / seconds


if __name__ == "__main__":
    print(json.dumps({"float32": limit(torch.float32), "bfloat16": limit(torch.bfloat16)}))
