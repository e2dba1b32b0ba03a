"""HDFS and WebHDFS: name node, Kerberos and TLS files."""

from __future__ import annotations

from webhook.cluster.facts import Secret
from webhook.settings.kserve_keys import Credentials
from webhook.steps.credentials.credential import Credential, secret_volume

VOLUME = "hdfs-secrets"
MOUNT_PATH = "/var/secrets/kserve-hdfscreds"


def credential(name: str, secret: Secret, settings: Credentials) -> Credential:
    """The mounted Secret: the init container reads its keys as files."""
    return Credential(volume=secret_volume(VOLUME, name), mount_path=MOUNT_PATH)
