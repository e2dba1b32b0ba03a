"""The owner of downloaded files: a server of another user cannot write to them."""

from __future__ import annotations

from webhook.errors import quoted
from webhook.pod.pod import PodDraft
from webhook.steps.inputs import Inputs

INITIALIZER_USER = 1000
"""The user of KServe's storage initializer image (`USER 1000` in its Dockerfile)."""


def warn_about_file_owner(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about a target that may write to the model, but runs as another user than the one that downloads it.

    A user that only an image sets is not known here, except that of the initializer's.
    """
    request, container = inputs.request, pod.init_container()
    # A model that is copied from a claim consists of links to its files.
    if request.read_only or container is None or all(source.claim for source in request.downloaded):
        return
    owner = pod.effective_id(container, "runAsUser")
    owner = INITIALIZER_USER if owner is None else owner
    for target in request.targets:
        user = pod.effective_id(pod.container(target), "runAsUser")
        if user not in (None, 0, owner):
            pod.warnings.append(
                f"set spec.securityContext.runAsUser to {user}: container {quoted(target)} runs as this user, but the "
                f"model's files belong to user {owner} of the init container, and no other user can write to them"
            )
            return
