"""Intended differences in the credentials of the download, and in its certificates."""

from __future__ import annotations

import base64
import json
import posixpath
import re
from collections.abc import Mapping

from tests.kserve_corpus.pair import Difference, IntendedDifference, Pair
from tests.kserve_corpus.recorded import INITIALIZER, Case, Fields, JsonObject

ROLE = "eks.amazonaws.com/role-arn"
CA_BUNDLE_VOLUME = "cabundle-cert"
_S3 = "serving.kserve.io/s3-"
# The variables of a connection: the annotation, and the field of the settings.
_CONNECTION = {
    "S3_VERIFY_SSL": ("verifyssl", "s3_verify_ssl"),
    "awsAnonymousCredential": ("useanoncredential", "s3_use_anonymous_credential"),
    "AWS_DEFAULT_REGION": ("region", "s3_region"),
    "S3_USER_VIRTUAL_BUCKET": ("usevirtualbucket", "s3_use_virtual_bucket"),
    "S3_USE_ACCELERATE": ("useaccelerate", "s3_use_accelerate"),
    "AWS_CA_BUNDLE": ("cabundle", "s3_ca_bundle"),
    "AWS_CA_BUNDLE_CONFIGMAP": ("cabundle-configmap", "s3_ca_bundle_config_map"),
}
_ENDPOINT = {"S3_ENDPOINT": ("endpoint", "s3_endpoint"), "S3_USE_HTTPS": ("usehttps", "s3_use_https")}
_SWITCHES = ("S3_USE_HTTPS", "S3_VERIFY_SSL")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_S3_VARIABLES = {*_CONNECTION, *_ENDPOINT, *_KEYS, "AWS_ENDPOINT_URL"}


# --- What the init container should get for S3 ----------------------------------------------------------------------


def s3_variables(case: Case) -> dict[str, JsonObject]:
    """The variables for S3, by name, of the pod's service account and of the first S3 Secret that counts."""
    account = case.service_account or {}
    annotations = account.get("metadata", {}).get("annotations") or {}
    found: dict[str, JsonObject] = {}
    secret = next(iter(_s3_secrets(case)), None)
    if ROLE in annotations or (secret is None and case.uri.lower().startswith("s3://")):
        found.update(_connection(case, annotations, {}))
    if secret is not None:
        found.update(_access_keys(case, secret))
        data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        found.update(_connection(case, secret["metadata"].get("annotations") or {}, data))
    return found


def _secrets(case: Case) -> list[JsonObject]:
    """The Secrets that count: the one that the pod names, or those of its service account."""
    listed = [each["name"] for each in (case.service_account or {}).get("secrets") or ()]
    names = listed if case.named_secret is None else [case.named_secret]
    return [secret for name in dict.fromkeys(names) if (secret := case.secret(name))]


def _s3_secrets(case: Case) -> list[JsonObject]:
    keys = {secret_key for _, secret_key in case.settings.credentials.s3.key_names}
    return [secret for secret in _secrets(case) if keys & (secret.get("data") or {}).keys()]


def _access_keys(case: Case, secret: JsonObject) -> dict[str, JsonObject]:
    names = next(names for names in case.settings.credentials.s3.key_names if names[1] in secret["data"])
    reference = secret["metadata"]["name"]
    return {
        variable: {"name": variable, "valueFrom": {"secretKeyRef": {"name": reference, "key": key}}}
        for variable, key in zip(_KEYS, names, strict=True)
    }


def _connection(case: Case, annotations: Mapping[str, str], data: Mapping[str, str]) -> dict[str, JsonObject]:
    values = {
        name: annotations.get(_S3 + annotation, data.get(name, getattr(case.settings.credentials.s3, setting)))
        for name, (annotation, setting) in {**_CONNECTION, **_ENDPOINT}.items()
    }
    for name in _SWITCHES:
        values[name] = {"true": "1", "false": "0"}.get(values[name].strip().lower(), values[name])
    return {name: {"name": name, "value": value} for name, value in _with_endpoint(values).items() if value}


def _with_endpoint(values: dict[str, str]) -> dict[str, str]:
    endpoint, https = values.pop("S3_ENDPOINT").strip(), values.pop("S3_USE_HTTPS")
    if not endpoint:
        return values
    scheme, separator, host = endpoint.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        https, url = ("1" if scheme.lower() == "https" else "0"), endpoint
    else:
        host, url = endpoint, f"http{'' if https == '0' else 's'}://{endpoint}"
    return {**values, "S3_USE_HTTPS": https, "S3_ENDPOINT": host, "AWS_ENDPOINT_URL": url}


def _is_as_expected(pair: Pair, given: Difference) -> bool:
    if given.variable not in _S3_VARIABLES or _is_set_by_storage_container(pair, given.variable):
        return False
    return bool(given.ours == s3_variables(pair.case).get(given.variable))


# --- The classes ----------------------------------------------------------------------------------------------------


def _no_access_keys(pair: Pair, given: Difference) -> bool:
    return given.is_added and not _s3_secrets(pair.case) and _is_as_expected(pair, given)


def _several_secrets(pair: Pair, given: Difference) -> bool:
    return len(_s3_secrets(pair.case)) > 1 and _is_as_expected(pair, given)


def _second_mount(pair: Pair, given: Difference) -> bool:
    """KServe mounts the volume once for each Secret, which the API server rejects."""
    is_second = given.is_mount("initContainers") and len(given.path) > len(("initContainers", "", "volumeMounts", ""))
    return is_second and given.is_missing and bool(given.kserve == pair.kserve[given.path[:4]])


def _switch_words(pair: Pair, given: Difference) -> bool:
    words = {"true": "1", "false": "0"}
    if given.variable == "AWS_ENDPOINT_URL":
        return _is_word(pair.kserve, "S3_USE_HTTPS") and _is_as_expected(pair, given)
    if given.variable not in _SWITCHES or not given.kserve:
        return False
    return bool(given.ours == {"name": given.variable, "value": words.get(given.kserve.get("value", "").lower())})


def _is_word(found: Fields, variable: str) -> bool:
    value = (found.get(("initContainers", INITIALIZER, "env", variable)) or {}).get("value", "")
    return value.lower() in ("true", "false")


def _both_spellings(pair: Pair, given: Difference) -> bool:
    spelled = {s["metadata"]["name"] for s in _secrets(pair.case) if "AWS_SECRET_ACCESS_KEY" in (s.get("data") or {})}
    if pair.case.credentials.get("s3", {}).get("s3SecretAccessKeyName"):
        return False
    return bool(spelled) and (_is_as_expected(pair, given) or _secret_of(pair.kserve, given.path) in spelled)


def _named_secret(pair: Pair, given: Difference) -> bool:
    """KServe ignores the annotation if its ConfigMap does not name it, and if the service account does not exist."""
    case = pair.case
    configured = case.credentials.get("storageSecretNameAnnotation")
    if case.named_secret is None or (configured and case.service_account):
        return False
    listed = {each["name"] for each in (case.service_account or {}).get("secrets") or ()}
    if given.is_missing:
        return _secret_of(pair.kserve, given.path) in listed or _is_as_expected(pair, given)
    return _refers_to(pair, given, case.named_secret) or _is_as_expected(pair, given)


def _refers_to(pair: Pair, given: Difference, secret: str) -> bool:
    """Whether the field is a reference to the Secret, and nothing else."""
    if _secret_of(pair.ours, given.path) != secret:
        return False
    if given.variable == "GOOGLE_APPLICATION_CREDENTIALS":
        file = pair.case.settings.credentials.gcs.gcs_credential_file_name
        return bool(given.ours == {"name": given.variable, "value": f"/var/secrets/{file}"})
    if given.variable:
        reference: JsonObject = given.ours["valueFrom"]["secretKeyRef"]
        return set(given.ours) == {"name", "valueFrom"} and reference.keys() <= {"name", "key", "optional"}
    if given.path[0] == "volumes":
        return bool(given.ours == {"name": given.path[1], "secret": {"secretName": secret}})
    return set(given.ours) == {"name", "mountPath", "readOnly"}


def _secret_of(found: Fields, path: tuple[str, ...]) -> str | None:
    """The Secret that a variable, a volume or the mount of a volume refers to."""
    value = found.get(path)
    if value is None:
        return None
    if path[-1] == "GOOGLE_APPLICATION_CREDENTIALS":
        return _secret_of(found, ("volumes", "user-gcp-sa"))
    if path[0] == "volumes":
        return str((value.get("secret") or {}).get("secretName"))
    if path[2:3] == ("volumeMounts",):
        return _secret_of(found, ("volumes", value["name"]))
    reference: JsonObject = (value.get("valueFrom") if isinstance(value, dict) else None) or {}
    name: str | None = reference.get("secretKeyRef", {}).get("name")
    return name


def _headers(pair: Pair, given: Difference) -> bool:
    if not given.variable.endswith("-headers") or not given.kserve or not given.ours or "valueFrom" in given.kserve:
        return False
    secret = (_secret_of(pair.ours, given.path) or "", given.variable.removesuffix("-headers"))
    reference = {"secretKeyRef": {"name": secret[0], "key": "headers"}}
    return given.ours == {"name": given.variable, "valueFrom": reference} and secret in _hosts(pair.case)


def _hosts(case: Case) -> list[tuple[str, str]]:
    """The HTTPS Secrets and their hosts."""
    return [
        (secret["metadata"]["name"], base64.b64decode(secret["data"]["https-host"]).decode())
        for secret in case.secrets
        if "https-host" in (secret.get("data") or {})
    ]


def _invalid_host(pair: Pair, given: Difference) -> bool:
    host = given.variable.removesuffix("-headers")
    is_host = given.variable.endswith("-headers") and host in (host for _, host in _hosts(pair.case))
    return given.is_missing and is_host and not re.fullmatch(r"[-._a-zA-Z0-9:\[\]]+", host)


def _optional_tenant(pair: Pair, given: Difference) -> bool:
    if given.variable != "AZURE_TENANT_ID" or not given.kserve or not given.ours:
        return False
    reference = (given.kserve.get("valueFrom") or {}).get("secretKeyRef") or {}
    expected = {**given.kserve, "valueFrom": {"secretKeyRef": {**reference, "optional": True}}}
    data = pair.case.secret(reference.get("name")).get("data") or {}
    return given.ours == expected and reference["key"] not in data


def _sts_endpoint(pair: Pair, given: Difference) -> bool:
    account = pair.case.service_account or {}
    has_endpoint = ("initContainers", INITIALIZER, "env", "AWS_ENDPOINT_URL") in pair.ours
    is_endpoint = given.variable == "AWS_ENDPOINT_URL_STS" and given.is_added and set(given.ours) == {"name", "value"}
    is_sts = is_endpoint and given.ours["value"].startswith("https://sts.")
    return is_sts and has_endpoint and bool((account.get("metadata", {}).get("annotations") or {}).get(ROLE))


def _storage_entry(pair: Pair, given: Difference) -> bool:
    """KServe reads the entry only to find the type."""
    params = pair.case.storage_parameters
    if given.variable != "AWS_CA_BUNDLE_CONFIGMAP" or not given.is_added or not params.get("type"):
        return False
    config = pair.ours.get(("initContainers", INITIALIZER, "env", "STORAGE_CONFIG")) or {}
    reference = (config.get("valueFrom") or {}).get("secretKeyRef") or {}
    entry = (pair.case.secret(reference.get("name")).get("data") or {}).get(reference.get("key"))
    named = json.loads(base64.b64decode(entry)).get("cabundle_configmap") if entry else None
    return bool(given.ours == {"name": given.variable, "value": named})


def _ca_bundle(pair: Pair, given: Difference) -> bool:
    """KServe reads the variables before a ClusterStorageContainer sets them."""
    variables = ("AWS_CA_BUNDLE", "AWS_CA_BUNDLE_CONFIGMAP")
    same = all(_variable(pair.kserve, name) == _variable(pair.ours, name) for name in variables)
    if same and not _is_set_by_storage_container(pair, *variables) and _can_mount(pair):
        return False
    name, path = _ca_bundle_name(pair), _ca_bundle_path(pair)
    if given.path == ("volumes", CA_BUNDLE_VOLUME):
        return bool(given.ours == ({"name": CA_BUNDLE_VOLUME, "configMap": {"name": name}} if name else None))
    if given.is_mount("initContainers"):
        mounted = {"name": CA_BUNDLE_VOLUME, "mountPath": given.path[3], "readOnly": True}
        return bool(given.ours == (mounted if name and given.path[3] == path else None)) and mounted in (
            given.ours,
            given.kserve,
        )
    expected = {"CA_BUNDLE_CONFIGMAP_NAME": name, "CA_BUNDLE_VOLUME_MOUNT_POINT": name and path}
    if given.variable not in expected or _is_set_by_storage_container(pair, given.variable):
        return False
    return bool(given.ours == ({"name": given.variable, "value": expected[given.variable]} if name else None))


def _variable(found: Fields, name: str) -> str:
    return str((found.get(("initContainers", INITIALIZER, "env", name)) or {}).get("value", ""))


def _is_set_by_storage_container(pair: Pair, *names: str) -> bool:
    """Whether one of the variables has the value of a ClusterStorageContainer, in one of the pods."""
    paths = [("initContainers", INITIALIZER, "env", name) for name in names]
    values = [found[path] for found in (pair.kserve, pair.ours) for path in paths if path in found]
    containers = [each["spec"]["container"] for each in pair.case.storage_containers]
    return any(variable in values for container in containers for variable in container.get("env") or ())


def _can_mount(pair: Pair) -> bool:
    file = _variable(pair.ours, "AWS_CA_BUNDLE")
    return not file or posixpath.dirname(file).strip("/") != ""


def _ca_bundle_name(pair: Pair) -> str:
    configured = pair.case.settings.storage_initializer.ca_bundle_config_map_name
    if named := _variable(pair.ours, "AWS_CA_BUNDLE_CONFIGMAP"):
        return named
    return configured if pair.case.namespace == "kserve" or not configured else "global-ca-bundle"


def _ca_bundle_path(pair: Pair) -> str:
    file = _variable(pair.ours, "AWS_CA_BUNDLE")
    configured = pair.case.settings.storage_initializer.ca_bundle_volume_mount_path
    return posixpath.dirname(file) if file and _can_mount(pair) else configured


DIFFERENCES: tuple[IntendedDifference, ...] = (
    IntendedDifference(
        "S3 without access keys",
        "For `s3://` URIs the S3 values of the service account and of the settings count without a Secret or a role.",
        _no_access_keys,
    ),
    IntendedDifference(
        "Several S3 Secrets",
        "All values are of the first Secret with S3 credentials, with a warning, where KServe mixes them.",
        _several_secrets,
    ),
    IntendedDifference(
        "Several GCS or HDFS Secrets",
        "Their volume is mounted once, where KServe mounts it twice and the API server rejects the pod.",
        _second_mount,
    ),
    IntendedDifference(
        "`true` and `false` for 0 and 1",
        "In `s3-usehttps` and `s3-verifyssl` they mean 1 and 0.",
        _switch_words,
    ),
    IntendedDifference(
        "Names of the S3 keys",
        "If the settings name no key, Secrets with `AWS_SECRET_ACCESS_KEY` are S3 Secrets too.",
        _both_spellings,
    ),
    IntendedDifference(
        "Secret named by the pod",
        "It counts without a service account and, if the settings name no annotation, by both of KServe's annotations.",
        _named_secret,
    ),
    IntendedDifference(
        "HTTPS headers",
        "The pod refers to the Secret with the headers, which KServe copies into the pod.",
        _headers,
    ),
    IntendedDifference(
        "Invalid `https-host`",
        "A Secret with a host that cannot be the name of a variable is not used, with a warning.",
        _invalid_host,
    ),
    IntendedDifference(
        "Azure tenant",
        "The reference to `AZURE_TENANT_ID` is optional if the Secret does not have this key.",
        _optional_tenant,
    ),
    IntendedDifference(
        "STS endpoint",
        "With an AWS role and an S3 endpoint, `AWS_ENDPOINT_URL_STS` keeps the role's requests from the S3 endpoint.",
        _sts_endpoint,
    ),
    IntendedDifference(
        "Entry of the storage spec",
        "Its bucket and its `cabundle_configmap` count even if the parameters name a type.",
        _storage_entry,
    ),
    IntendedDifference(
        "CA bundle",
        "It follows the init container's variables, also those of a ClusterStorageContainer. It is not mounted at `/`.",
        _ca_bundle,
    ),
)
