"""Attribute names: OpenTelemetry's semantic conventions for generative AI (`gen_ai.*`), and ours (`tidemill.*`)."""

from __future__ import annotations

from typing import Final

# https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
OUTPUT_TYPE: Final = "gen_ai.output.type"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_TYPE: Final = "gen_ai.tool.type"
EMBEDDINGS_DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"
SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"
SERVER_ADDRESS: Final = "server.address"

PROJECT: Final = "tidemill.project"
RELEASE: Final = "tidemill.release"
ENDPOINT: Final = "tidemill.endpoint"
STEP: Final = "tidemill.step"
VARIANT: Final = "tidemill.variant"
CAPTURE: Final = "tidemill.capture"  # `off`: what was said was not kept
ROLLOUT: Final = "tidemill.rollout"
CONNECTION: Final = "tidemill.connection"
ENVIRONMENT: Final = "tidemill.environment"
CACHED: Final = "tidemill.cached"
CACHED_BY: Final = "tidemill.cached.by"  # exact, semantic or flight
SAVED_COST: Final = "tidemill.saved.cost"  # US dollars that a kept answer made unnecessary
SAVED_TOKENS: Final = "tidemill.saved.tokens"
FIRST_TOKEN_MS: Final = "tidemill.first_token_ms"  # noqa: S105  (a name, not a password)
ATTEMPTS: Final = "tidemill.attempts"
ROUTE: Final = "tidemill.route"
TARGET: Final = "tidemill.target"  # the model of a route that was asked
ATTEMPT: Final = "tidemill.attempt"  # which of the request's attempts it was, from 1
WHY: Final = "tidemill.route.why"  # why this target
FAILURE: Final = "tidemill.failure"  # the class of what went wrong
ESTIMATED: Final = "tidemill.estimated"  # usage and cost that nobody reported
FINGERPRINT: Final = "tidemill.fingerprint"
JOB: Final = "tidemill.job"
EVALUATION: Final = "tidemill.evaluation"
SAMPLE: Final = "tidemill.sample"
INDEX: Final = "tidemill.index"  # the digest of the index that a retriever searched
REMOTE_PARENT: Final = "tidemill.remote_parent"  # on the first span here of a trace that a caller began

# What `tidemill.trace` writes besides; read by `telemetry/dialects/tidemill.py`.
KIND: Final = "tidemill.kind"
INPUT: Final = "tidemill.input"  # JSON
OUTPUT: Final = "tidemill.output"  # JSON
COST: Final = "tidemill.cost"  # US dollars
TAGS: Final = "tidemill.tags"
USER: Final = "user.id"
SESSION: Final = "session.id"
USAGE_CACHE_WRITE: Final = "gen_ai.usage.cache_creation.input_tokens"
USAGE_REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
USAGE_AUDIO_INPUT: Final = "tidemill.usage.audio_input_tokens"
USAGE_AUDIO_OUTPUT: Final = "tidemill.usage.audio_output_tokens"
