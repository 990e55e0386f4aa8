"""The tables that several modules use; others stand with their functions. A change comes with a migration; a test compares."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData()
_Json = JSON(none_as_null=True)
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String, primary_key=key, nullable=False)


def _json(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, _Json, nullable=nullable)


def _ns(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


projects = Table(
    "projects",
    metadata,
    _text("name", key=True),
    _ns("created_ns"),
    Column("description", String, nullable=False, server_default=""),
    Column("created_by", String, nullable=False, server_default=""),
    Column("archived_ns", BigInteger, nullable=True),
)

artifacts = Table(
    "artifacts",
    metadata,
    _text("project", key=True),
    _text("kind", key=True),
    _text("name", key=True),
    Column("last_number", Integer, nullable=False),
    Column("latest", Integer, nullable=False),
    _ns("created_ns"),
    _ns("updated_ns"),
    Column("deleted", Integer, nullable=False, server_default="0"),  # how many versions are deleted and can be restored
)

versions = Table(
    "versions",
    metadata,
    _text("project", key=True),
    _text("kind", key=True),
    _text("name", key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _text("digest"),
    _json("spec"),
    _json("refs"),
    _json("blobs"),
    _text("description"),
    _json("tags"),
    _text("owner"),
    Column("hermetic", Boolean, nullable=False),
    _text("created_by"),
    _ns("created_ns"),
    Index("versions_by_digest", "project", "digest"),
    Index("versions_once", "project", "kind", "name", "digest", unique=True),
)

aliases = Table(
    "aliases",
    metadata,
    _text("project", key=True),
    _text("kind", key=True),
    _text("name", key=True),
    _text("alias", key=True),
    Column("number", Integer, nullable=False),
    _text("moved_by"),
    _ns("moved_ns"),
)

alias_moves = Table(
    "alias_moves",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    _text("project"),
    _text("kind"),
    _text("name"),
    _text("alias"),
    Column("before", Integer, nullable=True),
    Column("after", Integer, nullable=False),
    _text("moved_by"),
    _text("why"),
    _ns("moved_ns"),
    Index("alias_moves_by_artifact", "project", "kind", "name", "id"),
)

configs = Table(
    "configs",
    metadata,
    _text("project", key=True),
    _text("kind", key=True),
    _text("name", key=True),
    _text("environment", key=True),  # empty: every environment
    _json("spec"),
    _text("description"),
    _json("tags"),
    _text("owner"),
    _ns("updated_ns"),
)

keys = Table(
    "keys",
    metadata,
    _text("id", key=True),
    _text("project"),
    _text("hash"),
    _text("role"),
    _json("endpoints"),
    _ns("created_ns"),
    Column("revoked_ns", BigInteger, nullable=True),
    Column("person", String, nullable=True),
    Column("rights", _Json, nullable=True),  # null: all that the role has
    Column("expires_ns", BigInteger, nullable=True),
    Column("used_ns", BigInteger, nullable=True),  # to the minute
    Column("models", _Json, nullable=True),  # null: all
    Column("limits", _Json, nullable=True),
    Column("team", String, nullable=True),
    Index("keys_by_project", "project", "id"),
    Index("keys_by_person", "person"),
)

endpoints = Table(
    "endpoints",
    metadata,
    _text("project", key=True),
    _text("name", key=True),
    _text("release"),
    _text("root"),
    _json("before"),  # what it served before, oldest first: [[release, root], …]
    _ns("updated_ns"),
    Column("environment", String, nullable=True),  # null: that of the server
)

endpoint_moves = Table(
    "endpoint_moves",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    _text("project"),
    _text("endpoint"),
    _text("action"),
    _text("release"),
    _text("root"),
    _text("moved_by"),
    _ns("moved_ns"),
    Index("endpoint_moves_by_endpoint", "project", "endpoint", "id"),
)

steps = Table(
    "steps",
    metadata,
    _text("project", key=True),
    _text("key", key=True),
    _json("output", nullable=True),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("cost", Float, nullable=True),
    Column("latency_ms", Float, nullable=False),
    _json("extra", nullable=True),
    _ns("created_ns"),
)

scores = Table(
    "scores",
    metadata,
    _text("project", key=True),
    _text("key", key=True),
    _text("metric"),
    Column("value", Float, nullable=True),
    Column("error", String, nullable=True),
    _text("reason"),
    _ns("created_ns"),
)

epochs = Table(
    "epochs",
    metadata,
    _text("project", key=True),
    _text("model", key=True),
    Column("epoch", Integer, nullable=False),
    _text("fingerprint"),
)

evaluations = Table(
    "evaluations",
    metadata,
    _text("id", key=True),
    _text("project"),
    _text("release"),
    _text("root"),
    _text("dataset"),
    _text("status"),
    _json("config"),
    _json("result", nullable=True),
    _ns("created_ns"),
    _ns("updated_ns"),
    Index("evaluations_by_project", "project", "id"),
)

evaluation_samples = Table(
    "evaluation_samples",
    metadata,
    _text("evaluation", key=True),
    _text("sample", key=True),
    Column("replicate", Integer, primary_key=True, autoincrement=False),
    _json("data"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    _text("project"),
    _text("gate"),
    _text("evaluation"),
    Column("against", String, nullable=True),
    _text("result"),
    _json("detail"),
    _ns("decided_ns"),
    Index("decisions_by_project", "project", "gate", "id"),
)

jobs = Table(
    "jobs",
    metadata,
    _text("id", key=True),
    _text("project"),
    _text("kind"),
    _text("status"),
    _json("payload"),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=True),
    _text("unit"),
    _json("result", nullable=True),
    Column("error", String, nullable=True),
    Column("cancel_requested", Boolean, nullable=False),
    _ns("created_ns"),
    _ns("updated_ns"),
    Column("owner", String, nullable=True),  # of several processes on one database the one that does it
    Column("starts", Integer, nullable=False, server_default="0"),
    Index("jobs_by_project", "project", "id"),
    Index("jobs_by_status", "status"),
)

index_builds = Table(
    "index_builds",
    metadata,
    _text("project", key=True),
    _text("index_digest", key=True),
    _text("status"),
    _json("manifest", nullable=True),
    _json("blobs"),
    _ns("updated_ns"),
)

vectors = Table(
    "vectors",
    metadata,
    _text("project", key=True),
    _text("embedder", key=True),
    _text("chunk", key=True),
    Column("data", LargeBinary, nullable=False),
    _ns("created_ns"),
)
