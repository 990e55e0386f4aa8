"""Requests of the APIs that continue one text: watsonx and SageMaker."""

from __future__ import annotations

from models.replay.said import Said, chunks
from tidemill.core.chat import ChatRequest
from tidemill.core.parts import Message

_SAGEMAKER = {"temperature": "temperature", "top_p": "top_p", "max_new_tokens": "max_tokens"}


def watsonx(body: dict, model: str) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message.of("user", body["input"]),))


def watsonx_says(row: dict) -> Said:
    said = Said()
    for chunk in chunks(row["response"]):
        for result in chunk["results"]:
            said.text += result["generated_text"]
            said.input = max(said.input, result["input_token_count"])
            said.output = max(said.output, result["generated_token_count"])
            said.finish = "length" if result["stop_reason"] in {"max_tokens", "MAX_TOKENS"} else "stop"
    return said


def sagemaker(body: dict, model: str) -> ChatRequest:
    params = {_SAGEMAKER[name]: value for name, value in body["parameters"].items()}
    return ChatRequest(model=model, messages=(Message.of("user", body["inputs"]),), params=params)


def sagemaker_says(row: dict) -> Said:
    return Said(text=row["response"][0]["generated_text"].removeprefix(row["request"]["inputs"]), finish="stop")
