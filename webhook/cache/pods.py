"""The pods of a namespace, as the cluster knows them."""

from typing import Any

from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from webhook.core_api import CoreApi
from webhook.errors import LookupFailed


def pods_of(client: ApiClient, namespace: str) -> dict[str, Any]:
    """The unfinished pods, as a list of the API. Raises LookupFailed, saying why."""
    try:
        return {"items": list(CoreApi(client).unfinished_pods(namespace))}
    except ApiException as error:
        refusal = f"the API server does not list the pods of {namespace}: {error.status} {error.reason}"
        raise LookupFailed(refusal) from None
    except HTTPError as error:
        raise LookupFailed(f"the API server cannot be reached ({type(error).__name__})") from None
