"""Reads facts from the API server: one object at a time, reduced to a fact at once."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

import msgspec
from kubernetes.client import ApiClient, ApiException
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as HTTPTimeout

from webhook.cluster.fact_cache import FactCache
from webhook.cluster.kinds import Key
from webhook.errors import LookupFailed, Unavailable
from webhook.metrics import Metrics

T = TypeVar("T")

_log = logging.getLogger(__name__)

_RETRYABLE = (429, 500, 502, 503, 504)
"""Status codes of an API server that is overloaded, starting or stopping, or of a load balancer without backends."""

MAX_RESPONSE_BYTES = 4 * 1024 * 1024
"""The size of a response that is read. The API server does not accept objects larger than 3 MiB."""


def cluster_facts(client: ApiClient, metrics: Metrics) -> FactCache:
    """The cached facts of a cluster."""
    return FactCache(ClusterReader(client), metrics)


class ClusterReader:
    """Reads objects and returns only their facts.

    Responses are read as bytes, not as the Kubernetes client's typed objects: these are slow to create, and the
    `repr` of a typed Secret contains its values.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._logged: set[str] = set()

    def __call__(self, key: Key[T], seconds: float) -> T | None:
        """Read the fact, or `absent` of its kind when the object does not exist. `seconds` is the timeout.

        Raises LookupFailed with a message that says what to do, Unavailable when a retry may succeed.
        """
        if not key.can_exist:
            return key.kind.absent
        status, body = self._get(key, seconds)
        if len(body) > MAX_RESPONSE_BYTES:
            raise LookupFailed(
                f"the API server's response for {key} is larger than {MAX_RESPONSE_BYTES} bytes, which is the most "
                "that the storage webhook reads: make it smaller"
            )
        if status == 404:
            return key.kind.absent
        if status == 403 and key.kind.forbidden is not None:
            self._log_once(key)
            return key.kind.forbidden
        if status in _RETRYABLE:
            raise Unavailable(_status_message(key, status))
        if status != 200:
            raise LookupFailed(_status_message(key, status))
        fact = _reduced(key, body)
        if fact is None:
            raise LookupFailed(f"the storage webhook could not parse the API server's response for {key}")
        return fact[0]

    def _log_once(self, key: Key[Any]) -> None:
        if key.kind.name not in self._logged:
            self._logged.add(key.kind.name)
            _log.warning("%s cannot be read: RBAC does not allow to %s", key, key.kind.rule)

    def _get(self, key: Key[Any], seconds: float) -> tuple[int, bytes]:
        result = self._attempt(key, seconds)
        if isinstance(result, Unavailable):
            # The server may have closed an idle connection. The second attempt opens a new one.
            result = self._attempt(key, seconds)
        if isinstance(result, LookupFailed):
            raise result
        return result

    def _attempt(self, key: Key[Any], seconds: float) -> tuple[int, bytes] | LookupFailed:
        try:
            return self._send(key, seconds)
        except (HTTPError, ApiException) as error:
            # The caller raises it: raised here, its context would be the client's error, which may contain secrets.
            if isinstance(error, HTTPTimeout) and not isinstance(error, NewConnectionError):
                return LookupFailed(_failure_message(key, f"did not respond within {seconds:g} s"))
            return Unavailable(_failure_message(key, f"cannot be reached ({type(error).__name__})"))

    def _send(self, key: Key[Any], seconds: float) -> tuple[int, bytes]:
        request = self._client.param_serialize(
            "GET",
            key.kind.path,
            path_params={"namespace": key.namespace, "name": key.name},
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        response = self._client.call_api(*request, _request_timeout=(seconds, seconds))
        return response.status, _read_bounded(response.response)


def _read_bounded(response: BaseHTTPResponse) -> bytes:
    """The body of a response, or the first `MAX_RESPONSE_BYTES` and more of one that is too large."""
    body = response.read(MAX_RESPONSE_BYTES + 1, decode_content=True)
    if len(body) > MAX_RESPONSE_BYTES:
        # The connection cannot be used again, because the rest was not read.
        response.close()
    return body


def _reduced(key: Key[T], body: bytes) -> tuple[T] | None:
    """The fact in a response; None when the response cannot be parsed.

    Errors are not passed on: a JSON parser's error contains the complete text, with a Secret's values.
    """
    try:
        return (key.reduce(msgspec.json.decode(body)),)
    except Exception:
        return None


def _failure_message(key: Key[Any], what: str) -> str:
    return f"the API server {what} when the storage webhook read {key}: try again"


def _status_message(key: Key[Any], status: int) -> str:
    if status == 403:
        return (
            f"the storage webhook is not allowed to read {key}: ask the administrator for the RBAC rule to "
            f"{key.kind.rule}"
        )
    if status == 401:
        return f"the API server did not accept the storage webhook's credentials when it read {key}: try again"
    return f"the API server responded with status {status} when the storage webhook read {key}: try again"
