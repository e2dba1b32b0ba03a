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
ACCOUNT = _NAME = "flowers"
"""The recorded service account, and the InferenceService from which the names in the recording are derived."""
_RANDOM = random.Random(0)
# More than the names that the response cache tracks, so that a different pod is never in it.
_PODS = 2 * response_cache.MAX_NAMES
_ACCOUNTS = 50
"""Service accounts, each with a Secret. Pods of many models share them, as in a cluster of several teams."""


def reviews() -> dict[str, list[bytes]]:
    """AdmissionReviews by the name of their row, sent in turns.

    The pods of a row belong to one ReplicaSet and differ only in generated values. `new`: each pod belongs to a
    ReplicaSet, an InferenceService and a model of its own, and also differs in its image, its variables (also in their
    number) and its service account.
    """
    return {
        name + kind: [_new_review(source) if kind else _review(_recorded(), source) for _ in range(_PODS)]
        for kind in ("", ", new")
        for name, source in _SOURCES.items()
    }


def cluster() -> list[dict[str, Any]]:
    """Manifests of the service accounts and the Secrets that the downloads need."""
    recorded = (_CASE / "facts.yaml").read_text()
    texts = [recorded, *(_of_account(recorded, number) for number in range(_ACCOUNTS))]
    return [manifest for text in texts for manifest in yaml.safe_load_all(text)]


def _of_account(recorded: str, number: int) -> str:
    return recorded.replace(f"name: {_NAME}", f"name: account-{number}").replace("name: s3", f"name: s3-{number}")


def _recorded() -> Any:
    return msgspec.json.decode((_CASE / "review.json").read_bytes())


def _new_review(source: str | None) -> bytes:
    review = _recorded()
    pod = review["request"]["object"]
    server = pod["spec"]["containers"][0]
    server["image"] = f"registry.example.com/models/server-{_random_name(4)}@sha256:{_RANDOM.randbytes(32).hex()}"
    server["env"] += [{"name": f"OPTION_{n}", "value": _random_name(12)} for n in range(_RANDOM.randrange(4))]
    account = f"account-{_RANDOM.randrange(_ACCOUNTS)}"
    pod["spec"] |= {"serviceAccountName": account, "serviceAccount": account}
    name, uid = _random_name(len(_NAME)), pod["metadata"]["ownerReferences"][0]["uid"]
    template_hash = pod["metadata"]["labels"]["pod-template-hash"]
    text = _review(review, source).decode()
    for recorded, replacement in ((template_hash, _random_name(len(template_hash))), (uid, _random_uid())):
        text = text.replace(recorded, replacement)
    return text.replace(_NAME, name).encode()


def _review(review: Any, source: str | None) -> bytes:
    """The review with this source, and with its own values of those that are generated for each pod."""
    request = review["request"]
    metadata = request["object"]["metadata"]
    if source is None:
        del metadata["annotations"][keys.SOURCE_URI]
        del metadata["labels"][keys.INFERENCE_SERVICE]
    else:
        metadata["annotations"][keys.SOURCE_URI] = source
    text = msgspec.json.encode(review).decode()
    for recorded, replacement in (
        (request["uid"], _random_uid()),
        (metadata["managedFields"][0]["time"], f"2025-06-03T09:14:{_RANDOM.randrange(60):02}Z"),
        (request["object"]["spec"]["volumes"][-1]["name"], f"kube-api-access-{_random_name(5)}"),
    ):
        text = text.replace(recorded, replacement)
    return text.encode()


def _random_uid() -> str:
    return str(uuid.UUID(int=_RANDOM.getrandbits(128)))


def _random_name(length: int) -> str:
    return _RANDOM.choice(string.ascii_lowercase) + "".join(
        _RANDOM.choices(string.ascii_lowercase + string.digits, k=length - 1)
    )
