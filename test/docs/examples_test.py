"""Every example in README and docs is run, against a real front and two real workers.

A fenced block is run as its language says: sh by bash, erlang as the lines of a shell (what stands
below a line is what it must answer; ... stands for anything), elixir and python as programs (a
comment behind a print is what it prints). A block that cannot be run here says why in a comment
before it: <!-- not run: … -->; the worker's options in it are held against --help. Drawings and
grammars, which nobody runs, are text; hex is held by test/cpp/distribution/protocol_page_test.cc.
"""

import base64
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from cluster import EBIN, ROOT, Cluster, free_port  # noqa: E402

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLIENTS = ROOT / ".deps" / "clients" / "bin" / "python"
FENCE = re.compile(r"(<!-- not run: [^>]+ -->\n)?^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUN = ("sh", "erlang", "elixir", "python")
TO_RUN = re.compile(r"^(?:\$ |\d+> |curl |erl |ml_worker |build/|scripts/|rpc:|import )", re.MULTILINE)
PORT = "8080"


def blocks(page, language):
    """The blocks of a page that are to be run."""
    return [text for skipped, tag, text in FENCE.findall(page.read_text())
            if tag == language and not skipped]


def pages_with(language):
    return [page for page in PAGES if blocks(page, language)]


def shell_lines(block):
    """[(expression, what it must answer)] of a transcript."""
    parts = re.split(r"^\d+> ", block, flags=re.MULTILINE)[1:]
    return [re.match(r"(.*?\.)$\n?(.*)", part, re.DOTALL | re.MULTILINE).groups() for part in parts]


def matches(expected, got):
    """The parts between the dots stand in what was got, in this order; blanks do not count."""
    got, position = re.sub(r"\s", "", got), 0
    for number, part in enumerate(re.sub(r"\s", "", expected).split("...")):
        found = got.find(part, position)
        if found < 0 or (number == 0 and found > 0):
            return False
        position = found + len(part)
    return "..." in expected or position == len(got)


# Reads expressions and says what each gives, with one set of bindings, as the shell does.
EVALUATE = r"""
Evaluate = fun Next(Bindings) ->
    case io:get_line("") of
        eof -> halt(0);
        Line ->
            {ok, Tokens, _} = erl_scan:string(binary_to_list(base64:decode(string:trim(Line)))),
            {ok, Exprs} = erl_parse:parse_exprs(Tokens),
            {value, Value, New} = erl_eval:exprs(Exprs, Bindings),
            io:format("~s~n", [base64:encode(iolist_to_binary(io_lib:format("~0p", [Value])))]),
            Next(New)
    end
end, spawn(fun() ->
    try Evaluate([])
    catch Class:Reason -> io:format(standard_error, "~p: ~0p~n", [Class, Reason]), halt(1)
    end
end).
"""


class Examples(unittest.TestCase):
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(names=["worker1@127.0.0.1", "worker2@127.0.0.1"]).__enter__()
        cls.addClassCleanup(cls.cluster.stop)

    def here(self, text):
        """An example's port is not free on every machine."""
        return text.replace(f":{PORT}", f":{self.cluster.port}")

    def run_program(self, command, text="", **more):
        done = subprocess.run(command, input=text, text=True, cwd=ROOT, timeout=120,
                              env=self.cluster.variables | more, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, f"{text}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def test_shell(self):
        for page in pages_with("sh"):
            for block in blocks(page, "sh"):
                with self.subTest(page=page.name, block=block):
                    self.run_program(["bash", "-euo", "pipefail"], self.here(block))

    def test_erlang(self):
        for page in pages_with("erlang"):
            lines = [line for block in blocks(page, "erlang") for line in shell_lines(block)]
            with self.subTest(page=page.name):
                self.assertTrue(lines)
                self.check_lines(lines)

    def check_lines(self, lines):
        encoded = "".join(base64.b64encode(line.encode("latin-1")).decode() + "\n"
                          for line, _ in lines)
        name = f"me_{os.getpid()}_{free_port()}@127.0.0.1"
        said = self.run_program(
            ["erl", "-name", name, "-noshell", "-kernel", "logger_level", "error", "-pa", EBIN,
             "-eval", EVALUATE], encoded)
        answers = [base64.b64decode(line).decode("latin-1") for line in said.splitlines()]
        self.assertEqual(len(answers), len(lines), said)
        for (line, expected), got in zip(lines, answers):
            self.assertTrue(matches(expected, got), f"{line}\nexpected {expected}\ngot {got[:500]}")

    def test_configuration_is_the_default(self):
        code = ('{ok, [[{ml_cluster, Env}]]} = file:consult("%s"),'
                "{ok, Shown} = ml_cluster_config:check(Env), {ok, Default} = ml_cluster_config:check([]),"
                "Http = fun(#{http := H} = C) -> C#{http := maps:remove(required, H)} end,"
                'io:format("~0p", [Http(Shown) =:= Http(Default)]), halt(0).')
        [block] = [text for _, tag, text in FENCE.findall((ROOT / "docs" / "API.md").read_text())
                   if tag == "erlang" and text.startswith("[{ml_cluster")]
        file = self.cluster.folder / "shown.config"
        file.write_text(block)
        said = self.run_program(["erl", "-noshell", "-pa", EBIN, "-eval", code % file])
        self.assertEqual(said, "true")

    def test_elixir(self):
        for page in pages_with("elixir"):
            program = self.cluster.folder / "example.exs"
            program.write_text("\n".join(blocks(page, "elixir")))
            with self.subTest(page=page.name):
                name = f"ex_{os.getpid()}_{free_port()}@127.0.0.1"
                self.run_program(["elixir", "--name", name, "-pa", EBIN, program])

    def test_python(self):
        for page in pages_with("python"):
            for block in blocks(page, "python"):
                with self.subTest(page=page.name, block=block):
                    said = self.run_program([CLIENTS, "-"], self.here(block))
                    expected = re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)
                    self.assertEqual(said.splitlines(), expected)


class Pages(unittest.TestCase):
    def test_each_block_is_run_or_says_why_not(self):
        for page in PAGES:
            for skipped, tag, text in FENCE.findall(page.read_text()):
                with self.subTest(page=page.name, block=text):
                    self.assertTrue(skipped or tag in (*RUN, "text", "hex"), tag)
                    if tag == "text":
                        self.assertNotRegex(text, TO_RUN)

    def test_the_workers_options_are_those_of_its_help(self):
        said = subprocess.run([ROOT / "build" / "ml_worker", "--help"], text=True, check=True,
                              capture_output=True).stdout
        known = set(re.findall(r"--[a-z0-9-]+", said))
        commands = [command for page in PAGES for _, tag, text in FENCE.findall(page.read_text()) if tag == "sh"
                    for command in re.findall(r"^(?:\S*/)?ml_worker (.*)$", text.replace("\\\n", " "), re.MULTILINE)]
        self.assertGreaterEqual(len(commands), 2)
        self.assertEqual({option for command in commands for option in re.findall(r"--[a-z0-9-]+", command)} - known,
                         set())

    def test_links_lead_somewhere(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
                if not target.startswith("http"):
                    with self.subTest(page=page.name, target=target):
                        self.assertTrue((page.parent / target).exists())


if __name__ == "__main__":
    unittest.main()
