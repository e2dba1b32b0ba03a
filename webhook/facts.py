"""All that a step may know of the cluster: frozen, and without a single secret value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """What was looked up for one request; empty when nothing was (embedded and file settings, PVC-only pods)."""


NO_FACTS = Facts()
