"""Pods whose init container was injected by KServe's own webhook or controllers, before this webhook was called.

KServe's images, resources, names and ClusterStorageContainers stay. What this webhook always guarantees is added.
"""

from __future__ import annotations

from webhook.annotations import READ_ONLY, URIS
from webhook.errors import quoted
from webhook.pod.pod import INIT_CONTAINER_NAME, PodDraft, normal_path, secret_variable
from webhook.request.injected import download_volumes
from webhook.request.reader import HEADERS_SUFFIX, is_literal_header
from webhook.steps.credentials.https import HEADERS, HOST
from webhook.steps.hugging_face import tune_hugging_face
from webhook.steps.inputs import Inputs
from webhook.steps.storage_uri import replace_storage_uri

_MAX_WARNINGS = 16


def adopt_kserve_injection(pod: PodDraft, inputs: Inputs) -> None:
    """Bring KServe's init container to what this webhook injects.

    That is: the restricted security context, references to Secrets instead of headers as text, the settings of
    Hugging Face transfers, STORAGE_URI in every target, and a read-write mount for `FALSE`, which KServe mounts
    read-only.
    """
    container = pod.init_container()
    if container is None or not (volumes := download_volumes(pod.spec, container)):
        return
    pod.adopted.append(("initContainers", INIT_CONTAINER_NAME))
    tune_hugging_face(pod, inputs)
    _refer_to_headers(pod, inputs)
    if len(container["args"]) == 2 and URIS not in inputs.request.annotations:
        _set_storage_uri(pod, volumes, container["args"][1])
    text = inputs.request.annotations.get(READ_ONLY, "")
    if not inputs.request.read_only and text.strip() != "false":
        _allow_writes(pod, volumes)


def _set_storage_uri(pod: PodDraft, volumes: set[tuple[str, str]], path: str) -> None:
    for container in pod.spec.get("containers") or ():
        mounts = container.get("volumeMounts") or ()
        if any((mount["name"], normal_path(mount.get("mountPath"))) in volumes for mount in mounts):
            replace_storage_uri(pod, container["name"], path)


def _refer_to_headers(pod: PodDraft, inputs: Inputs) -> None:
    """Replace headers as text by references to the Secrets that contain them."""
    if not inputs.request.literal_headers:
        return
    secrets = {
        secret.plain.get(HOST, "") + HEADERS_SUFFIX: name
        for name, secret in reversed(list(inputs.facts.secrets.items()))
        if secret is not None and HEADERS in secret.keys
    }
    container = pod.edit_init_container()
    variables = pod.edit_list(container, "env") if container else []
    unknown: list[str] = []
    for index, variable in enumerate(variables):
        if not is_literal_header(variable):
            continue
        # Of duplicate names the last one takes effect, so all of them are replaced.
        if variable["name"] in secrets:
            variables[index] = secret_variable(variable["name"], secrets[variable["name"]], HEADERS)
        else:
            unknown.append(variable["name"])
    pod.warnings.extend(
        f"variable {quoted(name)} of the init container has headers as text, and no Secret of the service account has "
        "them: everybody who can read the pod can read them"
        for name in unknown[:_MAX_WARNINGS]
    )


def _allow_writes(pod: PodDraft, volumes: set[tuple[str, str]]) -> None:
    for container in pod.spec.get("containers") or ():
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            if mount.get("readOnly") and (mount["name"], normal_path(mount.get("mountPath"))) in volumes:
                mounts = pod.edit_list(pod.edit_container(container["name"]), "volumeMounts")
                for field in ("readOnly", "recursiveReadOnly"):
                    pod.edit_object(mounts, index).pop(field, None)
