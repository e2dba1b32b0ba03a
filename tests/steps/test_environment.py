"""Environment variables of the download that the pod chooses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster_objects import admitted, denial, initializer, secret, service_account, storage_container, warnings
from tests.mutation import JsonObject, a_container, answer, env, kserve_pod, names, plain_pod, several
from webhook import annotations as keys
from webhook.settings.storage_defaults import ENV_PATTERNS
from webhook.steps.environment import MAX_VARIABLES
from webhook.variables import is_secret

HF = "hf://org/model"
REFERENCE = {"secretKeyRef": {"name": "hf", "key": "token"}}
TOKEN = {"name": "HF_TOKEN", "valueFrom": REFERENCE}


def _pod(*variables: Any, uri: str = HF, server: Any = None, copy: str | None = None, **spec: Any) -> JsonObject:
    """A pod with these variables in its annotation, and those of its server, which may be copied."""
    annotations = {keys.ENV: json.dumps(variables)} if variables else {}
    annotations |= {keys.ENV_FROM_CONTAINER: copy} if copy is not None else {}
    return plain_pod(uri, annotations=annotations, containers=[a_container(env=server or [])], **spec)


def _env(pod: JsonObject, *objects: Any, settings: Any = None) -> dict[str, Any]:
    """The init container's variables without those that every one has."""
    found = env(initializer(pod, *objects, settings=settings))
    return {name: value for name, value in found.items() if not name.startswith(("HF_HUB_ENABLE_", "HF_XET_"))}


def _literal(name: str, value: str = "x") -> JsonObject:
    return {"name": name, "value": value}


# --- The annotation with a list -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variable",
    [
        TOKEN,
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token", "optional": True}}},
        {"name": "HF_ENDPOINT", "valueFrom": {"configMapKeyRef": {"name": "hub", "key": "endpoint"}}},
        _literal("HF_ENDPOINT", "https://hub.example.com"),
        _literal("HUGGING_FACE_HUB_CACHE", "/tmp/hub"),
        _literal("AWS_DEFAULT_REGION", ""),
        _literal("S3_USE_ACCELERATE", "true"),
        _literal("HTTPS_PROXY", "http://proxy:3128"),
        _literal("no_proxy", ".svc,10.0.0.0/8"),
        _literal("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
        _literal("HTTPS_PROXY", "http://user@proxy:3128"),
    ],
)
def test_a_variable_of_the_annotation_is_set(variable: JsonObject) -> None:
    assert variable in initializer(_pod(variable))["env"]


def test_an_annotation_replaces_the_defaults_of_transfers() -> None:
    found = env(initializer(_pod(_literal("HF_XET_HIGH_PERFORMANCE", "0"))))
    assert found["HF_XET_HIGH_PERFORMANCE"] == "0"
    assert found["HF_HUB_ENABLE_HF_TRANSFER"] == "1"


def test_an_annotation_replaces_the_credentials_of_the_account() -> None:
    held = [service_account("account"), secret("account", {"HF_TOKEN": "x"})]
    assert _env(_pod(), *held)["HF_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "account"
    assert _env(_pod(TOKEN), *held)["HF_TOKEN"] == TOKEN
    assert names(initializer(_pod(TOKEN), *held)["env"]).count("HF_TOKEN") == 1


def test_several_models_get_the_variables() -> None:
    pod = several((HF, "/mnt/a"), ("s3://b/m", "/mnt/b"))
    pod["metadata"]["annotations"][keys.ENV] = json.dumps([TOKEN])
    assert _env(pod)["HF_TOKEN"] == TOKEN


def test_pods_of_kserve_get_the_variables() -> None:
    assert TOKEN in initializer(kserve_pod(HF, annotations={keys.ENV: json.dumps([TOKEN])}))["env"]


def test_the_servers_do_not_get_the_variables() -> None:
    assert not admitted(_pod(TOKEN))["spec"]["containers"][0]["env"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "is not JSON"),
        ("{}", "must be a list"),
        ("[]", f"must be a list of 1 to {MAX_VARIABLES}"),
        (json.dumps([_literal(f"HF_{index}") for index in range(MAX_VARIABLES + 1)]), "must be a list of 1 to"),
        ("[1]", "entry 1 must be an object"),
        ('[{"name": "HF_A"}]', "entry 1 must be an object"),
        (json.dumps([{**TOKEN, "value": "x"}]), "entry 1 must be an object"),
        (json.dumps([TOKEN, {**_literal("HF_A"), "a": 1}]), "entry 2 must be an object"),
        (json.dumps([_literal("HF A")]), '"HF A" is not the name of a variable'),
        (json.dumps([_literal("")]), '"" is not the name of a variable'),
        ('[{"name": 1, "value": ""}]', "is not the name of a variable"),
        ('[{"name": "HF_A", "value": 1}]', "the value of HF_A must be a string"),
        (json.dumps([{"name": "HF_A", "valueFrom": {}}]), "must be a secretKeyRef or a configMapKeyRef"),
        (json.dumps([{"name": "HF_A", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}]), "must be a secretKeyRef"),
        (json.dumps([{"name": "HF_A", "valueFrom": {"secretKeyRef": {"name": "a"}}}]), "must be a secretKeyRef"),
        (json.dumps([{"name": "HF_A", "valueFrom": {**REFERENCE, "a": {}}}]), "must be a secretKeyRef"),
        (
            json.dumps([{"name": "HF_A", "valueFrom": {"secretKeyRef": {"name": "A_b", "key": "a"}}}]),
            'valueFrom of HF_A: "A_b" is not a valid name',
        ),
        (
            json.dumps([{"name": "HF_A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "/"}}}]),
            '"/" is not a valid key',
        ),
        (
            json.dumps([{"name": "HF_A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "a", "optional": 1}}}]),
            '"optional" must be true or false',
        ),
        (json.dumps([TOKEN, TOKEN]), 'has the variable "HF_TOKEN" twice'),
    ],
)
def test_an_invalid_list_is_denied(text: str, problem: str) -> None:
    assert problem in denial(plain_pod(HF, annotations={keys.ENV: text}))


@pytest.mark.parametrize(
    "name", ["PATH", "LD_PRELOAD", "PYTHONPATH", "hf_token", "XHF_A", "STORAGE_CONFIG", "HTTPS_PROXY_"]
)
def test_a_name_that_the_settings_do_not_allow_is_forbidden(name: str) -> None:
    response = answer(_pod(_literal(name, "planted")))
    assert response["status"]["code"] == 403
    message = response["status"]["message"]
    assert f'variable "{name}" is not allowed: the setting storageDefaults.overrides.env allows HF_*' in message
    assert "planted" not in message


@pytest.mark.parametrize(
    ("patterns", "name", "is_allowed"),
    [
        (["*"], "LD_PRELOAD", True),
        ([], "HF_TOKEN", False),
        (["GIT_?"], "GIT_A", True),
        (["GIT_?"], "GIT_AB", False),
        (["GIT_?"], "HF_ENDPOINT", False),
    ],
)
def test_the_settings_choose_the_names(patterns: list[str], name: str, is_allowed: bool) -> None:
    settings = {"storageDefaults": {"overrides": {"env": patterns}}}
    variable = {"name": name, "valueFrom": REFERENCE}
    if is_allowed:
        assert _env(_pod(variable), settings=settings)[name] == variable
    else:
        assert f'variable "{name}" is not allowed' in denial(_pod(variable), settings=settings)
    copied = _pod(server=[variable], copy="true")
    assert (name in _env(copied, settings=settings)) == is_allowed


# --- The variables of the server ----------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["true", "TRUE", " True\n"])
def test_the_variables_of_the_server_are_copied(word: str) -> None:
    server = [
        TOKEN,
        _literal("HTTPS_PROXY", "http://proxy:3128"),
        _literal("PATH"),
        {"name": "HF_HOME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    pod = _pod(server=server, copy=word)
    assert _env(pod) == {"HF_TOKEN": TOKEN, "HTTPS_PROXY": "http://proxy:3128", "HF_HOME": server[3]}
    assert admitted(pod)["spec"]["containers"][0]["env"] == server


def test_the_variables_are_those_of_the_first_server() -> None:
    containers = [a_container(name, env=[_literal("HF_ENDPOINT", name)]) for name in ("proxy", "a", "b")]
    inits = [a_container("build", env=[_literal("HF_ENDPOINT", "build")])]
    annotations = {keys.ENV_FROM_CONTAINER: "true", keys.CONTAINERS: "build,b,a"}
    pod = plain_pod(HF, annotations=annotations, containers=containers, initContainers=inits)
    assert _env(pod)["HF_ENDPOINT"] == "b"
    pod["metadata"]["annotations"][keys.CONTAINERS] = "build"
    assert _env(pod)["HF_ENDPOINT"] == "build"


@pytest.mark.parametrize("word", ["false", "False"])
def test_nothing_is_copied_otherwise(word: str) -> None:
    assert _env(_pod(server=[_literal("HF_ENDPOINT")], copy=word)) == {}


def test_another_word_is_denied() -> None:
    assert f'annotation {keys.ENV_FROM_CONTAINER} "yes" is invalid' in denial(_pod(copy="yes"))


def test_the_last_of_equal_names_counts() -> None:
    assert _env(_pod(server=[_literal("HF_A", "1"), _literal("HF_A", "2")], copy="true"))["HF_A"] == "2"


def test_the_list_takes_precedence_over_the_server() -> None:
    pod = _pod(TOKEN, server=[_literal("HF_TOKEN", "planted"), _literal("HF_A", "1")], copy="true")
    assert _env(pod) == {"HF_TOKEN": TOKEN, "HF_A": "1"}


def test_what_aws_mounts_in_each_container_is_not_copied() -> None:
    server = [_literal("AWS_WEB_IDENTITY_TOKEN_FILE"), _literal("AWS_ROLE_ARN"), _literal("AWS_REGION")]
    assert _env(_pod(server=server, copy="true")).keys() == {"AWS_REGION"}


def test_a_server_without_such_variables_warns() -> None:
    (warning,) = warnings(_pod(server=[_literal("PATH")], copy="true"))
    assert 'container "server" has no variable that the setting storageDefaults.overrides.env allows' in warning


def test_the_number_of_copied_variables_is_limited() -> None:
    server = [_literal(f"HF_{index}") for index in range(MAX_VARIABLES + 1)]
    assert len(_env(_pod(server=server[1:], copy="true"))) == MAX_VARIABLES
    assert f"the maximum is {MAX_VARIABLES}" in denial(_pod(server=server, copy="true"))


# --- Secrets ------------------------------------------------------------------------------------------------------

SECRETS = [
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "MODELSCOPE_API_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_ACCESS_TOKEN",
    "S3_PASSWORD",
    "hf_api_key",
]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("how", ["list", "server"])
def test_a_secret_as_text_is_denied_without_showing_it(name: str, how: str) -> None:
    settings = {"storageDefaults": {"overrides": {"env": ["*"]}}}
    planted = _literal(name, "planted-secret")
    pod = _pod(planted) if how == "list" else _pod(server=[planted], copy="true")
    message = denial(pod, settings=settings)
    assert f'variable "{name}" is a secret, which must not be text: take it from a Secret' in message
    assert "planted" not in message


@pytest.mark.parametrize("how", ["list", "server"])
@pytest.mark.parametrize("url", ["http://u:planted@proxy:3128", "https://:planted@proxy"])
def test_a_password_in_a_url_is_denied_without_showing_it(how: str, url: str) -> None:
    variable = _literal("HTTPS_PROXY", url)
    message = denial(_pod(variable) if how == "list" else _pod(server=[variable], copy="true"))
    assert 'variable "HTTPS_PROXY" contains a password' in message
    assert "planted" not in message


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "HF_ENDPOINT", "AWS_WEB_IDENTITY_TOKEN_FILE", "HF_TOKEN_PATH"])
def test_other_names_are_no_secrets(name: str) -> None:
    assert not is_secret(name)


_planted = st.sampled_from(["planted", "planted:x@y", '"planted', "planted\n", "http://u:planted@x"])
_values: st.SearchStrategy[Any] = st.recursive(
    _planted | st.none() | st.integers(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_planted, inner)
)


@given(
    st.lists(
        st.fixed_dictionaries({"name": st.sampled_from([*SECRETS[:4], "HTTPS_PROXY", "PATH", "HF_ENDPOINT"])}).flatmap(
            lambda item: st.fixed_dictionaries(
                {"name": st.just(item["name"])}, optional={"value": _values, "valueFrom": _values}
            )
        ),
        max_size=3,
    ),
    st.sampled_from(["", "x", "[", "}"]),
)
def test_no_message_shows_a_value(variables: Any, rest: str) -> None:
    pod = plain_pod(HF, annotations={keys.ENV: json.dumps(variables) + rest})
    response = answer(pod)
    assert "planted" not in json.dumps([response.get("status"), response.get("warnings")])


# --- What the administrator sets ----------------------------------------------------------------------------------


def test_a_storage_container_takes_precedence() -> None:
    own = {"name": "own", "container": {"env": [_literal("HF_ENDPOINT", "https://ours")]}}
    pod, settings = _pod(_literal("HF_ENDPOINT", "https://mine"), TOKEN), {"storageContainers": [own]}
    assert _env(pod, settings=settings) == {"HF_TOKEN": TOKEN, "HF_ENDPOINT": "https://ours"}
    (warning,) = warnings(pod, settings=settings)
    assert f'HF_ENDPOINT of annotation {keys.ENV} is not used: storage container "own" of the settings' in warning
    given_ = storage_container("given", "hf://", container={"env": [_literal("HF_ENDPOINT", "https://theirs")]})
    assert _env(pod, given_, settings=settings)["HF_ENDPOINT"] == "https://theirs"


def test_the_s3_settings_take_precedence() -> None:
    pod = _pod(_literal("AWS_ENDPOINT_URL", "http://mine"), _literal("AWS_MAX_ATTEMPTS", "9"), uri="s3://b/m")
    settings = {"credentials": {"s3": {"s3Endpoint": "ours"}}}
    found = _env(pod, service_account(), settings=settings)
    assert (found["AWS_ENDPOINT_URL"], found["AWS_MAX_ATTEMPTS"]) == ("https://ours", "9")
    (warning,) = warnings(pod, service_account(), settings=settings)
    assert "AWS_ENDPOINT_URL of annotation storage.kserve.io/env is not used: the setting credentials.s3" in warning
    assert _env(pod, service_account())["AWS_ENDPOINT_URL"] == "http://mine"


def test_the_ca_bundle_of_the_settings_takes_precedence() -> None:
    pod = _pod(_literal("AWS_CA_BUNDLE_CONFIGMAP", "mine"))
    settings = {"storageInitializer": {"caBundleConfigMapName": "ours"}}
    assert _env(pod, settings=settings)["CA_BUNDLE_CONFIGMAP_NAME"] == "global-ca-bundle"
    assert _env(pod)["CA_BUNDLE_CONFIGMAP_NAME"] == "mine"


# --- Without effect -----------------------------------------------------------------------------------------------


def test_a_pod_that_downloads_nothing_warns() -> None:
    pod = _pod(TOKEN, uri="pvc://models/iris")
    assert "initContainers" not in admitted(pod)["spec"]
    (warning,) = warnings(pod)
    assert f"annotation {keys.ENV} has no effect" in warning


def test_a_literal_token_of_the_server_is_not_suggested_to_be_copied() -> None:
    for variable, is_suggested in ((TOKEN, True), (_literal("HF_TOKEN"), False)):
        (warning,) = warnings(_pod(server=[variable]), service_account())
        assert (f'set annotation {keys.ENV_FROM_CONTAINER} to "true"' in warning) == is_suggested
        assert len(warning) <= 256
    assert warnings(_pod(server=[TOKEN], copy="true"), service_account()) == []


def test_the_default_patterns_are_those_of_the_documentation() -> None:
    assert ENV_PATTERNS == ("HF_*", "HUGGING_FACE_*", "AWS_*", "S3_*", "*_PROXY", "*_proxy")
