#!/usr/bin/env python3
"""Prints a digest of everything that decides clang-tidy's verdict on one source file.

That is: the file, every header of this project that it includes (followed), and .clang-tidy.
Third-party headers change only with the packages, and then the build folder is made anew.
"""

import hashlib
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def sources_of(path, seen):
    if path in seen:
        return
    seen.add(path)
    for name in INCLUDE.findall(path.read_bytes()):
        for folder in (ROOT / "include", ROOT / "src", path.parent):
            candidate = folder / name.decode()
            if candidate.is_file():
                sources_of(candidate.resolve(), seen)
                break


def main():
    files = set()
    sources_of((ROOT / sys.argv[1]).resolve(), files)
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    for path in sorted(files):
        digest.update(path.read_bytes())
    print(f"{sys.argv[1].replace('/', '_')}-{digest.hexdigest()[:24]}")


if __name__ == "__main__":
    main()
