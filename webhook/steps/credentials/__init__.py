"""Credentials for the download, from the pod's service account and its Secrets. The pod gets only references."""

from __future__ import annotations

from webhook.cluster.lookups import MAX_SECRETS, has_storage_spec, named_secret, secret_annotation, takes_credentials
from webhook.errors import Denied, quoted
from webhook.pod.pod import JsonObject, PodDraft
from webhook.steps.credentials import s3
from webhook.steps.credentials.kinds import kind_of
from webhook.steps.inputs import Inputs


def add_credentials(pod: PodDraft, inputs: Inputs) -> None:
    """Add credentials from the pod's service account, or from the Secret that the pod names, to the init container.

    Raises Denied when one of these Secrets does not exist.
    """
    request, facts = inputs.request, inputs.facts
    if not takes_credentials(request, inputs.settings) or has_storage_spec(request):
        return
    if facts.service_account is None and not facts.secrets:
        return
    if (container := pod.edit_init_container()) is None:
        return
    if facts.service_account:
        pod.set_env(container, *s3.role_variables(facts.service_account, inputs.settings.credentials.s3))
        if named_secret(request, inputs.settings) is None and len(facts.service_account.secrets) > MAX_SECRETS:
            pod.warnings.append(
                f"service account {quoted(request.service_account)} lists {len(facts.service_account.secrets)} "
                f"Secrets; only the first {MAX_SECRETS} are read: remove unused Secrets"
            )
    _add_secrets(pod, container, inputs)


def _add_secrets(pod: PodDraft, container: JsonObject, inputs: Inputs) -> None:
    used: dict[str, str] = {}
    for name, secret in inputs.facts.secrets.items():
        if secret is None:
            raise _missing(name, inputs)
        kind = kind_of(secret, inputs.settings.credentials)
        if kind is None:
            continue
        if kind.single and kind.name in used:
            pod.warnings.append(
                f"Secrets {quoted(used[kind.name])} and {quoted(name)} both contain {kind.name} credentials: the first "
                f"is used; select another with annotation {secret_annotation(inputs.request, inputs.settings)}"
            )
            continue
        used[kind.name] = name
        kind.credential(name, secret, inputs.settings.credentials).add_to(pod, container)


def _missing(name: str, inputs: Inputs) -> Denied:
    request, settings = inputs.request, inputs.settings
    origin = f"service account {quoted(request.service_account)}"
    if named_secret(request, settings) is not None:
        origin = f"annotation {secret_annotation(request, settings)}"
    return Denied(
        f"Secret {quoted(name)} in namespace {quoted(request.namespace)}, named by {origin}, does not exist: "
        "create it, or name another"
    )
