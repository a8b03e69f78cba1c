"""What the figures were measured on."""

import os
import re
import subprocess
from pathlib import Path

import peers


def cores():
    return len(os.sched_getaffinity(0))


def cpu():
    text = Path("/proc/cpuinfo").read_text(encoding="ascii")
    model = re.search(r"^model name\s*: (.*)$", text, re.M)
    flags = set(re.search(r"^flags\s*: (.*)$", text, re.M).group(1).split())
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
             if flag in flags]
    return f"{cores()} × {model.group(1) if model else 'CPU'} ({', '.join(known)})"


def versions_in(python):
    listing = subprocess.run([python, "-m", "pip", "list", "--format=freeze"], check=True,
                             capture_output=True, text=True).stdout
    return dict(line.split("==") for line in listing.splitlines() if "==" in line)


def versions(names):
    found = {}
    reference = versions_in(peers.REFERENCE)
    for package in ("sentence-transformers", "torch", "transformers"):
        found[package] = reference[package]
    for name in names & peers.PACKAGES.keys():
        found[name] = versions_in(peers.python_of(name))[name]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=peers.ROOT, check=True,
                            capture_output=True, text=True).stdout.strip()
    return found | {"ml_worker": commit}
