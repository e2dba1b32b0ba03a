"""Models that the init container downloads."""

import json
import ssl

import pytest
import trustme

from tests.cluster_objects import secret
from tests.kserve import kserve_injected
from tests.mutation import kserve_pod, plain_pod
from tests.node import images
from tests.node.cases import MODEL, case, digests
from tests.node.cluster import INITIALIZER, Cluster
from tests.node.network import NODE_IP
from tests.node.servers import Web, put_blobs, put_hdfs, put_modelscope, put_objects, put_snapshot, web_server
from webhook import annotations as keys
from webhook.steps.ca_bundle import GLOBAL_CA_BUNDLE

WEIGHTS = {"weights.bin": MODEL["weights.bin"]}
CA_BUNDLE = {"storageInitializer": {"caBundleConfigMapName": "ca"}}


@case("`s3://`, directory; keys from a Secret of the service account", "every file; writing fails (EROFS)")
def test_s3_directory(cluster: Cluster, s3: str) -> None:
    namespace = cluster.namespace()
    cluster.s3_account(namespace, s3)
    read = cluster.report(namespace, plain_pod("s3://models/bert"))
    assert read.files == digests(MODEL)
    assert read.created == "EROFS"


@case("`s3://`, single object", "the file")
def test_s3_object(cluster: Cluster, s3: str) -> None:
    namespace = cluster.namespace()
    cluster.s3_account(namespace, s3)
    read = cluster.report(namespace, plain_pod("s3://models/bert/weights.bin"))
    assert read.files == digests({"weights.bin": MODEL["weights.bin"]})


@case("`s3://` of a pod of KServe, in KServe's internal annotation", "every file")
def test_pod_of_kserve(cluster: Cluster, s3: str) -> None:
    namespace = cluster.namespace()
    cluster.s3_account(namespace, s3)
    name = cluster.create(namespace, kserve_pod("s3://models/bert"))
    cluster.await_end(namespace, name)
    assert cluster.read_report(namespace, name, "kserve-container").files == digests(MODEL)


@case("`http://`; headers from a Secret", "the file")
def test_http_with_headers(cluster: Cluster, web: Web) -> None:
    url = web.put("protected", MODEL)
    web.authorization["/protected/weights.bin"] = "Bearer hush"
    namespace = cluster.namespace()
    headers = secret("web", {"https-host": NODE_IP, "headers": json.dumps({"Authorization": "Bearer hush"})})
    cluster.secret(namespace, headers)
    read = cluster.report(namespace, plain_pod(f"{url}/weights.bin"))
    assert read.files == digests({"weights.bin": MODEL["weights.bin"]})


@case("`https://` with a CA that only the settings' ConfigMap has", "the file")
def test_https_with_a_ca_bundle(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    with web_server(trusted(cluster, namespace, NODE_IP)) as web:
        pod = plain_pod(f"{web.put('private', WEIGHTS)}/weights.bin")
        assert "CERTIFICATE_VERIFY_FAILED" in cluster.failure(namespace, pod)
        assert cluster.report(namespace, pod, CA_BUNDLE).files == digests(WEIGHTS)


def trusted(cluster: Cluster, namespace: str, host: str) -> ssl.SSLContext:
    """TLS for this host with a new CA, which the namespace's ConfigMap has."""
    tls, authority = private_tls(host)
    bundle = {"cabundle.crt": authority}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": GLOBAL_CA_BUNDLE}, "data": bundle}
    cluster.apply(namespace, config_map)
    return tls


def private_tls(host: str) -> tuple[ssl.SSLContext, str]:
    """TLS for this host with a new CA, and the certificate of the CA."""
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(tls)
    return tls, authority.cert_pem.bytes().decode()


@case("`https://` of Azure Blob Storage, directory", "every file")
def test_azure_blob_storage(cluster: Cluster) -> None:
    namespace, host = cluster.namespace(), "models.blob.core.windows.net"
    with web_server(trusted(cluster, namespace, host), port=443) as web:
        put_blobs(web, "bert", {f"v1/{path}": content for path, content in MODEL.items()})
        pod = plain_pod(f"https://{host}/bert/v1", hostAliases=[{"ip": NODE_IP, "hostnames": [host]}])
        assert cluster.report(namespace, pod, CA_BUNDLE).files == digests(MODEL)


@case("`hf://`, gated; token from a Secret, HF_ENDPOINT from the pod's annotation", "every file")
def test_hugging_face_hub(cluster: Cluster, web: Web) -> None:
    paths = put_snapshot(web, "org/bert", MODEL)
    web.authorization |= dict.fromkeys(paths, "Bearer hush")
    namespace = cluster.namespace()
    cluster.secret(namespace, secret("hub", {"HF_TOKEN": "hush"}))
    variables = json.dumps([{"name": "HF_ENDPOINT", "value": web.url}])
    pod = plain_pod("hf://org/bert", annotations={str(keys.ENV): variables})
    settings = {"storageDefaults": {"overrides": {"env": ["HF_ENDPOINT"]}}}
    read = cluster.report(namespace, pod, settings)
    assert {path: digest for path, digest in read.files.items() if not path.startswith(".cache/")} == digests(MODEL)


@case("`modelscope://`, private; token from a Secret, MODELSCOPE_ENDPOINT from the pod's annotation", "every file")
def test_modelscope(cluster: Cluster, web: Web) -> None:
    web.authorization |= dict.fromkeys(put_modelscope(web, "org/bert", MODEL), "Bearer hush")
    namespace = cluster.namespace()
    cluster.secret(namespace, secret("hub", {"MODELSCOPE_API_TOKEN": "hush"}))
    variables = json.dumps([{"name": "MODELSCOPE_ENDPOINT", "value": web.url}])
    pod = plain_pod("modelscope://org/bert", annotations={str(keys.ENV): variables})
    settings = {"storageDefaults": {"overrides": {"env": ["MODELSCOPE_ENDPOINT"]}}}
    assert cluster.report(namespace, pod, settings).files == digests(MODEL)


@case("`webhdfs://`, directory; name node and USER_PROXY from a Secret", "every file; writing fails (EROFS)")
def test_hdfs_directory(cluster: Cluster, web: Web) -> None:
    namespace = hdfs_namespace(cluster, web)
    read = cluster.report(namespace, plain_pod("webhdfs://models/bert"))
    assert read.files == digests(MODEL)
    assert read.created == "EROFS"


@case("`hdfs://`, single file", "the file")
def test_hdfs_file(cluster: Cluster, web: Web) -> None:
    namespace = hdfs_namespace(cluster, web)
    assert cluster.report(namespace, plain_pod("hdfs://models/bert/weights.bin")).files == digests(WEIGHTS)


@case("`webhdfs://` of a name node with TLS; TLS_CA from the Secret", "every file")
def test_hdfs_with_tls(cluster: Cluster) -> None:
    tls, authority = private_tls(NODE_IP)
    pod = plain_pod("webhdfs://models/bert")
    with web_server(tls) as web:
        assert "CERTIFICATE_VERIFY_FAILED" in cluster.failure(hdfs_namespace(cluster, web), pod)
        assert cluster.report(hdfs_namespace(cluster, web, TLS_CA=authority), pod).files == digests(MODEL)


def hdfs_namespace(cluster: Cluster, web: Web, **more: str) -> str:
    """A namespace whose service account has a Secret for HDFS with MODEL in `/models/bert`, and with more keys."""
    put_hdfs(web, {f"/models/bert/{path}": content for path, content in MODEL.items()}, user="ann")
    namespace = cluster.namespace()
    cluster.secret(namespace, secret("hdfs", {"HDFS_NAMENODE": web.url, "USER_PROXY": "ann", **more}))
    return namespace


@case("`gs://`, directory; STORAGE_EMULATOR_HOST from the pod's annotation", "every file")
def test_google_cloud_storage(cluster: Cluster, web: Web) -> None:
    put_objects(web, "models", {f"bert/{path}": content for path, content in MODEL.items()})
    variables = json.dumps([{"name": "STORAGE_EMULATOR_HOST", "value": web.url}])
    pod = plain_pod("gs://models/bert", annotations={str(keys.ENV): variables})
    settings = {"storageDefaults": {"overrides": {"env": ["STORAGE_EMULATOR_HOST"]}}}
    assert cluster.report(cluster.namespace(), pod, settings).files == digests(MODEL)


@pytest.mark.parametrize("scheme", ["http", "pvc", "oci+modelcar", "oci+native"])
@case("`http://`, `pvc://`, `oci+modelcar://`, `oci+native://`: pods that KServe injected first", "every file")
def test_pods_that_kserve_injected_first(cluster: Cluster, web: Web, scheme: str) -> None:
    namespace, url = cluster.namespace(), web.put("kserve", WEIGHTS)
    cluster.claim(namespace, "models", WEIGHTS)
    image = images.MODELCAR
    uri = {"http": f"{url}/weights.bin", "pvc": "pvc://models"}.get(scheme, f"{scheme}://{image}")
    pod = kserve_injected(kserve_pod(uri))
    for container in pod["spec"]["initContainers"]:
        if container["name"] == INITIALIZER:
            container["image"] = images.INITIALIZER
    model = images.MODEL if uri.endswith(image) else WEIGHTS
    name = cluster.create(namespace, pod, WAIT_FOR=f"/mnt/models/{next(iter(model))}", STAY="1")
    assert cluster.serving_report(namespace, name, container="kserve-container").files == digests(model)
