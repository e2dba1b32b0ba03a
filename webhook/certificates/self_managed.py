"""Options of certificates that the webhook manages itself.

A module of its own: what manages them takes memory that a server with certificates from files does not need.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfManaged:
    """Options for certificates that the webhook issues and stores itself."""

    secret: str
    """`NAMESPACE/NAME` of the Secret with the certificates."""
    names: tuple[str, ...]
    """DNS names of the Service."""
    configurations: tuple[str, ...]
    """Names of the webhook configurations to publish the CA in."""
    ca_days: float
    days: float
    propagation_seconds: float
    removed_with_namespace: bool = False
    """Kubernetes deletes the webhook configurations with the namespace of the Secret."""
