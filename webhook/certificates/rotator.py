"""Certificate rotation in a cluster: stores certificates in a Secret, and publishes their CA in webhook configurations.

Each replica runs a rotator. All rotators read the Secret and serve its certificate. The rotator that holds the Lease
is the leader: it performs the steps of `rotation`, and restores a Secret or caBundle that was edited or deleted.
"""

from __future__ import annotations

import base64
import datetime
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
import urllib3
from kubernetes.client import (
    ApiClient,
    ApiException,
    CoordinationV1Api,
    V1ObjectMeta,
    V1Secret,
)
from kubernetes.leaderelection.electionconfig import Config as ElectionConfig
from kubernetes.leaderelection.leaderelection import LeaderElection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from webhook.certificates import rotation
from webhook.certificates.configurations import WebhookConfigurations, reason
from webhook.certificates.rotation import Pair, Policy, State
from webhook.certificates.tls import CertificateError
from webhook.kubernetes_api.core_api import CoreApi

log = structlog.get_logger()

# Seconds. A failed leader is replaced when its lease expires. A tick reads two or three small objects.
LEASE_SECONDS = 30
TICK_SECONDS = 5.0
# After a longer gap between ticks, other replicas may have missed updates too, so the propagation time starts again.
_MAX_TICK_GAP = datetime.timedelta(seconds=3 * TICK_SECONDS)
_TIMEOUT = (2, 5)
"""Seconds to connect, and to wait for a response."""

Serve = Callable[[Pair, bytes], None]
"""Takes the certificate to serve, and the CA bundle that clients verify it with."""


@dataclass(frozen=True, slots=True)
class Target:
    """The objects in the cluster that a rotator manages."""

    namespace: str
    secret: str
    configurations: tuple[str, ...]
    """Names of Mutating- and ValidatingWebhookConfigurations that call this webhook."""
    identity: str
    """The replica's identity in the Lease: the name of its pod."""
    removed_with_namespace: bool = False
    """The namespace becomes the owner of the configurations, so that Kubernetes deletes them with it."""

    @property
    def lease(self) -> str:
        """The Lease has the Secret's name."""
        return self.secret

    @property
    def owner(self) -> str:
        """The namespace that owns the configurations; "" for none."""
        return self.namespace if self.removed_with_namespace else ""


class SecretNotWritable(Exception):
    """The API server does not accept the certificates in the Secret; the message says what to do."""


class CertificateRotator:
    """Rotates and serves certificates in one replica. `serve` is called in the rotator's thread on each change."""

    def __init__(self, client: ApiClient, target: Target, policy: Policy, serve: Serve) -> None:
        self._target = target
        self._policy = policy
        self._serve = serve
        self._core = CoreApi(client)
        self._configurations = WebhookConfigurations(client, target.configurations, target.owner)
        self._election = _election(client, target)
        self._state: State | None = None
        self._last_led: datetime.datetime | None = None
        self._served_pair: Pair | None = None
        self._problem = ""
        """Why the last tick failed; "" when it did not."""
        self._stopped = threading.Event()
        self._serving = threading.Event()

    def start(self, timeout: float) -> None:
        """Start the thread, and wait until it serves a certificate.

        Raises TimeoutError when there is none after `timeout` seconds.
        """
        threading.Thread(target=self._run, name="certificate-rotator", daemon=True).start()
        if not self._serving.wait(timeout):
            raise TimeoutError(
                f"no certificate after {timeout:g} seconds in Secret {self._secret_name} and the webhook "
                f"configurations: {self._problem or 'the log says why'}"
            )

    def stop(self) -> None:
        """Stop the thread after the current tick."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._problem = self._try_tick()
            self._stopped.wait(TICK_SECONDS)

    def _try_tick(self) -> str:
        """Tick now. Returns why it failed, or ""."""
        try:
            self.tick(datetime.datetime.now(datetime.UTC))
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            problem = f"a request to the API server failed: {reason(error)}"
        except (SecretNotWritable, CertificateError) as error:
            problem = str(error)
        except Exception:
            # Invalid contents of the Secret must not end the thread.
            log.exception("certificates: rotation failed")
            return "the rotation failed, and the log says why"
        else:
            return ""
        log.warning("certificates: not stored, published or served", reason=problem)
        return problem

    def tick(self, now: datetime.datetime) -> None:
        """Read the state; perform the due step if this replica leads; serve the certificate if its CA is published.

        Raises ApiException or urllib3's HTTPError when a request to the API server fails, SecretNotWritable when the
        Secret cannot be updated, and what `serve` raises.
        """
        secret = self._read_secret()
        # The chart creates an empty Secret.
        found = _decode(secret) if secret is not None and secret.data else None
        if found is not None:
            self._state = found
        if self._election.try_acquire_or_renew():
            self._lead(secret, found, now)
        state = self._state
        if state is not None and state.published is not None and state.serving != self._served_pair:
            self._serve(state.serving, state.bundle)
            self._served_pair = state.serving
            self._serving.set()

    def _lead(self, secret: V1Secret | None, found: State | None, now: datetime.datetime) -> None:
        state = found or self._restore() or self._initial_state(now)
        if self._last_led is not None and now - self._last_led > _MAX_TICK_GAP and state.published is not None:
            state = replace(state, published=now)
        self._last_led = now
        if not rotation.is_ca_valid(state, now):
            log.warning(
                "certificates: the CA is not valid now and is replaced; admission requests may fail until every API "
                "server has the new one",
                secret=self._target.secret,
                validity=rotation.validity(state.ca),
            )
        state = rotation.advance(state, self._policy, now)
        if state != found:
            # Store before publishing: a CA that API servers trust must not exist only in this process.
            self._write_secret(secret, state)
            secret = self._read_secret()
        published = self._configurations.publish(state.bundle)
        if published != (state.published is not None):
            state = replace(state, published=now if published else None)
            self._write_secret(secret, state)
        self._state = state

    def _initial_state(self, now: datetime.datetime) -> State:
        return rotation.initial_state(self._policy, now, self._configurations.published_bundle())

    def _restore(self) -> State | None:
        """The last known state, to restore a Secret that was deleted or is invalid. It must be published again."""
        if self._state is None:
            return None
        log.warning("certificates: the Secret is missing or invalid and will be restored", secret=self._target.secret)
        return replace(self._state, published=None)

    # --- The Secret -----------------------------------------------------------------------------------------------

    def _read_secret(self) -> V1Secret | None:
        return self._core.secret(self._target.namespace, self._target.secret, _TIMEOUT)

    def _write_secret(self, secret: V1Secret | None, state: State) -> None:
        """Create the Secret, or replace the version that was read. A conflict means that another leader wrote it."""
        target = self._target
        if secret is None:
            body = V1Secret(metadata=V1ObjectMeta(name=target.secret), type="kubernetes.io/tls", data=_encode(state))
            self._core.create_secret(target.namespace, body, _TIMEOUT)
        else:
            self._replace_secret(secret, state)
        self._state = state
        log.info("certificates stored", secret=target.secret)

    def _replace_secret(self, secret: V1Secret, state: State) -> None:
        remedy = "delete it, or name another one with --certificate-secret"
        if secret.immutable:
            raise SecretNotWritable(f"Secret {self._secret_name} is immutable: {remedy}")
        secret.data = _encode(state)
        try:
            self._core.replace_secret(self._target.namespace, self._target.secret, secret, _TIMEOUT)
        except ApiException as error:
            if error.status == 422:
                raise SecretNotWritable(
                    f"Secret {self._secret_name} of type {secret.type} does not accept certificates: {remedy}"
                ) from None
            if error.status == 403:
                raise SecretNotWritable(
                    f"updates of Secret {self._secret_name} are forbidden: allow the service account to update it, "
                    "or check the admission policies of the cluster"
                ) from None
            raise

    @property
    def _secret_name(self) -> str:
        return f"{self._target.namespace}/{self._target.secret}"


def _election(client: ApiClient, target: Target) -> LeaderElection:
    lock = LeaseLock(target.lease, target.namespace, target.identity)
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


# --- Contents of the Secret: tls.crt, tls.key and ca.crt as usual, and the rotator's `state.json` --------------------

_STATE_KEY = "state.json"


def _encode(state: State) -> dict[str, str | bytes]:
    state_fields = {
        "ca": _pair_to_json(state.ca),
        "nextCa": _pair_to_json(state.next_ca) if state.next_ca else None,
        "trusted": [pem.decode() for pem in state.trusted],
        "published": state.published.isoformat() if state.published else None,
    }
    data = {
        "tls.crt": state.serving.certificate,
        "tls.key": state.serving.key,
        "ca.crt": state.bundle,
        _STATE_KEY: json.dumps(state_fields).encode(),
    }
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def _decode(secret: V1Secret) -> State | None:
    """Decode the state in a Secret; None when it is invalid."""
    try:
        data = {key: base64.b64decode(value) for key, value in (secret.data or {}).items()}
        state_fields = json.loads(data[_STATE_KEY])
        state = State(
            ca=_pair_from_json(state_fields["ca"]),
            serving=Pair(data["tls.crt"], data["tls.key"]),
            trusted=tuple(pem.encode() for pem in state_fields["trusted"]),
            next_ca=_pair_from_json(state_fields["nextCa"]) if state_fields["nextCa"] else None,
            published=datetime.datetime.fromisoformat(state_fields["published"]) if state_fields["published"] else None,
        )
        rotation.check(state)
    except Exception as error:
        log.warning("certificates: the Secret is invalid", reason=type(error).__name__)
        return None
    return state


def _pair_to_json(pair: Pair) -> dict[str, str]:
    return {"certificate": pair.certificate.decode(), "key": pair.key.decode()}


def _pair_from_json(value: dict[str, str]) -> Pair:
    return Pair(value["certificate"].encode(), value["key"].encode())
