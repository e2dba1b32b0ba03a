"""What a server does in a cluster: looks facts up, tells of refusals, keeps its certificates.

The Kubernetes client takes some time and memory to load: what uses it is imported when it is switched on.
"""

from __future__ import annotations

import datetime
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import structlog

from webhook.certs.rotation import Policy, SelfManaged
from webhook.cluster import cluster_facts
from webhook.context import Webhook
from webhook.kube import api_client

if TYPE_CHECKING:
    from webhook.audit import Auditor
    from webhook.certs.keeper import Serve

log = structlog.get_logger()

# Seconds until there must be a certificate to serve; the first one needs two looks of the keeper.
_FIRST_CERTIFICATE_SECONDS = 120


def connect(webhook: Webhook, *, events: bool) -> None:
    """Let a server look facts up and, with `events`, tell of refusals. Raises ClusterConfigError."""
    client = api_client()
    webhook.facts = cluster_facts(client, webhook.metrics)
    if events:
        from webhook.events import RefusalEvents

        webhook.events = RefusalEvents(client, _instance())
        webhook.events.start()


def start_audit(webhook: Webhook, every: float, configuration: str) -> None:
    """Audit all pods now and then, in a thread of its own: every so many seconds. Raises ClusterConfigError."""
    from webhook.audit import Auditor

    auditor = Auditor(api_client(), configuration)
    threading.Thread(target=_audit, args=(webhook, auditor, every), name="audit", daemon=True).start()


def _audit(webhook: Webhook, auditor: Auditor, every: float) -> None:
    while True:
        snapshot = webhook.settings.current
        if snapshot is not None:
            try:
                webhook.slipped = len(auditor.audit(snapshot.settings))
            except Exception as error:
                # The next one may work; what is known stays.
                log.warning("audit failed", reason=str(error))
        time.sleep(every)


def keep_certificates(chosen: SelfManaged, serve: Serve) -> None:
    """Start to keep the certificates, and wait until there is one to serve.

    Raises ClusterConfigError without a cluster, TimeoutError when no certificate comes.
    """
    from webhook.certs.keeper import CertificateKeeper, Place

    namespace, _, secret = chosen.secret.partition("/")
    policy = Policy(
        names=chosen.names,
        ca_lifetime=datetime.timedelta(days=chosen.ca_days),
        serving_lifetime=datetime.timedelta(days=chosen.days),
        settle=datetime.timedelta(seconds=chosen.settle_seconds),
    )
    place = Place(namespace, secret, chosen.configurations, _instance())
    CertificateKeeper(api_client(), place, policy, serve).start(_FIRST_CERTIFICATE_SECONDS)


def _instance() -> str:
    """This replica's name: the pod's, which is its host name too."""
    return os.environ.get("POD_NAME") or socket.gethostname()
