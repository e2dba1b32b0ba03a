"""Confidential models."""

import pytest

from tests.mutation import container, env, kserve_pod, mutated, plain_pod

ENABLED = "internal.serving.kserve.io/confidential-enabled"
RESOURCE = "internal.serving.kserve.io/confidential-resource-id"


def _env(pod):
    found = env(container(mutated(pod), "storage-initializer"))
    return {name: value for name, value in found.items() if name.startswith("CONFIDENTIAL")}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({ENABLED: "true"}, {"CONFIDENTIAL_ENABLED": "true"}),
        ({ENABLED: "true", RESOURCE: ""}, {"CONFIDENTIAL_ENABLED": "true"}),
        (
            {ENABLED: "true", RESOURCE: "kbs:///default/key/1"},
            {"CONFIDENTIAL_ENABLED": "true", "CONFIDENTIAL_RESOURCE_ID": "kbs:///default/key/1"},
        ),
        ({ENABLED: "false", RESOURCE: "x"}, {}),
        ({ENABLED: "True"}, {}),
        ({RESOURCE: "x"}, {}),
        ({}, {}),
    ],
)
def test_variables_of_the_init_container(annotations, expected):
    assert _env(kserve_pod("s3://b/m", annotations=annotations)) == expected


def test_annotations_are_ignored_on_pods_without_kserve_label():
    assert _env(plain_pod("s3://b/m", annotations={ENABLED: "true"})) == {}


def test_not_applied_to_claims():
    pod = mutated(kserve_pod("pvc://claim", annotations={ENABLED: "true"}))
    assert "initContainers" not in pod["spec"]
