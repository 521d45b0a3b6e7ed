"""Blueprints whose views answer with pydantic models, alone or with a status; `studio.app.Studio` makes them JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint

View = TypeVar("View", bound=Callable[..., Any])


class Routes(Blueprint):
    """As Flask's, but its decorators take views of any return type: mypy would take its own alone."""

    def get(self, rule: str, **options: Any) -> Callable[[View], View]:
        return self._of_method("GET", rule, options)

    def post(self, rule: str, **options: Any) -> Callable[[View], View]:
        return self._of_method("POST", rule, options)

    def put(self, rule: str, **options: Any) -> Callable[[View], View]:
        return self._of_method("PUT", rule, options)

    def patch(self, rule: str, **options: Any) -> Callable[[View], View]:
        return self._of_method("PATCH", rule, options)

    def delete(self, rule: str, **options: Any) -> Callable[[View], View]:
        return self._of_method("DELETE", rule, options)

    def _of_method(self, method: str, rule: str, options: dict[str, Any]) -> Callable[[View], View]:
        def register(view: View) -> View:
            # No OPTIONS: pages of other origins are not to ask anything here, so none needs to ask whether it may.
            self.add_url_rule(rule, view_func=view, methods=[method], provide_automatic_options=False, **options)
            return view

        return register
