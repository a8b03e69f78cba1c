#!/usr/bin/env python3
"""Holds the C++ folders to the edges that src/CMakeLists.txt declares.

Fails, naming file and line, on: an include of a folder that is not declared (DEPENDS, followed
transitively), a cycle among the declared edges, an include of another folder's private header, a
third-party header outside its owner, and a third-party header in a public header.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Which folder's seam each public header is. A header not listed here fails.
SEAMS = {
    "value.h": "base", "error.h": "base", "startup_error.h": "base", "log.h": "base",
    "utf8.h": "base", "histogram.h": "base", "keyed_hash.h": "base", "vector_width.h": "base",
    "tokenizer.h": "tokenizer", "encoder.h": "encoder",
    "device.h": "device", "cache.h": "cache",
    "batching.h": "batching", "service.h": "service", "golden.h": "service", "terms.h": "terms",
    "distribution.h": "distribution", "model.h": "model", "config.h": "config",
    "worker.h": "worker",
}

# Folders that serve others of ours through a private header, because a third-party type stands in it.
SHARED = {"json"}

# Third-party headers (by prefix) and the only folders that may include them.
OWNERS = {
    "torch/": {"model"}, "ATen/cuda/": {"cuda"}, "c10/cuda/": {"cuda"}, "cuda_": {"cuda"},
    "ATen/": {"cuda", "model"}, "c10/": {"cuda", "model"},
    "ei.h": {"terms"}, "erl_interface.h": {"terms"}, "asio": {"distribution"},
    "openssl/": {"distribution", "model"}, "unicode/": {"tokenizer"},
    "sentencepiece": {"tokenizer"}, "CLI/": {"config"}, "spdlog/": {"base"},
    "nlohmann/": {"base", "config", "json", "model", "tokenizer"},
}
# Text formatting; may be used anywhere but in public headers.
EVERYWHERE = ("fmt/",)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')
LIBRARY = re.compile(r"ml_worker_library\((\w+)([^)]*)\)")


def declared_edges():
    lines = (ROOT / "src/CMakeLists.txt").read_text().splitlines()
    text = "\n".join(line.split("#")[0] for line in lines)
    edges = {}
    for name, rest in LIBRARY.findall(text):
        depends = re.search(r"DEPENDS((?:\s+\w+)*?)\s*(?:LINKS|$)", rest.strip())
        edges[name] = set(depends.group(1).split()) if depends else set()
    return edges


def reachable(edges, start):
    seen, todo = set(), [start]
    while todo:
        for target in edges.get(todo.pop(), ()):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def is_third_party(header):
    return header.startswith(tuple(OWNERS)) or header.startswith(EVERYWHERE)


def check_include(folder, direct, allowed, header):
    """Returns what is wrong with this include in a file of `folder`, or None."""
    if header.startswith("ml_worker/"):
        seam = SEAMS.get(header.removeprefix("ml_worker/"))
        if seam is None:
            return f"{header} is no known seam (SEAMS in scripts/check_layers.py)"
        if seam != folder and seam not in allowed:
            return f"{folder} includes {header} of {seam}, an edge that is not declared"
        return None
    for prefix, owners in OWNERS.items():
        if header.startswith(prefix) and folder not in owners:
            return f"{folder} includes {header}, which belongs to {', '.join(sorted(owners))}"
    other = header.split("/")[0]
    if other in SHARED and other in direct:
        return None
    if "/" in header and (ROOT / "src" / other).is_dir() and other != folder:
        return f"{folder} includes the private header {header}"
    return None


def source_files():
    for folder in sorted(p for p in (ROOT / "src").iterdir() if p.is_dir()):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".cc", ".h"):
                yield folder.name, path
    for path in sorted((ROOT / "include/ml_worker").glob("*.h")):
        yield SEAMS.get(path.name, "unknown"), path


def problems():
    edges = declared_edges()
    for folder in edges:
        if folder in reachable(edges, folder):
            yield f"src/CMakeLists.txt: {folder} depends on itself in a circle"
    for target in {t for ts in edges.values() for t in ts} - set(edges):
        yield f"src/CMakeLists.txt: no such folder: {target}"
    for folder, path in source_files():
        where = path.relative_to(ROOT)
        if folder not in edges:
            yield f"{where}: folder {folder} is not declared in src/CMakeLists.txt"
            continue
        allowed = reachable(edges, folder)
        public = where.parts[0] == "include"
        for number, _, header in includes(path):
            wrong = check_include(folder, edges[folder], allowed, header)
            if public and is_third_party(header):
                wrong = f"third-party {header} in a public header"
            if wrong:
                yield f"{where}:{number}: {wrong}"
    for number, _, header in includes(ROOT / "src/main.cc"):
        if is_third_party(header):
            yield f"src/main.cc:{number}: main only wires, but includes {header}"


def main():
    found = list(problems())
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
