"""The read-only inputs of a step."""

from __future__ import annotations

from typing import NamedTuple

from webhook.cluster.facts import Facts
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings


class Inputs(NamedTuple):
    """The pod's model request, the settings, and the facts looked up in the cluster."""

    request: ModelRequest
    settings: Settings
    facts: Facts
