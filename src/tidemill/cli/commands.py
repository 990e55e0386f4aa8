"""Every command: where it lives, what it is for, and the example that its help starts with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Command(NamedTuple):
    """`module` has `COMMAND`, a function, or `COMMANDS`, functions by the subcommand; with both, `COMMAND` takes the rest."""

    module: str
    summary: str
    example: str


SECTIONS: Mapping[str, Mapping[str, Command]] = {
    "Start": {
        "init": Command("init", "Make a project from a template", "tidemill init myapp --template rag --source mydocs/"),
        "up": Command("up", "Run the server", "tidemill up --port 8710"),
        "login": Command("login", "Log in to the web page by a link that works once", "tidemill login --person ana"),
        "doctor": Command("doctor", "Check this machine and this project", "tidemill doctor"),
    },
    "Build": {
        "plan": Command("plan", "Show what an apply would change", "tidemill plan"),
        "apply": Command("apply", "Make the project's files the latest versions", "tidemill apply --yes"),
        "pull": Command("pull", "Write registry changes into the project's files", "tidemill pull prompt/answer"),
        "run": Command("run", "Run an app once", 'tidemill run chain/handbook --input question="What is a with statement?"'),
        "release": Command("release", "Lock an app with everything it needs", "tidemill release chain/handbook"),
    },
    "Look": {
        "get": Command("get", "List artifacts, or one of them", "tidemill get prompt"),
        "show": Command("show", "Show one version, release, endpoint or evaluation", "tidemill show prompt/answer@v3"),
        "history": Command(
            "history", "List the versions of an artifact, and what became of them", "tidemill history prompt/answer"
        ),
        "blame": Command("blame", "Show which version brought each line of a prompt", "tidemill blame prompt/answer"),
        "diff": Command(
            "diff",
            "Show what differs between two versions, releases or times",
            'tidemill diff endpoint/handbook --since "last tuesday"',
        ),
        "lineage": Command("lineage", "Show what made a thing, and what it feeds", "tidemill lineage prompt/answer"),
        "alias": Command("alias", "Name a version", "tidemill alias chain/handbook@v3 production"),
        "tag": Command("tag", "Tag and describe an artifact without a file", "tidemill tag prompt/answer team=search"),
        "delete": Command("delete", "Delete a version or an artifact", "tidemill delete prompt/answer@v3"),
        "restore": Command("restore", "Restore what was deleted", "tidemill restore prompt/answer@v3"),
        "models": Command(
            "models",
            "Find, compare and add models and embedders",
            'tidemill models list --q "small instruct" --licence permissive',
        ),
        "routes": Command(
            "routes", "See how the models behind one name do: breakers, latencies, shares", "tidemill routes show answers"
        ),
        "cache": Command(
            "cache",
            "Measure what kept answers would save, and how often they would be wrong",
            "tidemill cache measure dataset/questions --embedder embedder/small",
        ),
        "prompts": Command("prompts", "See prompts", "tidemill prompts list"),
        "data": Command(
            "data", "See datasets and their rows, make samples of traces", "tidemill data show dataset/questions --limit 5"
        ),
        "index": Command("index", "See, build and search indexes", 'tidemill index search index/handbook "context manager"'),
    },
    "Improve": {
        "tune": Command("tune", "Train an adapter for a local model", "tidemill tune router.yaml"),
    },
    "Measure": {
        "eval": Command(
            "evaluate",
            "Evaluate an app on a dataset",
            "tidemill eval chain/handbook --data dataset/questions --scorer recall_at_k",
        ),
        "compare": Command("compare", "Compare two evaluations, sample by sample", "tidemill compare EVALUATION EVALUATION"),
        "gate": Command("gate", "Ask a gate about an evaluation", "tidemill gate gate/release EVALUATION --against EVALUATION"),
    },
    "Operate": {
        "deploy": Command("deploy", "Serve an app at an endpoint", "tidemill deploy chain/handbook --to endpoint/handbook"),
        "environments": Command(
            "environments",
            "See environments, their connections, and what is promoted there",
            "tidemill environments production",
        ),
        "promote": Command(
            "promote", "Move a release into another environment", "tidemill promote chain/handbook@staging --to production"
        ),
        "rollback": Command("rollback", "Serve what the endpoint served before", "tidemill rollback endpoint/handbook"),
        "rollout": Command(
            "rollout",
            "Let a share of the callers have another release",
            "tidemill rollout start endpoint/handbook --to chain/handbook --share 10%",
        ),
        "instrument": Command(
            "instrument", "Run a program with tracing on, without touching its code", "tidemill instrument -- python app.py"
        ),
        "traces": Command(
            "traces_more",
            "See what ran, step by step",
            'tidemill traces list --filter "status = error and latency > 2s" --from 24h',
        ),
        "feedback": Command(
            "feedback", "Say how an answer was; see what was said", "tidemill feedback add 7f3c --thumbs down --correction TEXT"
        ),
        "pipeline": Command("pipeline", "Run pipelines, and see, follow and stop their runs", "tidemill pipeline run improve"),
        "monitor": Command(
            "monitor", "Watch live traffic for drift, and score a share of it", "tidemill monitor run monitor/handbook"
        ),
        "alerts": Command("alerts", "See and acknowledge alerts", "tidemill alerts list"),
        "export": Command("export", "Write the project to an archive in open formats", "tidemill export --out backup.zip"),
        "import": Command("import_", "Take in an archive", "tidemill import backup.zip --into elsewhere --dry-run"),
        "jobs": Command("jobs", "See, follow and cancel long work", "tidemill jobs list"),
        "projects": Command("projects", "See, make and archive projects", "tidemill projects create shop --description TEXT"),
        "people": Command("people", "Add people and service accounts, let them in or out", "tidemill people add ana"),
        "access": Command(
            "access", "Grant and deny, and say who may do what and why", "tidemill access check ana deploy endpoint/prod"
        ),
        "db": Command("db", "Look after the database: state, schema, backups", "tidemill db backup backup.zip"),
        "keys": Command("keys", "Make, rotate and revoke API keys", "tidemill keys create --endpoint handbook --expires 30d"),
        "schema": Command("schema", "Print the API's description, or list the kinds", "tidemill schema kinds"),
    },
    "Govern": {
        "approve": Command(
            "approve",
            "Approve a release",
            'tidemill approve chain/handbook --for endpoint/handbook --reason "read 20 answers"',
        ),
        "approvals": Command("approvals", "See approvals, and take them back", "tidemill approvals list"),
        "policies": Command(
            "policies",
            "See what is protected, and what is missing",
            "tidemill policies check chain/handbook --to endpoint/handbook",
        ),
        "audit": Command("audit", "See what happened, and check the record of it", "tidemill audit list --action policy"),
        "maturity": Command("maturity", "Score how this project is run", "tidemill maturity"),
        "evidence": Command(
            "evidence", "Show what is known of a release, signed", "tidemill evidence chain/handbook --out pack.zip"
        ),
    },
}
COMMANDS: Mapping[str, Command] = {name: each for section in SECTIONS.values() for name, each in section.items()}
