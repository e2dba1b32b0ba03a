"""Claims that hold the cache of the Hugging Face Hub library, whose files are links."""

from __future__ import annotations

import re

from webhook.annotations import PVC_MOUNT
from webhook.errors import quoted
from webhook.pod.pod import PodDraft
from webhook.steps.inputs import Inputs

# huggingface_hub: "Understand caching". A file of a snapshot is a link to ../../blobs/<hash>.
_SNAPSHOT = re.compile(r"(?:^|/)(?:models|datasets|spaces)--[^/]+/snapshots(?:/|$)")


def warn_about_snapshots(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about mounted snapshots: their files are links to a directory that the mount does not contain.

    A single file is mounted as the file that its link leads to.
    """
    request = inputs.request
    for source in request.mounted:
        if source.claim and not source.is_file and _SNAPSHOT.search(source.claim.path):
            # Several claims are always mounted.
            remedy = "mount the whole claim and point the server to the snapshot"
            if not request.several:
                remedy = f"set annotation {PVC_MOUNT} to copy, or {remedy}"
            pod.warnings.append(
                f"{remedy}: {quoted(source.claim.path)} is a snapshot of a Hugging Face cache, whose files are links "
                "to ../../blobs, which the mount does not contain"
            )
