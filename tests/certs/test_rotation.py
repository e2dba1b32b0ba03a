"""The rotation's promise, held over simulated years: what any replica serves, any API server trusts."""

import datetime
import itertools
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.certs import rotation
from webhook.certs.rotation import Policy, State

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NAME = "storage-webhook.models.svc"
POLICY = Policy((NAME,), ca_lifetime=30 * DAY, serving_lifetime=9 * DAY, settle=datetime.timedelta(minutes=10))
TICK = datetime.timedelta(hours=1)


def trusts(bundle: tuple[bytes, ...], serving: bytes, now: datetime.datetime, name: str = NAME) -> bool:
    """What a TLS client with this CA bundle makes of a serving certificate."""
    store = Store([x509.load_pem_x509_certificate(pem) for pem in bundle])
    verifier = PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(name))
    try:
        verifier.verify(x509.load_pem_x509_certificate(serving), [])
    except x509.verification.VerificationError:
        return False
    return True


def live(days: int, tick: datetime.timedelta = TICK) -> list[tuple[datetime.datetime, State]]:
    """Every state of so many days, with the time it was reached; published as soon as it is made."""
    now, state = START, rotation.begin(POLICY, START)
    history = []
    for _ in range(int(days * DAY / tick)):
        stepped = rotation.advance(state, POLICY, now)
        if stepped is not state:
            state = stepped
        if state.published is None:
            state = replace(state, published=now)
            history.append((now, state))
        now += tick
    return history


HISTORY = live(60)


def test_certificates_are_renewed_before_they_expire() -> None:
    for (_, state), (until, _) in itertools.pairwise(HISTORY):
        assert until < state.serving.loaded().not_valid_after_utc
        assert until < state.ca.loaded().not_valid_after_utc


def test_sixty_days_see_every_kind_of_step() -> None:
    states = [state for _, state in HISTORY]
    assert len({state.ca for state in states}) >= 3
    assert len({state.serving for state in states}) > len({state.ca for state in states})
    assert {len(state.trusted) for state in states} == {1, 2}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(HISTORY) - 1), st.floats(0, 1), st.floats(0, 0.99), st.floats(0, 0.99))
def test_what_lagging_replicas_serve_lagging_api_servers_trust(
    index: int, when: float, server_lag: float, client_lag: float
) -> None:
    reached = HISTORY[index][0]
    until = HISTORY[index + 1][0] if index + 1 < len(HISTORY) else reached + TICK
    now = reached + (until - reached) * when
    served = seen(now - POLICY.settle * server_lag).serving
    trusted = seen(now - POLICY.settle * client_lag).trusted
    assert trusts(trusted, served.certificate, now)


def seen(at: datetime.datetime) -> State:
    return next((state for reached, state in reversed(HISTORY) if reached <= at), HISTORY[0][1])


def test_a_new_ca_is_published_before_it_signs() -> None:
    for (_, before), (_, after) in itertools.pairwise(HISTORY):
        if after.ca != before.ca:
            assert after.ca.certificate in before.trusted
            assert after.serving != before.serving


def test_no_step_while_the_last_is_not_published() -> None:
    old = replace(HISTORY[0][1], next_ca=rotation.new_ca(POLICY, START), published=None)
    assert rotation.advance(old, POLICY, START + DAY) is old


def test_new_names_get_a_new_certificate_at_once() -> None:
    state = HISTORY[0][1]
    policy = replace(POLICY, names=(NAME, "other.models.svc"))
    renewed = rotation.advance(state, policy, START)
    assert trusts(renewed.trusted, renewed.serving.certificate, START, "other.models.svc")
    assert renewed.ca == state.ca


def test_beginning_anew_keeps_trusting_what_may_still_be_served() -> None:
    old = HISTORY[0][1]
    anew = rotation.begin(POLICY, START, old.bundle)
    assert trusts(anew.trusted, old.serving.certificate, START)
    assert trusts(anew.trusted, anew.serving.certificate, START)


@pytest.mark.parametrize("found", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_beginning_anew_with_an_unreadable_bundle(found: bytes) -> None:
    assert len(rotation.begin(POLICY, START, found).trusted) == 1


def test_expired_authorities_are_not_taken_over() -> None:
    old = HISTORY[0][1]
    assert len(rotation.begin(POLICY, START + 31 * DAY, old.bundle).trusted) == 1


def test_parts_that_do_not_belong_together_are_refused() -> None:
    one, other = rotation.begin(POLICY, START), rotation.begin(POLICY, START)
    rotation.check(one)
    for wrong in (
        replace(one, serving=other.serving),
        replace(one, serving=replace(one.serving, key=other.serving.key)),
        replace(one, trusted=other.trusted),
        replace(one, ca=other.ca),
    ):
        with pytest.raises(Exception, match=r".*"):
            rotation.check(wrong)


def test_keys_stay_out_of_representations() -> None:
    assert "PRIVATE KEY" not in repr(HISTORY[0][1])
