"""The mutation without a server: manifests in, manifests out."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import orjson

from webhook import manifests
from webhook.admission import Outcome, ask, settle
from webhook.diff import diff
from webhook.facts import NO_FACTS, Facts
from webhook.facts_file import FactsFile
from webhook.manifests import Place
from webhook.request import SKIP_REASONS, ModelRequest
from webhook.settings.model import Settings

load = manifests.load


class Mutator:
    """Mutates what is in documents and collects what is to be said about it.

    `warnings`, `denials` and `skips` are lines for people, each beginning with the object that it is about.
    """

    def __init__(self, settings: Settings, namespace: str, facts: FactsFile | None) -> None:
        """`namespace` is that of objects which name none; without `facts` nothing is known of the cluster."""
        self._settings = settings
        self._namespace = namespace
        self._facts = facts
        self.warnings: list[str] = []
        self.denials: list[str] = []
        self.skips: list[str] = []

    def mutate(self, document: Any) -> Any:
        """The document, with its pods as the webhook would admit them; the very same when nothing changes."""
        return manifests.edit_pods(document, lambda pod, place: self._note(pod, place, self._mutated(pod, place)))

    def roll_out(self, document: Any) -> Any:
        """The document, with its Deployments as the Deployment webhook would admit them; their pods as they are."""
        return manifests.edit_deployments(
            document, lambda each, place: self._note(each, place, self._rolled(each, place))
        )

    def _mutated(self, pod: Any, place: Place) -> Outcome:
        asked = ask(pod, place.namespace or self._namespace, self._settings)
        if isinstance(asked, Outcome):
            return asked
        return settle(pod, asked, self._settings, self._facts_of(asked))

    def _rolled(self, deployment: Any, place: Place) -> Outcome:
        # Seldom asked for, and `mutate` is to feel instant.
        from webhook import rollout

        asked = rollout.ask_deployment(deployment, place.namespace or self._namespace, self._settings)
        if isinstance(asked, Outcome):
            return asked
        return rollout.settle_deployment(deployment, None, asked, self._settings, self._facts_of(asked))

    def _facts_of(self, asked: ModelRequest) -> Facts:
        return self._facts.facts(asked, self._settings) if self._facts else NO_FACTS

    def _note(self, given: Any, place: Place, outcome: Outcome) -> Any:
        """Collect what is to be said of an outcome; gives what comes out."""
        self.warnings += [f"{place.owner}: {warning}" for warning in outcome.warnings]
        if not outcome.allowed:
            self.denials.append(f"{place.owner}: {outcome.message}")
        if outcome.kind == "skipped":
            self.skips.append(f"{place.owner}: {SKIP_REASONS[outcome.reason]}")
        return given if outcome.pod is None else outcome.pod


def as_json(documents: list[Any]) -> str:
    """One document as itself, several as a List."""
    whole = documents[0] if len(documents) == 1 else {"apiVersion": "v1", "kind": "List", "items": documents}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode()


def as_patches(before: list[Any], after: list[Any]) -> Iterator[str]:
    """For each document its JSON patch, in one line."""
    for old, new in zip(before, after, strict=True):
        yield orjson.dumps(diff(old, new)).decode()


def as_diff(before: list[Any], after: list[Any]) -> Iterator[tuple[str, str | None]]:
    """A unified diff of the YAML, line by line with its colour; of what changed only."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for old, new in zip(before, after, strict=True):
        name = manifests.name_of(old)
        texts = manifests.dump([old]).splitlines(), manifests.dump([new]).splitlines()
        for line in difflib.unified_diff(*texts, name, f"{name}, mutated", lineterm=""):
            yield line, colours.get(line[:1])
