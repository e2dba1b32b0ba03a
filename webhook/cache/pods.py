"""The pods of a namespace, as the cluster knows them."""

from collections.abc import Iterator
from typing import Any

import orjson
from kubernetes.client import ApiClient, ApiException, CoreV1Api
from urllib3.exceptions import HTTPError

from webhook.errors import LookupFailed

_PAGE = 500
_TIMEOUT = (3, 30)
"""Seconds to connect, and to wait for a page of pods."""


def pods_of(client: ApiClient, namespace: str) -> dict[str, Any]:
    """The unfinished pods, as a list of the API. Raises LookupFailed, saying why."""
    try:
        return {"items": [pod for page in _pages(CoreV1Api(client), namespace) for pod in page["items"]]}
    except ApiException as error:
        refusal = f"the API server does not list the pods of {namespace}: {error.status} {error.reason}"
        raise LookupFailed(refusal) from None
    except HTTPError as error:
        raise LookupFailed(f"the API server cannot be reached ({type(error).__name__})") from None


def _pages(core: CoreV1Api, namespace: str) -> Iterator[Any]:
    """As JSON: the client's own objects cost ten times as much."""
    token: str | None = ""
    while token is not None:
        response: Any = core.list_namespaced_pod(
            namespace,
            limit=_PAGE,
            _continue=token,
            field_selector="status.phase!=Succeeded,status.phase!=Failed",
            _preload_content=False,
            _request_timeout=_TIMEOUT,
        )
        page = orjson.loads(response.data)
        yield page
        token = page["metadata"].get("continue") or None
