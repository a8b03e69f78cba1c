"""What the front costs: requests per second and p50 at 64 connections, beside a bare handler on the
same server that reads the same body and answers a constant of the same size.

The worker answers at once, in the front's own node (test/bench/front_bench.erl); wrk drives both, in
turns: first on the cores that the front has too, then apart, wrk on the last core and the front on the
others, so that a p50 is the server's and not of who gets the core. `at the server` is requests/s times
the mean latency: how many of the connections wait for the server; the others wait for wrk, whose latency
begins when it writes a request and not when it could.
"""

import argparse
import json
import os
import pathlib
import re
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from cluster import free_port  # noqa: E402  (after the path is set)

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEXTS = (1, 256)
CONNECTIONS = 64


class Front:
    """The front, the double of a worker and the bare handler, in a node of their own."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="front_bench_")
        home = pathlib.Path(self.folder.name)
        (home / ".erlang.cookie").write_text(secrets.token_hex(16))
        (home / ".erlang.cookie").chmod(0o400)
        self.environment = os.environ | {"HOME": str(home), "ERL_EPMD_ADDRESS": "127.0.0.1",
                                         "ERL_EPMD_PORT": str(free_port())}
        subprocess.run(["erlc", "-o", home, ROOT / "test" / "bench" / "front_bench.erl"], check=True)
        subprocess.run(["epmd", "-daemon"], env=self.environment, check=True)
        self.node = subprocess.Popen(
            ["erl", "-name", "front@127.0.0.1", "-noshell", "-pa", home,
             "-pa", ROOT / "_build" / "default" / "lib" / "ml_cluster" / "ebin",
             "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-kernel", "logger_level", "error",
             "-eval", "front_bench:start()."],
            env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports = [int(port) for port in self.expect(r"ports (\d+) (\d+)")]
        return self

    def expect(self, pattern):
        for line in self.node.stdout:
            if match := re.match(pattern, line):
                return match.groups()
        raise RuntimeError("the front ended")

    def keep_to(self, cores):
        for thread in pathlib.Path(f"/proc/{self.node.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)

    def memory(self):
        self.node.stdin.write("\n")
        self.node.stdin.flush()
        return int(self.expect(r"memory (\d+)")[0])

    def __exit__(self, *_):
        self.node.kill()
        self.node.wait()
        subprocess.run(["epmd", "-kill"], env=self.environment, stdout=subprocess.DEVNULL, check=False)
        self.folder.cleanup()


def wrk(url, count, seconds, folder, cores):
    script = pathlib.Path(folder) / f"post_{count}.lua"
    texts = [f"a short text, number {i}, as people search for" for i in range(count)]
    body = json.dumps({"texts": texts})
    script.write_text('wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
                      f"wrk.body = [==[{body}]==]\n")
    done = subprocess.run(["taskset", "--cpu-list", ",".join(map(str, cores)), "wrk",
                           f"-t{min(2, len(cores))}", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency",
                           "-s", script, url], stdout=subprocess.PIPE, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))
    p50, p99, mean = (milliseconds(re.search(rf"^ +{what} +([\d.]+)(us|ms|s)", done.stdout, re.M))
                      for what in ("50%", "99%", "Latency"))
    return rate, p50, p99, rate * mean / 1000


def milliseconds(match):
    value, unit = match.groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def compare(front, count, rounds, seconds, cores):
    ours, bare = (f"http://127.0.0.1:{port}" for port in front.ports)
    results = {"front": [], "bare": []}
    for _ in range(rounds):
        results["bare"].append(wrk(f"{bare}/{count}", count, seconds, front.folder.name, cores))
        results["front"].append(wrk(f"{ours}/infer", count, seconds, front.folder.name, cores))
    return {name: [statistics.median(column) for column in zip(*values)]
            for name, values in results.items()}


def idle_memory(front, count):
    """Bytes of the VM per idle connection, each of which has had one answer."""
    def opened():
        connection = socket.create_connection(("127.0.0.1", front.ports[0]))
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        connection.recv(4096)
        return connection

    before = front.memory()
    connections = [opened() for _ in range(count)]
    # A connection gives memory back when it has been idle for a second.
    time.sleep(3)
    after = front.memory()
    for connection in connections:
        connection.close()
    return (after - before) / count


def print_rows(front, options, place, cores):
    for count in TEXTS:
        got = compare(front, count, options.rounds, options.seconds, cores)
        bare, bare_p50, bare_p99, bare_held = got["bare"]
        ours, ours_p50, ours_p99, held = got["front"]
        print(f"| {place} | {count} | {bare:,.0f} | {ours:,.0f} | {ours / bare:.2f} "
              f"| {bare_p50:.2f}, {bare_p99:.2f} ms | {ours_p50:.2f}, {ours_p99:.2f} ms "
              f"| {bare_p50 / ours_p50:.2f} | {bare_held:.0f} | {held:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--idle", type=int, default=10000, help="idle connections")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with Front() as front:
        print("| wrk | texts | bare, requests/s | front, requests/s | front / bare "
              "| bare, p50, p99 | front, p50, p99 | bare / front, p50 | at the server, bare | front |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        print_rows(front, options, "on the same cores", cores)
        if len(cores) > 1:
            front.keep_to(cores[:-1])
            print_rows(front, options, "apart", cores[-1:])
        if options.idle:
            each = idle_memory(front, options.idle)
            print(f"\n{options.idle:,} idle connections: {each / 1024:.1f} KiB each, "
                  f"{each * options.idle / 2**20:.0f} MiB in all")


if __name__ == "__main__":
    main()
