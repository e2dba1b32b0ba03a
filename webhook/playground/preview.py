"""The preview of manifests: what `storage-webhook mutate` prints, as data for the page. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from webhook.cluster.kinds import Key
from webhook.cluster.lookups import always
from webhook.offline import manifests
from webhook.offline.explain import explain as explain_decision
from webhook.offline.facts_file import FactsFile
from webhook.offline.mutator import Decision, Mutator
from webhook.playground.explanation import Explanation, explain
from webhook.playground.line_diff import Change, LineDiffer
from webhook.settings.manifest import extract_data
from webhook.settings.model import Settings
from webhook.settings.parse import Problem, SettingsError, parse, require_keys

T = TypeVar("T")
Webhook = Literal["pods", "deployments"]

MAX_VALUES = 50_000
"""The number of values in a text, with aliases expanded."""
MAX_EXPANDED = 4 * 1024 * 1024
"""The number of characters in the strings of a text, with aliases expanded."""


MAX_OBJECTS = 200
"""The number of pods, and of cluster objects. Each pod may be compared with each cluster object."""


class PreviewRequest(BaseModel):
    """Manifests, and what the webhook knows when it mutates them: the options of `storage-webhook mutate`."""

    model_config = ConfigDict(extra="forbid")

    manifests: str = Field(description="Pods, workloads, Lists and AdmissionReviews, as YAML or JSON.")
    settings: str = Field("", description="A settings ConfigMap. Empty: the settings of this server.")
    objects: str = Field("", description="Manifests of the cluster objects to look up. Empty: nothing is looked up.")
    namespace: str = Field("default", max_length=63, description="Namespace of manifests that do not set one.")
    webhook: Webhook = Field("pods", description="The webhook that is called.")


class Lookup(BaseModel):
    """A cluster object that was looked up; `name` is empty for all objects of the kind."""

    kind: str
    name: str
    found: bool


class Result(BaseModel):
    """What was decided for one pod, pod template or Deployment."""

    owner: str
    outcome: str
    reason: str
    """The skip reason; empty for other outcomes."""
    explanation: str
    """What was decided, and which annotations were looked for, in one line."""
    message: str
    """Why it is denied."""
    code: int
    sources: list[str]
    containers: list[str]
    warnings: list[str]
    annotations: list[Explanation]


class Document(BaseModel):
    """One document of the manifests: its results, and its YAML before and after."""

    name: str
    results: list[Result]
    misplaced: list[str]
    """Sentences about annotations that reach no pod."""
    commands: list[str]
    """What to run next."""
    lookups: list[Lookup]
    """In order; empty when the request has no cluster objects."""
    before: list[str]
    after: list[str]
    changes: list[Change]


class Preview(BaseModel):
    """The documents in the order of the manifests."""

    documents: list[Document]
    settings_warnings: list[str]
    annotations: list[Explanation]
    """Those of the cluster objects."""


class InvalidInput(Exception):
    """A field of the request cannot be read."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def preview(request: PreviewRequest, current: Settings) -> Preview:
    """Mutate the manifests; `current` are the settings of the server. Raises InvalidInput."""
    settings, warnings = _settings(request.settings) if request.settings.strip() else (current, [])
    objects = _load("objects", request.objects)
    facts = _RecordedFacts(objects) if request.objects.strip() else None
    differ = LineDiffer()
    documents = []
    for document in _load("manifests", request.manifests):
        mutator = Mutator(settings, request.namespace or "default", facts)
        mutate = mutator.mutate_deployments if request.webhook == "deployments" else mutator.mutate_pods
        documents.append(_document(document, mutate(document), mutator, facts, differ))
    return Preview(
        documents=documents, settings_warnings=[str(warning) for warning in warnings], annotations=explain(*objects)
    )


class _RecordedFacts(FactsFile):
    """Facts from manifests; records what is looked up."""

    def __init__(self, documents: list[Any]) -> None:
        super().__init__(documents)
        self._lookups: dict[tuple[str, str], bool] = {}

    def read(self, key: Key[T], suffices: Callable[[T], bool] = always) -> T | None:
        fact = super().read(key, suffices)
        self._lookups[key.kind.name, key.name] = bool(fact)
        return fact

    def take_lookups(self) -> list[Lookup]:
        """The lookups since the last call."""
        taken, self._lookups = self._lookups, {}
        return [Lookup(kind=kind, name=name, found=found) for (kind, name), found in taken.items()]


def _settings(text: str) -> tuple[Settings, list[Problem]]:
    try:
        data = extract_data(text, MAX_VALUES)
        require_keys(data)
        return parse(data)
    except SettingsError as error:
        raise InvalidInput("settings", "\n".join(map(str, error.problems))) from None
    except ValueError as error:
        raise InvalidInput("settings", str(error)) from None


def _load(field: str, text: str) -> list[Any]:
    try:
        documents = manifests.load(text, MAX_VALUES)
    except ValueError as error:
        raise InvalidInput(field, str(error)) from None
    if _is_expanded(documents):
        raise InvalidInput(field, f"has more than {MAX_EXPANDED:,} characters with its aliases expanded")
    if sum(map(_count, documents)) > MAX_OBJECTS:
        raise InvalidInput(field, f"has more than {MAX_OBJECTS} pods and other objects")
    return documents


def _count(document: Any) -> int:
    """The number of pods in a document. An object without pods counts too."""
    found = (sum(1 for _ in manifests.find_pods(each)) for each in manifests.objects(document))
    return sum(max(1, pods) for pods in found) or 1


def _is_expanded(documents: list[Any]) -> bool:
    """Whether the strings of documents, which aliases repeat, are too long in all to write them."""
    length = 0
    rest: list[Any] = [documents]
    while rest and length <= MAX_EXPANDED:
        each = rest.pop()
        if isinstance(each, dict):
            rest.extend(each)
            rest.extend(each.values())
        elif isinstance(each, list):
            rest.extend(each)
        elif isinstance(each, str):
            length += len(each)
    return length > MAX_EXPANDED


def _document(
    document: Any, mutated: Any, mutator: Mutator, facts: _RecordedFacts | None, differ: LineDiffer
) -> Document:
    before = _lines(document)
    after = before if mutated is document else _lines(mutated)
    return Document(
        name=manifests.name_of(document),
        results=[_result(decision) for decision in mutator.decisions],
        misplaced=mutator.misplaced,
        commands=mutator.commands,
        lookups=facts.take_lookups() if facts else [],
        before=before,
        after=after,
        changes=differ.changes(before, after),
    )


def _lines(document: Any) -> list[str]:
    return manifests.dump([document]).splitlines()


def _result(decision: Decision) -> Result:
    outcome = decision.outcome
    return Result(
        owner=decision.owner.name,
        outcome=outcome.kind,
        reason=outcome.reason,
        explanation=explain_decision(*decision),
        message=outcome.message,
        code=outcome.code,
        sources=list(outcome.sources),
        containers=list(outcome.containers),
        warnings=list(outcome.warnings),
        annotations=explain(decision.object, *_templates(decision.object)),
    )


def _templates(holder: Any) -> list[Any]:
    """The pod template of a Deployment; nothing for a pod."""
    spec = holder.get("spec") if isinstance(holder, dict) else None
    return [spec["template"]] if isinstance(spec, dict) and "template" in spec else []
