"""Documentation that cannot rot: links lead somewhere, generated pages are current, and every extension, command, error code,
route, kind, key and setting is described."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
DOCS = ROOT / "docs"
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_VARIABLE = re.compile(r"\"(TIDEMILL_[A-Z]+)\"")


def broken_links() -> list[str]:
    pages = [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]
    return [
        f"{page.relative_to(ROOT)}: the link to {target} leads nowhere"
        for page in pages
        for target in _LINK.findall(_FENCE.sub("", page.read_text("utf-8")))
        if not target.startswith(("http://", "https://", "mailto:")) and not (page.parent / target).exists()
    ]


def unreachable() -> list[str]:
    """Pages that no other page links to."""
    pages = list(DOCS.rglob("*.md"))
    linked = {
        (page.parent / target).resolve()
        for page in [*pages, *ROOT.glob("*.md")]
        for target in _LINK.findall(page.read_text("utf-8"))
        if not target.startswith("http")
    }
    listed = {each for folder in linked if folder.is_dir() for each in folder.glob("*.md")}
    return [f"{page.relative_to(ROOT)}: no page links here" for page in pages if page.resolve() not in linked | listed]


def undescribed(page: str, names: Sequence[str]) -> list[str]:
    text = (DOCS / page).read_text("utf-8")
    return [f"docs/{page} does not mention `{name}`" for name in names if f"`{name}`" not in text]


def undescribed_keys() -> list[str]:
    """Keys that a document of a kind may have, and its section of files.md does not mention."""
    sections = re.split(r"^## ", (DOCS / "reference" / "files.md").read_text("utf-8"), flags=re.MULTILINE)
    text = {section.partition("\n")[0].strip().strip("`"): section for section in sections}
    problems: list[str] = []
    for kind, keys in keys_of_kinds().items():
        section = text.get(f"kind: {kind}")
        if section is None:
            problems.append(f"docs/reference/files.md has no section `kind: {kind}`")
            continue
        problems += [f"docs/reference/files.md, kind: {kind}: no `{key}`" for key in keys if f"`{key}`" not in section]
    return problems


def keys_of_kinds() -> Mapping[str, Sequence[str]]:
    """The keys of each kind, from the code that reads them."""
    from tidemill.data import specs  # noqa: PLC0415  (so that the links are checked without the package, too)
    from tidemill.evaluation import kinds as evaluation  # noqa: PLC0415
    from tidemill.flows import agent_kind, chain_kind, step_spec  # noqa: PLC0415
    from tidemill.models import kinds as models  # noqa: PLC0415
    from tidemill.models.routing import kind as routing  # noqa: PLC0415
    from tidemill.pipelines import forms, spec  # noqa: PLC0415
    from tidemill.prompts import kinds as prompts  # noqa: PLC0415

    private = {
        "chain": (chain_kind, "_KEYS"), "agent": (agent_kind, "_KEYS"), "prompt": (prompts, "_KEYS"),
        "model": (models, "_ModelBody"), "embedder": (models, "_EmbedderBody"), "connection": (models, "_ConnectionBody"),
        "route": (routing, "_RouteBody"), "dataset": (specs, "DatasetSpec"), "index": (specs, "IndexSpec"),
        "scorer": (evaluation, "_ScorerSpec"), "gate": (evaluation, "_GateSpec"),
    }  # fmt: skip
    found = {kind: _names(getattr(module, name)) for kind, (module, name) in private.items()}
    found["chain"] += [*step_spec.ACTIONS, "with", "when", "retries", "timeout", "fallback", "params", "history", "task"]
    found["agent"] += list(agent_kind.DEFAULT_LIMITS)
    found["dataset"] += _names(specs.RolesSpec)
    found["index"] += [key for each in (specs.SourceSpec, specs.ChunkSpec, specs.SearchSpec) for key in _names(each)]
    found["route"] += _names(vars(routing)["_Target"])
    found["gate"] += _names(vars(evaluation)["_CheckSpec"])
    found["function"] = ["call", "parameters", "effects"]
    found["tool"] = ["python", "parameters", "effects", "purpose"]
    found["guardrail"] = ["on", "check", "action", "message", "replacement"]
    found["endpoint"] = ["app", "release"]
    found["environment"] = ["from", "protected"]
    found["pipeline"] = ["inputs", "on", "steps", *forms.FORMS, *spec.SHARED]
    return found


def _names(keys: object) -> list[str]:
    return list(getattr(keys, "model_fields", keys))  # a pydantic model, or a tuple of names


def variables() -> list[str]:
    """Every environment variable that the code reads."""
    sources = (ROOT / "src").rglob("*.py")
    return sorted({name for source in sources for name in _VARIABLE.findall(source.read_text("utf-8"))})


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = project["entry-points"]
    from scripts.reference import outdated  # noqa: PLC0415
    from scripts.sync_client import outdated as outdated_client  # noqa: PLC0415

    from tidemill.cli.commands import COMMANDS  # noqa: PLC0415
    from tidemill.core.errors import BY_CODE  # noqa: PLC0415
    from tidemill.core.settings import _KNOWN  # noqa: PLC0415

    problems = [
        *broken_links(),
        *unreachable(),
        *outdated(),
        *outdated_client(),
        *undescribed("reference/extensions.md", list(groups)),
        *undescribed("reference/extensions.md", [name for group in groups.values() for name in group]),
        *undescribed("reference/exit-codes.md", list(BY_CODE)),
        *undescribed("reference/cli.md", [f"tidemill {name}" for name in COMMANDS]),
        *undescribed("reference/install.md", list(project["optional-dependencies"])),
        *undescribed("reference/evaluation.md", list(groups["tidemill.scorers"])),
        *undescribed("reference/settings.md", [*_KNOWN, *variables()]),
        *undescribed_keys(),
    ]
    print("\n".join(problems) or "the documentation is whole")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
