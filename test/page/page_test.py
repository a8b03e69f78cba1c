"""The page at / in headless Chromium, before a real front and real workers.

With ML_WORKER_SCREENSHOTS=FOLDER it leaves pictures there, for people to look at.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from cluster import EBIN, ROOT, Cluster, eventually, free_port  # noqa: E402

PAGE = ROOT / "erlang" / "priv" / "page"
DESKTOP, PHONE = (1280, 1100), (390, 844)


def browser():
    options = Options()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--force-device-scale-factor=1"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


class Page:
    """The page as a person sees it."""

    def __init__(self, driver, url):
        self.driver = driver
        self.resize(DESKTOP)
        driver.get(url)

    def resize(self, size):
        # A window of headless Chromium cannot be narrower than 500; a device can.
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": size[0], "height": size[1], "deviceScaleFactor": 1,
            "mobile": size[0] < 600})

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.find(selector).text

    def visible(self, selector):
        return self.find(selector).is_displayed()

    def rows(self, table):
        """The rows of a table, each {label: text}."""
        return self.driver.execute_script(
            "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].map((row) =>"
            " Object.fromEntries([...row.cells].map((c) => [c.dataset.label, c.innerText])))",
            table)

    def states(self):
        try:
            return sorted(row["State"].strip() for row in self.rows("workers"))
        except StaleElementReferenceException:
            return None

    def await_states(self, states):
        eventually(lambda: self.states() == states, 60, f"workers {states}, is {self.states()},")

    def fill(self, selector, text):
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def submit(self, form):
        self.find(f"#{form} button[type=submit]").click()

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] in ("SEVERE", "WARNING")]

    def picture(self, name):
        if folder := os.environ.get("ML_WORKER_SCREENSHOTS"):
            shot = self.driver.execute_script("return document.documentElement.scrollHeight")
            width = self.driver.execute_script("return window.innerWidth")
            self.resize((width, max(shot, 600)))
            self.driver.save_screenshot(os.path.join(folder, f"{name}.png"))
            self.resize((width, 844))


class WithoutKeys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.driver = browser()
        cls.addClassCleanup(cls.driver.quit)
        cls.cluster = Cluster(workers=3).__enter__()
        cls.addClassCleanup(cls.cluster.stop)

    def setUp(self):
        self.driver.get_log("browser")
        self.page = Page(self.driver, self.cluster.url + "/")
        up = sum(w.poll() is None for w in self.cluster.workers.values())
        eventually(lambda: self.states().count("up") == up, what="the workers on the page")

    def states(self):
        return self.page.states() or []

    def test_shows_the_cluster(self):
        page = self.page
        self.cluster.post("/infer", {"texts": ["seen on the page", "seen on the page"]})
        eventually(lambda: "in all" in page.text("#texts-note")
                   and not page.text("#texts-note").startswith("0"), what="counted texts")
        self.assertEqual(page.text("#where"), self.cluster.front_name)
        names = [row["Worker"].split("\n")[0] for row in page.rows("workers")]
        self.assertEqual(names, sorted(self.cluster.names))
        for row in page.rows("workers"):
            if row["State"] == "up":
                self.assertIn("all-MiniLM-L6-v2", row["Worker"])
                self.assertRegex(row["Memory"], r"\d+ MiB")
                self.assertRegex(row["Load"], r"\d")
                self.assertRegex(row["Cache hits"], r"\d+ %")
        [model] = page.rows("models")
        self.assertEqual((model["Model"], model["Dimensions"]), ("all-MiniLM-L6-v2", "384"))
        self.assertIn("default", model["Also called"])
        eventually(lambda: re.search(r"\d", page.text("#latency")), what="a latency")

    def test_nothing_is_wrong_and_nothing_foreign(self):
        self.assertEqual(self.page.errors(), [])
        asked = re.findall(r'"url":"(https?://[^"]*)"', "".join(
            entry["message"] for entry in self.driver.get_log("performance")
            if "Network.requestWillBeSent" in entry["message"]))
        self.assertTrue(asked)
        foreign = [url for url in asked if not url.startswith(self.cluster.url)]
        self.assertEqual(foreign, [])

    def test_embeds_a_text(self):
        text = "a text for the box: Übergröße"
        self.page.fill("#try-text", text)
        self.page.submit("try")
        eventually(lambda: self.page.visible("#try-vector"), what="a vector")
        self.assertTrue(self.page.text("#try-note").startswith("384 numbers from worker"))
        [expected] = self.cluster.post("/infer", {"texts": [text]})["embeddings"]
        shown = [float(x) for x in self.page.text("#try-vector").strip("[]").split(",")]
        self.assertEqual(shown, expected)

    def test_compares_two_texts(self):
        self.page.fill("#compare-a", "a cat sat on the mat")
        self.page.fill("#compare-b", "a cat sat on the mat")
        self.page.submit("compare")
        eventually(lambda: self.page.visible("#compare-figure"), what="a similarity")
        self.assertEqual(self.page.text("#compare-figure"), "1.0000")
        self.page.fill("#compare-b", "quarterly revenue fell")
        self.page.submit("compare")
        eventually(lambda: self.page.text("#compare-figure") != "1.0000", what="another similarity")
        self.assertLess(float(self.page.text("#compare-figure")), 0.5)

    def test_what_is_refused_is_said(self):
        self.driver.execute_script("document.getElementById('try-model').append("
                                   "new Option('nope', 'nope', true, true))")
        self.page.submit("try")
        eventually(lambda: self.page.visible("#try-wrong"), what="the reason of a refusal")
        self.assertEqual(self.page.text("#try-wrong"), "no worker has the model nope")

    def test_markup_in_a_text_stays_text(self):
        self.page.fill("#try-text", "<img src=x onerror=alert(1)><b>bold</b>")
        self.page.submit("try")
        eventually(lambda: self.page.visible("#try-vector"), what="a vector")
        self.assertEqual(self.driver.find_elements(By.CSS_SELECTOR, "main img, main b"), [])

    def test_readable_on_a_phone(self):
        self.page.resize(PHONE)
        wide = self.driver.execute_script(
            "return [...document.body.querySelectorAll('*')].filter((e) =>"
            " e.getBoundingClientRect().right > window.innerWidth + 1).map((e) => e.outerHTML)")
        self.assertEqual(wide, [])
        self.page.submit("try")
        self.page.submit("compare")
        eventually(lambda: self.page.visible("#compare-figure"), what="a similarity")
        self.page.picture("phone")

    def test_z_a_worker_that_dies_is_seen_to_die(self):
        """Last by its name: the cluster has a worker less from here on."""
        for _ in range(5):
            self.cluster.post("/infer", {"texts": [f"load {i}" for i in range(200)]})
        self.page.submit("try")
        self.page.submit("compare")
        eventually(lambda: self.page.visible("#compare-figure"), what="a similarity")
        self.page.picture("desktop")
        self.cluster.kill(self.cluster.names[1])
        self.page.await_states(["resting", "up", "up"])
        [gone] = [row for row in self.page.rows("workers") if row["State"] == "resting"]
        self.assertTrue(gone["Worker"].startswith(self.cluster.names[1]))
        self.assertEqual(self.page.text("#state"), "2 of 3 workers up")
        self.page.picture("desktop-dead")
        self.cluster.start_worker(self.cluster.names[1])
        self.page.await_states(["up", "up", "up"])
        self.assertEqual(self.page.text("#state"), "3 of 3 workers up")


class WithKeys(unittest.TestCase):
    def test_asks_for_the_key_and_keeps_it_to_itself(self):
        driver = browser()
        self.addCleanup(driver.quit)
        cluster = Cluster(workers=1)
        self.addCleanup(cluster.stop)
        (cluster.folder / "keys").write_text("secret-of-the-test\n")
        cluster.environment = f'{{api_keys_file, "{cluster.folder}/keys"}}'
        cluster.__enter__()
        page = Page(driver, cluster.url + "/")
        eventually(lambda: page.visible("#key-value"), what="the question for the key")
        self.assertFalse(page.visible("#main"))
        page.picture("key")
        page.fill("#key-value", "wrong")
        page.submit("key")
        eventually(lambda: page.visible("#key-wrong"), what="that the key is wrong")
        page.fill("#key-value", "secret-of-the-test")
        page.submit("key")
        eventually(lambda: page.visible("#main") and page.states() == ["up"], what="the cluster")
        stored = driver.execute_script(
            "return [document.cookie, {...localStorage}, {...sessionStorage}, location.href]")
        self.assertEqual(stored, ["", {}, {}, cluster.url + "/"])
        page.submit("try")
        eventually(lambda: page.visible("#try-vector"), what="a vector")


@unittest.skipUnless((ROOT / ".deps" / "stamps" / "otp29").exists(), "the set-up could not get OTP 29")
class UnderCowboy(unittest.TestCase):
    """In another server's listener, below a prefix, as Hornbeam has it: OTP 29 with Cowboy, in the
    folder that scripts/setup made."""

    START = ("ok = application:load(ml_cluster), application:set_env(ml_cluster, http, false),"
             "application:set_env(ml_cluster, workers, ['%s']),"
             "{ok, _} = application:ensure_all_started(ml_cluster),"
             "{ok, _} = application:ensure_all_started(cowboy),"
             "Routes = cowboy_router:compile([{'_', ml_cluster_hornbeam:routes(<<\"/ml\">>)}]),"
             "{ok, _} = cowboy:start_clear(page, [{ip, {127, 0, 0, 1}}, {port, %d}],"
             " #{env => #{dispatch => Routes}, idle_timeout => 2000}).")

    def test_works_below_a_prefix(self):
        driver = browser()
        self.addCleanup(driver.quit)
        with Cluster(workers=1) as cluster:
            port = self.listen(cluster)
            url = f"http://127.0.0.1:{port}/ml/"
            eventually(lambda: self.answers(url + "health"), what="a front under Cowboy")
            page = Page(driver, url)
            page.await_states(["up"])
            page.fill("#try-text", "below a prefix")
            page.submit("try")
            eventually(lambda: page.visible("#try-vector"), what="a vector")
            self.assertEqual(page.errors(), [])

    def listen(self, cluster):
        root = ROOT / ".deps" / "otp29"
        folder = pathlib.Path(tempfile.mkdtemp(dir=root / "tmp"))
        self.addCleanup(shutil.rmtree, folder)
        library = folder / "ml_cluster"
        shutil.copytree(ROOT / "erlang", library, ignore=shutil.ignore_patterns("test"))
        (library / "ebin").mkdir()
        shutil.copy(EBIN / "ml_cluster.app", library / "ebin")
        shutil.copy(cluster.folder / ".erlang.cookie", folder)
        port, inside = free_port(), pathlib.Path("/tmp") / folder.name
        # A behaviour comes before the modules that follow it.
        subprocess.run(["chroot", root, "sh", "-c", f"cd {inside}/ml_cluster && erlc -o ebin"
                        " src/ml_cluster_http_adapter.erl && erlc -pa ebin -o ebin src/*.erl"],
                       check=True, stdout=subprocess.DEVNULL)
        front = subprocess.Popen(
            ["chroot", root, "erl", "-noinput", "-name", cluster.front_name.replace("front_", "cowboy_"),
             "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-kernel", "logger_level", "error",
             "-pa", inside / "ml_cluster" / "ebin",
             "-eval", self.START % (cluster.names[0], port)],
            env=cluster.variables | {"HOME": str(inside)}, stdin=subprocess.DEVNULL)
        self.addCleanup(front.wait)
        self.addCleanup(front.kill)
        return port

    @staticmethod
    def answers(url):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError):
            return False


class Files(unittest.TestCase):
    def test_no_text_becomes_markup(self):
        for file in PAGE.glob("*.js"):
            self.assertNotRegex(file.read_text(), r"innerHTML|outerHTML|insertAdjacent|"
                                                  r"document\.write|\beval\b|setAttribute\(.on",
                                file.name)

    def test_no_inline_script_or_style_and_no_foreign_host(self):
        html = (PAGE / "index.html").read_text()
        self.assertNotRegex(html, r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|javascript:")
        for file in PAGE.iterdir():
            text = file.read_text().replace("http://www.w3.org/2000/svg", "")
            self.assertNotRegex(text, r"https?://|(src|href)=\"/|@import|url\(", file.name)

    def test_every_file_is_served(self):
        source = (ROOT / "erlang" / "src" / "ml_cluster_http_page.erl").read_text()
        served = set(re.findall(r'\{"([\w.]+)", <<', source)) | {"index.html"}
        self.assertEqual(served, {file.name for file in PAGE.iterdir()})


if __name__ == "__main__":
    unittest.main()
