"""The models that come with the extra `local-models`."""

from __future__ import annotations

from collections.abc import Iterator

from tidemill.models.catalogue_listing import Listing, Source
from tidemill.models.providers.local import MODEL as CHAT
from tidemill.models.providers.onnx import MODEL as EMBEDDER

_SOURCE = Source(name="tidemill", origin="tidemill", rank=4, note="what runs here")


def read() -> Iterator[Listing]:
    """SmolLM2 and MiniLM. They cost nothing but this machine's time."""
    free = {"input_price": 0.0, "output_price": 0.0, "open_weights": True, "licence": "Apache-2.0", "inputs": ["text"]}
    chat = {**free, "type": "chat", "outputs": ["text"], "context": 2048, "json_schema": True, "temperature": True}
    yield Listing(source=_SOURCE, seller="local", id=CHAT, title="SmolLM2 135M Instruct", facts=chat)
    embedder = {**free, "type": "embedding", "outputs": ["embedding"], "context": 256, "dimensions": 384}
    yield Listing(source=_SOURCE, seller="local", id=EMBEDDER, title="all-MiniLM-L6-v2 (int8)", facts=embedder)
