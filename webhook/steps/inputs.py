"""What a step is given beside the pod."""

from __future__ import annotations

from dataclasses import dataclass

from webhook.facts import Facts
from webhook.request import ModelRequest
from webhook.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a step may know: what the pod asks for, what the administrator chose, what the cluster holds."""

    request: ModelRequest
    settings: Settings
    facts: Facts
