"""Licences of models: which are known, and what one may do under each. No legal advice; the text of the licence decides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tidemill.core.errors import Invalid
from tidemill.core.suggest import nearest

Word: TypeAlias = Literal["permissive", "conditions", "non_commercial", "terms", "unknown"]

_SENTENCES: Mapping[Word, str] = {
    "permissive": "use, change and sell it; keep the notices",
    "conditions": "commercial use is allowed under conditions: read them before you ship",
    "non_commercial": "no commercial use",
    "terms": "served under its seller's terms; the weights are not given out",
    "unknown": "no licence is known here: read the model's own page before you use it",
}
_PERMISSIVE = (
    "0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 CC-BY-2.0 CC-BY-3.0 CC-BY-4.0 CC0-1.0 CDLA-Permissive-1.0"
    " CDLA-Permissive-2.0 ISC MIT MIT-0 MS-PL MulanPSL-2.0 ODC-By-1.0 PDDL-1.0 PostgreSQL Python-2.0 Unlicense WTFPL Zlib"
).split()
_CONDITIONS = (
    "AGPL-3.0-only AGPL-3.0-or-later Artistic-2.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC-BY-ND-4.0 CDDL-1.0 EPL-2.0 EUPL-1.2 GPL-2.0-only"
    " GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MPL-2.0"
    " ODbL-1.0 OSL-3.0 LicenseRef-Llama-2 LicenseRef-Llama-3 LicenseRef-Llama-3.1 LicenseRef-Llama-3.2 LicenseRef-Llama-3.3"
    " LicenseRef-Llama-4 LicenseRef-Gemma LicenseRef-OpenRAIL LicenseRef-CreativeML-OpenRAIL-M LicenseRef-BigCode-OpenRAIL-M"
    " LicenseRef-BigScience-RAIL-1.0 LicenseRef-Qwen LicenseRef-DeepSeek LicenseRef-Modified-MIT LicenseRef-Jamba-Open"
    " LicenseRef-Databricks-Open-Model LicenseRef-NVIDIA-Open-Model LicenseRef-Falcon-180B"
).split()
_NON_COMMERCIAL = (
    "CC-BY-NC-2.0 CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0 LicenseRef-MNPL-0.1"
    " LicenseRef-MRL-0.1 LicenseRef-Qwen-Research LicenseRef-FLUX-1-dev-NC"
).split()
_WORDS: Mapping[str, Word] = {
    **dict.fromkeys(_PERMISSIVE, "permissive"),
    **dict.fromkeys(_CONDITIONS, "conditions"),
    **dict.fromkeys(_NON_COMMERCIAL, "non_commercial"),
}
_KNOWN = {each.lower(): each for each in _WORDS}
_OTHER_NAMES: Mapping[str, str] = {
    "apache": "Apache-2.0", "apache2": "Apache-2.0", "apache 2.0": "Apache-2.0", "bsd": "BSD-3-Clause", "gpl": "GPL-3.0-only",
    "gplv3": "GPL-3.0-only", "gpl-3.0": "GPL-3.0-only", "gplv2": "GPL-2.0-only", "gpl-2.0": "GPL-2.0-only",
    "agpl-3.0": "AGPL-3.0-only", "lgpl-3.0": "LGPL-3.0-only", "lgpl-2.1": "LGPL-2.1-only", "llama2": "LicenseRef-Llama-2",
    "llama3": "LicenseRef-Llama-3", "llama3.1": "LicenseRef-Llama-3.1", "llama3.2": "LicenseRef-Llama-3.2",
    "llama3.3": "LicenseRef-Llama-3.3", "llama4": "LicenseRef-Llama-4", "gemma": "LicenseRef-Gemma",
    "openrail": "LicenseRef-OpenRAIL", "creativeml-openrail-m": "LicenseRef-CreativeML-OpenRAIL-M",
    "bigcode-openrail-m": "LicenseRef-BigCode-OpenRAIL-M", "cc-by-nc": "CC-BY-NC-4.0", "cc-by": "CC-BY-4.0",
}  # fmt: skip
_OWN = re.compile(r"LicenseRef-[A-Za-z0-9.-]{1,100}")

# As stated with the weights when they were published; of a family only what is the same for all its sizes.
_BY_NAME: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), licence)
    for pattern, licence in (
        (r"deepseek-r1-distill-llama", "LicenseRef-Llama-3.1"),
        (r"deepseek-r1-distill-qwen", "MIT"),
        (r"deepseek-(?:r1(?:-0528)?|3-0324|3-1|3-2)(?:$|-)", "MIT"),
        (r"deepseek-3$", "LicenseRef-DeepSeek"),
        (r"gpt-oss-", "Apache-2.0"),
        (r"(?:.*-)?llama-2-", "LicenseRef-Llama-2"),
        (r"code-?llama-", "LicenseRef-Llama-2"),
        (r"(?:.*-)?llama-3-1-", "LicenseRef-Llama-3.1"),
        (r"(?:.*-)?llama-3-2-", "LicenseRef-Llama-3.2"),
        (r"(?:.*-)?llama-3-3-", "LicenseRef-Llama-3.3"),
        (r"(?:.*-)?llama-3-(?:8b|70b)", "LicenseRef-Llama-3"),
        (r"llama-4-", "LicenseRef-Llama-4"),
        (r"gemma-(?:2-|3-|3n-)?\d+b", "LicenseRef-Gemma"),
        (r"gemma-3n-e", "LicenseRef-Gemma"),
        (r"qwen-2-5-(?:coder-)?3b", "LicenseRef-Qwen-Research"),
        (r"qwen-2-5-72b|qwen-2-72b", "LicenseRef-Qwen"),
        (r"qwen-2(?:-5)?-(?:coder-|math-)?(?:0-5b|1-5b|7b|14b|32b)", "Apache-2.0"),
        (r"qwen-3-(?:\d|coder-30b|coder-480b|next-80b|embedding-)", "Apache-2.0"),
        (r"qwq-32b", "Apache-2.0"),
        (r"mistral-7b|mixtral-8x|mistral-nemo|mathstral-7b|pixtral-12b", "Apache-2.0"),
        (r"mistral-small-(?:24b|3|2501|2503|2506)", "Apache-2.0"),
        (r"(?:devstral|magistral)-small-250", "Apache-2.0"),
        (r"codestral-22b|codestral-2405", "LicenseRef-MNPL-0.1"),
        (r"mistral-large-(?:2407|2411)|ministral-8b-2410", "LicenseRef-MRL-0.1"),
        (r"phi-(?:2|3|3-5|4)(?:$|-)", "MIT"),
        (r"granite-[34]", "Apache-2.0"),
        (r"smollm", "Apache-2.0"),
        (r"olmo-", "Apache-2.0"),
        (r"dbrx-", "LicenseRef-Databricks-Open-Model"),
        (r"kimi-k2(?:-0905|-instruct|-thinking|$)", "LicenseRef-Modified-MIT"),
        (r"glm-4-[567](?:$|-air|-flash)", "MIT"),
        (r"falcon-(?:7b|40b)", "Apache-2.0"),
        (r"yi-(?:6b|9b|34b|1-5)", "Apache-2.0"),
        (r"bge-|multilingual-e5|e5-", "MIT"),
        (r"all-minilm-|nomic-embed|mxbai-embed|snowflake-arctic-embed|gte-", "Apache-2.0"),
        (r"jina-embeddings-3", "CC-BY-NC-4.0"),
        (r"whisper-(?:large|medium|small|base|tiny)", "MIT"),
        (r"flux-1?-?schnell", "Apache-2.0"),
        (r"flux-1?-?dev$", "LicenseRef-FLUX-1-dev-NC"),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a licence lets one do, in a word and a sentence. `licence` is its SPDX identifier; empty when none is known."""

    licence: str
    word: Word
    reason: str

    def to_json(self) -> dict[str, str | None]:
        """As the API shows it."""
        return {"licence": self.licence or None, "verdict": self.word, "reason": self.reason}


def judge(licence: str, *, closed: bool = False) -> Verdict:
    """The verdict on a licence. Without one, a model whose weights are not given out is under its seller's terms."""
    if licence:
        word = _WORDS.get(licence, "unknown")
        reason = _SENTENCES[word] if word != "unknown" else f"{licence} is not known here: read its text"
        return Verdict(licence=licence, word=word, reason=reason)
    word = "terms" if closed else "unknown"
    return Verdict(licence="", word=word, reason=_SENTENCES[word])


def parse_licence(text: str) -> str:
    """The SPDX identifier that `text` is, in its right spelling; `LicenseRef-…` for one that SPDX does not list.

    Raises `Invalid` with the nearest identifier.
    """
    plain = text.strip()
    found = _KNOWN.get(plain.lower())
    if found is not None or _OWN.fullmatch(plain):
        return found or plain
    meant = _OTHER_NAMES.get(plain.lower()) or nearest(plain, _WORDS)
    hint = f"Did you mean {meant}?" if meant else "Write one as in Apache-2.0; for a licence of its own, LicenseRef-NAME."
    raise Invalid(f"{text[:80]!r} is not an SPDX licence identifier that is known here", where="licence", hint=hint)


def read_licence(text: str) -> str:
    """The same for what a file says of itself, which may be any words; empty when they name nothing that is known."""
    plain = text.strip().lower()
    return _KNOWN.get(plain) or _OTHER_NAMES.get(plain) or ""


def licence_of_name(key: str) -> str:
    """The licence that the weights of a model of this key were published under; empty when not known."""
    return next((licence for pattern, licence in _BY_NAME if pattern.match(key)), "")
