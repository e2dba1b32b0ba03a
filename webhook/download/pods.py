"""Lookup of the pods in a namespace."""

from typing import Any

from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from webhook.errors import LookupFailed
from webhook.kubernetes_api.core_api import CoreApi


def pods_of(client: ApiClient, namespace: str) -> dict[str, Any]:
    """List the unfinished pods, as `{"items": [...]}`. Raises LookupFailed with the reason."""
    try:
        return {"items": list(CoreApi(client).unfinished_pods(namespace))}
    except ApiException as error:
        message = f"cannot list the pods in namespace {namespace}: {error.status} {error.reason}"
        raise LookupFailed(message) from None
    except HTTPError as error:
        raise LookupFailed(f"the API server cannot be reached ({type(error).__name__})") from None
