"""Patterns of the files that the init container downloads, and of those that it leaves out."""

from __future__ import annotations

import json
import re

from webhook import annotations as keys
from webhook.errors import Denied, quoted
from webhook.pod.pod import PodDraft
from webhook.request.download_options import read_patterns
from webhook.steps.inputs import Inputs

VARIABLES = {keys.INCLUDE: "STORAGE_ALLOW_PATTERNS", keys.EXCLUDE: "STORAGE_IGNORE_PATTERNS"}
"""The variables that KServe's storage initializer reads, as JSON lists (kserve-storage 0.17 and newer)."""

SCHEMES = ("gs", "hdfs", "hf", "modelscope", "s3", "webhdfs")
"""The schemes of which the storage initializer downloads files one by one, so that it can apply patterns."""

_OLD_IMAGE = re.compile(r"storage-initializer:v0\.(\d|1[0-6])(\.|\Z)")


def set_patterns(pod: PodDraft, inputs: Inputs) -> None:
    """Pass the patterns to the init container. Raises Denied when it cannot apply them to a model of the pod."""
    request = inputs.request
    patterns = {key: found for key in VARIABLES if (found := read_patterns(request, key))}
    if not patterns:
        return
    for source in request.sources:
        if source not in request.downloaded or source.kind not in SCHEMES:
            raise Denied(
                f"annotation {next(iter(patterns))} cannot be applied to {quoted(source.uri)}: the storage initializer "
                f"selects files only of {', '.join(f'{scheme}://' for scheme in SCHEMES)}: remove the annotation"
            )
    container = pod.edit_init_container()
    if container is None:
        return
    if _OLD_IMAGE.search(str(container.get("image"))):
        raise Denied(
            f"annotation {next(iter(patterns))} cannot be applied by image {quoted(container['image'])}: remove the "
            "annotation, or use a storage initializer of v0.17 or newer"
        )
    pod.add_env(container, [{"name": VARIABLES[key], "value": json.dumps(found)} for key, found in patterns.items()])
