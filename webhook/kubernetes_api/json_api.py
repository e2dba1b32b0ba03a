"""Requests to the Kubernetes API, with JSON in and out.

Timeouts are in seconds: to connect, and to wait for a response. All methods raise the client's ApiException for an
error response, and urllib3's HTTPError when there is no response.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from kubernetes.client import ApiClient, ApiException
from kubernetes.client.rest import RESTResponse

Timeout = tuple[float, float]
JsonObject = dict[str, Any]

_TIMEOUT = (3, 30)
_PAGE = 500


class Requests:
    """Sends requests with a client."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def send(
        self,
        method: str,
        path: str,
        timeout: Timeout,
        *,
        query: Iterable[tuple[str, Any]] = (),
        body: Any = None,
        **names: str | None,
    ) -> RESTResponse:
        """The response, before its body is read. `names` are put into the path. Empty query values are left out."""
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body else {})
        request = self._client.param_serialize(
            method,
            path,
            path_params=names,
            query_params=[(key, value) for key, value in query if value],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        response = self._client.call_api(*request, _request_timeout=timeout)
        if not 200 <= response.status <= 299:
            response.read()
            raise ApiException.from_response(http_resp=response, body=None, data=None)
        return response


class JsonApi(Requests):
    """Reads of objects of any kind, by path."""

    def as_user(self, name: str) -> JsonApi:
        """The same API, as another user. It needs the permission to impersonate this user."""
        client = ApiClient(self._client.configuration)
        client.user_agent = self._client.user_agent
        client.set_default_header("Impersonate-User", name)
        return JsonApi(client)

    def get(self, path: str) -> JsonObject:
        """The object at a path."""
        found: JsonObject = msgspec.json.decode(self.send("GET", path, _TIMEOUT).read())
        return found

    def items(self, path: str) -> Iterator[JsonObject]:
        """The items of the list at a path, read in pages."""
        token: str | None = ""
        while token is not None:
            query = [("limit", _PAGE), ("continue", token)]
            page = msgspec.json.decode(self.send("GET", path, _TIMEOUT, query=query).read())
            yield from page["items"]
            token = page["metadata"].get("continue") or None

    def review(self, path: str, body: JsonObject) -> JsonObject:
        """The response to a review, such as a SelfSubjectAccessReview, which stores nothing."""
        found: JsonObject = msgspec.json.decode(self.send("POST", path, _TIMEOUT, body=body).read())
        return found
