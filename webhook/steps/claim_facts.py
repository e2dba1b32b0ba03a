"""What the cluster knows of the claims that a pod mounts, said before the pod waits for ever."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.errors import Denied, shown
from webhook.facts import Claim
from webhook.pod import PodDraft
from webhook.shared_cache import cache_claim
from webhook.steps.inputs import Inputs


def check_claims(pod: PodDraft, inputs: Inputs) -> None:
    """Warn of claims that cannot be mounted as the pod asks. Raises Denied where the settings want that."""
    for finding in _findings(inputs):
        if inputs.settings.storage_defaults.claims.deny:
            raise Denied(finding)
        pod.warnings.append(finding)


def _findings(inputs: Inputs) -> Iterator[str]:
    cache = cache_claim(inputs.request, inputs.settings)
    for name, claim in inputs.facts.claims.items():
        what = f"claim {shown(name)}"
        if claim is None:
            namespace = shown(inputs.request.namespace)
            yield f"{what} does not exist in namespace {namespace}: the pod cannot start without it"
        elif (name == cache or not inputs.request.read_only) and (problem := _problem_of_writing(claim)):
            yield f"{what} {'holds the shared cache' if name == cache else 'is mounted read-write'}, {problem}"


def _problem_of_writing(claim: Claim) -> str:
    modes = set(claim.access_modes)
    if modes == {"ReadOnlyMany"}:
        return "but allows only ReadOnlyMany: the mount may fail or be read-only"
    if modes & {"ReadWriteOnce", "ReadWriteOncePod"} and "ReadWriteMany" not in modes:
        only = "one pod at a time" if "ReadWriteOnce" not in modes else "pods on one node"
        return f"and is no ReadWriteMany: only {only} can use it"
    return ""
