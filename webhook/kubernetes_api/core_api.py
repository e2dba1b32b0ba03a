"""The requests to the core API that the server needs, with the models of the Kubernetes client.

The client's CoreV1Api imports the models of all kinds, which takes 0.7 s and 20 MB in each replica. The server only
needs ConfigMaps, Secrets, pods and namespaces, so it sends these requests itself.

Timeouts are in seconds: to connect, and to wait for a response. All methods raise the client's ApiException for an
error response, and urllib3's HTTPError when there is no response.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from kubernetes.client import ApiException, V1ConfigMapList, V1Secret
from kubernetes.client.rest import RESTResponse

from webhook.kubernetes_api.json_api import Requests, Timeout

_NAMESPACED = "/api/v1/namespaces/{namespace}/"
_CONFIG_MAPS = _NAMESPACED + "configmaps"
_SECRETS = _NAMESPACED + "secrets"
_PAGE = 500
_PAGE_TIMEOUT = (3, 30)


class CoreApi(Requests):
    """A subset of CoreV1Api."""

    def config_maps(self, namespace: str, name: str, timeout: Timeout) -> V1ConfigMapList:
        """A list with the ConfigMap, empty when there is none, and the resourceVersion to watch from."""
        query = [("fieldSelector", f"metadata.name={name}")]
        response = self.send("GET", _CONFIG_MAPS, timeout, query=query, namespace=namespace)
        found: V1ConfigMapList = self._read(response, "V1ConfigMapList")
        return found

    def config_map_events(
        self,
        namespace: str,
        name: str,
        *,
        resource_version: str,
        timeout_seconds: int,
        _request_timeout: Timeout,
        **_: bool,
    ) -> Any:
        """The streaming response with events of the ConfigMap, for the client's Watch, which passes more options."""
        query = [
            ("fieldSelector", f"metadata.name={name}"),
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", timeout_seconds),
        ]
        return self.send("GET", _CONFIG_MAPS, _request_timeout, query=query, namespace=namespace).response

    def secret(self, namespace: str, name: str, timeout: Timeout) -> V1Secret | None:
        """The Secret; None when there is none."""
        try:
            response = self.send("GET", _SECRETS + "/{name}", timeout, namespace=namespace, name=name)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        found: V1Secret = self._read(response, "V1Secret")
        return found

    def create_secret(self, namespace: str, secret: V1Secret, timeout: Timeout) -> None:
        """Create a Secret."""
        self.send("POST", _SECRETS, timeout, body=secret, namespace=namespace).read()

    def replace_secret(self, namespace: str, name: str, secret: V1Secret, timeout: Timeout) -> None:
        """Replace the version of the Secret that was read; a conflict (409) when there is a newer version."""
        self.send("PUT", _SECRETS + "/{name}", timeout, body=secret, namespace=namespace, name=name).read()

    def unfinished_pods(self, namespace: str | None) -> Iterator[dict[str, Any]]:
        """The pods of one namespace or all that have not succeeded or failed, as JSON; read in pages."""
        path, names = (_NAMESPACED + "pods", {"namespace": namespace}) if namespace else ("/api/v1/pods", {})
        token: str | None = ""
        while token is not None:
            query = [
                ("fieldSelector", "status.phase!=Succeeded,status.phase!=Failed"),
                ("limit", _PAGE),
                ("continue", token),
            ]
            page = msgspec.json.decode(self.send("GET", path, _PAGE_TIMEOUT, query=query, **names).read())
            yield from page["items"]
            token = page["metadata"].get("continue") or None

    def namespace_metadata(self, namespace: str, timeout: Timeout) -> Mapping[str, Any]:
        """The metadata of a namespace, as JSON."""
        response = self.send("GET", _NAMESPACED.rstrip("/"), timeout, namespace=namespace)
        metadata: Mapping[str, Any] = msgspec.json.decode(response.read())["metadata"]
        return metadata

    def _read(self, response: RESTResponse, model: str) -> Any:
        response.read()
        return self._client.response_deserialize(response, {"2XX": model}).data
