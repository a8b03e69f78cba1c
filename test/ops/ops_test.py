"""What docs/OPERATIONS.md installs: the worker by `cmake --install`, the front as a release, their
services and images. Nothing is written outside of a folder of the test's own and _build.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from cluster import EBIN, ROOT, Cluster, eventually, free_port  # noqa: E402

RELEASE = ROOT / "_build" / "default" / "rel" / "ml_cluster"
BASE_IMAGE = "libc6 libgcc-s1 libstdc++6 zlib1g libtinfo6".split()


def run(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=600, **more)


def verified(unit):
    """What systemd finds wrong with a unit."""
    said = run("systemd-analyze", "verify", "--man=no", unit).stdout
    return [line for line in said.splitlines() if pathlib.Path(unit).name in line]


class Worker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.prefix = pathlib.Path(tempfile.mkdtemp(prefix="ml_worker_install_"))
        cls.addClassCleanup(shutil.rmtree, cls.prefix)
        done = run("cmake", "--install", "build", "--prefix", cls.prefix, "--component", "worker",
                   cwd=ROOT)
        assert done.returncode == 0, done.stdout

    def test_the_program_runs_where_it_was_installed(self):
        installed = run(self.prefix / "bin" / "ml_worker", "--help")
        built = run(ROOT / "build" / "ml_worker", "--help")
        self.assertEqual(installed.returncode, 0, installed.stdout)
        self.assertEqual(installed.stdout, built.stdout)

    def test_the_man_page_says_what_help_says(self):
        page = self.prefix / "share" / "man" / "man1" / "ml_worker.1"
        done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page], text=True, timeout=60,
                              env=os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MANPAGER": "cat"},
                              capture_output=True, check=True)
        self.assertEqual(done.stderr, "")
        shown = re.sub(r".\x08", "", done.stdout).replace("\u2010", "-").replace("\u2212", "-")
        options = re.findall(r"^ +(--[a-z-]+)", run(self.prefix / "bin" / "ml_worker", "--help").stdout,
                             re.MULTILINE)
        self.assertGreater(len(options), 20)
        self.assertEqual([option for option in options if option not in shown], [])

    def test_the_service_is_right_and_starts_what_was_installed(self):
        unit = self.prefix / "lib" / "systemd" / "system" / "ml_worker.service"
        [program] = re.findall(r"^ExecStart=(\S+)", unit.read_text(), re.MULTILINE)
        self.assertEqual(program, str(self.prefix / "bin" / "ml_worker"))
        self.assertEqual(verified(unit), [])

    def test_the_service_keeps_golden_vectors(self):
        unit = (self.prefix / "lib" / "systemd" / "system" / "ml_worker.service").read_text()
        # All else is read-only; systemd makes the folder, the user's own, and names it to the program.
        self.assertIn("ProtectSystem=strict", unit.splitlines())
        self.assertIn("StateDirectory=ml_worker", unit.splitlines())
        with tempfile.TemporaryDirectory() as state:
            self.assertTrue(self.golden_vectors(state, STATE_DIRECTORY=state))

    def test_the_image_keeps_golden_vectors(self):
        image = (ROOT / "release" / "Dockerfile.worker").read_text()
        self.assertRegex(image, r"useradd .*--home-dir /var/lib/ml_worker --create-home ml_worker")
        options = json.loads(re.search(r"^ENTRYPOINT (.*)$", image, re.MULTILINE).group(1))
        self.assertEqual(options[options.index("--state-dir") + 1], "/var/lib/ml_worker")
        with tempfile.TemporaryDirectory() as state:
            self.assertTrue(self.golden_vectors(state, "--state-dir", state))

    def golden_vectors(self, state, *options, **variables):
        """What a start leaves in the state folder, where no other one can be written."""
        done = run(self.prefix / "bin" / "ml_worker", "--check", "--models-root", ROOT / "models", *options,
                   env=os.environ | {"HOME": "/dev/null", "XDG_STATE_HOME": "/dev/null"} | variables)
        self.assertEqual(done.returncode, 0, done.stdout)
        return list(pathlib.Path(state, "golden").glob("*.golden"))

    def test_the_example_configuration_is_taken(self):
        example = self.prefix / "share" / "doc" / "ml_worker" / "examples" / "worker.json"
        done = run(self.prefix / "bin" / "ml_worker", "--config", example, "--cookie-file", "/nowhere")
        # All is well with it, but for the cookie that there is not.
        self.assertEqual(done.returncode, 77, done.stdout)


class Images(unittest.TestCase):
    """No Docker in CI; what the files name is there, and as they name it."""

    def text(self, name):
        return (ROOT / "release" / name).read_text()

    def test_they_build_by_the_same_scripts(self):
        for name in ("Dockerfile.worker", "Dockerfile.front"):
            calls = re.findall(r"(scripts/\w+)((?: \w+)*)", self.text(name).split("\nFROM")[1])
            self.assertEqual([script for script, _ in calls], ["scripts/setup", "scripts/build"])
            for script, arguments in calls:
                self.assertTrue(os.access(ROOT / script, os.X_OK))
                if script == "scripts/setup":
                    self.assertIn(arguments.strip(), re.search(r"case \$purpose in (.*?)\) ;;",
                                  (ROOT / script).read_text()).group(1).split(" | "))
                else:
                    self.assertTrue(set(arguments.split()) <= {"front", "ml_worker", "man"}, arguments)

    def test_the_workers_image_builds_what_it_installs(self):
        targets = re.search(r"scripts/build ((?:\w+ )+)", self.text("Dockerfile.worker")).group(1).split()
        commands = run("ninja", "-C", ROOT / "build", "-t", "commands", *targets).stdout
        built = {os.path.basename(word) for word in commands.split()}
        with tempfile.TemporaryDirectory(prefix="ml_worker_install_") as prefix:
            run("cmake", "--install", "build", "--prefix", prefix, "--component", "worker", cwd=ROOT)
            installed = {path.name for path in pathlib.Path(prefix).rglob("*")}
        products = {path.name for path in (ROOT / "build").iterdir() if path.is_file()} & installed
        self.assertIn("ml_worker", products)
        self.assertEqual(products - built, set())

    def test_the_workers_image_has_the_libraries_that_the_program_needs(self):
        installed = re.search(r"--no-install-recommends \\\n(.*?)\\\n", self.text("Dockerfile.worker"), re.DOTALL)
        needed = set()
        for path in re.findall(r"=> (/\S+)", run("ldd", ROOT / "build" / "ml_worker").stdout):
            file = str(pathlib.Path(path).resolve())
            if not file.startswith(str((ROOT / ".deps").resolve())):
                # Packages say /lib where this machine says /usr/lib.
                said = run("dpkg", "-S", file, file.removeprefix("/usr")).stdout
                needed |= set(re.findall(r"^([a-z0-9+.-]+)(?::\w+)?: /", said, re.MULTILINE))
        self.assertTrue(needed)
        self.assertEqual(needed - self.with_dependencies([*installed.group(1).split(), *BASE_IMAGE]), set())

    @staticmethod
    def with_dependencies(packages):
        found = set()
        while packages:
            package = packages.pop()
            if package not in found:
                found.add(package)
                depends = run("dpkg-query", "-W", "-f", "${Depends}", package).stdout
                packages += re.findall(r"(?:^|[,|] ?)([a-z0-9][a-z0-9+.-]+)", depends)
        return found


class Front(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        done = run("rebar3", "release", cwd=ROOT)
        assert done.returncode == 0, done.stdout
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="ml_front_"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    def configuration(self, terms):
        file = self.folder / "sys.config"
        file.write_text(f"[{{kernel, [{{inet_dist_use_interface, {{127,0,0,1}}}}]}},\n {{ml_cluster, [{terms}]}}].\n")
        return file

    def arguments(self, name):
        file = self.folder / "vm.args"
        file.write_text(f"-name {name}\n+Bd\n")
        return file

    def check(self, config):
        return run(RELEASE / "bin" / "ml_front", "--check", "--config", config, cwd=self.folder,
                   env=os.environ | {"HOME": str(self.folder)})

    def test_sys_config_has_every_key_with_its_default(self):
        code = ('{ok, [Config]} = file:consult("%s"), Env = proplists:get_value(ml_cluster, Config),'
                "{ok, Shown} = ml_cluster_config:check(Env), {ok, Default} = ml_cluster_config:check([]),"
                "Http = fun(#{http := H} = C) -> C#{http := maps:remove(required, H)} end,"
                'io:format("~0p", [{lists:sort(proplists:get_keys(Env)) =:= lists:sort(maps:keys(maps:remove(api_keys, Default))),'
                " Http(Shown) =:= Http(Default)}]), halt(0).")
        said = run("erl", "-noshell", "-pa", EBIN, "-eval", code % (RELEASE / "etc" / "sys.config"))
        self.assertEqual(said.stdout, "{true,true}")

    def test_each_key_is_explained(self):
        lines = (RELEASE / "etc" / "sys.config").read_text().splitlines()
        keys = [i for i, line in enumerate(lines) if re.match(r"        \{[a-z_]+, ", line)]
        ours = [i for i in keys if i > next(j for j, line in enumerate(lines) if "{ml_cluster," in line)]
        self.assertGreaterEqual(len(ours), 13)
        self.assertEqual([lines[i] for i in ours if not lines[i - 1].strip().startswith("%%")], [])

    def test_what_is_right_is_said_to_be(self):
        done = self.check(RELEASE / "etc" / "sys.config")
        self.assertEqual((done.returncode, done.stdout), (0, "the configuration is right\n"))

    def test_what_is_wrong_is_named(self):
        for key, terms in {
            "workers": "{workers, [worker1]}", "hosts": "{hosts, [1]}", "prefixes": "{prefixes, 1}",
            "strategy": "{strategy, fastest}", "retries": "{retries, -1}",
            "default_timeout_ms": "{default_timeout_ms, soon}", "suspect_after_ms": "{suspect_after_ms, 0}",
            "mix_numerics": "{mix_numerics, 1}", "events": "{events, 7}", "port": "{http, #{port => 70000}}",
            "ip": '{http, #{ip => "0.0.0.0"}}', "adapter": "{http, #{adapter => ml_cluster_cowboy}}", "api_keys_file": '{api_keys_file, "/nowhere"}',
            "local_worker": "{local_worker, yes}", "body_bytes": "{limits, #{body_bytes => 0}}",
            "body_size": "{limits, #{body_size => 1}}", "worker": "{worker, []}",
        }.items():
            with self.subTest(key):
                done = self.check(self.configuration(terms))
                self.assertEqual(done.returncode, 64, done.stdout)
                self.assertRegex(done.stdout, rf"ml_cluster does not start: .*\b{key}\b")

    def test_a_file_of_keys_that_is_wrong_is_named_and_not_shown(self):
        keys = self.folder / "keys"
        keys.write_text("secret\n", encoding="utf-16")
        done = self.check(self.configuration(f'{{api_keys_file, "{keys}"}}'))
        self.assertEqual(done.returncode, 64, done.stdout)
        self.assertRegex(done.stdout, "api_keys_file: expected keys in printable ASCII")
        self.assertNotIn("secret", done.stdout.replace("\0", ""))

    def test_a_start_refuses_it_too(self):
        name = f"front_{os.getpid()}@127.0.0.1"
        done = run(RELEASE / "bin" / "ml_front", "--config", self.configuration("{strategy, fastest}"),
                   "--vm-args", self.arguments(name), cwd=self.folder,
                   env=os.environ | {"HOME": str(self.folder)})
        self.assertEqual(done.returncode, 64, done.stdout)
        self.assertRegex(done.stdout, r"\bstrategy\b.*round_robin")
        self.assertFalse((self.folder / "erl_crash.dump").exists())

    def test_the_service_is_right(self):
        text = (ROOT / "release" / "ml_front.service").read_text()
        unit = self.folder / "ml_front.service"
        unit.write_text(text.replace("/opt/ml_cluster", str(RELEASE)))
        self.assertEqual(verified(unit), [])

    def test_the_page_installs_what_the_service_needs(self):
        """Its user, and the cookie where it looks for one."""
        unit = (ROOT / "release" / "ml_front.service").read_text()
        user = re.search(r"^User=(.*)$", unit, re.MULTILINE).group(1)
        home = re.search(r"^Environment=HOME=(.*)$", unit, re.MULTILINE).group(1)
        page = (ROOT / "docs" / "OPERATIONS.md").read_text()
        [block] = [text for text in re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
                   if "ml_front.service" in text]
        made = re.search(r"^systemd-sysusers (\S+)$", block, re.MULTILINE).group(1)
        self.assertRegex((ROOT / made).read_text(), rf"(?m)^u {user} .* {home}$")
        self.assertIn(f"\ninstall -d -o {user} -g {user} {home}\n", block)
        self.assertRegex(block, rf"\ninstall -m 0400 -o {user} -g {user} \S+ {home}/\.erlang\.cookie\n")

    def test_a_wrong_configuration_is_not_started_again_and_again(self):
        unit = (ROOT / "release" / "ml_front.service").read_text()
        # systemd looks at the status of the main process alone.
        [(kind, command)] = re.findall(r"^(Exec\w+)=(.*)$", unit, re.MULTILINE)
        self.assertEqual(kind, "ExecStart")
        final = re.search(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE).group(1).split()
        command = command.replace("/opt/ml_cluster", str(RELEASE)).replace("/etc/ml_cluster", str(self.folder))
        self.arguments(f"unit_{os.getpid()}@127.0.0.1")
        for name, text in {"a wrong value": "[{ml_cluster, [{strategy, fastest}]}].",
                           "no dot": "[{ml_cluster, [{strategy, round_robin}]}]",
                           "no list": "{ml_cluster, []}."}.items():
            with self.subTest(name):
                (self.folder / "sys.config").write_text(text)
                done = run(*command.split(), cwd=self.folder, env=os.environ | {"HOME": str(self.folder)})
                self.assertIn(str(done.returncode), final, done.stdout)
                self.assertFalse((self.folder / "erl_crash.dump").exists())

    def test_sigterm_drains_it(self):
        with Cluster(workers=1) as cluster:
            front = self.started(cluster)
            texts = [f"{i} " + "a text that takes its time " * 30 for i in range(200)]
            with concurrent.futures.ThreadPoolExecutor() as pool:
                answer = pool.submit(cluster.post, "/infer", {"texts": texts})
                eventually(lambda: self.in_flight(cluster) > 0, what="the call at the worker")
                front.send_signal(signal.SIGTERM)
                eventually(lambda: self.refuses(cluster), what="a front that takes no more")
                self.assertFalse(answer.done(), "it was answered before the signal: nothing was drained")
                self.assertEqual(len(answer.result(60)["embeddings"]), len(texts))
            self.assertEqual(front.wait(30), 0)

    def started(self, cluster):
        """The release in place of the cluster's own front."""
        cluster.front.kill()
        cluster.front.wait()
        cluster.port = free_port()
        workers = ",".join(f"'{name}'" for name in cluster.names)
        config = self.configuration(
            f"{{workers, [{workers}]}}, {{http, #{{port => {cluster.port}}}}}, "
            "{default_timeout_ms, 60000}, {limits, #{drain_ms => 60000}}")
        with open(cluster.folder / "front.log", "ab") as log:
            cluster.front = subprocess.Popen(
                [RELEASE / "bin" / "ml_front", "--config", config, "--vm-args",
                 self.arguments("release_" + cluster.front_name)],
                env=cluster.variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        cluster.await_up(1)
        return cluster.front

    @staticmethod
    def in_flight(cluster):
        return sum(node["in_flight"] for node in cluster.get("/cluster")["gpu_nodes"])

    @staticmethod
    def refuses(cluster):
        try:
            cluster.get("/health")
            return False
        except urllib.error.HTTPError as error:
            return error.code == 503
        except (urllib.error.URLError, ConnectionError):
            return True


if __name__ == "__main__":
    unittest.main()
