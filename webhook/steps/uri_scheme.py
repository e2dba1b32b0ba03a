"""Schemes of URIs that nobody knows: the download will fail, so the pod's author learns which scheme was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from webhook.errors import quoted
from webhook.pod.pod import PodDraft
from webhook.request.model_request import Source
from webhook.steps.inputs import Inputs
from webhook.steps.storage_container import select_storage_container
from webhook.uri import KNOWN_SCHEMES, has_known_scheme

_MAX_WARNINGS = 16
# Kubernetes cuts a warning at 256 characters; the remedy must come before.
_MAX_QUOTED = 40

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,63})(:/*|//)(.*)", re.DOTALL)
_SUGGESTED = sorted(KNOWN_SCHEMES)
_SIMILAR = 0.8

_AZURE = "https://<account>.blob.core.windows.net/"
_OTHER_NAMES = {
    **dict.fromkeys(("s", "s3a", "s3n", "aws", "minio"), "s3"),
    **dict.fromkeys(("gcs", "gstorage"), "gs"),
    **dict.fromkeys(("huggingface", "hugging-face"), "hf"),
    **dict.fromkeys(("claim", "persistentvolumeclaim", "pcv"), "pvc"),
    **dict.fromkeys(("docker", "image", "oci-image", "modelcar"), "oci"),
    **dict.fromkeys(("git+https", "https+git"), "https"),
}
_AZURE_NAMES = frozenset("azure az abfs abfss wasb wasbs adl blob".split())


def warn_about_unknown_schemes(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about each download whose scheme neither the storage initializer nor a storage container knows."""
    sources = [source for source in inputs.request.downloaded if _is_unknown(source)]
    if sources:
        pod.warnings.extend(_warning(source) for source in _unsupported(sources[:_MAX_WARNINGS], inputs))


def _is_unknown(source: Source) -> bool:
    return source.claim is None and source.image is None and not has_known_scheme(source.uri)


def _unsupported(sources: list[Source], inputs: Inputs) -> Iterator[Source]:
    """The sources that the selected storage container does not support. It downloads all models of the pod."""
    selected = select_storage_container(inputs)
    for source in sources:
        if selected is None or not any(selected.supports(uri) for uri in (source.uri, source.written) if uri):
            yield source


def _warning(source: Source) -> str:
    problem, remedy = _explain(source.uri)
    return f"{source.origin}: {problem}, so the download fails without a storage container for it: {remedy}"


def _explain(uri: str) -> tuple[str, str]:
    """What is wrong with the URI, and what to write instead."""
    match = _URI.fullmatch(uri)
    written = _meant(match[1].lower()) if match else ""
    if match and match[2] == "://":
        known = ", ".join(name for name in _SUGGESTED if "+" not in name)
        return f"scheme {_cut(match[1])} is unknown", f"write {written}" if written else f"use one of {known}"
    problem = f"{_cut(uri)} has no scheme"
    if written:
        return problem, f"write {written}"
    if uri.startswith("/"):
        return problem, "write pvc://<claim>/<path> or s3://<bucket>/<path>"
    return problem, "write s3://, hf://, pvc:// or another scheme before it"


def _meant(name: str) -> str:
    """The scheme that a name in lower case probably means, with its slashes; "" when none is near."""
    if name in _AZURE_NAMES:
        return _AZURE
    # As in `s4`, but not in `s3a`.
    other = _OTHER_NAMES.get(name) or _OTHER_NAMES.get(name.rstrip("0123456789"))
    similar = [other] if other else difflib.get_close_matches(name, _SUGGESTED, n=1, cutoff=_SIMILAR)
    return f"{similar[0]}://" if similar else ""


def _cut(text: str) -> str:
    return quoted(text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "…")
