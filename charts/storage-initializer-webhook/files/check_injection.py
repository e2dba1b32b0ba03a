"""Create a pod with a model as a server-side dry run and check that it is injected (`helm test`).

Environment: NAMESPACE of the pod, IMAGE of its container, LABELS of the pod (JSON).
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


def pod_with_model(image, labels):
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
    """Run the check. Exits with a message if it fails."""
    config.load_config()
    namespace = environ["NAMESPACE"]
    pod = pod_with_model(environ["IMAGE"], json.loads(environ["LABELS"]))
    try:
        created, _, headers = client.CoreV1Api().create_namespaced_pod_with_http_info(namespace, pod, dry_run="All")
    except client.ApiException as error:
        sys.exit(f"The API server rejected a pod with a model in namespace {namespace}: {error.body}")
    injected = "storage-initializer" in [container.name for container in created.spec.init_containers or []]
    # The webhook warns what it would do, so it was called.
    observed = "observe mode" in headers.get("Warning", "")
    found = f"A pod with a model in namespace {namespace} was"
    if not injected and not observed:
        sys.exit(f"{found} not injected: the API server did not call the webhook, or the webhook skipped the pod.")
    print(f"{found} {'injected' if injected else 'not changed, because of observe mode'}.")


if __name__ == "__main__":
    main(os.environ)
