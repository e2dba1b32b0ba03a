"""What a server does in a cluster: looks facts up, tells of refusals, keeps its certificates."""

from __future__ import annotations

import datetime
import os
import socket

from webhook.certs.keeper import CertificateKeeper, Place, Serve
from webhook.certs.rotation import Policy, SelfManaged
from webhook.cluster import cluster_facts
from webhook.context import Webhook
from webhook.events import RefusalEvents
from webhook.kube import api_client

# Seconds until there must be a certificate to serve; the first one needs two looks of the keeper.
_FIRST_CERTIFICATE_SECONDS = 120


def connect(webhook: Webhook, *, events: bool) -> None:
    """Let a server look facts up and, with `events`, tell of refusals. Raises ClusterConfigError."""
    client = api_client()
    webhook.facts = cluster_facts(client, webhook.metrics)
    if events:
        webhook.events = RefusalEvents(client, _instance())
        webhook.events.start()


def keep_certificates(chosen: SelfManaged, serve: Serve) -> None:
    """Start to keep the certificates, and wait until there is one to serve.

    Raises ClusterConfigError without a cluster, TimeoutError when no certificate comes.
    """
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
