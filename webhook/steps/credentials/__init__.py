"""Credentials for the download, from the pod's service account and its Secrets. The pod gets only references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from webhook import annotations as keys
from webhook.cluster.facts import Secret
from webhook.cluster.lookups import has_storage_spec, named_secret, secret_annotation, takes_credentials
from webhook.errors import Denied, quoted
from webhook.pod.pod import JsonObject, PodDraft
from webhook.steps.credentials import https, s3
from webhook.steps.credentials.kinds import S3_KIND, SecretKind, credential_of, kind_of
from webhook.steps.inputs import Inputs


def add_credentials(pod: PodDraft, inputs: Inputs) -> None:
    """Add credentials from the pod's service account, or from the Secret that the pod names, to the init container.

    Raises Denied when one of these Secrets does not exist, or cannot be used and the download may need it.
    """
    if not takes_credentials(inputs.request, inputs.settings) or has_storage_spec(inputs.request):
        return
    if (container := pod.edit_init_container()) is None:
        return
    known = [(name, secret, kind) for name, secret, kind in _known_secrets(inputs) if kind is not None]
    if _takes_account_values(inputs, has_access_keys=any(kind is S3_KIND for _, _, kind in known)):
        account = inputs.facts.service_account
        annotations = account.annotations if account else s3.NO_DATA
        pod.set_env(container, *s3.connection_variables(inputs.settings.credentials.s3, annotations))
    _add_secrets(pod, container, known, inputs)


def _known_secrets(inputs: Inputs) -> Iterator[tuple[str, Secret, SecretKind | None]]:
    for name, secret in inputs.facts.secrets.items():
        if secret is None:
            raise _missing(name, inputs)
        yield name, secret, kind_of(secret, inputs.settings.credentials)


def _takes_account_values(inputs: Inputs, *, has_access_keys: bool) -> bool:
    """Whether the S3 values of the service account and the settings count.

    They do with an AWS role (IRSA: KServe). Without one, AWS may add credentials that the webhook cannot see
    (EKS Pod Identity), so they also count for `s3://` URIs, unless a Secret has access keys.
    """
    account = inputs.facts.service_account
    if account is not None and keys.ROLE_ARN in account.annotations:
        return True
    return not has_access_keys and any(S3_KIND.is_for(source.uri) for source in inputs.request.downloaded)


def _add_secrets(
    pod: PodDraft, container: JsonObject, known: list[tuple[str, Secret, SecretKind]], inputs: Inputs
) -> None:
    used: dict[str, str] = {}
    problems: list[tuple[str, SecretKind, Denied]] = []
    for name, secret, kind in known:
        if kind.single and kind.name in used:
            continue
        used[kind.name] = name
        try:
            credential_of(kind, name, secret, inputs.settings.credentials).add_to(pod, container)
        except Denied as problem:
            problems.append((name, kind, problem))
    if len(used) < len(known):  # few service accounts list two Secrets of a kind
        counts = Counter(kind.name for _, _, kind in known if kind.single)
        pod.warnings.extend(_several(kind, count, used[kind], inputs) for kind, count in counts.items() if count > 1)
    if problems:
        _report(pod, container, problems, inputs)


def _several(kind: str, count: int, used: str, inputs: Inputs) -> str:
    """The warning about Secrets of a kind of which only the first is used. The pod refers to that one only."""
    return (
        f"service account {quoted(inputs.request.service_account)} lists {count} Secrets with {kind} credentials: only "
        f"{quoted(used)} is used; select another with annotation {secret_annotation(inputs.request, inputs.settings)}"
    )


def _report(
    pod: PodDraft, container: JsonObject, problems: list[tuple[str, SecretKind, Denied]], inputs: Inputs
) -> None:
    """Warn about Secrets that could not be added. Raises the problem of one that a download may need."""
    uris = [each.uri for each in inputs.request.downloaded if not https.has_headers(container, each.uri)]
    for name, kind, problem in problems:
        if any(map(kind.is_for, uris)):
            raise problem
        pod.warnings.append(f"Secret {quoted(name)} is not used: {problem.message}")


def _missing(name: str, inputs: Inputs) -> Denied:
    request, settings = inputs.request, inputs.settings
    origin = f"service account {quoted(request.service_account)}"
    if named_secret(request, settings) is not None:
        origin = f"annotation {secret_annotation(request, settings)}"
    return Denied(
        f"Secret {quoted(name)} in namespace {quoted(request.namespace)}, named by {origin}, does not exist: "
        "create it, or name another"
    )
