"""Secrets in URIs never reach a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mutation import KSERVE, SOURCE_URI, a_pod, answer, decide, plain_pod
from webhook import annotations as keys
from webhook.errors import quoted, redacted

SECRET = "QWERTY"
# What a password may have, and a URI should not.
ODD = st.text("/@:?#&=%\\\"' $().+-é", max_size=6)
USER_INFO = st.tuples(ODD, ODD).map(f"me:{{0[0]}}{SECRET}{{0[1]}}@".format)
TAILS = st.sampled_from(["", "?sig=" + SECRET, "#" + SECRET, f"?a=1#{SECRET}", f"?mail=me@example.com&sig={SECRET}"])
SCHEMES = st.sampled_from("https http webhdfs hdfs s3 ftp abc oci hf pvc".split())


@given(SCHEMES, st.just("") | USER_INFO, TAILS)
def test_secrets_in_uris_are_redacted(scheme: str, user: str, tail: str) -> None:
    uri = f"{scheme}://{user}host/model{tail}"
    assert SECRET not in redacted(uri)
    assert SECRET not in quoted(f" {uri} ")
    assert SECRET not in quoted(f'[{{"uri": "{uri}", "mountPath": "/mnt/a"')
    assert SECRET not in quoted([uri])


@given(
    st.sampled_from(["", "//", "my_", "/", " 1_"]),
    USER_INFO,
    st.sampled_from(["", "?sig=" + SECRET, "?a.b=1&c=" + SECRET]),
)
def test_secrets_are_redacted_where_the_scheme_was_forgotten(start: str, user: str, tail: str) -> None:
    text = f"{start}{user}host/model{tail}"
    assert SECRET not in redacted(text)
    assert SECRET not in quoted([text])


@given(SCHEMES, USER_INFO, TAILS)
def test_no_message_about_a_pod_has_them(scheme: str, user: str, tail: str) -> None:
    uri = f"{scheme}://{user}host/model{tail}"
    for pod in (
        plain_pod(uri),
        plain_pod(uri + "\x00"),
        plain_pod(uri, annotations={keys.CACHE: uri}),
        plain_pod("s3://b/m", annotations={keys.MOUNT_PATH: uri, keys.READ_ONLY: uri}),
        a_pod(annotations={keys.URIS: f'[{{"uri": "{uri}"'}),
        a_pod(annotations={keys.URI: uri, SOURCE_URI: "s3://b/m"}, labels=KSERVE),
    ):
        assert SECRET not in "".join([*decide(pod).warnings, decide(pod).message])
        if not answer(pod)["allowed"]:
            assert SECRET not in answer(pod)["status"]["message"]


@pytest.mark.parametrize(
    ("uri", "safe"),
    [
        ("s3://bucket/model", "s3://bucket/model"),
        ("hf://org/model@main", "hf://org/model@main"),
        ("oci://registry:5000/model@sha256:1", "oci://registry:5000/model@sha256:1"),
        ("https://host/model", "https://host/model"),
        ("https://me:secret@host/model", "https://***@host/model"),
        ("https://me:sec/ret@host/model", "https://***@host/model"),
        ("https://me:sec@ret@host/model", "https://***@host/model"),
        ("https:/me:secret@host/model", "https:/***@host/model"),
        ("https:/host/model?sig=secret", "https:/host/model?sig=***"),
        ("https://host/model?sig=secret", "https://host/model?***"),
        ("https://host/model#secret", "https://host/model#***"),
        ("https://me:sec?ret@host/model", "https://***"),
        ("registry.example.com/a@sha256:1", "registry.example.com/a@sha256:1"),
        ("registry.example.com:5000/a@sha256:" + 64 * "0", "registry.example.com:5000/a@sha256:" + 64 * "0"),
        ("what is it?", "what is it?"),
        ("my_name:secret@host/model", "***@host/model"),
        ("//me:sec/ret@host/model", "***@host/model"),
        ("host/model?sig=secret", "host/model?***"),
        ("host/model?sig", "host/model?sig"),
        ("iris@example.com", "iris@example.com"),
    ],
)
def test_the_rest_stays_readable(uri: str, safe: str) -> None:
    assert redacted(uri) == safe
