"""The front door: which request goes to the data plane, which to the control plane, and what needs no token."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tidemill.api.compression import Compression
from tidemill.api.entry import COOKIE, Entry, cookie_of
from tidemill.api.error_pages import PREFIX as ERRORS
from tidemill.api.error_pages import error_page
from tidemill.api.guard import Guard, Watch, check_host, header_map
from tidemill.api.heads import Heads
from tidemill.api.problems import problem_response
from tidemill.api.requests import Requests
from tidemill.core.errors import NotFound, TidemillError
from tidemill.core.limits import Limits
from tidemill.store import denials
from tidemill.store.sessions import LONGEST_NS
from tidemill.version import __version__

_OLD_COOKIE = "tidemill_token"  # which held the token itself
_UNSEEN = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Tidemill</title>
<style>body{{font:14px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}}
code{{font-size:13px}}</style><h1>Tidemill {version}</h1>{body}</html>"""


class Front:
    """ASGI: `/v1/…` is the data plane; all else is the control plane, but for pages that are open.

    Open are `/healthz`, `/readyz`, `/login`, `/` and what explains the errors, `/docs/errors/…`.
    """

    def __init__(
        self,
        *,
        data_plane: ASGIApp,
        control_plane: ASGIApp,
        entry: Entry,
        metrics: ASGIApp | None = None,
        is_ready: Callable[[], Awaitable[bool]],
        hosts: frozenset[str],
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        self._data_plane = data_plane
        self._control_plane = Guard(control_plane, entry=entry, hosts=hosts)
        self._metrics = None if metrics is None else Guard(metrics, entry=entry, hosts=hosts)
        self._entry = entry
        self._is_ready = is_ready
        self._hosts = hosts
        self._formed = Requests(Heads(Compression(self._in_form), but={"/login"}), limits=limits)
        self._watched = Watch(self._routed, entry=entry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] == "http":
            await self._watched(scope, receive, send)

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/v1" or path.startswith("/v1/"):
            await self._data(scope, receive, send)
        else:
            await self._formed(scope, receive, send)

    async def _in_form(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if (page := self._open_page(path)) is not None:
            await (await page(Request(scope, receive)))(scope, receive, send)
        elif path == "/metrics" and self._metrics is not None:
            await self._metrics(scope, receive, send)
        else:
            await self._control_plane(scope, receive, send)

    async def _data(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = scope["tidemill.headers"] = header_map(scope)
            check_host(headers, hosts=self._hosts)
        except TidemillError as error:
            denials.refused(error)
            await problem_response(error)(scope, receive, send)
            return
        await self._data_plane(scope, receive, send)

    def _open_page(self, path: str) -> Callable[[Request], Awaitable[Response]] | None:
        pages = {"/healthz": self._alive, "/readyz": self._ready, "/login": self._login, "/": self._home}
        return self._error if f"{path}/".startswith(ERRORS) else pages.get(path)

    async def _alive(self, _request: Request) -> Response:
        return JSONResponse({"status": "alive", "version": __version__})

    async def _ready(self, _request: Request) -> Response:
        ready = await self._is_ready()
        return JSONResponse({"status": "ready" if ready else "starting"}, status_code=200 if ready else 503)

    async def _login(self, request: Request) -> Response:
        """Log in by a link's `code`, which works once, or by a `token`; neither is left in the browser."""
        query = parse_qs(request.scope["query_string"].decode("latin-1"))
        code, token = (query.get(name, [None])[0] for name in ("code", "token"))
        try:
            headers = header_map(request.scope)
            check_host(headers, hosts=self._hosts)
            if request.method != "GET" or (code is None and token is None):
                return _page("<p>Open the login link that <code>tidemill up</code> or <code>tidemill login</code> printed.</p>")
            agent, before = headers.get("user-agent", ""), cookie_of(headers)
            secret = await self._entry.log_in(code=code, token=token, agent=agent, before=before)
        except TidemillError as error:
            denials.refused(error)
            return _page(f"<p>{html.escape(error.message)}. {html.escape(error.hint)}</p>", status=403)
        response = RedirectResponse("/", status_code=303, headers=_UNSEEN)
        response.set_cookie(
            COOKIE,
            secret,
            max_age=LONGEST_NS // 10**9,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path="/",
        )
        response.delete_cookie(_OLD_COOKIE, path="/")
        return response

    async def _error(self, request: Request) -> Response:
        page = error_page(request.url.path)
        if page is None:
            return problem_response(NotFound("there is no such error code", hint=f"GET {ERRORS} lists them."))
        return HTMLResponse(page, headers={"cache-control": "public, max-age=3600"})

    async def _home(self, _request: Request) -> Response:
        return _page(
            "<p>The server runs. Endpoints answer at <code>/v1/chat/completions</code>; everything else is at"
            " <code>/api/v1</code>, described by <a href='/openapi.json'>/openapi.json</a> once you are logged in.</p>"
        )


def _page(body: str, *, status: int = 200) -> Response:
    return HTMLResponse(_PAGE.format(version=__version__, body=body), status_code=status, headers=_UNSEEN)
