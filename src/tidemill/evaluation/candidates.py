"""The same application with another model in it, and the same index under another embedder: what a comparison of models runs.

The digests that result are those that an apply would give, so outputs are re-used both ways. Nothing is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tidemill.core.digests import artifact_digest, digest_json
from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.core.records import Bundle, Version
from tidemill.core.refs import parse_ref


def with_model(bundle: Bundle, model: Version) -> Bundle:
    """The application with `model` wherever it asks one. Raises `Invalid` when it asks none."""
    swapped: dict[str, Version] = {}

    def swap(version: Version) -> Version:
        if version.digest not in swapped:
            swapped[version.digest] = _swap_refs(version)
        return swapped[version.digest]

    def _swap_refs(version: Version) -> Version:
        refs = {
            written: model.digest if parse_ref(written).kind in {"model", "route"} else swap(bundle.versions[digest]).digest
            for written, digest in version.refs.items()
        }
        if version is bundle.root and version.kind == "prompt" and "model" not in version.spec:
            version = replace(version, spec={**version.spec, "model": model.bare})
            refs[model.bare] = model.digest
        return version if refs == dict(version.refs) else _with_refs(version, refs)

    root = swap(bundle.root)
    if root.digest == bundle.root.digest and model.digest not in root.refs.values() and not _asks(bundle, model):
        raise Invalid(f"{bundle.root.ref} asks no model", hint="Name an app that does, or leave --app out.")
    versions = {each.digest: each for each in (*swapped.values(), model)}
    return Bundle(release=_release(root, versions), root=root, versions=versions, hermetic=bundle.hermetic)


def with_embedder(index: Version, embedder: Version) -> Version:
    """The same documents, cut in the same way, under another embedder; a name of its own, so that it replaces nothing."""
    refs = {embedder.bare: embedder.digest}
    spec = {**index.spec, "embed": embedder.bare}
    digest = _digest(index, spec=spec, refs=refs)
    name = f"{index.name}.{embedder.name}"[:128].rstrip("._-")
    return replace(index, name=index.name if digest == index.digest else name, number=0, digest=digest, spec=spec, refs=refs)


def searching(index: Version, embedder: Version, *, k: int) -> Bundle:
    """An application that does nothing but search the index by meaning, for the `k` nearest chunks."""
    spec: dict[str, Json] = {
        "inputs": [{"name": "query", "type": "string"}],
        "steps": [{"id": "find", "retrieve": {"index": index.bare, "query": "{{query}}", "k": k, "mode": "vector"}}],
        "output": "{{find}}",
    }
    root = Version(project=index.project, kind="chain", name=f"search-{index.name}"[:128], number=0, digest="", spec=spec)
    root = _with_refs(root, {index.bare: index.digest})
    versions = {each.digest: each for each in (root, index, embedder)}
    return Bundle(release=_release(root, versions), root=root, versions=versions)


def _asks(bundle: Bundle, model: Version) -> bool:
    return any(digest == model.digest for each in bundle.versions.values() for digest in each.refs.values())


def _with_refs(version: Version, refs: Mapping[str, str]) -> Version:
    return replace(version, refs=refs, digest=_digest(version, spec=version.spec, refs=refs))


def _digest(version: Version, *, spec: Mapping[str, Json], refs: Mapping[str, str]) -> str:
    """As the registry reckons it: references without their version, unless two of one artifact stand side by side."""
    names = [written.partition("@")[0] for written in refs]
    bare = {written if names.count(name) > 1 else name: refs[written] for written, name in zip(refs, names, strict=True)}
    return artifact_digest(version.kind, spec=spec, refs=bare, blobs=version.blobs)


def _release(root: Version, versions: Mapping[str, Version]) -> str:
    """A digest for the whole, of the form of a release's; it names nothing that is kept."""
    return digest_json({"compared": root.digest, "artifacts": sorted(versions)})
