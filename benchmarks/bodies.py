"""Request bodies: AdmissionReviews of 12 KB for Knative pods of KServe, as recorded from an API server."""

from __future__ import annotations

import random
import string
import uuid
from typing import Any

import msgspec
import yaml

from tests.golden import FIXTURES
from webhook import annotations as keys
from webhook.server import response_cache

_CASE = FIXTURES / "credentials-s3-secret"
_SOURCES = {"download": "s3://models/flowers", "claim": "pvc://models/flowers/model.joblib", "not asking": None}
_RANDOM = random.Random(0)
# More than the names that the response cache tracks, so that a different pod is never in it.
_PODS = 2 * response_cache.MAX_NAMES


def reviews() -> dict[str, list[bytes]]:
    """AdmissionReviews by the name of their row, sent in turns.

    The pods of a row belong to one ReplicaSet and differ only in generated values; `new`: each has its own ReplicaSet.
    """
    recorded_hash = _recorded()["request"]["object"]["metadata"]["labels"]["pod-template-hash"]
    return {
        name + kind: [_review(source, template_hash or _random_name(len(recorded_hash))) for _ in range(_PODS)]
        for kind, template_hash in (("", recorded_hash), (", new", None))
        for name, source in _SOURCES.items()
    }


def cluster() -> list[dict[str, Any]]:
    """Manifests of the service account and the Secret that the downloads need."""
    return list(yaml.safe_load_all((_CASE / "facts.yaml").read_text()))


def _recorded() -> Any:
    return msgspec.json.decode((_CASE / "review.json").read_bytes())


def _review(source: str | None, template_hash: str) -> bytes:
    review = _recorded()
    request = review["request"]
    metadata = request["object"]["metadata"]
    if source is None:
        del metadata["annotations"][keys.SOURCE_URI]
        del metadata["labels"][keys.INFERENCE_SERVICE]
    else:
        metadata["annotations"][keys.SOURCE_URI] = source
    text = msgspec.json.encode(review).decode()
    for recorded, replacement in (
        (metadata["labels"]["pod-template-hash"], template_hash),
        (request["uid"], str(uuid.UUID(int=_RANDOM.getrandbits(128)))),
        (metadata["managedFields"][0]["time"], f"2025-06-03T09:14:{_RANDOM.randrange(60):02}Z"),
        (request["object"]["spec"]["volumes"][-1]["name"], f"kube-api-access-{_random_name(5)}"),
    ):
        text = text.replace(recorded, replacement)
    return text.encode()


def _random_name(length: int) -> str:
    return "".join(_RANDOM.choices(string.ascii_lowercase + string.digits, k=length))
