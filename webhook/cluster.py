"""The only reader of the API: one object at a time, reduced to facts before anything else can see it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, TypeVar

import orjson
from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as HTTPTimeout

from webhook.errors import LookupFailed, Unanswered
from webhook.fact_cache import FactCache
from webhook.metrics import Metrics
from webhook.objects import Key
from webhook.uri import is_object_name

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PASSING = (429, 500, 502, 503, 504)
"""Status codes of an API server that is overloaded, starting or stopping, or of a load balancer that found none."""


def cluster_facts(client: ApiClient, metrics: Metrics) -> FactCache:
    """The facts of a cluster, through a cache."""
    return FactCache(ClusterReader(client), metrics)


class ClusterReader:
    """Reads objects and keeps nothing but the facts in them.

    Responses are taken as bytes, past the Kubernetes client's typed objects: those are slow to make, and a typed
    Secret shows its values when it is printed.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._told: set[str] = set()

    def __call__(self, key: Key[T], seconds: float) -> T | None:
        """The fact, or what its kind makes of there being none.

        Raises LookupFailed, saying what to do; Unanswered when asking again in a moment may do.
        """
        if not all(is_object_name(part) for part in _path(key)):
            # No object has such a name; in a path it could lead anywhere.
            return key.kind.absent
        status, body = self._get(key, seconds)
        if status == 404:
            return key.kind.absent
        if status == 403 and key.kind.forbidden is not None:
            self._tell_once(key)
            return key.kind.forbidden
        if status in _PASSING:
            raise Unanswered(_refusal(key, status))
        if status != 200:
            raise LookupFailed(_refusal(key, status))
        fact = _reduced(key, body)
        if fact is None:
            raise LookupFailed(f"the storage webhook could not make sense of the API server's answer about {key}")
        return fact[0]

    def _tell_once(self, key: Key[Any]) -> None:
        if key.kind.name not in self._told:
            self._told.add(key.kind.name)
            _log.warning("%ss are not used: RBAC does not allow to %s", key.kind.name, key.kind.rule)

    def _get(self, key: Key[Any], seconds: float) -> tuple[int, bytes]:
        answer = self._attempt(key, seconds)
        if isinstance(answer, Unanswered):
            # The server may have closed a connection that was kept open; a second attempt opens another.
            answer = self._attempt(key, seconds)
        if isinstance(answer, LookupFailed):
            raise answer
        return answer

    def _attempt(self, key: Key[Any], seconds: float) -> tuple[int, bytes] | LookupFailed:
        try:
            return self._send(key, seconds)
        except (HTTPError, ApiException) as error:
            # Raised by the caller: raised here, it would carry the client's error with it, and what that knows.
            if isinstance(error, HTTPTimeout) and not isinstance(error, NewConnectionError):
                return LookupFailed(_failure(key, f"did not answer within {seconds:g} s"))
            return Unanswered(_failure(key, f"cannot be reached ({type(error).__name__})"))

    def _send(self, key: Key[Any], seconds: float) -> tuple[int, bytes]:
        request = self._client.param_serialize(
            "GET",
            key.kind.path,
            path_params={"namespace": key.namespace, "name": key.name},
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        response = self._client.call_api(*request, _request_timeout=(seconds, seconds))
        return response.status, response.read()


def _path(key: Key[Any]) -> Iterable[str]:
    return (value for part, value in (("{namespace}", key.namespace), ("{name}", key.name)) if part in key.kind.path)


def _reduced(key: Key[T], body: bytes) -> tuple[T] | None:
    """The fact in a response; None when it is no such object.

    Whatever goes wrong here ends here: an error of a JSON parser carries the whole text, with a Secret's values.
    """
    try:
        return (key.kind.reduce(orjson.loads(body)),)
    except Exception:
        return None


def _failure(key: Key[Any], what: str) -> str:
    return f"the API server {what} when the storage webhook read {key}: try again"


def _refusal(key: Key[Any], status: int) -> str:
    if status == 403:
        return (
            f"the storage webhook may not read {key}: its service account needs the RBAC rule to {key.kind.rule}; "
            "ask the administrator"
        )
    if status == 401:
        return f"the API server does not accept the storage webhook's credentials when it reads {key}: try again"
    return f"the API server answered {status} when the storage webhook read {key}: try again"
