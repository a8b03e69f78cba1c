"""The peers: their Python environments, their processes, how they are asked."""

import json
import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
DEPS = ROOT / ".deps"
REFERENCE = DEPS / "reference" / "bin" / "python"

PACKAGES = {
    "onnxruntime": ["onnxruntime==1.32.0", "onnx==1.23.2", "onnxscript==0.7.2", "sympy==1.14.0",
                    "tokenizers==0.23.3", "numpy==2.4.6"],
    "openvino": ["openvino==2026.4.1", "tokenizers==0.23.3", "numpy==2.4.6"],
    "fastapi": ["fastapi==0.165.0", "uvicorn==0.54.0", "torch==2.11.0", "transformers==5.23.0",
                "sentence-transformers==6.2.0", "numpy==2.4.6"],
    "infinity": ["infinity-emb[server,torch]==0.0.78", "torch==2.11.0", "transformers==4.49.0",
                 "sentence-transformers==3.4.1", "optimum==1.24.0", "click==8.1.8",
                 "datasets==3.2.0", "pyarrow==18.1.0", "numpy==1.26.4"],
}


def python_of(name):
    """An environment of its own under .deps, made once."""
    folder = DEPS / f"bench-{name}"
    stamp = DEPS / "stamps" / f"bench-{name}"
    wanted = "\n".join(PACKAGES[name])
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "--disable-pip-version-check", "install", "-q",
                        *PACKAGES[name]], check=True)
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def exported(model, work):
    """The model as ONNX, for those who need it."""
    target = work / f"{model.name}.onnx"
    if not target.exists():
        (site_packages,) = python_of("onnxruntime").parents[1].glob("lib/python3*/site-packages")
        subprocess.run([REFERENCE, HERE / "export_onnx.py", model, target], check=True,
                       stderr=subprocess.DEVNULL,
                       env=os.environ | {"PYTHONPATH": str(site_packages)})
    return target


def command_of(name, dtype, model, texts, work, threads):
    if name == "ml_worker":
        return [ROOT / "build" / "bench_tool", model, dtype, texts, threads]
    script = HERE / f"peer_{name}.py"
    if name == "sentence_transformers":
        return [REFERENCE, script, model, dtype, texts]
    return [python_of(name), script, model, dtype, texts, exported(model, work)]


class Peer:
    """A process that computes on request. `start_seconds`: until its first answer."""

    def __init__(self, name, dtype, command, threads):
        self.name = name
        self.dtype = dtype
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        if name == "ml_worker":
            # As the program itself does.
            environment["GOMP_SPINCOUNT"] = "2000"
        started = time.monotonic()
        self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=environment)
        line = self.process.stdout.readline()
        self.start_seconds = time.monotonic() - started
        self.error = None if line else self.process.stderr.read().strip().splitlines()[-1:]
        self.rss = json.loads(line)["rss"] if line else None

    @property
    def label(self):
        return f"{self.name} {self.dtype}"

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.label}: {self.process.stderr.read()[-2000:]}")
        return json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def start(name, dtype, model, texts, work, threads):
    return Peer(name, dtype, command_of(name, dtype, model, texts, work, threads), threads)
