"""Facts from manifests: accepted forms, ignored objects, and malformed values."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_objects import (
    admitted,
    initializer,
    secret,
    service_account,
    variables,
)
from tests.mutation import plain_pod
from webhook.offline.manifests import load

TOKEN = {"HF_TOKEN": ("hub", "HF_TOKEN")}
OBJECTS = [service_account("hub"), secret("hub", {"HF_TOKEN": "x"})]


FORMS: dict[str, list[Any]] = {
    "documents": OBJECTS,
    "a List": [{"apiVersion": "v1", "kind": "List", "items": OBJECTS}],
    "typed lists": [
        {"kind": f"{each['kind']}List", "items": [{k: v for k, v in each.items() if k != "kind"}]} for each in OBJECTS
    ],
    "without a namespace": [{**each, "metadata": {"name": each["metadata"]["name"]}} for each in OBJECTS],
    "with other objects": [{"kind": "Pod", "metadata": {"name": "x"}}, 7, None, {"kind": "Secret"}, *OBJECTS],
    "stringData": [OBJECTS[0], {**secret("hub", {}), "data": None, "stringData": {"HF_TOKEN": "x"}}],
}


@pytest.mark.parametrize("documents", FORMS.values(), ids=FORMS)
def test_manifests_in_every_form_that_kubectl_accepts(documents: list[Any]) -> None:
    assert variables(initializer(plain_pod("hf://org/model"), *documents)) == TOKEN


def test_objects_in_other_namespaces_are_ignored() -> None:
    in_other_namespace = [{**each, "metadata": {**each["metadata"], "namespace": "other"}} for each in OBJECTS]
    assert variables(initializer(plain_pod("hf://org/model"), *in_other_namespace)) == {}


MALFORMED: list[Any] = [None, 7, "text", [], [7], {"a": 7}, {"name": None}]


@pytest.mark.parametrize("junk", MALFORMED, ids=repr)
def test_malformed_objects_are_accepted(junk: Any) -> None:
    documents = [
        {"kind": "ServiceAccount", "metadata": {"name": "default", "annotations": junk}, "secrets": junk},
        {"kind": "ServiceAccount", "metadata": {"name": "robot"}, "secrets": [{"name": "s"}]},
        {"kind": "Secret", "metadata": {"name": "s", "annotations": junk}, "data": junk, "stringData": junk},
        {"kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {"accessModes": junk}},
        {"kind": "ClusterStorageContainer", "metadata": {"name": junk}, "spec": junk},
        {"kind": "ClusterStorageContainer", "metadata": {"name": "x"}, "spec": {"supportedUriFormats": junk}},
        {"kind": "ClusterStorageContainer", "metadata": {"name": "y"}, "spec": {"container": junk}},
    ]
    for pod in (plain_pod("s3://b/m"), plain_pod("s3://b/m", serviceAccountName="robot"), plain_pod("pvc://c/m")):
        found = admitted(pod, *documents, settings={"storageDefaults": {"claims": {"read": True}}})
        assert found["spec"]["containers"][0]["volumeMounts"]


def test_binary_values_are_ignored() -> None:
    odd = {**secret("s", {}), "data": {"S3_ENDPOINT": "//79", "awsSecretAccessKey": "*no base64*", "HF_TOKEN": 7}}
    assert "S3_ENDPOINT" not in variables(initializer(plain_pod("s3://b/m"), service_account("s"), odd))


def test_manifests_are_loaded_from_yaml() -> None:
    text = "kind: ServiceAccount\nmetadata: {name: default}\nsecrets: [{name: hub}]\n---\n" + (
        "kind: Secret\nmetadata: {name: hub}\nstringData: {HF_TOKEN: x}\n"
    )
    assert variables(initializer(plain_pod("hf://org/model"), *load(text))) == TOKEN
