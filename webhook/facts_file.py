"""Facts from a file of Kubernetes manifests: what a cluster holds, without the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from webhook.facts import Facts
from webhook.needs import always, gather
from webhook.objects import STORAGE_CONTAINERS, Key
from webhook.request import ModelRequest
from webhook.settings.model import Settings

T = TypeVar("T")


class FactsFile:
    """Manifests as a source of facts. What is not in the file does not exist."""

    def __init__(self, documents: list[Any]) -> None:
        """`documents` are manifests, or lists of them; of kinds that facts are not made of, nothing is taken."""
        self._objects = list(_flat(documents))

    def facts(self, request: ModelRequest, settings: Settings) -> Facts:
        """The facts of a request."""
        return gather(request, settings, self.read)

    def cached(self, request: ModelRequest, settings: Settings) -> Facts | None:
        return self.facts(request, settings)

    async def lookup(self, request: ModelRequest, settings: Settings) -> Facts:
        return self.facts(request, settings)

    def read(self, key: Key[T], suffices: Callable[[T], bool] = always) -> T | None:
        """One fact, or None when the file has no such object."""
        found = [each for each in self._objects if each.get("kind") == key.kind.name]
        if key.kind is STORAGE_CONTAINERS:
            return key.kind.reduce({"items": found})
        for each in found:
            metadata = each["metadata"]
            # As kubectl does, a manifest without a namespace is taken for one of the namespace in question.
            if metadata.get("name") == key.name and metadata.get("namespace", key.namespace) == key.namespace:
                return key.kind.reduce(each)
        return None


def _flat(documents: list[Any]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if not isinstance(document, dict):
            continue
        kind, items = document.get("kind"), document.get("items")
        if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
            # The items of a typed list need not repeat its kind.
            yield from _flat([_with_kind(item, kind.removesuffix("List")) for item in items])
        elif isinstance(document.get("metadata"), dict):
            yield document


def _with_kind(item: Any, kind: str) -> Any:
    return {"kind": kind, **item} if isinstance(item, dict) and kind else item
