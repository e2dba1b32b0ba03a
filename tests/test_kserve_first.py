"""Pods that KServe's own webhook injected before this webhook was called, for all pods of the corpus.

KServe's images, arguments, resources, variables and ClusterStorageContainers stay. The rest is what this webhook makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from tests.kserve_corpus import INITIALIZER, Case, Difference, cases, fields
from webhook.admission import pods
from webhook.admission.outcome import Outcome
from webhook.offline.facts_file import FactsFile
from webhook.pod.pod import find
from webhook.request.injected import download_volumes

_HUGGING_FACE = ("HF_HUB_", "HF_XET_")


def _after_kserve(case: Case) -> Outcome:
    pod = case.kserve["pod"]
    request = pods.read(pod, case.namespace, case.settings)
    if isinstance(request, Outcome):
        return request
    return pods.apply(pod, request, case.settings, FactsFile(case.objects).facts(request, case.settings))


@cache
def _injected_by_kserve() -> list[Case]:
    """The pods with an init container that KServe injected with its usual name and arguments."""
    found = []
    for case in cases():
        spec = case.kserve.get("pod", {}).get("spec", {})
        initializer = find(spec.get("initContainers"), INITIALIZER)
        own = find(case.spec.get("initContainers"), INITIALIZER)
        if initializer and not own and download_volumes(spec, initializer):
            found.append(case)
    return found


def _differences(case: Case) -> Iterator[Difference]:
    alone, after = case.decide(), _after_kserve(case)
    assert after.allowed or not alone.allowed, f"{case.id}: {after.message}"
    if alone.kind != "injected" or not find((alone.mutated or {})["spec"].get("initContainers"), INITIALIZER):
        return
    ours, theirs = fields(alone.mutated or {}), fields(after.mutated or case.kserve["pod"])
    for path in sorted(ours.keys() | theirs.keys()):
        if ours.get(path) != theirs.get(path):
            yield Difference(path, theirs.get(path), ours.get(path))


def _is_kserves_choice(case: Case, given: Difference) -> bool:
    """Whether a difference is in a part that stays KServe's."""
    path = given.path
    if path[:2] == ("initContainers", INITIALIZER):
        if path[2] == "securityContext":
            # KServe's user id, and what a ClusterStorageContainer says.
            return path[3] in ("runAsUser", *_of_storage_containers(case))
        if path[2] == "env":
            # KServe takes invalid host names, too. A ClusterStorageContainer can set the variables of Hugging Face.
            is_header, is_hugging_face = path[3].endswith("-headers"), path[3].startswith(_HUGGING_FACE)
            has_reference = bool(given.kserve and "valueFrom" in given.kserve)
            return has_reference and given.ours is None if is_header else bool(given.kserve) or not is_hugging_face
        return True
    if path[2:3] == ("volumeMounts",) and given.kserve and given.ours:
        return {**given.kserve, "name": ""} == {**given.ours, "name": ""}
    return path[0] in ("volumes", "spec", "metadata")


def _of_storage_containers(case: Case) -> set[str]:
    contexts = (each["spec"]["container"].get("securityContext") or {} for each in case.storage_containers)
    return {field for context in contexts for field in context}


def test_most_of_the_corpus_is_compared() -> None:
    assert len(_injected_by_kserve()) > 300


@pytest.mark.parametrize("part", range(8))
def test_what_kserve_injected_is_brought_to_what_this_webhook_injects(part: int) -> None:
    wrong = [
        (case.id, given)
        for case in _injected_by_kserve()[part::8]
        for given in _differences(case)
        if not _is_kserves_choice(case, given)
    ]
    assert wrong == []


def test_no_header_stays_in_the_pod_as_text() -> None:
    seen = 0
    for case in _injected_by_kserve():
        mutated = _after_kserve(case).mutated or case.kserve["pod"]
        for variable in (find(mutated["spec"]["initContainers"], INITIALIZER) or {}).get("env") or ():
            if variable["name"].endswith("-headers"):
                seen += 1
                assert "valueFrom" in variable, (case.id, variable)
    assert seen
