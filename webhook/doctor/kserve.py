"""KServe: whether its kinds are there, and the order of the webhooks."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from webhook.doctor.report import Check, Result

AREA = "KServe"
GROUP = "serving.kserve.io"
STORAGE_CONTAINERS = "clusterstoragecontainers"
WEBHOOK = "inferenceservice.serving.kserve.io"
"""The name of KServe's MutatingWebhookConfiguration."""


def check_kserve(resources: Collection[str]) -> Iterator[Check]:
    """`resources`: the plural names of KServe's kinds that the API server serves."""
    if not resources:
        detail = "not installed: annotations storage.kserve.io/uri and storage.kserve.io/uris work without it"
        yield Check(AREA, "InferenceServices", Result.UNAVAILABLE, detail)
        return
    if "inferenceservices" in resources:
        yield Check(AREA, "InferenceServices", Result.WORKS, "installed")
    if STORAGE_CONTAINERS in resources:
        yield Check(AREA, "ClusterStorageContainers", Result.WORKS, "installed")
    else:
        detail = "the kind is not installed: all downloads use the initializer of the settings"
        yield Check(AREA, "ClusterStorageContainers", Result.UNAVAILABLE, detail)


def check_order(configuration: str, configurations: Collection[str]) -> Iterator[Check]:
    """Whether the webhook runs before KServe's. The API server calls webhooks in the order of these names."""
    if WEBHOOK not in configurations:
        return
    if configuration < WEBHOOK:
        yield Check(AREA, "order of the webhooks", Result.WORKS, f"{configuration} runs before {WEBHOOK}")
    else:
        detail = f"{configuration} runs after {WEBHOOK}, so KServe injects: set webhook.configurationName to 00-…"
        yield Check(AREA, "order of the webhooks", Result.WARNING, detail)
