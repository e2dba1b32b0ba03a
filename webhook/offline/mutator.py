"""Offline mutation of manifests: the admission of each pod in them, without a server and a cluster."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from webhook.admission import pods
from webhook.admission.outcome import Outcome
from webhook.annotations import CONTAINERS
from webhook.cluster.facts import NO_FACTS, Facts
from webhook.offline import manifests
from webhook.offline.advice import advice
from webhook.offline.explain import explain
from webhook.offline.facts_file import FactsFile
from webhook.offline.manifests import Owner
from webhook.pod.diff import diff
from webhook.request.model_request import SKIP_REASONS, ModelRequest
from webhook.settings.model import Settings


class Decision(NamedTuple):
    """The outcome for one object, which is a pod, a pod template or a Deployment."""

    owner: Owner
    """The object in the manifests that contains it."""
    object: Any
    """As it was before."""
    outcome: Outcome

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those about the object that contains it, and those about it."""
        misplaced = (each.text for each in advice(self.owner.document) if not each.is_command)
        return (*misplaced, *self.outcome.warnings)


class Mutator:
    """Mutates the objects in documents, and collects the decisions about them.

    `misplaced`, `warnings`, `denials`, `skips`, `notes` and `commands` are lines that start with the kind and name of
    the object. `misplaced` is about annotations that reach no pod, and `commands` has what to run next.
    """

    def __init__(self, settings: Settings, namespace: str, facts: FactsFile | None) -> None:
        """`namespace` is the default for objects without one. Without `facts`, nothing is looked up."""
        self._settings = settings
        self._namespace = namespace
        self._facts = facts
        self.decisions: list[Decision] = []
        """In the order of the manifests."""
        self.misplaced: list[str] = []
        self.commands: list[str] = []

    @property
    def explanations(self) -> list[str]:
        """One line for each decision."""
        return [explain(*decision) for decision in self.decisions]

    @property
    def warnings(self) -> list[str]:
        return [f"{each.owner.name}: {warning}" for each in self.decisions for warning in each.outcome.warnings]

    @property
    def denials(self) -> list[str]:
        denied = [each for each in self.decisions if not each.outcome.allowed]
        return [f"{each.owner.name}: {each.outcome.message}" for each in denied]

    @property
    def skips(self) -> list[str]:
        skipped = [each for each in self.decisions if each.outcome.kind == "skipped"]
        return [f"{each.owner.name}: {SKIP_REASONS[each.outcome.reason]}" for each in skipped]

    @property
    def notes(self) -> list[str]:
        return [
            f"{each.owner.name}: the model is mounted in {', '.join(each.outcome.containers)} "
            f"(annotation {CONTAINERS} overrides this)"
            for each in self.decisions
            if each.outcome.containers
        ]

    def mutate_pods(self, document: Any, file: str = "") -> Any:
        """Return the document with its pods mutated; the same object when nothing changes.

        Lines begin with the name of the file if it is given.
        """
        self._advise(document, file)
        return manifests.edit_pods(
            document, lambda pod, owner: self._collect(pod, _in_file(file, owner), self._mutate_pod(pod, owner))
        )

    def mutate_deployments(self, document: Any, file: str = "") -> Any:
        """Return the document with its Deployments mutated as by the Deployment webhook, which does not change pods."""
        self._advise(document, file)
        return manifests.edit_deployments(
            document,
            lambda each, owner: self._collect(each, _in_file(file, owner), self._mutate_deployment(each, owner)),
        )

    def _advise(self, document: Any, file: str) -> None:
        for each in manifests.objects(document):
            name = f"{file}: {manifests.name_of(each)}" if file else manifests.name_of(each)
            for is_command, text in advice(each):
                (self.commands if is_command else self.misplaced).append(f"{name}: {text}")

    def _mutate_pod(self, pod: Any, owner: Owner) -> Outcome:
        request = pods.read(pod, owner.namespace or self._namespace, self._settings)
        if isinstance(request, Outcome):
            return request
        return pods.apply(pod, request, self._settings, self._read_facts(request))

    def _mutate_deployment(self, deployment: Any, owner: Owner) -> Outcome:
        # Imported here so that `mutate` starts fast: this option is rarely used.
        from webhook.admission import deployments

        request = deployments.read(deployment, owner.namespace or self._namespace, self._settings)
        if isinstance(request, Outcome):
            return request
        return deployments.apply(deployment, None, request, self._settings, self._read_facts(request))

    def _read_facts(self, request: ModelRequest) -> Facts:
        return self._facts.facts(request, self._settings) if self._facts else NO_FACTS

    def _collect(self, original: Any, owner: Owner, outcome: Outcome) -> Any:
        """Record a decision. Returns the mutated object, or the original one."""
        self.decisions.append(Decision(owner, original, outcome))
        return original if outcome.mutated is None else outcome.mutated


def _in_file(file: str, owner: Owner) -> Owner:
    return owner._replace(name=f"{file}: {owner.name}") if file else owner


def as_json(documents: list[Any]) -> str:
    """Format a single document as it is, and several as a List."""
    document = documents[0] if len(documents) == 1 else {"apiVersion": "v1", "kind": "List", "items": documents}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def as_patches(before: list[Any], after: list[Any]) -> Iterator[str]:
    """The JSON patch of each document, on one line."""
    for old, new in zip(before, after, strict=True):
        yield msgspec.json.encode(diff(old, new)).decode()


def as_diff(before: list[Any], after: list[Any]) -> Iterator[tuple[str, str | None]]:
    """The lines of a unified diff of the YAML, each with its colour."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for old, new in zip(before, after, strict=True):
        name = manifests.name_of(old)
        texts = manifests.dump([old]).splitlines(), manifests.dump([new]).splitlines()
        for line in difflib.unified_diff(*texts, name, f"{name}, mutated", lineterm=""):
            yield line, colours.get(line[:1])
