"""Lookup of the pods in a namespace."""

from typing import Any

from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from webhook.errors import LookupFailed
from webhook.kubernetes_api.core_api import CoreApi

_TIMEOUT = (3, 30)


def pods_of(client: ApiClient, namespace: str) -> dict[str, Any]:
    """List the unfinished pods, as `{"items": [...]}`. Raises LookupFailed with the reason."""
    api = CoreApi(client)
    try:
        items = list(api.unfinished_pods(namespace))
        if not items and not _exists(api, namespace):
            raise LookupFailed(f"there is no namespace {namespace}")
    except ApiException as error:
        message = f"cannot list the pods in namespace {namespace}: {error.status} {error.reason}"
        raise LookupFailed(message) from None
    except HTTPError as error:
        raise LookupFailed(f"the API server cannot be reached ({type(error).__name__})") from None
    return {"items": items}


def _exists(api: CoreApi, namespace: str) -> bool:
    """Whether there is such a namespace. The list of pods is empty in one that does not exist.

    Who may list the pods of one namespace only, and read no namespaces, cannot have misspelt it.
    """
    try:
        api.namespace_metadata(namespace, _TIMEOUT)
    except ApiException as error:
        return bool(error.status != 404)
    return True
