"""Keeps the webhook's own certificates: shared in a Secret, published in the webhook configurations, rotated.

Any number of replicas run a keeper. All of them follow the Secret and serve what it holds; the one that holds the
Lease takes the steps of `rotation` and repairs what others edited or deleted.
"""

from __future__ import annotations

import base64
import datetime
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog
import urllib3
from kubernetes.client import (
    AdmissionregistrationV1Api,
    ApiClient,
    ApiException,
    CoordinationV1Api,
    V1ObjectMeta,
    V1Secret,
)
from kubernetes.leaderelection.electionconfig import Config as ElectionConfig
from kubernetes.leaderelection.leaderelection import LeaderElection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from webhook.certs import rotation
from webhook.certs.rotation import Pair, Policy, State
from webhook.core_api import CoreApi

log = structlog.get_logger()

# Seconds. A dead leader is replaced after the lease; a tick reads two or three small objects.
LEASE_SECONDS = 30
TICK_SECONDS = 5.0
# When a leader last looked longer ago than this, others may have been cut off as long: what was published rests anew.
_GAP = datetime.timedelta(seconds=3 * TICK_SECONDS)
_TIMEOUT = (2, 5)
"""Seconds to connect, and to wait for an answer."""

Serve = Callable[[Pair, bytes], None]
"""Takes the certificate to serve from now on, and the CA bundle that clients trust it by."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the cluster the keeper works."""

    namespace: str
    secret: str
    configurations: tuple[str, ...]
    """Names of Mutating- and ValidatingWebhookConfigurations that call this webhook."""
    identity: str
    """This replica, as it stands in the Lease: the pod's name."""

    @property
    def lease(self) -> str:
        """The Lease has the Secret's name."""
        return self.secret


class CertificateKeeper:
    """One replica's part in keeping the certificates. `serve` is called, from the keeper's thread, on each change."""

    def __init__(self, client: ApiClient, place: Place, policy: Policy, serve: Serve) -> None:
        self._place = place
        self._policy = policy
        self._serve = serve
        self._core = CoreApi(client)
        self._configurations = AdmissionregistrationV1Api(client)
        self._election = _election(client, place)
        self._state: State | None = None
        self._led: datetime.datetime | None = None
        self._served: Pair | None = None
        self._stopped = threading.Event()
        self._serving = threading.Event()

    def start(self, timeout: float) -> None:
        """Begin, in a thread of its own, and wait until there is a certificate to serve.

        Raises TimeoutError after `timeout` seconds without one.
        """
        threading.Thread(target=self._run, name="certificate-keeper", daemon=True).start()
        if not self._serving.wait(timeout):
            raise TimeoutError(
                f"no certificate after {timeout:g} seconds: the log says what kept it from being stored in Secret "
                f"{self._place.namespace}/{self._place.secret} or published in the webhook configurations"
            )

    def stop(self) -> None:
        """End the thread after the step it is at."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.tick(datetime.datetime.now(datetime.UTC))
            except (ApiException, urllib3.exceptions.HTTPError) as error:
                log.warning("certificates: the API server did not answer as expected", reason=_reason(error))
            except Exception:
                # The keeper must outlive whatever somebody wrote into the Secret.
                log.exception("certificates: a step failed")
            self._stopped.wait(TICK_SECONDS)

    def tick(self, now: datetime.datetime) -> None:
        """Look once at what is shared, take what step is due if this replica leads, serve what is published.

        Raises ApiException or urllib3's HTTPError when the API server does not answer.
        """
        secret = self._read()
        found = _decode(secret) if secret is not None else None
        if found is not None:
            self._state = found
        if self._election.try_acquire_or_renew():
            self._lead(secret, found, now)
        state = self._state
        if state is not None and state.published is not None and state.serving != self._served:
            self._serve(state.serving, state.bundle)
            self._served = state.serving
            self._serving.set()

    def _lead(self, secret: V1Secret | None, found: State | None, now: datetime.datetime) -> None:
        state = found or self._restored() or rotation.begin(self._policy, now, self._published_bundle())
        if self._led is not None and now - self._led > _GAP and state.published is not None:
            state = replace(state, published=now)
        self._led = now
        state = rotation.advance(state, self._policy, now)
        if state != found:
            # Stored before it is published: what API servers trust must never exist in one process alone.
            self._write(secret, state)
            secret = self._read()
        published = self._publish(state.bundle)
        if published != (state.published is not None):
            state = replace(state, published=now if published else None)
            self._write(secret, state)
        self._state = state

    def _restored(self) -> State | None:
        """The last known state, when the Secret was deleted or made unreadable; to be published again."""
        if self._state is None:
            return None
        log.warning("certificates: the Secret was gone or unreadable and is written again", secret=self._place.secret)
        return replace(self._state, published=None)

    # --- The Secret -----------------------------------------------------------------------------------------------

    def _read(self) -> V1Secret | None:
        return self._core.secret(self._place.namespace, self._place.secret, _TIMEOUT)

    def _write(self, secret: V1Secret | None, state: State) -> None:
        """Create the Secret, or replace exactly the version that was read: a conflict means another leader wrote."""
        place = self._place
        if secret is None:
            body = V1Secret(metadata=V1ObjectMeta(name=place.secret), type="kubernetes.io/tls", data=_encode(state))
            self._core.create_secret(place.namespace, body, _TIMEOUT)
        else:
            secret.data = _encode(state)
            self._core.replace_secret(place.namespace, place.secret, secret, _TIMEOUT)
        self._state = state
        log.info("certificates stored", secret=place.secret)

    # --- The webhook configurations -------------------------------------------------------------------------------

    def _publish(self, bundle: bytes) -> bool:
        """Bring the caBundle of all our webhooks to `bundle`. True when there are some and all carried it before."""
        carried = [
            self._publish_in(configuration, patch, bundle) for configuration, patch in self._found_configurations()
        ]
        return bool(carried) and all(carried)

    def _publish_in(self, configuration: Any, patch: Callable[..., Any], bundle: bytes) -> bool:
        wanted = base64.b64encode(bundle).decode()
        operations: list[dict[str, str]] = []
        for index, webhook in enumerate(configuration.webhooks or ()):
            if webhook.client_config.ca_bundle != wanted:
                operations += [
                    {"op": "test", "path": f"/webhooks/{index}/name", "value": webhook.name},
                    {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": wanted},
                ]
        if not operations:
            return True
        patch(configuration.metadata.name, operations, _request_timeout=_TIMEOUT)
        log.info("certificates published", configuration=configuration.metadata.name)
        return False

    def _found_configurations(self) -> list[tuple[Any, Callable[..., Any]]]:
        api = self._configurations
        kinds = (
            (api.read_mutating_webhook_configuration, api.patch_mutating_webhook_configuration),
            (api.read_validating_webhook_configuration, api.patch_validating_webhook_configuration),
        )
        found = []
        for name in self._place.configurations:
            for read, patch in kinds:
                try:
                    found.append((read(name, _request_timeout=_TIMEOUT), patch))
                except ApiException as error:
                    if error.status == 403:
                        log.warning("certificates: not allowed to read a webhook configuration", name=name)
                    elif error.status != 404:
                        raise
        return found

    def _published_bundle(self) -> bytes:
        bundles = [
            base64.b64decode(webhook.client_config.ca_bundle)
            for configuration, _ in self._found_configurations()
            for webhook in configuration.webhooks or ()
            if webhook.client_config.ca_bundle
        ]
        return b"".join(dict.fromkeys(bundles))


def _election(client: ApiClient, place: Place) -> LeaderElection:
    lock = LeaseLock(place.lease, place.namespace, place.identity)
    lock.api_instance = CoordinationV1Api(client)
    config = ElectionConfig(
        lock,
        lease_duration=LEASE_SECONDS,
        renew_deadline=LEASE_SECONDS * 2 // 3,
        retry_period=TICK_SECONDS,
        onstarted_leading=lambda: None,
        onstopped_leading=lambda: None,
    )
    return LeaderElection(config)


# --- The Secret's content: tls.crt, tls.key and ca.crt as everybody has them, and the keeper's own `state.json` -------

_STATE_KEY = "state.json"


def _encode(state: State) -> dict[str, str | bytes]:
    own = {
        "ca": _pair_to_json(state.ca),
        "nextCa": _pair_to_json(state.next_ca) if state.next_ca else None,
        "trusted": [pem.decode() for pem in state.trusted],
        "published": state.published.isoformat() if state.published else None,
    }
    data = {
        "tls.crt": state.serving.certificate,
        "tls.key": state.serving.key,
        "ca.crt": state.bundle,
        _STATE_KEY: json.dumps(own).encode(),
    }
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def _decode(secret: V1Secret) -> State | None:
    """The state in a Secret; None when it cannot be used, since it was edited or is not ours."""
    try:
        data = {key: base64.b64decode(value) for key, value in (secret.data or {}).items()}
        own = json.loads(data[_STATE_KEY])
        state = State(
            ca=_pair_from_json(own["ca"]),
            serving=Pair(data["tls.crt"], data["tls.key"]),
            trusted=tuple(pem.encode() for pem in own["trusted"]),
            next_ca=_pair_from_json(own["nextCa"]) if own["nextCa"] else None,
            published=datetime.datetime.fromisoformat(own["published"]) if own["published"] else None,
        )
        rotation.check(state)
    except Exception as error:
        log.warning("certificates: the Secret cannot be used", reason=type(error).__name__)
        return None
    return state


def _pair_to_json(pair: Pair) -> dict[str, str]:
    return {"certificate": pair.certificate.decode(), "key": pair.key.decode()}


def _pair_from_json(value: dict[str, str]) -> Pair:
    return Pair(value["certificate"].encode(), value["key"].encode())


def _reason(error: Exception) -> str:
    return f"{error.status} {error.reason}" if isinstance(error, ApiException) else type(error).__name__
