#!/usr/bin/env python3
"""Runs the test suites and adds up what each one counts.

usage: run_tests.py [--list | SUITE …]

A suite is a command and a way to read its counts. A command that ends badly without having counted
a failure counts as one failed; so does a suite that ran no test. Each suite's output goes to the
terminal only when it fails, and to build/test-logs/SUITE.log always.

Suites run one after the other, for many of them have clocks. What only computes runs beside them, on
what they leave of the processor, in two such rows (BESIDE).
"""

import atexit
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "support"))
from cluster import free_port  # noqa: E402  (after the path is set)

LOGS = ROOT / "build" / "test-logs"
CLIENTS = ROOT / ".deps" / "clients" / "bin" / "python"
REFERENCE = ROOT / ".deps" / "reference" / "bin" / "python"
FAILOVER = "failover_SUITE"
GPU_SUITE = "cuda"
SOAK = "soak_SUITE"
BESIDE = ({"parity", "tokenizers", "cuda-kernels", "emulated", "golden", "models"},
          {"fuzz", "clang-tidy"})


def is_beside(name):
    return any(name in row for row in BESIDE)


def by_exit_code(_output, code):
    """A check that either holds or does not."""
    return (1, 0) if code == 0 else (0, 1)


def catch2(output, _code):
    cases = ElementTree.fromstring(output[output.index("<?xml"):]).findall(".//OverallResultsCases")
    return int(cases[-1].get("successes")), int(cases[-1].get("failures"))


def eunit(output, _code):
    if match := re.search(r"(\d+) tests?, (\d+) failures?", output):
        total, failed = int(match.group(1)), int(match.group(2))
        return total - failed, failed
    passed = re.search(r"All (\d+) tests? passed", output)
    return (int(passed.group(1)), 0) if passed else (0, 1)


def common_test(output, _code):
    if match := re.search(r"Failed (\d+) tests?\. (?:Skipped \d+.*? tests?\. )?Passed (\d+)", output):
        return int(match.group(2)), int(match.group(1))
    skipped = re.search(r"Skipped (\d+)", output)
    passed = re.search(r"(?:All|Passed) (\d+) tests?", output)
    # A case skipped because its set-up broke is no pass.
    return (int(passed.group(1)) if passed else 0, int(skipped.group(1)) if skipped else 0)


def unittest(output, _code):
    ran = int(re.search(r"Ran (\d+) tests?", output).group(1))
    failed = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", output))
    return ran - failed, failed


def closing_line(output, _code):
    match = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.MULTILINE)[-1]
    return int(match[0]), int(match[1])


def end_to_end(name, *modules):
    return ["rebar3", "ct", "--dir", "test/e2e", "--logdir", f"build/ct-{name}",
            "--suite", ",".join(modules)]


def end_to_end_suites():
    found = sorted(path.stem for path in (ROOT / "test" / "e2e").glob("*_SUITE.erl"))
    return [module for module in found if module not in (FAILOVER, SOAK)]


def suites():
    """(name, command, reader) in the order of running: quick ones first."""
    listed = [
        ("layers", ["scripts/lint", "layers"], by_exit_code),
        ("scripts", [sys.executable, "-m", "unittest", "discover", "-s", "test/scripts", "-p",
                     "*_test.py"], unittest),
        ("clang-format", ["scripts/lint", "clang-format"], by_exit_code),
        ("shellcheck", ["scripts/lint", "shellcheck"], by_exit_code),
    ]
    for program in sorted((ROOT / "build" / "test" / "cpp").glob("test_*")):
        if program.is_file() and program.stat().st_mode & 0o111:
            listed.append((f"cpp-{program.name.removeprefix('test_')}",
                           [str(program), "-r", "xml"], catch2))
    listed += [
        ("eunit", ["rebar3", "eunit"], eunit),
        ("xref", ["rebar3", "xref"], by_exit_code),
        ("ct", ["rebar3", "ct"], common_test),
        ("parity", [str(REFERENCE), "test/parity/parity.py", "--texts", "1000"], closing_line),
        ("tokenizers", [str(REFERENCE), "test/parity/tokenizers_parity.py", "--lines", "3000"],
         closing_line),
        ("cuda-kernels", [str(REFERENCE), "test/cuda/kernels.py"], closing_line),
        (GPU_SUITE, ["scripts/test-cuda"], closing_line),
        ("emulated", ["scripts/test-emulated"], closing_line),
        ("bench-smoke", [str(REFERENCE), "test/bench/bench.py", "--smoke"], closing_line),
        ("golden", [str(REFERENCE), "test/parity/golden_models.py"], closing_line),
        ("models", [str(REFERENCE), "test/parity/models_parity.py"], closing_line),
        ("e2e", end_to_end("e2e", *end_to_end_suites()), common_test),
        # What it is about happens at another moment each time: scripts/test-long repeats it.
        ("failover", end_to_end("failover", FAILOVER), common_test),
        # Short here; scripts/test-long gives them an hour and a million calls.
        ("mixed-load", [*end_to_end("soak", SOAK), "--case", "mixed_load"], common_test),
        ("many-calls", [*end_to_end("soak", SOAK), "--case", "many_calls"], common_test),
        ("clients", [str(CLIENTS), "-m", "unittest", "discover", "-s", "test/clients", "-p",
                     "*_test.py"], unittest),
        ("hornbeam", [sys.executable, "-m", "unittest", "discover", "-s", "test/hornbeam", "-p",
                      "*_test.py"], unittest),
        ("ops", [sys.executable, "-m", "unittest", "discover", "-s", "test/ops", "-p", "*_test.py"],
         unittest),
        ("docs", [sys.executable, "-m", "unittest", "discover", "-s", "test/docs", "-p",
                  "*_test.py"], unittest),
        ("page", ["/usr/bin/python3", "-m", "unittest", "discover", "-s", "test/page", "-p",
                  "*_test.py"], unittest),
        ("fuzz", ["scripts/fuzz", "60"], closing_line),
        ("dialyzer", ["rebar3", "dialyzer"], by_exit_code),
        ("clang-tidy", ["scripts/lint", "clang-tidy"], by_exit_code),
    ]
    return listed


def has_gpu():
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False)
    return "libcuda.so.1" in listed.stdout


def environment(name):
    """A state folder and an epmd of our own: what suites do to them hurts nobody else. What is not
    about GPUs runs on the CPU wherever it runs."""
    hidden = {} if name == GPU_SUITE else {"CUDA_VISIBLE_DEVICES": ""}
    return os.environ | hidden | {"XDG_STATE_HOME": str(ROOT / "build" / "state"),
                         "ERL_EPMD_PORT": str(free_port()), "ERL_EPMD_ADDRESS": "127.0.0.1",
                         # Threads that wait must not take the cores from those that work.
                         "OMP_WAIT_POLICY": "PASSIVE"}


def giving_way(command):
    """The command on what others leave of the processor: as a process, and as the group of its
    session where the kernel groups by sessions (each worker that a suite starts has its own)."""
    script = 'echo 19 2>/dev/null >/proc/self/autogroup; exec chrt --idle 0 "$@"'
    return ["bash", "-c", script, "giving_way", *command]


def end(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)


def status_of(name, command, used, output):
    """Runs a command to its end, which comes with this program's at the latest."""
    beside = is_beside(name)
    with subprocess.Popen(giving_way(command) if beside else command, cwd=ROOT, env=used,
                          stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                          start_new_session=beside) as process:
        if beside:
            atexit.register(end, process)
        return process.wait()


def run(name, command, reader):
    started = time.monotonic()
    used = environment(name)
    log = LOGS / f"{name}.log"
    # Not through a pipe, which whatever a test has left running would keep open.
    with log.open("wb") as output:
        status = status_of(name, command, used, output)
    subprocess.run(["epmd", "-kill"], env=used, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)
    output = log.read_text(errors="replace")
    try:
        passed, failed = reader(output, status)
    except (AttributeError, IndexError, ValueError, ElementTree.ParseError):
        passed, failed = 0, 1
    if failed == 0 and (status != 0 or passed == 0):
        failed = 1
    counts = f"{name}: {passed} passed, {failed} failed ({time.monotonic() - started:.0f} s)\n"
    print(f"{output[-20000:]}\n{counts}" if failed else counts, end="", flush=True)
    return passed, failed


def main(arguments):
    listed = suites()
    names = [name for name, _, _ in listed]
    if arguments == ["--list"]:
        print("\n".join(names))
        return 0
    unknown = set(arguments) - set(names)
    if unknown:
        print(f"unknown suites: {', '.join(sorted(unknown))}; known: {', '.join(names)}")
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    chosen = [suite for suite in listed if not arguments or suite[0] in arguments]
    if not has_gpu() and GPU_SUITE in (name for name, _, _ in chosen):
        print(f"{GPU_SUITE}: NOT RUN: there is no NVIDIA driver", flush=True)
        chosen = [suite for suite in chosen if suite[0] != GPU_SUITE]
    counts = []

    def run_row(row):
        counts.extend([run(*suite) for suite in row])

    beside = [threading.Thread(target=run_row, args=([s for s in chosen if s[0] in row],),
                               daemon=True) for row in BESIDE]
    for thread in beside:
        thread.start()
    run_row([suite for suite in chosen if not is_beside(suite[0])])
    for thread in beside:
        thread.join()
    passed, failed = (sum(column) for column in zip((0, len(chosen) - len(counts)), *counts))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
