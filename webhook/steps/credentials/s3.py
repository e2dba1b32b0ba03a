"""Credentials for S3 and compatible services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from webhook import annotations as keys
from webhook.by_identity import cached_by_identity
from webhook.cluster.facts import Secret
from webhook.pod.pod import JsonObject, secret_variable
from webhook.settings.kserve_keys import S3, Credentials
from webhook.steps.credentials.credential import Credential

ENDPOINT_URL = "AWS_ENDPOINT_URL"
REGION = "AWS_DEFAULT_REGION"
ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID"

NO_DATA: Mapping[str, str] = {}


class _Variable(NamedTuple):
    """A variable and its sources: first the annotation, then the Secret's key of the same name, then the setting."""

    name: str
    annotation: str
    setting: str


_ENDPOINT = _Variable("S3_ENDPOINT", keys.S3_ENDPOINT, "s3_endpoint")
_USE_HTTPS = _Variable("S3_USE_HTTPS", keys.S3_USE_HTTPS, "s3_use_https")
_VERIFY_SSL = _Variable("S3_VERIFY_SSL", keys.S3_VERIFY_SSL, "s3_verify_ssl")
_VARIABLES = (
    _VERIFY_SSL,
    _Variable("awsAnonymousCredential", keys.S3_ANONYMOUS, "s3_use_anonymous_credential"),
    _Variable(REGION, keys.S3_REGION, "s3_region"),
    _Variable("S3_USER_VIRTUAL_BUCKET", keys.S3_VIRTUAL_BUCKET, "s3_use_virtual_bucket"),
    _Variable("S3_USE_ACCELERATE", keys.S3_ACCELERATE, "s3_use_accelerate"),
    _Variable("AWS_CA_BUNDLE", keys.S3_CA_BUNDLE, "s3_ca_bundle"),
    _Variable("AWS_CA_BUNDLE_CONFIGMAP", keys.S3_CA_BUNDLE_CONFIG_MAP, "s3_ca_bundle_config_map"),
)
_SWITCHES = (_USE_HTTPS, _VERIFY_SSL)
_SWITCH_WORDS = {"true": "1", "false": "0"}


def credential(name: str, secret: Secret, settings: Credentials) -> Credential:
    """References to the access keys, and the variables of the connection."""
    names = settings.s3.key_names
    key_id, secret_key = next(pair for pair in names if pair[1] in secret.keys)
    # The two keys may be spelled differently.
    key_id = next((each for each, _ in names if each in secret.keys), key_id)
    return Credential(
        (
            secret_variable(ACCESS_KEY_ID, name, key_id),
            secret_variable("AWS_SECRET_ACCESS_KEY", name, secret_key),
            *connection_variables(settings.s3, secret.annotations, secret.plain),
        )
    )


@cached_by_identity()
def connection_variables(
    settings: S3, annotations: Mapping[str, str], plain: Mapping[str, str] = NO_DATA
) -> tuple[JsonObject, ...]:
    """The variables of the connection: from annotations, else from the keys of a Secret, else from the settings."""
    values: dict[str, str] = {}
    if endpoint := _value(_ENDPOINT, annotations, plain, settings).strip():
        use_https, host, url = _parse_endpoint(endpoint, _value(_USE_HTTPS, annotations, plain, settings))
        if use_https:
            values[_USE_HTTPS.name] = use_https
        values |= {_ENDPOINT.name: host, ENDPOINT_URL: url}
    for variable in _VARIABLES:
        if value := _value(variable, annotations, plain, settings):
            values[variable.name] = value
    return tuple({"name": name, "value": value} for name, value in values.items())


@cached_by_identity()
def unknown_switches(annotations: Mapping[str, str], plain: Mapping[str, str] = NO_DATA) -> tuple[str, ...]:
    """The annotations and keys of a Secret that must be 0 or 1 and are another word."""
    given = [(each.annotation, annotations[each.annotation]) for each in _SWITCHES if each.annotation in annotations]
    given += [
        (each.name, plain[each.name]) for each in _SWITCHES if each.name in plain and each.annotation not in annotations
    ]
    return tuple(name for name, value in given if value and _switch(value) not in ("0", "1"))


def _value(variable: _Variable, annotations: Mapping[str, str], plain: Mapping[str, str], settings: S3) -> str:
    if variable.annotation in annotations:
        value = annotations[variable.annotation]
    else:
        value = plain.get(variable.name, getattr(settings, variable.setting))
    return _switch(value) if variable in _SWITCHES else value


def _switch(value: str) -> str:
    """`1` for true and `0` for false, in any case; other values unchanged."""
    return _SWITCH_WORDS.get(value.strip().lower(), value.strip())


def _parse_endpoint(endpoint: str, use_https: str) -> tuple[str, str, str]:
    """`S3_USE_HTTPS`, the host and the URL. A scheme in the endpoint takes precedence; the default is https."""
    scheme, separator, host = endpoint.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        return "1" if scheme.lower() == "https" else "0", host, endpoint
    return use_https, endpoint, f"http://{endpoint}" if use_https == "0" else f"https://{endpoint}"
