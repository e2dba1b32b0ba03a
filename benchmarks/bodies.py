"""The AdmissionReviews that are measured: a Knative pod of KServe as an API server sent it, 12 KB."""

from __future__ import annotations

from typing import Any

import orjson
import yaml

from tests.golden import FIXTURES
from webhook import annotations as keys

_CASE = FIXTURES / "credentials-s3-secret"


def reviews() -> dict[str, bytes]:
    """A pod that downloads, one that mounts a claim, and one that does not ask, by what they are."""
    return {
        "download": _review("s3://models/flowers"),
        "claim": _review("pvc://models/flowers/model.joblib"),
        "does not ask": _review(None),
    }


def cluster() -> list[dict[str, Any]]:
    """What the cluster holds for the pod that downloads: a service account and a Secret, as manifests."""
    return list(yaml.safe_load_all((_CASE / "facts.yaml").read_text()))


def _review(uri: str | None) -> bytes:
    review = orjson.loads((_CASE / "review.json").read_bytes())
    metadata = review["request"]["object"]["metadata"]
    if uri is None:
        del metadata["annotations"][keys.SOURCE_URI]
        del metadata["labels"][keys.INFERENCE_SERVICE]
    else:
        metadata["annotations"][keys.SOURCE_URI] = uri
    return orjson.dumps(review)
