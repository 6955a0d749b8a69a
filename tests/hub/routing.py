"""Which function answers which path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar
from urllib.parse import unquote

from .hub import Hub
from .wire import HubError, Request, Response

Handler = Callable[..., Response]
H = TypeVar("H", bound=Handler)

# `{at}` is where a repository's own pages live: models at the root, the other kinds under a prefix.
GROUPS = {
    "{kind}": "(?P<kind>models|datasets|spaces)",
    "{repo}": "(?P<repo>[^/]+(?:/[^/]+)?)",
    "{at}": "/(?:(?P<kind>datasets|spaces)/)?(?P<repo>[^/]+(?:/[^/]+?)?)",
    "{revision}": "(?P<revision>[^/]+)",
    "{name}": "(?P<name>[^/]+)",
    "{path}": "(?P<path>.+)",
    "{sha256}": "(?P<sha256>[0-9a-f]{64})",
    "{upload}": "(?P<upload>[0-9a-f]{32})",
    "{number}": r"(?P<number>\d+)",
}


class Routes:
    """The endpoints of one module."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, method: str, pattern: str) -> Callable[[H], H]:
        """Register the decorated function; the groups of `pattern` become its keyword arguments."""
        for group, expression in GROUPS.items():
            pattern = pattern.replace(group, expression)

        def register(handler: H) -> H:
            self._routes.append((method, re.compile(pattern), handler))
            return handler

        return register

    def find(self, request: Request) -> Callable[[Hub], Response] | None:
        method = "GET" if request.method == "HEAD" else request.method
        for verb, pattern, handler in self._routes:
            if verb == method and (match := pattern.fullmatch(request.path)):
                groups = {name: unquote(text) for name, text in match.groupdict().items() if text is not None}
                return lambda hub, handler=handler: handler(hub, request, **groups)  # type: ignore[misc]
        return None


def respond(modules: Iterable[Routes], hub: Hub, request: Request) -> Response:
    """The response of the first endpoint that fits the request."""
    for routes in modules:
        if found := routes.find(request):
            try:
                return found(hub)
            except HubError as error:
                return error.response
    return HubError(404, f"There is no {request.method} {request.path}").response
