"""What a model call writes on its span."""

from __future__ import annotations

from tidemill.core.chat import ChatRequest, ChatResponse, Connection, EmbedResponse
from tidemill.core.json import Json
from tidemill.core.parts import message_to_json
from tidemill.models.calls import Operation, Spent
from tidemill.models.stream import ChatResult
from tidemill.telemetry import Span, genai

_REQUEST = {
    "max_tokens": genai.REQUEST_MAX_TOKENS,
    "temperature": genai.REQUEST_TEMPERATURE,
    "top_p": genai.REQUEST_TOP_P,
    "seed": genai.REQUEST_SEED,
    "stop": genai.REQUEST_STOP_SEQUENCES,
    "frequency_penalty": genai.REQUEST_FREQUENCY_PENALTY,
    "presence_penalty": genai.REQUEST_PRESENCE_PENALTY,
}


def note_request(span: Span, *, operation: Operation, model: str, connection: Connection, environment: str) -> None:
    """Write down what is about to be asked, so that it stands there also when the call fails."""
    span.set(
        model=model,
        attributes={
            genai.OPERATION: operation,
            genai.PROVIDER: connection.provider,
            genai.REQUEST_MODEL: model,
            genai.CONNECTION: connection.name,
            genai.ENVIRONMENT: environment,
        },
    )


def note_parameters(span: Span, request: ChatRequest) -> None:
    """Write down the sampling parameters that have a name in the conventions."""
    attributes: dict[str, Json] = {
        _REQUEST[name]: value for name, value in request.params.items() if name in _REQUEST and value is not None
    }
    if request.output_schema is not None:
        attributes[genai.OUTPUT_TYPE] = "json"
    if attributes:
        span.set(attributes=attributes)


def note_result(span: Span, result: ChatResult) -> None:
    """Write down the answer, what it cost and who gave it."""
    note_response(span, result.response)
    attributes: dict[str, Json] = {genai.ATTEMPTS: result.attempts}
    if result.first_token_ms is not None:
        attributes[genai.FIRST_TOKEN_MS] = round(result.first_token_ms, 3)
    span.set(cost=result.cost, attributes=attributes)


def note_response(span: Span, response: ChatResponse) -> None:
    """Write down an answer, or as much of it as had arrived."""
    attributes: dict[str, Json] = {
        genai.RESPONSE_FINISH_REASONS: [response.finish_reason],
        genai.USAGE_INPUT_TOKENS: response.usage.input_tokens,
        genai.USAGE_OUTPUT_TOKENS: response.usage.output_tokens,
    }
    if response.usage.cached_tokens:
        attributes[genai.USAGE_CACHED_TOKENS] = response.usage.cached_tokens
    if response.model:
        attributes[genai.RESPONSE_MODEL] = response.model
    if response.fingerprint:
        attributes[genai.FINGERPRINT] = response.fingerprint
    span.set(output=message_to_json(response.message), usage=response.usage, attributes=attributes)


def note_served(span: Span, *, model: str, connection: Connection) -> None:
    """Write down who answered, where several were asked."""
    attributes: dict[str, Json] = {
        genai.PROVIDER: connection.provider,
        genai.REQUEST_MODEL: model,
        genai.CONNECTION: connection.name,
    }
    span.set(model=model, attributes=attributes)


def note_kept(span: Span, result: ChatResult) -> None:
    """Write down a kept answer, which used and cost nothing."""
    response = result.response
    attributes: dict[str, Json] = {
        genai.OPERATION: "chat",
        genai.CACHED: True,
        genai.CACHED_BY: result.cached,
        genai.SAVED_TOKENS: response.usage.input_tokens + response.usage.output_tokens,
        genai.RESPONSE_FINISH_REASONS: [response.finish_reason],
    }
    if result.saved is not None:
        attributes[genai.SAVED_COST] = result.saved
    if response.model:
        attributes[genai.RESPONSE_MODEL] = response.model
    span.set(output=message_to_json(response.message), cost=0.0, attributes=attributes)


def note_spent(span: Span, spent: Spent) -> None:
    """Write down what an answer that broke off came to."""
    span.set(usage=spent.usage, cost=spent.cost, attributes={genai.ESTIMATED: True} if spent.estimated else None)


def note_embedding(span: Span, response: EmbedResponse, *, cost: float | None, saved: float | None = None) -> None:
    """Write down how many vectors came back, what they cost and saved; the vectors themselves stay out of the span."""
    attributes: dict[str, Json] = {
        genai.EMBEDDINGS_DIMENSIONS: response.vectors.dimensions,
        genai.USAGE_INPUT_TOKENS: response.usage.input_tokens,
    }
    if response.model:
        attributes[genai.RESPONSE_MODEL] = response.model
    if saved is not None:
        attributes[genai.SAVED_COST] = saved
    span.set(output={"vectors": response.vectors.count}, usage=response.usage, cost=cost, attributes=attributes)
