"""Ask the API server for a pod with a model, as a dry run, and say whether it was injected (`helm test`).

Environment: NAMESPACE to ask in, IMAGE for the pod's container, LABELS of the pod (JSON), MODE of the webhook.
"""

import json
import os
import sys

from kubernetes import client, config

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESOURCES = {"cpu": "10m", "memory": "16Mi"}


def asking_pod(image, labels):
    server = {
        "name": "server",
        "image": image,
        "securityContext": RESTRICTED,
        "resources": {"requests": RESOURCES, "limits": RESOURCES},
    }
    metadata = {
        "generateName": "storage-webhook-test-",
        "labels": labels,
        "annotations": {"storage.kserve.io/uri": "https://example.com/model.joblib"},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [server]}}


def main(environ):
    """Exits with a sentence unless the pod comes back as it should."""
    config.load_config()
    namespace, observing = environ["NAMESPACE"], environ["MODE"] == "observe"
    pod = asking_pod(environ["IMAGE"], json.loads(environ["LABELS"]))
    try:
        answer = client.CoreV1Api().create_namespaced_pod(namespace, pod, dry_run="All")
    except client.ApiException as refused:
        sys.exit(f"The API server refused a pod with a model in namespace {namespace}: {refused.body}")
    injected = "storage-initializer" in [container.name for container in answer.spec.init_containers or []]
    if injected == observing:
        sys.exit(f"A pod with a model in namespace {namespace} was {'' if injected else 'not '}injected; mode: {environ['MODE']}")
    print(f"A pod with a model in namespace {namespace} was {'left alone, in observe mode' if observing else 'injected'}.")


if __name__ == "__main__":
    main(os.environ)
