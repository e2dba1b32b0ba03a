"""The AdmissionReviews that are measured: Knative pods of KServe as an API server sent them, 12 KB."""

from __future__ import annotations

import random
import string
import uuid
from typing import Any

import orjson
import yaml

from tests.golden import FIXTURES
from webhook import annotations as keys
from webhook import answer_cache

_CASE = FIXTURES / "credentials-s3-secret"
_SOURCES = {"download": "s3://models/flowers", "claim": "pvc://models/flowers/model.joblib", "not asking": None}
_DICE = random.Random(0)
# More than the names that the webhook keeps, so that what is different is new to it each time.
_PODS = 2 * answer_cache.MAX_NAMES


def reviews() -> dict[str, list[bytes]]:
    """Reviews to be sent in turns, by what their pods are.

    Those of one ReplicaSet, that differ in what is made up for each pod; `new`: each of a ReplicaSet of its own.
    """
    ours = _recorded()["request"]["object"]["metadata"]["labels"]["pod-template-hash"]
    return {
        name + kind: [_review(source, hash or _made_up(len(ours))) for _ in range(_PODS)]
        for kind, hash in (("", ours), (", new", None))
        for name, source in _SOURCES.items()
    }


def cluster() -> list[dict[str, Any]]:
    """What the cluster holds for the pods that download: a service account and a Secret, as manifests."""
    return list(yaml.safe_load_all((_CASE / "facts.yaml").read_text()))


def _recorded() -> Any:
    return orjson.loads((_CASE / "review.json").read_bytes())


def _review(source: str | None, template_hash: str) -> bytes:
    review = _recorded()
    request = review["request"]
    metadata = request["object"]["metadata"]
    if source is None:
        del metadata["annotations"][keys.SOURCE_URI]
        del metadata["labels"][keys.INFERENCE_SERVICE]
    else:
        metadata["annotations"][keys.SOURCE_URI] = source
    text = orjson.dumps(review).decode()
    for recorded, another in (
        (metadata["labels"]["pod-template-hash"], template_hash),
        (request["uid"], str(uuid.UUID(int=_DICE.getrandbits(128)))),
        (metadata["managedFields"][0]["time"], f"2025-06-03T09:14:{_DICE.randrange(60):02}Z"),
        (request["object"]["spec"]["volumes"][-1]["name"], f"kube-api-access-{_made_up(5)}"),
    ):
        text = text.replace(recorded, another)
    return text.encode()


def _made_up(length: int) -> str:
    return "".join(_DICE.choices(string.ascii_lowercase + string.digits, k=length))
