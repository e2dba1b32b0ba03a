"""Azure Blob and File storage credentials."""

from __future__ import annotations

from webhook.cluster.facts import Secret
from webhook.pod.pod import JsonObject, secret_variable
from webhook.settings.kserve_keys import Credentials
from webhook.steps.credentials.credential import Credential

ACCESS_KEY = "AZURE_STORAGE_ACCESS_KEY"

_TENANT_ID = "AZURE_TENANT_ID"
_NAMES = (
    "AZURE_SUBSCRIPTION_ID",
    _TENANT_ID,
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    ACCESS_KEY,
    "AZURE_ACCESS_TOKEN",
    "AZURE_ACCESS_EXPIRES_ON_SECONDS",
    "AZURE_ACCOUNT_NAME",
    "AZURE_SERVICE_URL",
)
_OLD_NAMES = {
    "AZURE_SUBSCRIPTION_ID": "AZ_SUBSCRIPTION_ID",
    _TENANT_ID: "AZ_TENANT_ID",
    "AZURE_CLIENT_ID": "AZ_CLIENT_ID",
    "AZURE_CLIENT_SECRET": "AZ_CLIENT_SECRET",
}


def credential(name: str, secret: Secret, settings: Credentials) -> Credential:
    """A service principal or an access token, under the keys' old or new names."""
    return Credential(tuple(_variable(variable, name, secret) for variable in _NAMES if _is_given(variable, secret)))


def access_key(name: str, secret: Secret, settings: Credentials) -> Credential:
    """The storage account's access key."""
    return Credential((secret_variable(ACCESS_KEY, name, ACCESS_KEY),))


def _is_given(variable: str, secret: Secret) -> bool:
    # KServe always sets the tenant.
    return variable == _TENANT_ID or _key(variable, secret) in secret.keys


def _variable(variable: str, name: str, secret: Secret) -> JsonObject:
    key = _key(variable, secret)
    reference = secret_variable(variable, name, key)
    if key not in secret.keys:
        # A required reference to a missing key keeps the container from starting.
        reference["valueFrom"]["secretKeyRef"]["optional"] = True
    return reference


def _key(variable: str, secret: Secret) -> str:
    old = _OLD_NAMES.get(variable, variable)
    return old if old in secret.keys else variable
