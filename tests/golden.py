"""Golden cases: recorded AdmissionReviews and the expected results (see tests/fixtures/README.md)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonpatch
import yaml

from tests import yamls
from tests.overlay import overlay
from webhook.admission import pods, review
from webhook.admission.outcome import Outcome
from webhook.cluster.facts import NO_FACTS, Facts
from webhook.offline import manifests
from webhook.offline.facts_file import FactsFile
from webhook.request.model_request import ModelRequest
from webhook.settings.model import EMBEDDED, Settings
from webhook.settings.parse import parse as parse_settings

FIXTURES = Path(__file__).parent / "fixtures"


@dataclass(frozen=True, slots=True)
class Case:
    """One directory of tests/fixtures."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def body(self) -> bytes:
        """The AdmissionReview as the API server sends it."""
        return (self.path / "review.json").read_bytes()

    @property
    def pod(self) -> dict[str, Any]:
        """The pod as the API server sends it."""
        pod: dict[str, Any] = json.loads(self.body)["request"]["object"]
        return pod

    @property
    def namespace(self) -> str:
        return str(json.loads(self.body)["request"]["namespace"])

    @property
    def settings(self) -> Settings:
        settings, _ = parse_settings(self.raw_settings) if self.raw_settings else (EMBEDDED, ())
        return settings

    @property
    def raw_settings(self) -> dict[str, Any]:
        """The keys of the ConfigMap."""
        return self._yaml("settings.yaml") or {}

    def facts(self, request: ModelRequest) -> Facts:
        """The facts of a request, from facts.yaml."""
        path = self.path / "facts.yaml"
        if not path.exists():
            return NO_FACTS
        return FactsFile(manifests.load(path.read_text())).facts(request, self.settings)

    @property
    def expected(self) -> dict[str, Any]:
        found = self._yaml("expected.yaml")
        assert isinstance(found, dict), (
            f"{self.name}: run python -m tests.golden {self.name} and check the file that it writes"
        )
        return found

    def _yaml(self, name: str) -> Any:
        path = self.path / name
        return yamls.document(path.read_bytes()) if path.exists() else None

    def decide(self, pod: Any) -> Outcome:
        """The outcome for a pod with the settings and facts of the case, without the server."""
        settings = self.settings
        request = pods.read(pod, self.namespace, settings)
        if isinstance(request, Outcome):
            return request
        return pods.apply(pod, request, settings, self.facts(request))

    def outcome(self) -> dict[str, Any]:
        """The result in the format of expected.yaml; `pod` is the complete pod after the patch."""
        admission_review = review.parse_pod(self.body)
        outcome = self.decide(admission_review.request.object)
        response = json.loads(review.respond(admission_review, outcome))["response"]
        return described(response, self.pod)


def described(response: dict[str, Any], pod: dict[str, Any]) -> dict[str, Any]:
    """An AdmissionResponse in the format of expected.yaml; `pod` is the pod of the request."""
    status = response.get("status") or {}
    audit = response["auditAnnotations"]
    found = {
        "outcome": audit["outcome"],
        "reason": audit.get("reason"),
        "message": status.get("message"),
        "code": status.get("code"),
        "warnings": response.get("warnings"),
        "pod": jsonpatch.apply_patch(pod, patch_of(response)) if "patch" in response else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def patch_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations in the patch of an AdmissionResponse."""
    operations: list[dict[str, Any]] = json.loads(base64.b64decode(response["patch"]))
    return operations


def cases() -> list[Case]:
    """All cases, sorted by name."""
    return [Case(path.parent) for path in sorted(FIXTURES.glob("*/pod.yaml"))]


@cache
def injected_cases() -> list[Case]:
    """The cases whose pod is changed."""
    return [case for case in cases() if "pod" in case.expected]


def main(names: list[str]) -> None:
    """Write expected.yaml of the named cases, or of those that have none, from the current results."""
    for case in cases():
        target = case.path / "expected.yaml"
        if case.name in names or not (names or target.exists()):
            if not (case.path / "review.json").exists():
                raise SystemExit(f"{case.name}: there is no review.json: run `make record CASES={case.name}` first")
            target.write_text(_yaml_of(case))
            print(f"{case.name}: check {target.relative_to(FIXTURES.parent)} before you commit it")


def _yaml_of(case: Case) -> str:
    found = case.outcome()
    if "pod" in found:
        found["pod"] = overlay(case.pod, found["pod"])
    return str(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
