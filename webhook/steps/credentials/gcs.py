"""Google Cloud Storage: the key file of a Google service account."""

from __future__ import annotations

from webhook.cluster.facts import Secret
from webhook.settings.kserve_keys import Credentials
from webhook.steps.credentials.credential import Credential, secret_volume

VOLUME = "user-gcp-sa"
MOUNT_PATH = "/var/secrets/"


def credential(name: str, secret: Secret, settings: Credentials) -> Credential:
    """The mounted key file, and the variable with its path."""
    file = MOUNT_PATH + settings.gcs.gcs_credential_file_name
    return Credential(
        ({"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": file},), secret_volume(VOLUME, name), MOUNT_PATH
    )
