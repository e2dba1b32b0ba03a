"""Credentials for the download, from the pod's service account and its Secrets. Only references enter the pod."""

from __future__ import annotations

from webhook.errors import Denied, shown
from webhook.needs import MAX_SECRETS, has_storage_spec, named_secret, takes_credentials
from webhook.pod import JsonObject, PodDraft
from webhook.steps.credentials import s3
from webhook.steps.credentials.kinds import kind_of
from webhook.steps.inputs import Inputs


def add_credentials(pod: PodDraft, inputs: Inputs) -> None:
    """Give the init container the credentials of the pod's service account, or of the Secret that the pod names.

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
        pod.set_env(container, *s3.variables_of_role(facts.service_account, inputs.settings.credentials.s3))
        if named_secret(request, inputs.settings) is None and len(facts.service_account.secrets) > MAX_SECRETS:
            pod.warnings.append(
                f"service account {shown(request.service_account)} lists {len(facts.service_account.secrets)} Secrets, "
                f"of which the first {MAX_SECRETS} are looked at: remove old ones"
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
                f"Secrets {shown(used[kind.name])} and {shown(name)} both hold {kind.name} credentials: the first is "
                f"used; choose with annotation {inputs.settings.credentials.storage_secret_name_annotation}"
            )
            continue
        used[kind.name] = name
        kind.credential(name, secret, inputs.settings.credentials).give(pod, container)


def _missing(name: str, inputs: Inputs) -> Denied:
    request, settings = inputs.request, inputs.settings
    annotation = settings.credentials.storage_secret_name_annotation
    by = f"service account {shown(request.service_account)}"
    if named_secret(request, settings) is not None:
        by = f"annotation {annotation}"
    return Denied(
        f"Secret {shown(name)} in namespace {shown(request.namespace)}, named by {by}, does not exist: "
        "create it, or name another"
    )
