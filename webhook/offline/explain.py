"""What was decided for a pod, and why, in one line."""

from __future__ import annotations

from typing import Any

from webhook import annotations as keys
from webhook.admission.outcome import Outcome
from webhook.admission.workloads import dotted
from webhook.errors import Denied, quoted
from webhook.offline.manifests import Owner
from webhook.pod.pod import metadata_map
from webhook.request.model_request import SKIP_REASONS


def explain(owner: Owner, pod: Any, outcome: Outcome) -> str:
    """The outcome, its reason, the annotations that were looked for and where, the containers, and all warnings."""
    reason = f" ({outcome.reason})" if outcome.reason else ""
    parts = [
        SKIP_REASONS[outcome.reason].rstrip(".") if outcome.kind == "skipped" else outcome.message,
        _looked_for(owner, pod) if isinstance(pod, dict) else "",
        f"containers: {', '.join(outcome.containers)}" if outcome.containers else "",
        *(f"warning: {warning}" for warning in outcome.warnings),
    ]
    return f"{owner.name}: {outcome.kind}{reason}: {'; '.join(filter(None, parts))}"


def _looked_for(owner: Owner, pod: dict[str, Any]) -> str:
    try:
        annotations, labels = metadata_map(pod, "annotations"), metadata_map(pod, "labels")
    except Denied:
        # The outcome says what is wrong with them.
        return ""
    place = dotted((*owner.path, "metadata", "annotations"))
    wanted = [keys.URI, keys.URIS]
    if keys.INFERENCE_SERVICE in labels:
        wanted.append(keys.SOURCE_URI)
    found = [f"{key} {quoted(annotations[key])}" for key in wanted if key in annotations]
    if found:
        return f"{place} has {' and '.join(found)}"
    missing = f"{place} has no {' or '.join(wanted)}"
    if keys.SOURCE_URI in annotations and keys.SOURCE_URI not in wanted:
        missing += f", and {keys.SOURCE_URI} counts only with the label {keys.INFERENCE_SERVICE}"
    return missing
