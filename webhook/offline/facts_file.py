"""Cluster facts from a file of manifests, instead of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from webhook.cluster.facts import Facts
from webhook.cluster.kinds import STORAGE_CONTAINERS, Key
from webhook.cluster.lookups import always, gather
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings

T = TypeVar("T")


class FactsFile:
    """A source of facts that reads manifests. An object that is not in the file does not exist."""

    def __init__(self, documents: list[Any]) -> None:
        """`documents` are manifests or Lists. Kinds that are not needed for facts are ignored."""
        self._objects: dict[str, dict[str, list[Any]]] = {}
        for each in _flatten(documents):
            name = each["metadata"].get("name")
            if isinstance(each.get("kind"), str) and isinstance(name, str):
                self._objects.setdefault(each["kind"], {}).setdefault(name, []).append(each)

    def facts(self, request: ModelRequest, settings: Settings) -> Facts:
        """Return the facts for a request."""
        return gather(request, settings, self.read)

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        return self.facts(request, settings)

    async def lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        return self.facts(request, settings)

    def read(self, key: Key[T], suffices: Callable[[T], bool] = always) -> T | None:
        """Read one fact; None when the file has no such object."""
        named = self._objects.get(key.kind.name, {})
        if key.kind is STORAGE_CONTAINERS:
            return key.reduce({"items": [each for found in named.values() for each in found]})
        for each in named.get(key.name, []):
            # As in kubectl, a manifest without a namespace belongs to the requested one.
            if each["metadata"].get("namespace", key.namespace) == key.namespace:
                return key.reduce(each)
        return None


def _flatten(documents: list[Any]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if not isinstance(document, dict):
            continue
        kind, items = document.get("kind"), document.get("items")
        if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
            # Items of a typed list can omit their kind.
            yield from _flatten([_with_kind(item, kind.removesuffix("List")) for item in items])
        elif isinstance(document.get("metadata"), dict):
            yield document


def _with_kind(item: Any, kind: str) -> Any:
    return {"kind": kind, **item} if isinstance(item, dict) and kind else item
