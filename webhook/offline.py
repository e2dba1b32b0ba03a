"""The mutation without a server: manifests in, manifests out."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import orjson

from webhook import manifests, rollout
from webhook.admission import Outcome, ask, settle
from webhook.diff import diff
from webhook.facts import NO_FACTS, Facts
from webhook.facts_file import FactsFile
from webhook.request import ModelRequest
from webhook.settings.model import Settings

load = manifests.load


class Mutator:
    """Mutates the pods of documents and collects what is to be said about them.

    `warnings` and `denials` are lines for people, each beginning with the document it is about.
    """

    def __init__(self, settings: Settings, namespace: str, facts: FactsFile | None) -> None:
        self._settings = settings
        self._namespace = namespace
        self._facts = facts
        self.warnings: list[str] = []
        self.denials: list[str] = []

    def roll_out(self, document: Any) -> Any:
        """The document as the Deployment webhook would admit it; its pods are left as they are."""
        if isinstance(document, dict) and isinstance(document.get("items"), list):
            return {**document, "items": [self.roll_out(item) for item in document["items"]]}
        if not isinstance(document, dict) or document.get("kind") != "Deployment":
            return document
        metadata = document.get("metadata")
        namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
        return self._note(document, document, self._rolled(document, namespace or self._namespace))

    def _rolled(self, deployment: Any, namespace: str) -> Outcome:
        asked = rollout.ask_deployment(deployment, namespace, self._settings)
        if isinstance(asked, Outcome):
            return asked
        return rollout.settle_deployment(deployment, None, asked, self._settings, self._facts_of(asked))

    def mutate(self, document: Any) -> Any:
        """The document, with its pods as the webhook would admit them."""
        return manifests.edit_pods(document, lambda pod, namespace: self._edit(document, pod, namespace))

    def _edit(self, document: Any, pod: Any, namespace: str) -> Any:
        return self._note(document, pod, self._outcome(pod, namespace or self._namespace))

    def _note(self, document: Any, given: Any, outcome: Outcome) -> Any:
        """Collect what is to be said of an outcome; gives what comes out."""
        name = _name(document)
        self.warnings += [f"{name}: {warning}" for warning in outcome.warnings]
        if not outcome.allowed:
            self.denials.append(f"{name}: {outcome.message}")
        return given if outcome.pod is None else outcome.pod

    def _outcome(self, pod: Any, namespace: str) -> Outcome:
        asked = ask(pod, namespace, self._settings)
        if isinstance(asked, Outcome):
            return asked
        return settle(pod, asked, self._settings, self._facts_of(asked))

    def _facts_of(self, asked: ModelRequest) -> Facts:
        return self._facts.facts(asked, self._settings) if self._facts else NO_FACTS


def _name(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, dict) else None
    return f"{document.get('kind')} {name}" if name else str(document.get("kind"))


def as_json(documents: list[Any]) -> str:
    """One document as itself, several as a List."""
    whole = documents[0] if len(documents) == 1 else {"apiVersion": "v1", "kind": "List", "items": documents}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode()


def as_patches(before: list[Any], after: list[Any]) -> Iterator[str]:
    """For each document its JSON patch, in one line."""
    for old, new in zip(before, after, strict=True):
        yield orjson.dumps(diff(old, new)).decode()


def as_diff(before: list[Any], after: list[Any]) -> Iterator[tuple[str, str | None]]:
    """A unified diff of the YAML, line by line with its colour."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for old, new in zip(before, after, strict=True):
        name = _name(old) if isinstance(old, dict) else "document"
        lines = difflib.unified_diff(
            manifests.dump([old]).splitlines(),
            manifests.dump([new]).splitlines(),
            name,
            f"{name}, mutated",
            lineterm="",
        )
        for line in lines:
            yield line, colours.get(line[:1])
