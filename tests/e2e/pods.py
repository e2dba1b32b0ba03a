"""Pods that request a model, one for each kind of source."""

import json

from tests.e2e.api import Api, Object
from tests.mutation import a_container, kserve_pod, plain_pod, several

SECRET: Object = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s3", "annotations": {"serving.kserve.io/s3-endpoint": "minio.example.com:9000"}},
    "stringData": {"awsAccessKeyID": "id", "awsSecretAccessKey": "secret"},
}
ACCOUNT: Object = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "models"},
    "secrets": [{"name": "s3"}],
}
TOKEN = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
CONFIGURED = {"name": "HF_ENDPOINT", "valueFrom": {"configMapKeyRef": {"name": "hub", "key": "url", "optional": True}}}
IMAGE = "registry.example.com/models/iris:1"
READ_WRITE = {"storage.kserve.io/readonly": "false"}
# One pod for each kind of source and each way to configure it.
PODS = {
    "s3": plain_pod("s3://models/iris", serviceAccountName="models"),
    "s3 of a named secret": kserve_pod(
        "s3://models/iris", annotations={"serving.kserve.io/storageSecretName": "s3"}, serviceAccountName="default"
    ),
    "hf": plain_pod("hf://org/model:main", "warm-up", "server", annotations={"storage.kserve.io/containers": "server"}),
    "https": kserve_pod("https://example.com/model.tar.gz", "kserve-container", "transformer-container"),
    "s3, cached": plain_pod("s3://models/iris", annotations={"storage.kserve.io/cache": "pvc://cache/models"}),
    "hf, with variables": plain_pod(
        "hf://org/model",
        annotations={
            "storage.kserve.io/env-from-container": "true",
            "storage.kserve.io/env": json.dumps([{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}, CONFIGURED]),
        },
        containers=[a_container(env=[TOKEN, {"name": "LOG_LEVEL", "value": "debug"}])],
    ),
    "s3, for an init container": plain_pod(
        "s3://models/iris",
        annotations={"storage.kserve.io/containers": "server,build"},
        initContainers=[a_container("proxy", restartPolicy="Always"), a_container("build")],
    ),
    "claim": plain_pod("pvc://models/iris/v1"),
    "claim, copied": plain_pod("pvc://models/iris/v1", annotations={"storage.kserve.io/pvc-mount": "copy"}),
    "claim, read-write": kserve_pod("pvc://models/iris", annotations=READ_WRITE),
    "single file": plain_pod("pvc://models/iris/model.joblib"),
    "modelcar": kserve_pod(f"oci://{IMAGE}"),
    "modelcar of a job": plain_pod(f"oci://{IMAGE}", restartPolicy="Never"),
    "native image": plain_pod(f"oci+native://{IMAGE}"),
    "fetched image": plain_pod(f"oci+fetch://{IMAGE}", imagePullSecrets=[{"name": "registry"}]),
    "several": several(("s3://models/iris", "/mnt/models/base"), ("pvc://models/lora", "/mnt/models/lora")),
}


SINCE = {"modelcar of a job": 29, "native image": 35}
"""Minor versions of Kubernetes that the pods need, if they need another one than the oldest that is supported."""


def unnamed(pod: Object) -> Object:
    """The pod as a controller creates it: with generateName instead of a name."""
    metadata = {key: value for key, value in pod["metadata"].items() if key != "name"}
    return {**pod, "metadata": {**metadata, "generateName": "pod-"}}


def add_credentials(api: Api, namespace: str) -> None:
    """Create the Secret and the service account that some of the pods use."""
    for manifest in (SECRET, ACCOUNT):
        within = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
        api.apply(within).raise_for_status()
