"""The owner of downloaded files: a server of another user cannot write to them."""

from __future__ import annotations

from webhook.errors import quoted
from webhook.pod.pod import JsonObject, PodDraft
from webhook.request.shared_cache import is_copied
from webhook.steps.inputs import Inputs

_OVERRIDES = frozenset({"ALL", "DAC_OVERRIDE"})
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
    if inputs.cache and is_copied(request) and (pod.spec.get("securityContext") or {}).get("fsGroup") is not None:
        # The files of a shared cache are writable for the group, and a copy keeps their mode.
        return
    owner = pod.effective_id(container, "runAsUser")
    owner = INITIALIZER_USER if owner is None else owner
    for target in request.targets:
        server = pod.container(target)
        user = pod.effective_id(server, "runAsUser")
        if user not in (None, owner) and not (user == 0 and _ignores_modes(server)):
            pod.warnings.append(
                f"set spec.securityContext.runAsUser to {user}: container {quoted(target)} runs as this user, but the "
                f"model's files belong to user {owner} of the init container, and no other user can write to them"
            )
            return


def _ignores_modes(container: JsonObject) -> bool:
    """Whether root in this container may write to every file: with the capability DAC_OVERRIDE, which is a default."""
    return bool(_capabilities(container, "add") & _OVERRIDES) or not _capabilities(container, "drop") & _OVERRIDES


def _capabilities(container: JsonObject, field: str) -> set[str]:
    """The names in a list of the container's capabilities; empty for malformed ones."""
    capabilities = (container.get("securityContext") or {}).get("capabilities")
    names = capabilities.get(field) if isinstance(capabilities, dict) else None
    return {str(name).upper().removeprefix("CAP_") for name in names} if isinstance(names, list) else set()
