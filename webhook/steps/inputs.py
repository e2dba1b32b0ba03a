"""What a step is given beside the pod."""

from __future__ import annotations

from typing import NamedTuple

from webhook.facts import Facts
from webhook.request import ModelRequest
from webhook.settings.model import Settings


class Inputs(NamedTuple):
    """All that a step may know: what the pod asks for, what the administrator chose, what the cluster holds."""

    request: ModelRequest
    settings: Settings
    facts: Facts
