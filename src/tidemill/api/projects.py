"""Projects: made, described, archived. A caller sees those in which they may read."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import Administrator, AnyCaller, Body, Limit, Page, Somebody, page
from tidemill.api.etags import IfMatch, tag, tag_beside
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.store import projects
from tidemill.store.access import Principal
from tidemill.store.grants import EVERY_PROJECT
from tidemill.store.projects import Project

router = Router(tags=["projects"])
outside = Router(tags=["projects"])
Description = Annotated[str, Field(max_length=2000)]


class NewProject(Body):
    """A project to be."""

    name: Annotated[str, Field(max_length=128)]
    description: Description = ""


class ProjectChange(Body):
    """What is to be different; what is left out stays."""

    description: Description | None = None
    archived: bool | None = None


@outside.get("/projects")
async def list_projects(call: Somebody, limit: Limit = 100, cursor: Annotated[str | None, Query()] = None) -> Page:
    """The projects that the caller may read, by name."""
    among = _seen_by(call.principal)
    found = await call.platform.database.read(lambda db: projects.page_of_projects(db, among=among, limit=limit, cursor=cursor))
    shown = [each for each in found.items if among is None or _may_read(call.principal, each.name)]
    return page([_brief(each) for each in shown], found.next)


@outside.post("/projects", status_code=201)
async def create_project(call: Administrator, body: NewProject) -> dict[str, Any]:
    """Make a project; an apply by the admin makes one too."""
    now_ns = call.platform.clock.now_ns()
    made = await call.platform.database.write(
        lambda db: projects.create_project(db, body.name, description=body.description, now_ns=now_ns, by=call.who)
    )
    return project_json(made)


@router.get("")
async def show_project(call: AnyCaller, response: Response) -> dict[str, Any]:
    """A project and how much is in it."""
    found = await call.platform.database.read(lambda db: projects.get_project(db, call.project))
    response.headers["etag"] = tag_beside(_tag(found), found.counts)
    return project_json(found)


@router.patch("")
async def change_project(call: AnyCaller, body: ProjectChange, if_match: IfMatch, response: Response) -> dict[str, Any]:
    """Describe a project anew; archive it, which makes it read-only, or bring it back."""
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> Project:
        if_match.check_state(lambda: _tag(projects.get_project(db, call.project)))
        return projects.change_project(
            db, call.project, description=body.description, is_archived=body.archived, now_ns=now_ns, by=call.who
        )

    found = await call.platform.database.write(work)
    response.headers["etag"] = tag_beside(_tag(found), found.counts)
    return project_json(found)


def _tag(project: Project) -> str:
    return tag(project.name, project.description, project.created_ns, project.archived_ns)


def project_json(project: Project) -> dict[str, Any]:
    """A project as everyone sees it."""
    return _brief(project) | {"counts": project.counts}


def _brief(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "description": project.description,
        "created": iso(project.created_ns),
        "created_by": project.created_by,
        "archived": project.archived_ns is not None,
    }


def _seen_by(principal: Principal) -> frozenset[str] | None:
    """Names of projects in which somebody may be known; None: it may be any."""
    if principal.is_admin:
        return None
    if principal.project is not None:
        return frozenset({principal.project})
    granted = frozenset(each.project for each in principal.standing.grants) if principal.standing else frozenset[str]()
    return None if EVERY_PROJECT in granted else granted


def _may_read(principal: Principal, project: str) -> bool:
    try:
        return principal.within(project).decide("read").allowed
    except projects.NotFound:
        return False
