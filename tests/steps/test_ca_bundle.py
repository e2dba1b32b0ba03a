"""CA certificates for the init container."""

import pytest

from tests.mutation import container, denied, env, kserve_pod, mounts, mutated, volumes
from webhook.settings.parse import SettingsError, parse

ON = {"storageInitializer": {"caBundleConfigMapName": "company-ca"}}
POD = kserve_pod("s3://b/m")


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
