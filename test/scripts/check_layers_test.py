"""The layer check must pass on this tree and fail on every kind of wrong edge."""

import pathlib
import shutil
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import check_layers  # noqa: E402


class CheckLayersTest(unittest.TestCase):
    def setUp(self):
        self.tree = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.tree)
        self.addCleanup(setattr, check_layers, "ROOT", ROOT)
        for part in ("src", "include"):
            shutil.copytree(ROOT / part, self.tree / part)
        check_layers.ROOT = self.tree

    def append(self, path, text):
        with open(self.tree / path, "a") as file:
            file.write(text)

    def problems(self):
        return "\n".join(check_layers.problems())

    def test_this_tree_is_clean_and_not_empty(self):
        self.assertEqual(self.problems(), "")
        self.assertGreaterEqual(len(check_layers.declared_edges()), 11)

    def test_service_may_not_know_distribution(self):
        self.append("src/service/service.cc", '#include "ml_worker/distribution.h"\n')
        self.assertIn("not declared", self.problems())

    def test_only_model_and_cuda_may_include_libtorch(self):
        self.append("src/batching/batcher.cc", "#include <ATen/ATen.h>\n")
        self.assertIn("belongs to cuda, model", self.problems())

    def test_what_needs_cuda_stays_out_of_the_program(self):
        self.append("src/model/load.cc", "#include <c10/cuda/CUDAStream.h>\n")
        self.assertIn("belongs to cuda", self.problems())

    def test_only_terms_may_include_ei(self):
        self.append("src/distribution/control.cc", '#include "ei.h"\n')
        self.assertIn("belongs to terms", self.problems())

    def test_only_distribution_may_include_asio(self):
        self.append("src/service/service.cc", "#include <asio.hpp>\n")
        self.assertIn("belongs to distribution", self.problems())

    def test_no_third_party_type_in_a_public_header(self):
        self.append("include/ml_worker/value.h", "#include <nlohmann/json.hpp>\n")
        self.assertIn("public header", self.problems())

    def test_private_headers_stay_private(self):
        self.append("src/terms/scan.cc", '#include "distribution/control.h"\n')
        self.assertIn("private header", self.problems())

    def test_the_shared_json_reader_is_for_those_who_declare_it(self):
        self.append("src/service/service.cc", '#include "json/json_file.h"\n')
        self.assertIn("private header", self.problems())

    def test_a_cycle_is_seen(self):
        path = self.tree / "src/CMakeLists.txt"
        path.write_text(path.read_text().replace(
            "ml_worker_library(cache DEPENDS base", "ml_worker_library(cache DEPENDS base service"))
        self.assertIn("circle", self.problems())

    def test_main_only_wires(self):
        self.append("src/main.cc", "#include <asio.hpp>\n")
        self.assertIn("only wires", self.problems())

    def test_a_new_seam_must_be_listed(self):
        (self.tree / "include/ml_worker/extra.h").write_text("#pragma once\n")
        self.append("src/service/service.cc", '#include "ml_worker/extra.h"\n')
        self.assertIn("no known seam", self.problems())


if __name__ == "__main__":
    unittest.main()
