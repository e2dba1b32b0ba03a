"""Supervised and checked downloads: the init container runs its command through the download program."""

from __future__ import annotations

from typing import Any

from webhook import annotations as keys
from webhook.download.command import STOCK_COMMAND, Delivery, Limits, Models, is_wrapped, wrap_in_place
from webhook.errors import Denied
from webhook.pod.pod import JsonObject, PodDraft
from webhook.request.download_options import parse_digest, read_download_options
from webhook.request.injected import download_volumes
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings
from webhook.steps.download import PVC_COPY_PATH
from webhook.steps.emptied import check_emptied
from webhook.steps.inputs import Inputs
from webhook.steps.storage_container import select_storage_container


def delivery(request: ModelRequest, settings: Settings, container: JsonObject) -> Delivery:
    """What the pod and the settings request of its init container."""
    options = read_download_options(request.annotations, settings)
    limits = Limits(download=options.timeout, wait=options.timeout, stall=options.stall_timeout)
    log = container.get("terminationMessagePath")
    return Delivery(options.supervise, limits, log) if log else Delivery(options.supervise, limits)


def downloader(container: JsonObject, inputs: Inputs, advice: str) -> list[str]:
    """The command of the init container. Raises Denied, with the advice, when the image's own one is unknown."""
    command: list[str] = container.get("command") or []
    selected = select_storage_container(inputs)
    if not command and selected is not None and selected.container.get("image"):
        raise Denied(f"{selected.title} has no command, so {advice}")
    return command or list(STOCK_COMMAND)


def supervise_download(pod: PodDraft, inputs: Inputs) -> None:
    """Run the init container's command through the download program if the pod asks for supervision or has a digest.

    Downloads into a shared cache run through it already.
    """
    request = inputs.request
    options = read_download_options(request.annotations, inputs.settings)
    if not request.downloaded:
        if keys.SUPERVISE in request.annotations and options.supervise:
            pod.warnings.append(f"annotation {keys.SUPERVISE} has no effect: the pod downloads nothing")
        return
    digests = {source.mount_path: source.sha256 for source in request.downloaded}
    if inputs.cache or not (options.supervise or any(digests.values())):
        return
    container = pod.edit_init_container()
    if container is None:
        return
    links = PVC_COPY_PATH if any(source.claim for source in request.downloaded) else ""
    models = Models(" ".join(source.uri for source in request.downloaded), digests, links)
    advice = (
        'its download can be neither supervised nor checked: add "command" to its container, or set annotation '
        f'{keys.SUPERVISE} to "false" and remove the digest'
    )
    command = downloader(container, inputs, advice)
    _wrap(container, command, models, delivery(request, inputs.settings, container))


def supervise_injected_download(pod: PodDraft, inputs: Inputs) -> None:
    """Do the same for an init container that KServe injected. Its arguments are pairs of URI and path.

    Raises Denied when a digest was requested and cannot be checked.
    """
    annotations = inputs.request.annotations
    container = pod.init_container() or {}
    if not (read_download_options(annotations, inputs.settings).supervise or keys.SHA256 in annotations):
        return
    args = _words(container.get("args"))
    if is_wrapped([*_words(container.get("command")), *args]):
        return
    digest = _digest(annotations)
    if not download_volumes(pod.spec, container) or (digest and len(args) != 2):
        if digest:
            raise Denied(
                f"annotation {keys.SHA256}: the init container of this pod was not injected for one model, so its "
                "digest cannot be checked: remove the annotation"
            )
        return
    edited = pod.edit_init_container()
    if edited is None:
        return
    digests = dict.fromkeys(args[1::2], digest)
    links = PVC_COPY_PATH if any(arg.startswith(f"{PVC_COPY_PATH}/") for arg in args[::2]) else ""
    command = edited.get("command") or list(STOCK_COMMAND)
    models = Models(" ".join(args[::2]), digests, links)
    _wrap(edited, command, models, delivery(inputs.request, inputs.settings, edited))


def _words(value: Any) -> list[str]:
    """A command or arguments. A stranger can send any JSON."""
    return [str(word) for word in value] if isinstance(value, list) else []


def _digest(annotations: Any) -> str:
    text = annotations.get(keys.SHA256)
    return parse_digest(text, f"annotation {keys.SHA256}") if text is not None else ""


def _wrap(container: JsonObject, command: list[str], models: Models, how: Delivery) -> None:
    check_emptied(container, (path for path, digest in models.digests.items() if digest))
    args = container.get("args") or ()
    container["command"], container["args"] = wrap_in_place(command, args, models, how)
