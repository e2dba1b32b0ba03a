"""CA certificates for the init container."""

import pytest

from tests.mutation import answer, container, denied, env, kserve_pod, mounts, mutated, volumes
from webhook.cluster.facts import Facts, Secret, ServiceAccount
from webhook.settings.parse import SettingsError, parse
from webhook.storage_container import StorageContainer, UriFormat

ON = {"storageInitializer": {"caBundleConfigMapName": "company-ca"}}
POD = kserve_pod("s3://b/m")


def _s3(**annotations):
    """Facts with a service account whose S3 Secret has these annotations."""
    keys = frozenset({"awsAccessKeyID", "awsSecretAccessKey"})
    annotations = {f"serving.kserve.io/s3-{name.replace('_', '-')}": value for name, value in annotations.items()}
    return Facts(ServiceAccount(secrets=("s3",)), {"s3": Secret(keys, annotations)})


def _container(**spec):
    """Facts with a ClusterStorageContainer of this container spec."""
    return Facts(storage_containers=(StorageContainer("ours", spec, (UriFormat("s3://"),)),))


@pytest.mark.parametrize(("namespace", "name"), [("kserve", "company-ca"), ("models", "global-ca-bundle")])
def test_config_map_depends_on_the_namespace(namespace, name):
    pod = mutated(POD, ON, namespace)
    assert volumes(pod)["cabundle-cert"] == {"configMap": {"name": name}}
    initializer = container(pod, "storage-initializer")
    assert mounts(initializer)["/etc/ssl/custom-certs"] == {"name": "cabundle-cert", "readOnly": True}
    assert env(initializer)["CA_BUNDLE_CONFIGMAP_NAME"] == name
    assert env(initializer)["CA_BUNDLE_VOLUME_MOUNT_POINT"] == "/etc/ssl/custom-certs"


def test_targets_do_not_mount_it():
    assert list(mounts(container(mutated(POD, ON), "kserve-container"))) == ["/mnt/models"]


def test_mount_path_from_the_settings():
    settings = {"storageInitializer": {"caBundleConfigMapName": "ca", "caBundleVolumeMountPath": "/certs"}}
    assert "/certs" in mounts(container(mutated(POD, settings), "storage-initializer"))


@pytest.mark.parametrize("namespace", ["kserve", "models"])
@pytest.mark.parametrize("settings", [ON, {}])
def test_config_map_of_the_secret_takes_precedence(settings, namespace):
    pod = mutated(POD, settings, namespace, _s3(cabundle_configmap="team-ca"))
    assert volumes(pod)["cabundle-cert"] == {"configMap": {"name": "team-ca"}}
    assert env(container(pod, "storage-initializer"))["CA_BUNDLE_CONFIGMAP_NAME"] == "team-ca"


def test_mount_path_from_the_file_in_the_secret():
    pod = mutated(POD, ON, facts=_s3(cabundle="/etc/team/ca.crt"))
    initializer = container(pod, "storage-initializer")
    assert mounts(initializer)["/etc/team"] == {"name": "cabundle-cert", "readOnly": True}
    assert env(initializer)["CA_BUNDLE_VOLUME_MOUNT_POINT"] == "/etc/team"


@pytest.mark.parametrize("file", ["ca.crt", "/ca.crt", "../ca.crt", "/etc/../ca.crt", "/a:b/ca.crt", "/" * 5000 + "a"])
def test_file_in_a_directory_that_cannot_be_mounted_warns(file):
    pod = mutated(POD, ON, facts=_s3(cabundle=file))
    initializer = container(pod, "storage-initializer")
    assert mounts(initializer)["/etc/ssl/custom-certs"] == {"name": "cabundle-cert", "readOnly": True}
    assert env(initializer)["CA_BUNDLE_VOLUME_MOUNT_POINT"] == "/etc/ssl/custom-certs"
    assert env(initializer)["AWS_CA_BUNDLE"] == file
    (warning,) = answer(POD, ON, facts=_s3(cabundle=file))["warnings"]
    assert "AWS_CA_BUNDLE" in warning
    assert len(warning) <= 256


@pytest.mark.parametrize("file", ["ca.crt", "../ca.crt", "/etc/../ca.crt", "/a:b/ca.crt", "https://x/ca.crt"])
def test_relative_file_path_in_the_settings_is_a_warning(file):
    given = {**ON, "credentials": {"s3": {"s3CABundle": file}}}
    _, (problem,) = parse(given)
    assert problem.key == "credentials.s3.s3CABundle"
    pod = mutated(POD, given, facts=_s3())
    assert "/etc/ssl/custom-certs" in mounts(container(pod, "storage-initializer"))


@pytest.mark.parametrize(
    ("namespace", "name"), [("kserve", "global-ca-bundle"), ("kserve-system", "company-ca"), ("m", "global-ca-bundle")]
)
def test_namespace_of_kserve_is_a_setting(namespace, name):
    pod = mutated(POD, {**ON, "storageDefaults": {"kserveNamespace": "kserve-system"}}, namespace)
    assert volumes(pod)["cabundle-cert"] == {"configMap": {"name": name}}


def test_variables_of_a_storage_container_take_precedence():
    facts = _container(env=[{"name": "CA_BUNDLE_CONFIGMAP_NAME", "value": "theirs"}])
    initializer = container(mutated(POD, ON, facts=facts), "storage-initializer")
    assert env(initializer)["CA_BUNDLE_CONFIGMAP_NAME"] == "theirs"
    assert env(initializer)["CA_BUNDLE_VOLUME_MOUNT_POINT"] == "/etc/ssl/custom-certs"


def test_mount_of_a_storage_container_takes_precedence():
    mount = {"name": "node-certs", "mountPath": "/etc/ssl/custom-certs/"}
    pod = kserve_pod("s3://b/m", volumes=[{"name": "node-certs", "emptyDir": {}}])
    mutated_pod = mutated(pod, ON, facts=_container(volumeMounts=[mount]))
    assert "cabundle-cert" not in volumes(mutated_pod)
    assert mount in container(mutated_pod, "storage-initializer")["volumeMounts"]


@pytest.mark.parametrize("path", ["certs", "/", "//", "/a:b"])
def test_settings_with_an_invalid_path_are_rejected(path):
    with pytest.raises(SettingsError, match=r"storageInitializer\.caBundleVolumeMountPath: must be an absolute path"):
        parse({"storageInitializer": {"caBundleVolumeMountPath": path}})


@pytest.mark.parametrize("settings", [{}, {"storageInitializer": {"caBundleConfigMapName": ""}}])
def test_not_mounted_without_the_setting(settings):
    pod = mutated(POD, settings)
    assert "cabundle-cert" not in volumes(pod)
    assert "CA_BUNDLE_CONFIGMAP_NAME" not in env(container(pod, "storage-initializer"))


@pytest.mark.parametrize("uri", ["oci+fetch://car:1", "hf://o/m", "https://h/m"])
def test_mounted_for_every_download(uri):
    settings = {"storageInitializer": {"caBundleConfigMapName": "ca", "enableModelcar": True}}
    assert "cabundle-cert" in volumes(mutated(kserve_pod(uri), settings))


@pytest.mark.parametrize("uri", ["pvc://claim", "oci+native://car:1", "oci+modelcar://car:1"])
def test_not_mounted_without_a_download(uri):
    settings = {"storageInitializer": {"caBundleConfigMapName": "ca", "enableModelcar": True}}
    assert "cabundle-cert" not in volumes(mutated(kserve_pod(uri), settings))


def test_existing_volume_with_another_config_map_is_denied():
    pod = kserve_pod("s3://b/m", volumes=[{"name": "cabundle-cert", "configMap": {"name": "mine"}}])
    assert 'volume "cabundle-cert", configMap "mine"' in denied(pod, ON)
