"""The Secrets of the pod that the init container may need to pull an image (`oci+fetch://`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook.request.model_request import Source


def read_pull_secrets(spec: Mapping[str, Any], sources: tuple[Source, ...]) -> tuple[str, ...]:
    """The names in `imagePullSecrets`, without repetitions; none when the init container pulls no image.

    ServiceAccount admission has copied those of the service account to a pod that has none of its own.
    """
    if not any(source.is_image("fetch") for source in sources):
        return ()
    listed = spec.get("imagePullSecrets")
    names = [item.get("name") for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))
