"""Every object that an API server stores."""

from collections.abc import Iterator
from typing import Any

import httpx

# Written at any time, and removed after a while: Events, and the leases of API servers.
_TEMPORARY = ("/events/", "/namespaces/kube-system/leases/")
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


def inventory(http: httpx.Client) -> frozenset[str]:
    """The URL paths of all objects of all kinds that can be listed."""
    paths = (path for root in _roots(http) for path in _objects(http, root))
    return frozenset(path for path in paths if not any(part in path for part in _TEMPORARY))


def _roots(http: httpx.Client) -> list[str]:
    groups = _get(http, "/apis")["groups"]
    return ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]


def _objects(http: httpx.Client, root: str) -> Iterator[str]:
    for resource in _get(http, root)["resources"]:
        if "list" not in resource["verbs"]:
            continue
        for item in _get(http, f"{root}/{resource['name']}", Accept=_METADATA)["items"] or ():
            metadata = item["metadata"]
            within = f"/namespaces/{metadata['namespace']}" if resource["namespaced"] else ""
            yield f"{root}{within}/{resource['name']}/{metadata['name']}"


def _get(http: httpx.Client, path: str, **headers: str) -> dict[str, Any]:
    return dict(http.get(path, headers=headers).raise_for_status().json())
