"""Google Cloud Storage: the key file of a Google service account."""

from __future__ import annotations

from webhook.facts import Secret
from webhook.settings.model import Credentials
from webhook.steps.credentials.credential import Credential, secret_volume

VOLUME = "user-gcp-sa"
MOUNT_PATH = "/var/secrets/"


def credential(name: str, secret: Secret, settings: Credentials) -> Credential:
    """The key file, mounted, and where it is."""
    file = MOUNT_PATH + settings.gcs.gcs_credential_file_name
    return Credential(
        ({"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": file},), secret_volume(VOLUME, name), MOUNT_PATH
    )
