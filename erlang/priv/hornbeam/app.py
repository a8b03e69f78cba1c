"""A web app for Hornbeam on top of ml_cluster: inference, the cluster's state, its counters.

A plain ASGI application without a framework. Python asks the front through Hornbeam's function
registry; workers, retries, balancing and the cache are the front's. docs/HORNBEAM.md says how to
start it, and why bulk belongs to the front's own routes beside it.
"""

import asyncio
import collections
import json

import erlang

# On erlang_python 2 a reply over about 64 KiB breaks the web node. A vector of 768 numbers is 9 KiB
# of JSON text, so six of them fit.
TEXTS_PER_CALL = 6

# How often what another model has computed is asked for again, while workers of two models run.
ATTEMPTS = 10


class Wrong(Exception):
    """A request that cannot be answered: a status and why."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


async def call(name, *arguments):
    """One of the front's functions; in a thread, for a call blocks the event loop otherwise."""
    return await asyncio.to_thread(erlang.call, f"ml_cluster_{name}", *arguments)


async def encode(texts, model):
    """The vectors as JSON text, in the order of the texts, and how they came about."""
    slices = [texts[i:i + TEXTS_PER_CALL] for i in range(0, len(texts), TEXTS_PER_CALL)]
    answers = await of_one_kind(slices, model)
    vectors = [text_of(vector) for answer in answers for vector in answer["embeddings"]]
    nodes = sorted({text_of(node) for answer in answers for node in answer["nodes"]})
    return vectors, nodes, sum(answer["cached"] for answer in answers)


async def of_one_kind(slices, model):
    """An answer for each slice, all from the same model and numerics: the front sees to that within
    a call, and these are several."""
    answers, missing = [None] * len(slices), range(len(slices))
    for _ in range(ATTEMPTS):
        asked = await asyncio.gather(*(
            call("encode", slices[i], model, {"format": "json", "fingerprint": True})
            for i in missing))
        for i, answer in zip(missing, asked):
            answers[i] = answer
        kinds = [text_of(answer.get("kind")) for answer in answers]
        most = collections.Counter(kinds).most_common(1)
        missing = [i for i, kind in enumerate(kinds) if kind != most[0][0]]
        if not missing:
            return answers
    raise Wrong(503, "the workers have different models")


def text_of(value):
    return value.decode() if isinstance(value, bytes) else value


def texts_of(body):
    """The texts and the model of a request."""
    try:
        request = json.loads(body)
        texts, model = request["texts"], request.get("model") or "default"
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Wrong(422, 'expected {"texts": [...], "model": ...}') from None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Wrong(422, "texts: expected a list of strings")
    return texts, model


def with_vectors(vectors, **rest):
    """A JSON object; the vectors are JSON already and are not read again."""
    return f'{{"embeddings":[{",".join(vectors)}],{json.dumps(rest)[1:]}'.encode()


async def infer(body):
    vectors, nodes, cached = await encode(*texts_of(body))
    return with_vectors(vectors, node=nodes[0] if nodes else None, cached=cached)


async def infer_parallel(body):
    vectors, nodes, _ = await encode(*texts_of(body))
    return with_vectors(vectors, nodes_used=len(nodes))


async def cluster(_):
    status = await call("status")
    workers = status["workers"]
    while status["omitted"]:  # what one reply cannot carry
        status = await call("status", len(workers))
        workers += status["workers"]
    return dumped({"this_node": status["this_node"], "gpu_nodes": [seen(w) for w in workers],
                   "total_nodes": status["total_nodes"]})


def seen(worker):
    """A worker as the page shows it."""
    if "info" in worker:
        return {"node": worker["node"], "status": "online"} | worker["info"]
    return {"node": worker["node"], "status": "offline", "error": worker.get("error")}


async def metrics(_):
    return dumped(await call("metrics"))


def dumped(value):
    return json.dumps(value, default=text_of).encode()


ROUTES = {
    ("POST", "/infer"): infer,
    ("POST", "/infer/parallel"): infer_parallel,
    ("GET", "/cluster"): cluster,
    ("GET", "/metrics"): metrics,
}


async def answer(method, path, body):
    """(status, body) of a request."""
    try:
        if (method, path) not in ROUTES:
            raise Wrong(404, "there is no such path")
        return 200, await ROUTES[method, path](body)
    except Wrong as wrong:
        return wrong.status, dumped({"error": {"message": str(wrong)}})
    except Exception as failure:  # what Erlang raised; its reason is the message
        return 503, dumped({"error": {"message": str(failure)}})


async def read_body(receive):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    status, body = await answer(scope["method"], scope["path"], await read_body(receive))
    await send({"type": "http.response.start", "status": status,
                "headers": [(b"content-type", b"application/json"),
                            (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
