"""Validated types for the fields of `model`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Required

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict

from webhook import duration, quantity, strategy, uri, variables
from webhook.errors import Denied

# Kubernetes: ConfigMap, Secret and namespace names (DNS-1123), keys of their data, names of annotations.
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_SUBDOMAIN = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_DATA_KEY = r"[-._a-zA-Z0-9]{1,253}"
_QUALIFIED_NAME = rf"({_DNS_SUBDOMAIN}/)?[A-Za-z0-9]([-_.A-Za-z0-9]{{0,61}}[A-Za-z0-9])?"
# An image reference, as container registries define it: [host[:port]/]path[:tag][@digest].
_IMAGE_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
IMAGE_REFERENCE = (
    rf"(([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:\d+)?/)?{_IMAGE_PART}(/{_IMAGE_PART})*"
    r"(:\w[\w.-]{0,127})?(@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,})?"
)
_PATH = r"/[^\x00-\x1f\x7f:]*"
_MAX_NAME = 253
_MAX_PERCENT = 100
_MAX_UID = 2**31 - 1

ARCHIVES = frozenset(".zip .tar .tgz .tbz2 .txz .gz .bz2 .xz .zst .7z .rar".split())


def _matches(pattern: str, what: str) -> AfterValidator:
    """Return a validator that requires a full match; "" is valid, because it means absent."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if value and not compiled.fullmatch(value):
            raise ValueError(f"must be {what}")
        return value

    return AfterValidator(check)


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be an integer")
    return value


def _number_to_string(value: Any) -> Any:
    return str(_not_bool(value)) if isinstance(value, int | float) else value


def _quantity(value: str) -> str:
    try:
        quantity.parse_positive(value)
    except ValueError:
        raise ValueError("must be a quantity of at least 0, such as 100m, 2, 512Mi or 1Gi") from None
    return value


def _whole_bytes(value: str) -> str:
    if quantity.parse(value) % 1:
        raise ValueError(f"must be whole bytes: `m` means milli; for mebibytes use `{value.rstrip('m')}Mi`")
    return value


def _bool_to_string(yes: str, no: str) -> BeforeValidator:
    """Convert true and false to the strings that the storage initializer accepts."""
    return BeforeValidator(lambda value: {True: yes, False: no}[value] if isinstance(value, bool) else value)


def _absolute_path(value: str) -> str:
    if ".." in value.split("/") or (value and not value.strip("/")):
        raise ValueError("must be an absolute path other than `/`, without `..`")
    return value


def _pod_count(value: str) -> str:
    try:
        return str(strategy.pods(value)) if value else value
    except ValueError:
        raise ValueError("must be a number of pods, such as 1, or a percentage, such as 25%") from None


def _at_most_100_percent(value: str) -> str:
    if value.endswith("%") and int(value[:-1]) > _MAX_PERCENT:
        raise ValueError("must be at most 100%")
    return value


def _extension(value: str) -> str:
    extension = "." + value.lower().lstrip(".")
    if not re.fullmatch(r"(\.[a-z0-9_+-]+)+", extension, re.ASCII):
        raise ValueError("must be a file extension, such as .onnx")
    if "." + extension.rpartition(".")[2] in ARCHIVES:
        raise ValueError("must not be an archive: an archive cannot be mounted as a model file")
    return extension


def _bool_or_namespaces(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, bool) or (isinstance(value, list | tuple) and all(map(is_namespace, value))):
        return value
    raise ValueError("must be true, false or a list of namespaces")


def _claim_uri(value: str) -> str:
    if not uri.is_claim(value):
        raise ValueError("must be the URI of a claim, such as pvc://models/cache")
    try:
        uri.parse_claim(value, "")
    except Denied as error:
        raise ValueError(error.message.strip()) from None
    return value


def _path_pattern(value: str) -> str:
    """The pattern as paths in claims are written: without empty and `.` segments."""
    segments = [segment for segment in value.split("/") if segment not in ("", ".")]
    if not segments or ".." in segments or not value.isprintable() or "[" in value:
        raise ValueError("must be a path in a claim or a pattern of paths, such as public/*, without `..` and `[`")
    return "/".join(segments)


def _variable_name(value: str) -> str:
    if not variables.is_name(value):
        raise ValueError("must be the name of a variable: letters, digits, `_`, `-` and `.`")
    return value


def _duration(value: str) -> str:
    duration.seconds(value)
    return value


def is_namespace(value: Any) -> bool:
    """Whether the value is a valid namespace name (Kubernetes: DNS-1123 label)."""
    return isinstance(value, str) and re.fullmatch(_DNS_LABEL, value, re.ASCII) is not None


def is_absolute_path(value: str) -> bool:
    """Whether the value is an absolute path other than `/`, without `..` and `:`."""
    return re.fullmatch(_PATH, value) is not None and value.strip("/") != "" and ".." not in value.split("/")


def is_object_name(value: str) -> bool:
    """Whether the value is a valid name of a ConfigMap or Secret (Kubernetes: DNS-1123 subdomain)."""
    return len(value) <= _MAX_NAME and re.fullmatch(_DNS_SUBDOMAIN, value, re.ASCII) is not None


Quantity = Annotated[str, BeforeValidator(_number_to_string), AfterValidator(_quantity)]
Bytes = Annotated[Quantity, AfterValidator(_whole_bytes)]
Image = Annotated[str, _matches(IMAGE_REFERENCE, "an image reference, such as registry.example.com/team/image:v1")]
ImagePattern = Annotated[
    str, Field(min_length=1), _matches(r"\S+", "an image pattern, such as registry.example.com/team/*")
]
AbsolutePath = Annotated[str, _matches(_PATH, "an absolute path without `:`"), AfterValidator(_absolute_path)]
ObjectName = Annotated[
    str,
    Field(max_length=_MAX_NAME),
    _matches(_DNS_SUBDOMAIN, "a name of lower-case letters, digits, `-` and `.` (DNS-1123)"),
]
RequiredName = Annotated[ObjectName, Field(min_length=1)]
DnsLabel = Annotated[
    str, Field(min_length=1), _matches(_DNS_LABEL, "a name of lower-case letters, digits and `-` (DNS-1123 label)")
]
VariableName = Annotated[str, AfterValidator(_variable_name)]
VariablePattern = Annotated[
    str, Field(min_length=1, max_length=_MAX_NAME), _matches(r"[-._a-zA-Z0-9*?]+", "the name or pattern of variables")
]
NamePattern = Annotated[
    str,
    Field(min_length=1, max_length=_MAX_NAME),
    _matches(r"[a-z0-9*?.-]+", "a name or a pattern of names: lower-case letters, digits, `-`, `.`, `*` and `?`"),
]
PathPattern = Annotated[str, Field(min_length=1, max_length=_MAX_NAME), AfterValidator(_path_pattern)]
NamespacePattern = Annotated[
    str, Field(min_length=1, max_length=_MAX_NAME), _matches(r"[a-z0-9*?-]+", "the name or pattern of a namespace")
]
NamespaceName = Annotated[str, _matches(_DNS_LABEL, "the name of a namespace: lower-case letters, digits and `-`")]
DataKey = Annotated[str, _matches(_DATA_KEY, "a key of letters, digits, `-`, `_` and `.`")]
AnnotationName = Annotated[str, _matches(_QUALIFIED_NAME, "the name of an annotation, such as example.com/secret")]
BoolOrNamespaces = Annotated[bool | tuple[str, ...], BeforeValidator(_bool_or_namespaces)]
OneOrZero = Annotated[str, _bool_to_string("1", "0")]
TrueOrFalse = Annotated[str, _bool_to_string("true", "false")]
Surge = Annotated[str, BeforeValidator(_number_to_string), AfterValidator(_pod_count)]
Unavailable = Annotated[Surge, AfterValidator(_at_most_100_percent)]
RolloutStrategy = Annotated[dict[str, Any], BeforeValidator(strategy.parse)]
UserId = Annotated[int, BeforeValidator(_not_bool), Field(ge=0, le=_MAX_UID)]
Extension = Annotated[str, AfterValidator(_extension)]
ClaimUri = Annotated[str, AfterValidator(_claim_uri)]
Duration = Annotated[str, AfterValidator(_duration)]


class Strict(TypedDict):
    """The fields of an object of Kubernetes: no others, and no conversions."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]


class _Capabilities(Strict, total=False):
    add: list[str]
    drop: list[str]


class _SeccompProfile(Strict, total=False):
    type: Required[Literal["RuntimeDefault", "Localhost", "Unconfined"]]
    localhostProfile: str


class _SecurityContext(Strict, total=False):
    """Kubernetes: core/v1 SecurityContext."""

    allowPrivilegeEscalation: bool
    appArmorProfile: dict[str, str]
    capabilities: _Capabilities
    privileged: bool
    procMount: str
    readOnlyRootFilesystem: bool
    runAsGroup: UserId
    runAsNonRoot: bool
    runAsUser: UserId
    seLinuxOptions: dict[str, str]
    seccompProfile: _SeccompProfile
    windowsOptions: dict[str, str | bool]


class _PodSecurityContext(Strict, total=False):
    """Kubernetes: core/v1 PodSecurityContext."""

    appArmorProfile: dict[str, str]
    fsGroup: UserId
    fsGroupChangePolicy: Literal["OnRootMismatch", "Always"]
    runAsGroup: UserId
    runAsNonRoot: bool
    runAsUser: UserId
    seLinuxChangePolicy: Literal["MountOption", "Recursive"]
    seLinuxOptions: dict[str, str]
    seccompProfile: _SeccompProfile
    supplementalGroups: list[UserId]
    supplementalGroupsPolicy: Literal["Merge", "Strict"]
    sysctls: list[dict[str, str]]
    windowsOptions: dict[str, str | bool]


if TYPE_CHECKING:
    # Steps copy these objects into the pod unchanged, so to type checkers they are plain dicts.
    SecurityContext = dict[str, Any]
    PodSecurityContext = dict[str, Any]
else:
    SecurityContext = _SecurityContext
    PodSecurityContext = _PodSecurityContext
