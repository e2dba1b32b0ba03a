"""The rotation's invariant in simulated time: every API server trusts what every replica serves."""

import datetime
import itertools
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.certificates import rotation
from webhook.certificates.rotation import Policy, State

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NAME = "storage-webhook.models.svc"
POLICY = Policy((NAME,), ca_lifetime=30 * DAY, serving_lifetime=9 * DAY, propagation=datetime.timedelta(minutes=10))
TICK = datetime.timedelta(hours=1)


def trusts(bundle: tuple[bytes, ...], serving: bytes, now: datetime.datetime, name: str = NAME) -> bool:
    """Whether a TLS client with this CA bundle accepts a serving certificate."""
    store = Store([x509.load_pem_x509_certificate(pem) for pem in bundle])
    verifier = PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(name))
    try:
        verifier.verify(x509.load_pem_x509_certificate(serving), [])
    except x509.verification.VerificationError:
        return False
    return True


def simulate(days: int, tick: datetime.timedelta = TICK) -> list[tuple[datetime.datetime, State]]:
    """All states in this many days, each with its time. A state is published immediately."""
    now, state = START, rotation.initial_state(POLICY, START)
    history = []
    for _ in range(int(days * DAY / tick)):
        state = rotation.advance(state, POLICY, now)
        if state.published is None:
            state = replace(state, published=now)
            history.append((now, state))
        now += tick
    return history


HISTORY = simulate(60)


def test_certificates_are_renewed_before_they_expire() -> None:
    for (_, state), (until, _) in itertools.pairwise(HISTORY):
        assert until < state.serving.parse().not_valid_after_utc
        assert until < state.ca.parse().not_valid_after_utc


def test_the_history_contains_every_kind_of_step() -> None:
    states = [state for _, state in HISTORY]
    assert len({state.ca for state in states}) >= 3
    assert len({state.serving for state in states}) > len({state.ca for state in states})
    assert {len(state.trusted) for state in states} == {1, 2}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(HISTORY) - 1), st.floats(0, 1), st.floats(0, 0.99), st.floats(0, 0.99))
def test_lagging_api_servers_trust_lagging_replicas(
    index: int, when: float, server_lag: float, client_lag: float
) -> None:
    reached = HISTORY[index][0]
    until = HISTORY[index + 1][0] if index + 1 < len(HISTORY) else reached + TICK
    now = reached + (until - reached) * when
    served = state_at(now - POLICY.propagation * server_lag).serving
    trusted = state_at(now - POLICY.propagation * client_lag).trusted
    assert trusts(trusted, served.certificate, now)


def state_at(at: datetime.datetime) -> State:
    return next((state for reached, state in reversed(HISTORY) if reached <= at), HISTORY[0][1])


def test_a_new_ca_is_published_before_it_signs() -> None:
    for (_, before), (_, after) in itertools.pairwise(HISTORY):
        if after.ca != before.ca:
            assert after.ca.certificate in before.trusted
            assert after.serving != before.serving


def test_no_step_until_the_last_one_is_published() -> None:
    old = replace(HISTORY[0][1], next_ca=rotation.new_ca(POLICY, START), published=None)
    assert rotation.advance(old, POLICY, START + DAY) is old


def test_changed_names_get_a_new_certificate_immediately() -> None:
    state = HISTORY[0][1]
    policy = replace(POLICY, names=(NAME, "other.models.svc"))
    renewed = rotation.advance(state, policy, START)
    assert trusts(renewed.trusted, renewed.serving.certificate, START, "other.models.svc")
    assert renewed.ca == state.ca


def test_a_new_state_keeps_trusting_the_published_cas() -> None:
    old = HISTORY[0][1]
    new = rotation.initial_state(POLICY, START, old.bundle)
    assert trusts(new.trusted, old.serving.certificate, START)
    assert trusts(new.trusted, new.serving.certificate, START)


@pytest.mark.parametrize("found", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_new_state_ignores_an_invalid_bundle(found: bytes) -> None:
    assert len(rotation.initial_state(POLICY, START, found).trusted) == 1


def test_a_new_state_ignores_expired_cas() -> None:
    old = HISTORY[0][1]
    assert len(rotation.initial_state(POLICY, START + 31 * DAY, old.bundle).trusted) == 1


LATER = st.timedeltas(datetime.timedelta(0), 60 * DAY) | st.timedeltas(
    30 * DAY - datetime.timedelta(minutes=2), 30 * DAY + datetime.timedelta(minutes=2)
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(HISTORY), LATER, st.booleans())
def test_any_state_is_usable_again_after_any_time(reached: tuple[datetime.datetime, State], later, back: bool) -> None:
    """A long sleep, a restored backup, or a clock that was wrong: one step leads to a certificate that is valid now."""
    since, state = reached
    now = since - later if back else since + later
    advanced = rotation.advance(state, POLICY, now)
    rotation.check(advanced)
    assert trusts(advanced.trusted, advanced.serving.certificate, now)


@pytest.mark.parametrize("sleep", [31 * DAY, 365 * DAY, -365 * DAY])
def test_a_ca_that_is_not_valid_now_is_replaced(sleep: datetime.timedelta) -> None:
    state = HISTORY[0][1]
    advanced = rotation.advance(state, POLICY, START + sleep)
    assert advanced.ca != state.ca
    assert advanced.published is None
    assert rotation.is_ca_valid(advanced, START + sleep)
    assert not rotation.is_ca_valid(state, START + sleep)


def test_a_ca_that_is_already_published_replaces_an_expired_one() -> None:
    old = HISTORY[0][1]
    next_ca = rotation.new_ca(POLICY, START + 20 * DAY)
    state = replace(old, next_ca=next_ca, trusted=(*old.trusted, next_ca.certificate))
    advanced = rotation.advance(state, POLICY, START + 31 * DAY)
    assert advanced.ca == next_ca
    assert trusts(state.trusted, advanced.serving.certificate, START + 31 * DAY)


@pytest.mark.parametrize("at", [START + 10 * DAY, START - 2 * datetime.timedelta(hours=1)])
def test_a_serving_certificate_that_is_not_valid_now_is_replaced_under_the_same_ca(at: datetime.datetime) -> None:
    ca = rotation.new_ca(POLICY, START - 5 * DAY)
    state = State(ca, rotation.issue(ca, POLICY, START), (ca.certificate,), published=START)
    advanced = rotation.advance(state, POLICY, at)
    assert advanced.ca == ca
    assert trusts(state.trusted, advanced.serving.certificate, at)


def test_inconsistent_states_are_rejected() -> None:
    one, other = rotation.initial_state(POLICY, START), rotation.initial_state(POLICY, START)
    rotation.check(one)
    for wrong in (
        replace(one, serving=other.serving),
        replace(one, serving=replace(one.serving, key=other.serving.key)),
        replace(one, trusted=other.trusted),
        replace(one, ca=other.ca),
    ):
        with pytest.raises(Exception, match=r".*"):
            rotation.check(wrong)


def test_private_keys_are_not_in_the_repr() -> None:
    assert "PRIVATE KEY" not in repr(HISTORY[0][1])


def test_a_next_ca_that_expired_before_it_could_sign_is_replaced() -> None:
    state = rotation.initial_state(POLICY, START)
    short = replace(POLICY, ca_lifetime=2 * DAY)
    late = START + POLICY.ca_lifetime * 0.7
    state = replace(
        rotation.advance(replace(state, serving=rotation.issue(state.ca, POLICY, late)), short, late), published=late
    )
    assert state.next_ca is not None
    expired, now = state.next_ca, late + 3 * DAY
    for _ in range(4):
        state = replace(rotation.advance(state, POLICY, now), published=now - POLICY.propagation)
    assert expired not in (state.ca, state.next_ca)
    assert state.ca.parse().not_valid_after_utc > now
