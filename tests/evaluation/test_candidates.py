"""The same application with another model in it, and an index under another embedder."""

from __future__ import annotations

import pytest

from tidemill.core.digests import artifact_digest
from tidemill.core.errors import Invalid
from tidemill.core.records import Bundle, Version
from tidemill.evaluation.candidates import searching, with_embedder, with_model


def version(kind: str, name: str, *, refs=None, **spec) -> Version:
    refs = refs or {}
    digest = artifact_digest(kind, spec=spec, refs={key.partition("@")[0]: each for key, each in refs.items()}, blobs={})
    return Version(project="p", kind=kind, name=name, number=1, digest=digest, spec=spec, refs=refs)


ONE, OTHER = version("model", "one", provider="test"), version("model", "other", provider="test", reply="x")


def bundle(root: Version, *others: Version) -> Bundle:
    return Bundle(release="sha256:r", root=root, versions={each.digest: each for each in (root, *others)})


def test_every_model_of_a_chain_is_replaced_also_in_chains_within_it() -> None:
    inner = version("chain", "inner", refs={"model/one@v1": ONE.digest}, steps=[])
    outer = version("chain", "outer", refs={"chain/inner": inner.digest, "model/one": ONE.digest}, steps=[])
    swapped = with_model(bundle(outer, inner, ONE), OTHER)
    assert swapped.root.refs["model/one"] == OTHER.digest
    assert swapped.resolve(swapped.root, "chain/inner").refs == {"model/one@v1": OTHER.digest}
    assert ONE.digest not in swapped.versions
    assert swapped.release != with_model(bundle(outer, inner, ONE), ONE).release


def test_the_digests_are_those_that_an_apply_would_give() -> None:
    chain = version("chain", "app", refs={"model/one@v1": ONE.digest}, steps=[])
    assert with_model(bundle(chain, ONE), ONE).root.digest == chain.digest
    assert (
        with_model(bundle(chain, ONE), OTHER).root.digest
        == version("chain", "app", refs={"model/one": OTHER.digest}, steps=[]).digest
    )


def test_a_prompt_without_a_model_gets_one() -> None:
    prompt = version("prompt", "ask", text="{{q}}")
    swapped = with_model(bundle(prompt), OTHER)
    assert swapped.root.spec["model"] == "model/other"
    assert swapped.resolve(swapped.root, "model/other") is OTHER


def test_an_app_without_a_model_is_refused() -> None:
    with pytest.raises(Invalid, match="asks no model"):
        with_model(bundle(version("chain", "search", steps=[])), OTHER)


def test_an_index_under_another_embedder_has_a_name_and_digest_of_its_own() -> None:
    first, second = version("embedder", "first", provider="test"), version("embedder", "second", provider="local")
    index = version("index", "docs", refs={"embedder/first": first.digest}, embed="embedder/first", source={})
    same, other = with_embedder(index, first), with_embedder(index, second)
    assert (same.name, same.digest) == ("docs", index.digest), "what is built is used"
    assert other.name == "docs.second"
    assert other.digest != index.digest
    made = searching(other, second, k=5)
    assert made.resolve(made.root, "index/docs.second") is other
    assert made.resolve(other, "embedder/second") is second
