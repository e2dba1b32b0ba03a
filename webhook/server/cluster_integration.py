"""Cluster integration: lookups, Events, the periodic audit and certificate rotation.

The Kubernetes client takes time and memory to load, so each feature imports what uses it when it is enabled.
"""

from __future__ import annotations

import datetime
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import structlog

from webhook.certificates.self_managed import SelfManaged
from webhook.cluster.reader import cluster_facts
from webhook.kubernetes_api.client import api_client
from webhook.server.context import Webhook

if TYPE_CHECKING:
    from webhook.certificates.rotator import Serve
    from webhook.server.audit import Auditor

log = structlog.get_logger()

# Seconds until there must be a certificate to serve. The first one needs two rounds of the rotator.
_FIRST_CERTIFICATE_TIMEOUT_SECONDS = 120


def enable_lookups(webhook: Webhook, *, events: bool) -> None:
    """Look facts up in the cluster and, with `events`, record Events. Raises ClusterConfigError without a cluster."""
    client = api_client()
    webhook.facts = cluster_facts(client, webhook.metrics)
    if events:
        from webhook.server.events import RejectionEvents

        webhook.events = RejectionEvents(client, _replica_name())
        webhook.events.start()


def start_audit(webhook: Webhook, interval_seconds: float, configuration: str) -> None:
    """Audit all pods at this interval, in a thread of its own. Raises ClusterConfigError without a cluster.

    `configuration` names the MutatingWebhookConfiguration of this webhook.
    """
    from webhook.server.audit import Auditor

    auditor = Auditor(api_client(), configuration)
    threading.Thread(target=_audit, args=(webhook, auditor, interval_seconds), name="audit", daemon=True).start()


def _audit(webhook: Webhook, auditor: Auditor, interval_seconds: float) -> None:
    while True:
        snapshot = webhook.settings.current
        if snapshot is not None:
            try:
                webhook.uninjected = len(auditor.audit(snapshot.settings))
            except Exception as error:
                # The next audit may succeed; the last result stays.
                log.warning("audit failed", reason=str(error))
        time.sleep(interval_seconds)


def start_rotation(managed: SelfManaged, serve: Serve) -> None:
    """Start to rotate the certificates, and wait until there is one to serve.

    Raises ClusterConfigError without a cluster, TimeoutError when there is no certificate in time.
    """
    from webhook.certificates.rotation import Policy
    from webhook.certificates.rotator import CertificateRotator, Target

    namespace, _, secret = managed.secret.partition("/")
    policy = Policy(
        names=managed.names,
        ca_lifetime=datetime.timedelta(days=managed.ca_days),
        serving_lifetime=datetime.timedelta(days=managed.days),
        propagation=datetime.timedelta(seconds=managed.propagation_seconds),
    )
    target = Target(namespace, secret, managed.configurations, _replica_name(), managed.removed_with_namespace)
    CertificateRotator(api_client(), target, policy, serve).start(_FIRST_CERTIFICATE_TIMEOUT_SECONDS)


def _replica_name() -> str:
    """This replica's name: that of its pod, which is its host name too."""
    return os.environ.get("POD_NAME") or socket.gethostname()
