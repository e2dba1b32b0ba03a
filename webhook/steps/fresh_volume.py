"""New file systems belong to root: a download of another user cannot write to them."""

from __future__ import annotations

from webhook.errors import quoted
from webhook.pod.pod import PodDraft
from webhook.steps.inputs import Inputs


def warn_about_fresh_volume(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about a generic ephemeral volume that the init container cannot write to, because there is no fsGroup.

    The kubelet gives a new volume to the group fsGroup (Kubernetes: Configure a Security Context for a Pod).
    """
    fresh = {volume["name"] for volume in pod.spec.get("volumes") or () if "ephemeral" in volume}
    if not fresh or (container := pod.init_container()) is None:
        return
    if (pod.spec.get("securityContext") or {}).get("fsGroup") is not None:
        return
    written = [mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    name = next((each for each in written if each in fresh), None)
    if name is not None and pod.effective_id(container, "runAsUser") != 0:
        pod.warnings.append(
            f"set spec.securityContext.fsGroup, for example to 1000: volume {quoted(name)} is a new file system that "
            "belongs to root, and the download of another user cannot write to it"
        )
