"""The read-only inputs of a step."""

from __future__ import annotations

from typing import NamedTuple

from webhook.cluster.facts import Facts
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings
from webhook.uri import ClaimPath


class Inputs(NamedTuple):
    """The pod's model request, the settings, the facts looked up in the cluster, and what follows from them."""

    request: ModelRequest
    settings: Settings
    facts: Facts
    cache: ClaimPath | None
    """The claim and directory of the shared cache; None when each pod downloads its own copy."""
