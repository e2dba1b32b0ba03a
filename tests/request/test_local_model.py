"""Models that are cached on the node (KServe: LocalModelCache)."""

import hashlib

import pytest

from tests.mutation import container, denied, kserve_pod, mounts, mutated, plain_pod, volumes

CACHED = "s3://bucket/llama"
KEY = hashlib.sha256(CACHED.encode()).hexdigest()[:16]
LABEL = "internal.serving.kserve.io/localmodel"
SOURCE = "internal.serving.kserve.io/localmodel-sourceuri"
CLAIM = "internal.serving.kserve.io/localmodel-pvc-name"
LABELS = {LABEL: "llama"}
ANNOTATIONS = {SOURCE: CACHED, CLAIM: "llama-gpu"}


def _mount(pod, settings=None):
    made = mutated(pod, settings)
    assert volumes(made) == {"kserve-pvc-source": {"persistentVolumeClaim": {"claimName": "llama-gpu"}}}
    assert "initContainers" not in made["spec"]
    ((path, mount),) = mounts(container(made, "kserve-container")).items()
    return path, mount["subPath"]


@pytest.mark.parametrize(
    ("uri", "rest"),
    [(CACHED, ""), (f"{CACHED}/", ""), (f"{CACHED}/v1", "/v1"), (f"{CACHED}//v1/x/", "/v1/x")],
)
def test_the_claim_of_the_cache_is_mounted_instead_of_a_download(uri, rest):
    pod = kserve_pod(uri, annotations=ANNOTATIONS, labels=LABELS)
    assert _mount(pod) == ("/mnt/models", f"models/{KEY}{rest}")


def test_before_kserve_0_18_the_directory_is_the_name_of_the_cache():
    pod = kserve_pod(f"{CACHED}/v1", annotations=ANNOTATIONS, labels=LABELS)
    assert _mount(pod, {"storageDefaults": {"localModelKey": "name"}}) == ("/mnt/models", "models/llama/v1")


def test_the_key_is_the_hash_of_the_unmodified_cached_uri():
    cached = f"{CACHED}/"
    key = hashlib.sha256(cached.encode()).hexdigest()[:16]
    pod = kserve_pod(f"{CACHED}/v1", annotations={**ANNOTATIONS, SOURCE: cached}, labels=LABELS)
    assert _mount(pod) == ("/mnt/models", f"models/{key}/v1")


def test_a_cached_file_is_mounted_as_a_file():
    pod = kserve_pod(f"{CACHED}/model.joblib", annotations=ANNOTATIONS, labels=LABELS)
    assert _mount(pod) == ("/mnt/models/model.joblib", f"models/{KEY}/model.joblib")


def test_a_cached_image_is_not_delivered_by_a_modelcar():
    annotations = {SOURCE: "oci://car:1", CLAIM: "llama-gpu"}
    key = hashlib.sha256(b"oci://car:1").hexdigest()[:16]
    pod = kserve_pod("oci://car:1", annotations=annotations, labels=LABELS)
    assert _mount(pod, {"storageInitializer": {"enableModelcar": True}}) == ("/mnt/models", f"models/{key}")


@pytest.mark.parametrize("missing", [SOURCE, CLAIM])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_annotation_is_denied_by_name(missing, value):
    annotations = {key: text for key, text in {**ANNOTATIONS, missing: value}.items() if text is not None}
    assert f"annotation {missing} is missing" in denied(kserve_pod(CACHED, annotations=annotations, labels=LABELS))


@pytest.mark.parametrize("uri", ["s3://bucket/other", "s3://bucket/llama2/v1", "s3://bucket"])
def test_a_model_outside_the_cached_uri_is_denied(uri):
    message = denied(kserve_pod(uri, annotations=ANNOTATIONS, labels=LABELS))
    assert f'"{uri}" is not below "{CACHED}"' in message


def test_an_invalid_claim_name_is_denied_with_its_annotation():
    pod = kserve_pod(CACHED, annotations={**ANNOTATIONS, CLAIM: "Llama_GPU"}, labels=LABELS)
    assert f"annotation {CLAIM}" in denied(pod)


def test_without_the_label_the_model_is_downloaded():
    pod = mutated(kserve_pod(CACHED, annotations=ANNOTATIONS))
    assert container(pod, "storage-initializer")["args"] == [CACHED, "/mnt/models"]


def test_the_label_is_ignored_on_pods_that_kserve_does_not_manage():
    pod = plain_pod(CACHED, annotations=ANNOTATIONS)
    pod["metadata"]["labels"] = LABELS
    assert container(mutated(pod), "storage-initializer")["args"] == [CACHED, "/mnt/models"]
