"""Warnings about credentials that the download does not get, although the pod or its service account has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from webhook import uri as storage_uri
from webhook.annotations import ENV_FROM_CONTAINER, LEGACY_ANNOTATIONS
from webhook.cluster.facts import MAX_SECRETS, Secret
from webhook.cluster.lookups import has_storage_spec, named_secret, secret_annotation, takes_credentials
from webhook.errors import quoted
from webhook.pod.pod import JsonObject, PodDraft, find
from webhook.steps.credentials import https, s3
from webhook.steps.credentials.kinds import S3_KIND, kind_of, known_keys
from webhook.steps.credentials.tokens import HUGGING_FACE
from webhook.steps.inputs import Inputs

# The API server cuts warnings after 256 characters.
_MAX_LENGTH = 256
# The libraries of Hugging Face read the token from either variable.
_TOKENS = (HUGGING_FACE, "HUGGING_FACE_HUB_TOKEN")
# The keys of Secrets that Kubernetes and OpenShift add to service accounts: pull secrets, and tokens of the account.
_KEYS_OF_OTHERS = frozenset({".dockercfg", ".dockerconfigjson", "ca.crt", "service-ca.crt"})


def warn_about_credentials(pod: PodDraft, inputs: Inputs) -> None:
    """Warn about Secrets, annotations and tokens that do not reach the init container. Runs after all that set them."""
    container = pod.init_container()
    if container is None or (inputs.facts.service_account is None and not inputs.facts.secrets):
        return
    if not takes_credentials(inputs.request, inputs.settings) or has_storage_spec(inputs.request):
        return
    secrets = [secret for secret in inputs.facts.secrets.values() if secret]
    pod.warnings.extend(_server_token(pod, container, inputs))
    pod.warnings.extend(_unknown_secrets(secrets, inputs))
    pod.warnings.extend(_unread_secrets(inputs))
    pod.warnings.extend(_s3_annotations(secrets, inputs))


def _server_token(pod: PodDraft, container: JsonObject, inputs: Inputs) -> Iterator[str]:
    """A token of the Hugging Face Hub that only the server has."""
    from_hub = any(storage_uri.scheme(source.uri) == "hf" for source in inputs.request.downloaded)
    if not from_hub or container.get("envFrom") or _token(container):
        return
    for server in map(pod.container, inputs.request.targets):
        if token := _token(server):
            is_reference = (find(server.get("env"), token) or {}).get("valueFrom")
            remedy = f'set annotation {ENV_FROM_CONTAINER} to "true", or ' if is_reference else ""
            yield (
                f"container {quoted(server['name'])} has {token}, but the init container, which downloads the model, "
                f"does not: {remedy}name a Secret with key {HUGGING_FACE} in annotation "
                f"{secret_annotation(inputs.request, inputs.settings)}"
            )
            return


def _token(container: JsonObject) -> str:
    """The name of the container's variable with a token, or ""."""
    variables = [find(container.get("env"), name) or {} for name in _TOKENS]
    return next((each["name"] for each in variables if each.get("value") or each.get("valueFrom")), "")


def _unknown_secrets(secrets: list[Secret], inputs: Inputs) -> Iterator[str]:
    """The Secret that the pod names, or all Secrets of its service account, without a key that is known."""
    if not secrets or any(_gives_credentials(secret, inputs) for secret in secrets):
        return
    named = named_secret(inputs.request, inputs.settings)
    subject = f"Secret {quoted(named)}, named by the pod, has none of the known keys"
    if named is None:
        if _unread_count(inputs) or all(secret.keys & _KEYS_OF_OTHERS for secret in secrets):
            return
        subject = f"no Secret of {_account(inputs)} has a known key"
    yield _fitted(f"{subject}, such as ", known_keys(inputs.request, inputs.settings.credentials))


def _gives_credentials(secret: Secret, inputs: Inputs) -> bool:
    kind = kind_of(secret, inputs.settings.credentials)
    return kind is not None and not (kind.credential is https.credential and https.HEADERS not in secret.keys)


def _unread_secrets(inputs: Inputs) -> Iterator[str]:
    if count := _unread_count(inputs):
        yield (
            f"{_account(inputs)} lists {MAX_SECRETS + count} Secrets; only the "
            f"first {MAX_SECRETS} are read: remove unused Secrets"
        )


def _unread_count(inputs: Inputs) -> int:
    account = inputs.facts.service_account
    if account is None or not account.unread or named_secret(inputs.request, inputs.settings) is not None:
        return 0
    return account.unread


def _s3_annotations(secrets: list[Secret], inputs: Inputs) -> Iterator[str]:
    """Annotations of the connection to S3 that do not count, or not as they are meant."""
    if not any(S3_KIND.is_for(source.uri) for source in inputs.request.downloaded):
        return
    legacy = {name for secret in secrets for name in secret.legacy_annotations}
    switches = {name for secret in secrets for name in s3.unknown_switches(secret.annotations, secret.plain)}
    if legacy or switches:
        yield from _annotation_warnings(_owner_of_secrets(inputs), legacy, switches)
    account = inputs.facts.service_account
    switches_of_account = s3.unknown_switches(account.annotations) if account else ()
    if account and (account.legacy_annotations or switches_of_account):
        yield from _annotation_warnings(_account(inputs), account.legacy_annotations, switches_of_account)


def _owner_of_secrets(inputs: Inputs) -> str:
    named = named_secret(inputs.request, inputs.settings)
    return f"the Secrets of {_account(inputs)}" if named is None else f"Secret {quoted(named)}"


def _account(inputs: Inputs) -> str:
    return f"service account {quoted(inputs.request.service_account)}"


def _annotation_warnings(owner: str, legacy: Iterable[str], switches: Iterable[str]) -> Iterator[str]:
    if renamed := sorted(legacy):
        current = [LEGACY_ANNOTATIONS[name] for name in renamed]
        yield _fitted(f"annotations of {owner} in the group serving.kubeflow.org no longer count: use ", current)
    if unknown := sorted(switches):
        yield f"{' and '.join(unknown)} of {owner}: any word other than 0, 1, true and false counts as 1; use 0 or 1"


def _fitted(text: str, words: Iterable[str]) -> str:
    """The text and the words, as many as fit into a warning; at least the first one."""
    fitted = text
    for word in words:
        longer = f"{fitted}{'' if fitted is text else ', '}{word}"
        if fitted is not text and len(longer) > _MAX_LENGTH:
            break
        fitted = longer
    return fitted
