"""The OpenAI client and LangChain's embeddings, unmodified, against a real front and worker."""

import base64
import sys
import pathlib
import struct
import unittest

import openai
from langchain_openai import OpenAIEmbeddings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from cluster import Cluster  # noqa: E402

TEXTS = ["The quick brown fox", "jumps over", "the lazy dog. naïve 日本語"]


class OpenAIClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(Cluster(workers=1))
        cls.client = openai.OpenAI(base_url=cls.cluster.url + "/v1", api_key="none", max_retries=0)
        cls.expected = cls.cluster.post("/infer", {"texts": TEXTS})["embeddings"]

    def embed(self, **arguments):
        return self.client.embeddings.create(**({"model": "default"} | arguments))

    def assert_close(self, vector, expected):
        self.assertEqual(len(vector), len(expected))
        self.assertLess(max(abs(a - b) for a, b in zip(vector, expected)), 1e-6)

    def test_a_list_of_texts_in_order(self):
        answer = self.embed(input=TEXTS)
        self.assertEqual([entry.index for entry in answer.data], [0, 1, 2])
        for entry, expected in zip(answer.data, self.expected):
            self.assert_close(entry.embedding, expected)

    def test_one_text_as_floats(self):
        answer = self.embed(input=TEXTS[0], encoding_format="float", user="someone")
        self.assert_close(answer.data[0].embedding, self.expected[0])

    def test_base64_is_little_endian_float32(self):
        answer = self.embed(input=TEXTS[0], encoding_format="base64")
        packed = base64.b64decode(answer.data[0].embedding)
        self.assert_close(struct.unpack(f"<{len(packed) // 4}f", packed), self.expected[0])

    def test_usage_counts_the_models_tokens(self):
        # [CLS] the quick brown fox [SEP], [CLS] jumps over [SEP]
        usage = self.embed(input=TEXTS[:2]).usage
        self.assertEqual((usage.prompt_tokens, usage.total_tokens), (10, 10))

    def test_dimensions_cut_and_normalise(self):
        vector = self.embed(input=TEXTS[0], dimensions=64).data[0].embedding
        norm = sum(x * x for x in self.expected[0][:64]) ** 0.5
        self.assert_close(vector, [x / norm for x in self.expected[0][:64]])

    def test_models(self):
        names = {model.id for model in self.client.models.list()}
        self.assertLessEqual({"default", "all-MiniLM-L6-v2"}, names)
        self.assertEqual(self.client.models.retrieve("all-MiniLM-L6-v2").id, "all-MiniLM-L6-v2")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("org/nothing")

    def test_errors_are_the_clients_own(self):
        with self.assertRaises(openai.NotFoundError) as unknown:
            self.embed(input="x", model="nothing")
        self.assertEqual(unknown.exception.code, "model_not_found")
        self.assertEqual(unknown.exception.param, "model")
        for wrong in ([], "", ["x", ""], [1, 2], [[1, 2]]):
            with self.subTest(wrong), self.assertRaises(openai.BadRequestError) as refused:
                self.embed(input=wrong)
            self.assertEqual(refused.exception.type, "invalid_request_error")
            self.assertEqual(refused.exception.param, "input")
        self.assertIn("check_embedding_ctx_length=False", refused.exception.message)
        with self.assertRaises(openai.BadRequestError):
            self.embed(input="x", dimensions=100000)

    def test_langchain(self):
        embeddings = OpenAIEmbeddings(base_url=self.cluster.url + "/v1", api_key="none",
                                      model="default", check_embedding_ctx_length=False)
        for vector, expected in zip(embeddings.embed_documents(TEXTS), self.expected):
            self.assert_close(vector, expected)
        self.assert_close(embeddings.embed_query(TEXTS[0]), self.expected[0])


class ApiKeyTest(unittest.TestCase):
    def test_a_wrong_key_is_an_authentication_error(self):
        cluster = Cluster(workers=1)
        keys = cluster.folder / "keys"
        keys.write_text("right-key\n")
        cluster.environment = f'{{api_keys_file, "{keys}"}}'
        with cluster:
            wrong = openai.OpenAI(base_url=cluster.url + "/v1", api_key="wrong", max_retries=0)
            with self.assertRaises(openai.AuthenticationError):
                wrong.embeddings.create(model="default", input="x")
            right = openai.OpenAI(base_url=cluster.url + "/v1", api_key="right-key", max_retries=0)
            self.assertEqual(len(right.embeddings.create(model="default", input="x").data), 1)


if __name__ == "__main__":
    unittest.main()
