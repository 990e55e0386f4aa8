"""One name for a model that many list under many names.

`anthropic.claude-3-5-sonnet-20241022-v2:0`, `claude-3-5-sonnet@20241022` and `openrouter/anthropic/claude-3.5-sonnet-20241022`
are one model. What could be another model stays apart: another size, another date, another precision, a fine-tune. To join two
that differ would be worse than to miss a pair that is the same.
"""

from __future__ import annotations

import functools
import re

from tidemill.models.providers.vendors import FAMILIES, MAKERS, OWN_SELLERS, SELLER_PREFIXES, SELLERS

_REGION = re.compile(r"^(?:us|eu|apac|global|jp|au|ca|us-gov|in)\.(?=[a-z0-9]+\.)")
_VENDOR_DOT = re.compile(
    r"^(?:anthropic|meta|mistral|cohere|amazon|ai21|deepseek|qwen|openai|stability|minimax|moonshot|moonshotai|nvidia|google"
    r"|zai|writer|twelvelabs|luma|xai|upstage)\."
)
_CLOUD_VERSION = re.compile(r"(?:-v1|(?<=\d{8})-v\d+)(?::\d+k?)+$|(?<=-v[2-9]):0(?::\d+k)?$")
_FIRST_VERSION = re.compile(r"^((?:claude|nova)-.*)-v1$")
_VARIANT = re.compile(r"(?::(?:free|extended|beta|nitro|floor|exacto|online|latest|paid)|-free|@(?:us|eu|global))$")
_MOVING = re.compile(r"[-@](?:latest|default)$|-maas$")
_DATE = re.compile(r"(20[2-3]\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")
_SEPARATORS = re.compile(r"[\s._:@/()\[\],]+|-{2,}")
_POINT = re.compile(r"(?<=\d)p(?=\d)")
_VERSION = re.compile(r"(?<=-)v(?=\d)")
_WORD_NUMBER = re.compile(r"(?:^|(?<=-))([a-z]{3,})(?=\d)")
_CLAUDE = re.compile(r"^claude-(\d)(?:-(\d{1,2}))?-(opus|sonnet|haiku|instant)(?=-|$)")
_CLAUDE_OTHER = re.compile(r"^claude-(opus|sonnet|haiku|instant)-(\d)(\d)(?=-|$)")
_OLD_GPT = re.compile(r"^gpt-35(?=-|$)")
_NOT_SPLIT = frozenset({"fp", "int"})
_LONGEST = max(map(len, FAMILIES))


@functools.cache
def seller_of(name: str) -> str:
    """A seller under the one name used here."""
    plain = name.strip().lower().replace("_", "-").replace(" ", "-")
    for prefix, seller in SELLER_PREFIXES.items():
        if plain.startswith(prefix):
            return seller
    return SELLERS.get(plain, plain)


@functools.cache
def maker_of(key: str, organisation: str = "") -> str:
    """Who made the model of this key: by its family, else by the organisation named before it; empty when not known."""
    for end in range(min(len(key), _LONGEST), 1, -1):
        if key[:end] in FAMILIES:
            return FAMILIES[key[:end]]
    return MAKERS.get(organisation.lower().replace("_", "-"), "")


def is_own_seller(seller: str, maker: str) -> bool:
    """Whether the maker sells there itself."""
    return bool(maker) and (seller in OWN_SELLERS.get(maker, frozenset({maker})))


@functools.cache
def organisation_of(name: str) -> str:
    """`meta-llama` of `meta-llama/Llama-3.1-8B-Instruct`; empty when none is named."""
    parts = name.lower().split("/")
    return parts[-2] if len(parts) > 1 else ""


@functools.cache
def key_of(name: str) -> str:
    """The one name of a model that a list calls `name`."""
    text = name.strip().lower().rsplit("/", 1)[-1]
    text = _VENDOR_DOT.sub("", _REGION.sub("", text))
    text = _VARIANT.sub("", text)
    text = _MOVING.sub("", _CLOUD_VERSION.sub("", _DATE.sub(r"\1\2\3", text)))
    text = _SEPARATORS.sub("-", text.replace("+", "-plus")).strip("-")
    text = _FIRST_VERSION.sub(r"\1", _without_brand(text))
    text = _VERSION.sub("", _POINT.sub("-", text))
    text = _WORD_NUMBER.sub(lambda match: match[1] if match[1] in _NOT_SPLIT else f"{match[1]}-", text)
    text = _OLD_GPT.sub("gpt-3-5", text)
    text = _CLAUDE_OTHER.sub(r"claude-\1-\2-\3", text)
    return _CLAUDE.sub(lambda match: "-".join(filter(None, ("claude", match[3], match[1], match[2]))), text)


def joined_key(name: str, seller: str) -> tuple[str, str]:
    """The key under which listings are joined, and the maker.

    A word without a number and without a known maker (`auto`, `router`) may be anything: it stays its seller's own.
    """
    key = key_of(name)
    maker = maker_of(key, organisation_of(name))
    if maker or any(char.isdigit() for char in key):
        return key, maker
    return f"{seller}/{key}", maker


def _without_brand(text: str) -> str:
    """`meta-llama-3-8b` is `llama-3-8b`: a maker's name before a family of that maker says nothing more."""
    words = text.split("-", 2)
    for count in (2, 1):
        brand, rest = "-".join(words[:count]), "-".join(words[count:])
        maker = MAKERS.get(brand)
        if rest and maker and (maker_of(rest) == maker or (brand == "databricks" and maker_of(rest))):
            return rest
    return text
