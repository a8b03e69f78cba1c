"""usage: peer_fastapi.py MODEL_DIRECTORY PORT

sentence-transformers behind FastAPI and uvicorn, as its users write it: one route, one model, the
work in the framework's pool of threads.
"""

import sys

import fastapi
import pydantic
import sentence_transformers
import uvicorn


class Request(pydantic.BaseModel):
    texts: list[str]


def application(directory):
    model = sentence_transformers.SentenceTransformer(directory, device="cpu")
    app = fastapi.FastAPI()

    @app.post("/embed")
    def embed(request: Request):
        return {"embeddings": model.encode(request.texts, show_progress_bar=False).tolist()}

    return app


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]),
                log_level="error", access_log=False)
