"""A cluster on this machine for tests from outside: real workers and a real front as operating
system processes, all on 127.0.0.1, with names, ports and a cookie of their own.

with Cluster(workers=2) as cluster:
    cluster.get("/cluster")
"""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EBIN = ROOT / "_build" / "default" / "lib" / "ml_cluster" / "ebin"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(condition, seconds=60, what="what was expected"):
    """The first true value of condition(), asked again and again."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come within {seconds} s")
        time.sleep(0.1)
    return value


class Cluster:
    """A front and its workers. `environment` is Erlang text: further keys of ml_cluster;
    `options` are those of the workers."""

    def __init__(self, workers=1, environment="", names=None, port=None,
                 options=("--compute-threads", "1")):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ml_cluster_"))
        unique = f"{os.getpid()}_{secrets.token_hex(3)}"
        self.names = names or [f"worker{i + 1}_{unique}@127.0.0.1" for i in range(workers)]
        self.front_name = f"front_{unique}@127.0.0.1"
        self.port = port or free_port()
        self.environment = environment
        self.options = options
        self.workers = {}
        self.front = None
        self.variables = os.environ | {"HOME": str(self.folder), "ERL_EPMD_ADDRESS": "127.0.0.1",
                                       "OMP_WAIT_POLICY": "PASSIVE"}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def _start(self):
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        subprocess.run(["epmd", "-daemon"], env=self.variables, check=True)
        for name in self.names:
            self.start_worker(name)
        self._start_front()
        self.await_up(len(self.names))

    def start_worker(self, name):
        with open(self.folder / f"{name}.log", "ab") as log:
            self.workers[name] = subprocess.Popen(
                [ROOT / "build" / "ml_worker", "--name", name, "--listen", "127.0.0.1",
                 "--models-root", ROOT / "models", *self.options],
                env=self.variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _start_front(self):
        names = ",".join(f"'{name}'" for name in self.names)
        (self.folder / "front.config").write_text(
            "[{kernel, [{inet_dist_use_interface, {127,0,0,1}}]},\n"
            f" {{ml_cluster, [{{workers, [{names}]}}, {{http, #{{port => {self.port}}}}}"
            f"{self.environment and ', ' + self.environment}]}}].\n")
        start = "{ok, _} = application:ensure_all_started(ml_cluster)."
        with open(self.folder / "front.log", "ab") as log:
            self.front = subprocess.Popen(
                # As in release/vm.args.
                ["erl", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none",
                 "-name", self.front_name, "-noinput", "-config", self.folder / "front",
                 "-pa", EBIN, "-eval", start],
                env=self.variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, name):
        """SIGKILL: the worker is gone without a word."""
        self.workers[name].send_signal(signal.SIGKILL)
        self.workers[name].wait()

    def await_up(self, count):
        eventually(lambda: self._alive() and self.up() == count, 120, f"{count} workers up")

    def _alive(self):
        if self.front.poll() is not None:
            raise AssertionError("the front ended:\n" + self.log("front"))
        return True

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def up(self):
        try:
            nodes = self.get("/cluster")["gpu_nodes"]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None
        return sum(node["state"] == "up" for node in nodes)

    def key(self):
        """The first API key, where there are some."""
        file = self.folder / "keys"
        return file.read_text().split()[0] if file.exists() else None

    def request(self, path, body=None, headers=None):
        headers = dict(headers or {})
        if key := self.key():
            headers.setdefault("authorization", f"Bearer {key}")
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["content-type"] = "application/json"
        return urllib.request.Request(self.url + path, data=data, headers=headers)

    def get(self, path):
        with urllib.request.urlopen(self.request(path), timeout=30) as answer:
            return json.load(answer)

    def post(self, path, body):
        with urllib.request.urlopen(self.request(path, body), timeout=60) as answer:
            return json.load(answer)

    def stop(self):
        everyone = [p for p in [self.front, *self.workers.values()] if p]
        for process in everyone:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for process in everyone:
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
