"""Credentials for S3 and compatible services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from webhook import annotations as keys
from webhook.cluster.facts import Secret, ServiceAccount
from webhook.pod.pod import JsonObject, secret_variable
from webhook.settings.model import S3, Credentials
from webhook.steps.credentials.credential import Credential

_NO_DATA: Mapping[str, str] = {}


class _Variable(NamedTuple):
    """A variable and its sources: first the annotation, then the Secret's key of the same name, then the setting."""

    name: str
    annotation: str
    setting: str


_ENDPOINT = _Variable("S3_ENDPOINT", keys.S3_ENDPOINT, "s3_endpoint")
_USE_HTTPS = _Variable("S3_USE_HTTPS", keys.S3_USE_HTTPS, "s3_use_https")
_VARIABLES = (
    _Variable("S3_VERIFY_SSL", keys.S3_VERIFY_SSL, "s3_verify_ssl"),
    _Variable("awsAnonymousCredential", keys.S3_ANONYMOUS, "s3_use_anonymous_credential"),
    _Variable("AWS_DEFAULT_REGION", keys.S3_REGION, "s3_region"),
    _Variable("S3_USER_VIRTUAL_BUCKET", keys.S3_VIRTUAL_BUCKET, "s3_use_virtual_bucket"),
    _Variable("S3_USE_ACCELERATE", keys.S3_ACCELERATE, "s3_use_accelerate"),
    _Variable("AWS_CA_BUNDLE", keys.S3_CA_BUNDLE, "s3_ca_bundle"),
    _Variable("AWS_CA_BUNDLE_CONFIGMAP", keys.S3_CA_BUNDLE_CONFIG_MAP, "s3_ca_bundle_config_map"),
)


def credential(name: str, secret: Secret, settings: Credentials) -> Credential:
    """References to the access keys, and the variables of the connection."""
    key_id, secret_key = next(names for names in settings.s3.key_names if names[1] in secret.keys)
    return Credential(
        (
            secret_variable("AWS_ACCESS_KEY_ID", name, key_id),
            secret_variable("AWS_SECRET_ACCESS_KEY", name, secret_key),
            *_connection_variables(secret.annotations, secret.plain, settings.s3),
        )
    )


def role_variables(account: ServiceAccount, settings: S3) -> Iterator[JsonObject]:
    """The variables of the connection for a service account with an AWS role (AWS adds the credentials: IRSA)."""
    if keys.ROLE_ARN in account.annotations:
        yield from _connection_variables(account.annotations, _NO_DATA, settings)


def _connection_variables(
    annotations: Mapping[str, str], plain: Mapping[str, str], settings: S3
) -> Iterator[JsonObject]:
    if endpoint := _value(_ENDPOINT, annotations, plain, settings).strip():
        use_https, host, url = _parse_endpoint(endpoint, _value(_USE_HTTPS, annotations, plain, settings))
        if use_https:
            yield {"name": _USE_HTTPS.name, "value": use_https}
        yield {"name": _ENDPOINT.name, "value": host}
        yield {"name": "AWS_ENDPOINT_URL", "value": url}
    for variable in _VARIABLES:
        if value := _value(variable, annotations, plain, settings):
            yield {"name": variable.name, "value": value}


def _value(variable: _Variable, annotations: Mapping[str, str], plain: Mapping[str, str], settings: S3) -> str:
    if variable.annotation in annotations:
        return annotations[variable.annotation]
    setting: str = getattr(settings, variable.setting)
    return plain.get(variable.name, setting)


def _parse_endpoint(endpoint: str, use_https: str) -> tuple[str, str, str]:
    """`S3_USE_HTTPS`, the host and the URL. A scheme in the endpoint takes precedence; the default is https."""
    scheme, separator, host = endpoint.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        return "1" if scheme.lower() == "https" else "0", host, endpoint
    return use_https, endpoint, f"http://{endpoint}" if use_https == "0" else f"https://{endpoint}"
