"""Names of providers and models as they are reported, and as the price list has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

# OpenTelemetry's `gen_ai.provider.name`, its older `gen_ai.system`, and what frameworks write instead.
_PROVIDERS: Final[Mapping[str, str]] = {
    "amazon_bedrock": "aws", "aws.bedrock": "aws", "aws_bedrock": "aws", "bedrock": "aws", "bedrock_converse": "aws",
    "amazon": "aws",
    "az.ai.inference": "azure", "az.ai.openai": "azure", "azure.ai.inference": "azure", "azure.ai.openai": "azure",
    "azure_ai": "azure", "azure_openai": "azure", "azure-openai": "azure",
    "gcp.gemini": "google", "gcp.gen_ai": "google", "gcp.vertex_ai": "google", "gemini": "google", "google-gla": "google",
    "google-vertex": "google", "google_genai": "google", "google_vertexai": "google", "vertex_ai": "google",
    "vertexai": "google", "google.generative-ai": "google", "google.vertex": "google", "google_generativeai": "google",
    "mistral_ai": "mistral", "mistralai": "mistral", "x_ai": "x-ai", "xai": "x-ai", "together_ai": "together",
    "together-ai": "together", "fireworks_ai": "fireworks", "fireworks-ai": "fireworks", "perplexity_ai": "perplexity",
    "open_router": "openrouter", "moonshot": "moonshotai", "moonshot_ai": "moonshotai", "openai.chat": "openai",
    "openai.responses": "openai", "anthropic.messages": "anthropic", "cohere_client": "cohere",
}  # fmt: skip
_MARKS: Final = ("/models/", "/foundation-model/", "/inference-profile/")


def provider_id(reported: str) -> str:
    """The provider as the price list names it; what it does not name stays as it is."""
    name = reported.strip().lower()
    return _PROVIDERS.get(name, name)


def model_names(reported: str) -> Iterator[str]:
    """A model as it was reported, and then without what stands around its name: a path, a region's or a gateway's prefix."""
    yield reported
    for mark in _MARKS:
        if mark in reported:
            yield reported.rpartition(mark)[2]
    if "/" in reported:
        yield reported.rpartition("/")[2]
