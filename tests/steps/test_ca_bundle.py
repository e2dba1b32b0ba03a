"""CA certificates for the init container."""

import pytest

from tests.mutation import container, denied, env, kserve_pod, mounts, mutated, volumes
from webhook.facts import Facts, Secret, ServiceAccount, StorageContainer, UriFormat
from webhook.settings.parse import SettingsError, parse

ON = {"storageInitializer": {"caBundleConfigMapName": "company-ca"}}
POD = kserve_pod("s3://b/m")


def _s3(**annotations):
    """What the cluster holds when the service account's Secret says this about its CA bundle."""
    keys = frozenset({"awsAccessKeyID", "awsSecretAccessKey"})
    said = {f"serving.kserve.io/s3-{name.replace('_', '-')}": value for name, value in annotations.items()}
    return Facts(ServiceAccount(secrets=("s3",)), {"s3": Secret(keys, said)})


def _container(**spec):
    """What the cluster holds when a ClusterStorageContainer says this about the init container."""
    return Facts(storage_containers=(StorageContainer("ours", spec, (UriFormat("s3://"),)),))


@pytest.mark.parametrize(("namespace", "name"), [("kserve", "company-ca"), ("models", "global-ca-bundle")])
def test_the_namespace_says_which_config_map(namespace, name):
    pod = mutated(POD, ON, namespace)
    assert volumes(pod)["cabundle-cert"] == {"configMap": {"name": name}}
    initializer = container(pod, "storage-initializer")
    assert mounts(initializer)["/etc/ssl/custom-certs"] == {"name": "cabundle-cert", "readOnly": True}
    assert env(initializer)["CA_BUNDLE_CONFIGMAP_NAME"] == name
    assert env(initializer)["CA_BUNDLE_VOLUME_MOUNT_POINT"] == "/etc/ssl/custom-certs"


def test_the_servers_do_not_get_it():
    assert list(mounts(container(mutated(POD, ON), "kserve-container"))) == ["/mnt/models"]


def test_the_path_is_the_settings():
    settings = {"storageInitializer": {"caBundleConfigMapName": "ca", "caBundleVolumeMountPath": "/certs"}}
    assert "/certs" in mounts(container(mutated(POD, settings), "storage-initializer"))


@pytest.mark.parametrize("namespace", ["kserve", "models"])
@pytest.mark.parametrize("settings", [ON, {}])
def test_the_secrets_config_map_wins(settings, namespace):
    pod = mutated(POD, settings, namespace, _s3(cabundle_configmap="team-ca"))
    assert volumes(pod)["cabundle-cert"] == {"configMap": {"name": "team-ca"}}
    assert env(container(pod, "storage-initializer"))["CA_BUNDLE_CONFIGMAP_NAME"] == "team-ca"


def test_it_is_mounted_where_the_secrets_file_is_expected():
    pod = mutated(POD, ON, facts=_s3(cabundle="/etc/team/ca.crt"))
    initializer = container(pod, "storage-initializer")
    assert mounts(initializer)["/etc/team"] == {"name": "cabundle-cert", "readOnly": True}
    assert env(initializer)["CA_BUNDLE_VOLUME_MOUNT_POINT"] == "/etc/team"


@pytest.mark.parametrize("file", ["ca.crt", "/ca.crt", "../ca.crt", "/etc/../ca.crt", "/a:b/ca.crt"])
def test_a_file_that_cannot_be_there_is_named(file):
    assert "the directory of AWS_CA_BUNDLE" in denied(POD, ON, facts=_s3(cabundle=file))


def test_a_storage_container_has_the_last_word_on_variables():
    facts = _container(env=[{"name": "CA_BUNDLE_CONFIGMAP_NAME", "value": "theirs"}])
    initializer = container(mutated(POD, ON, facts=facts), "storage-initializer")
    assert env(initializer)["CA_BUNDLE_CONFIGMAP_NAME"] == "theirs"
    assert env(initializer)["CA_BUNDLE_VOLUME_MOUNT_POINT"] == "/etc/ssl/custom-certs"


def test_a_storage_container_that_brings_the_certificates_keeps_them():
    mount = {"name": "node-certs", "mountPath": "/etc/ssl/custom-certs/"}
    pod = kserve_pod("s3://b/m", volumes=[{"name": "node-certs", "emptyDir": {}}])
    made = mutated(pod, ON, facts=_container(volumeMounts=[mount]))
    assert "cabundle-cert" not in volumes(made)
    assert mount in container(made, "storage-initializer")["volumeMounts"]


@pytest.mark.parametrize("path", ["certs", "/", "//", "/a:b"])
def test_a_path_that_cannot_be_is_refused_with_the_settings(path):
    with pytest.raises(SettingsError, match=r"storageInitializer\.caBundleVolumeMountPath: must be an absolute path"):
        parse({"storageInitializer": {"caBundleVolumeMountPath": path}})


@pytest.mark.parametrize("settings", [{}, {"storageInitializer": {"caBundleConfigMapName": ""}}])
def test_without_the_setting_there_is_none(settings):
    pod = mutated(POD, settings)
    assert "cabundle-cert" not in volumes(pod)
    assert "CA_BUNDLE_CONFIGMAP_NAME" not in env(container(pod, "storage-initializer"))


@pytest.mark.parametrize("uri", ["oci+fetch://car:1", "hf://o/m", "https://h/m"])
def test_every_download_gets_it(uri):
    settings = {"storageInitializer": {"caBundleConfigMapName": "ca", "enableModelcar": True}}
    assert "cabundle-cert" in volumes(mutated(kserve_pod(uri), settings))


@pytest.mark.parametrize("uri", ["pvc://claim", "oci+native://car:1", "oci+modelcar://car:1"])
def test_what_is_not_downloaded_does_not(uri):
    settings = {"storageInitializer": {"caBundleConfigMapName": "ca", "enableModelcar": True}}
    assert "cabundle-cert" not in volumes(mutated(kserve_pod(uri), settings))


def test_a_volume_of_that_name_with_another_config_map_is_named():
    pod = kserve_pod("s3://b/m", volumes=[{"name": "cabundle-cert", "configMap": {"name": "mine"}}])
    assert 'volume "cabundle-cert", configMap "mine"' in denied(pod, ON)
