"""Checks of the claims that a pod mounts, so that a problem is reported before the pod is stuck."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.cluster.facts import Claim
from webhook.errors import Denied, quoted
from webhook.pod.pod import PodDraft
from webhook.steps.inputs import Inputs


def check_claims(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about claims that cannot be mounted as requested. Raises Denied when the settings require it."""
    for finding in _findings(inputs):
        if inputs.settings.storage_defaults.claims.deny:
            raise Denied(finding)
        pod.warnings.append(finding)


def _findings(inputs: Inputs) -> Iterator[str]:
    cache = inputs.cache.claim if inputs.cache else None
    for name, claim in inputs.facts.claims.items():
        subject = f"claim {quoted(name)}"
        if claim is None:
            namespace = quoted(inputs.request.namespace)
            yield f"{subject} does not exist in namespace {namespace}: the pod cannot start without it"
        elif (name == cache or not inputs.request.read_only) and (problem := _write_problem(claim)):
            yield f"{subject} {'holds the shared cache' if name == cache else 'is mounted read-write'}, but {problem}"


def _write_problem(claim: Claim) -> str:
    modes = set(claim.access_modes)
    if modes == {"ReadOnlyMany"}:
        return "allows only ReadOnlyMany: the mount may fail or be read-only"
    if modes & {"ReadWriteOnce", "ReadWriteOncePod"} and "ReadWriteMany" not in modes:
        users = "one pod at a time" if "ReadWriteOnce" not in modes else "pods on one node"
        return f"does not allow ReadWriteMany: only {users} can use it"
    return ""
