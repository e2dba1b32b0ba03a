"""`oci://` URIs and their modes of delivery."""

import pytest

from tests.mutation import a_pod, answer, container, denied, kserve_pod, mounts, mutated, names, plain_pod, volumes

IMAGE = "registry.example.com/iris:1"


def _settings(**keys):
    return {"storageInitializer": keys}


def _mode_of(pod):
    """The mode of delivery in a mutated pod."""
    if any("image" in volume for volume in volumes(pod).values()):
        return "native"
    if "modelcar" in names(pod["spec"]["containers"]):
        return "modelcar"
    (volume,) = volumes(pod)
    return "fetch" if volume == "mnt-models" else "download"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "download"),
        ({"enableModelcar": False, "ociModelMode": ""}, "download"),
        ({"enableModelcar": True}, "modelcar"),
        ({"enableOciModelSupport": True}, "modelcar"),
        ({"ociModelMode": "modelcar"}, "modelcar"),
        ({"ociModelMode": "native"}, "native"),
        ({"ociModelMode": "fetch"}, "fetch"),
        ({"enableModelcar": True, "ociModelMode": "native"}, "native"),
    ],
)
def test_a_uri_without_suffix_uses_the_mode_of_the_settings(settings, expected):
    assert _mode_of(mutated(kserve_pod(f"oci://{IMAGE}"), _settings(**settings))) == expected


@pytest.mark.parametrize("mode", ["modelcar", "native", "fetch"])
@pytest.mark.parametrize("preferred", ["modelcar", "native", "fetch"])
def test_a_suffix_overrides_the_mode_of_the_settings(mode, preferred):
    pod = mutated(kserve_pod(f"oci+{mode}://{IMAGE}"), _settings(ociModelMode=preferred))
    assert _mode_of(pod) == mode


@pytest.mark.parametrize("mode", ["modelcar", "native", "fetch"])
def test_a_suffix_is_forbidden_when_oci_is_not_enabled(mode):
    response = answer(kserve_pod(f"oci+{mode}://{IMAGE}"))
    assert response["status"]["code"] == 403
    assert f'"oci+{mode}://{IMAGE}": OCI models are not enabled' in response["status"]["message"]


@pytest.mark.parametrize("settings", [{}, {"enableModelcar": True}])
@pytest.mark.parametrize("suffix", ["", "Native", "sidecar", "native ", "native+fetch"])
def test_an_unknown_suffix_is_denied(suffix, settings):
    message = denied(plain_pod(f"oci+{suffix}://{IMAGE}"), _settings(**settings))
    assert f'"oci+{suffix}" is not a known scheme' in message
    assert "oci+modelcar://, oci+native://, oci+fetch://" in message


@pytest.mark.parametrize(
    "reference",
    [
        "iris",
        "iris:1.0_rc-1",
        "kserve/iris",
        "localhost:5000/iris",
        "Registry.Example.com:5000/a/b__c/d--e.f/iris:v1",
        "[::1]:5000/iris",
        "registry/iris@sha256:" + "0a" * 32,
        "registry/iris:1@sha512:" + "0a" * 64,
    ],
)
@pytest.mark.parametrize("mode", ["native", "modelcar"])
def test_valid_references_are_used_unmodified(reference, mode):
    pod = mutated(plain_pod(f"oci+{mode}://{reference}"), _settings(enableModelcar=True))
    if mode == "native":
        assert volumes(pod)["mnt-models"]["image"]["reference"] == reference
    else:
        assert container(pod, "modelcar")["image"] == reference


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "/",
        "iris:",
        "iris@",
        "a//b",
        "registry/",
        "/iris",
        "registry/Iris",
        "registry/iris:1:2",
        "registry/iris:" + "1" * 129,
        "registry/a b",
        "registry/iris'; rm -rf /",
        "registry/$(id)",
        "registry/../iris",
        "user:secret@registry/iris",
        "registry/ïris",
        "a" * 4000 + "!",
        "a-" * 2000,
    ],
)
@pytest.mark.parametrize("mode", ["modelcar", "native", "fetch"])
def test_an_invalid_reference_is_denied(reference, mode):
    message = denied(plain_pod(f"oci+{mode}://{reference}"), _settings(enableModelcar=True))
    assert "is not an image reference: use a URI such as" in message


def test_a_uri_without_suffix_is_not_validated_when_oci_is_not_enabled():
    pod = mutated(plain_pod("oci://Any/Thing"))
    assert container(pod, "storage-initializer")["args"] == ["oci://Any/Thing", "/mnt/models"]
    assert mounts(container(pod, "server"))["/mnt/models"]["name"] == "kserve-provision-location"


@pytest.mark.parametrize("mode", ["modelcar", "native", "fetch"])
def test_the_audit_annotation_contains_the_mode(mode):
    response = answer(plain_pod(f"oci://{IMAGE}"), _settings(ociModelMode=mode))
    assert response["auditAnnotations"]["sources"] == f"oci+{mode}"


def test_nothing_is_injected_when_the_model_agent_downloads():
    pod = a_pod("kserve-container", labels={"serving.kserve.io/inferenceservice": "iris"})
    pod["metadata"]["annotations"] = {
        "internal.serving.kserve.io/storage-initializer-sourceuri": f"oci://{IMAGE}",
        "internal.serving.kserve.io/agent": "true",
    }
    assert "patch" not in answer(pod, _settings(enableModelcar=True))
