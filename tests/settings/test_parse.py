"""Parsing of settings: every field of every KServe release, and every invalid value with its key and reason."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from webhook.settings.access import Requester
from webhook.settings.model import Settings
from webhook.settings.parse import MAX_PROBLEMS, MAX_TEXT, MAX_VALUES, Problem, SettingsError, parse

FIXTURES = Path(__file__).parent.parent / "fixtures" / "settings"
RELEASES = sorted(FIXTURES.glob("kserve-*.yaml"))


def data_of(path):
    return yaml.safe_load(path.read_text())["data"]


def leaves(value, path=()):
    """All leaf values of nested objects, by their path."""
    if not isinstance(value, dict):
        return {path: value}
    return {leaf: found for key, inner in value.items() for leaf, found in leaves(inner, (*path, key)).items()}


def effective(settings):
    return leaves(settings.model_dump(mode="json", by_alias=True))


@pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)
def test_configmaps_of_every_kserve_release_load_unchanged(path):
    settings, warnings = parse(data_of(path))
    assert warnings == []
    written = leaves({key: json.loads(text) for key, text in data_of(path).items()})
    taken, defaults = effective(settings), effective(Settings())
    for leaf, value in written.items():
        assert taken[leaf] == (value if value not in ("", None) else defaults[leaf]), leaf


def test_the_fixtures_cover_every_field_of_kserve():
    expected_keys = {leaf for path in RELEASES for leaf in leaves({k: json.loads(v) for k, v in data_of(path).items()})}
    groups = ("storageInitializer", "credentials", "deploy")
    fields = {leaf for leaf in effective(parse(data_of(FIXTURES / "kserve-0.16-to-0.19.yaml"))[0]) if leaf[0] in groups}
    assert fields - expected_keys == {("credentials", "enabled")}, "all except the webhook's own field"


def test_missing_keys_have_the_defaults_of_kserve():
    assert parse({}) == (Settings(), [])
    assert (
        parse({"storageInitializer": "", "credentials": "{}", "deploy": "null", "storageDefaults": {}})[0] == Settings()
    )


def initializer(text):
    return parse({"storageInitializer": text})[0].storage_initializer


@pytest.mark.parametrize(
    "text",
    [
        '{"cpuLimit": "2"}',
        "cpuLimit: '2'",
        "cpuLimit: 2",
        '{"CPULIMIT": "2"}',
        '{"cpulimit": "3", "cpuLimit": "2"}',
        '{\t"cpuLimit":\t"2"}',
        '{"cpuLimit": "2", # a comment\n}',
        {"cpuLimit": 2},
    ],
)
def test_equivalent_notations(text):
    assert initializer(text).cpu_limit == "2"


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("field", ["image", "memoryLimit", "enableDirectPvcVolumeMount", "uidModelcar", "ociModelMode"])
def test_null_and_empty_mean_the_default(field, nothing):
    assert initializer({field: nothing}) == initializer({})


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("s3UseHttps", False, "0"),
        ("s3UseHttps", True, "1"),
        ("s3VerifySSL", False, "0"),
        ("s3UseVirtualBucket", True, "true"),
        ("s3UseAccelerate", False, "false"),
        ("s3UseAnonymousCredential", True, "true"),
        ("s3UseHttps", 0, "0"),
        ("s3UseHttps", "0", "0"),
        ("s3Region", "eu-west-1", "eu-west-1"),
    ],
)
def test_booleans_become_strings_for_the_storage_initializer(field, value, text):
    settings, _ = parse({"credentials": {"s3": {field: value}}})
    assert effective(settings)["credentials", "s3", field] == text


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (2, "2"), (1e3, "1000.0"), ("1E3", "1E3")])
def test_yaml_numbers_are_quantities(value, text):
    assert initializer({"cpuLimit": value, "cpuRequest": "1m"}).cpu_limit == text


@pytest.mark.parametrize(
    ("value", "namespace", "may"),
    [
        (True, "a", True),
        (False, "a", False),
        ("FALSE", "a", False),
        (["a", "b"], "a", True),
        (["a", "b"], "c", False),
        ([], "a", False),
    ],
)
def test_namespaces_that_may_write(value, namespace, may):
    settings, _ = parse({"storageDefaults": {"allowReadWrite": value}})
    found = settings.storage_defaults.permission(Requester(namespace, "default"), None)
    assert found.allow == ("readWrite" if may else "read")


def test_single_file_extensions_are_normalized():
    settings, _ = parse({"storageDefaults": {"singleFile": ["ONNX", ".pt"]}})
    assert settings.storage_defaults.single_file == (".onnx", ".pt")


WRONG = [
    # key, value, pattern of the reason
    ("storageInitializer.image", "a b", "must be an image reference"),
    ("storageInitializer.image", "Registry.example.com/Team/init", "must be an image reference"),
    ("storageInitializer.image", "init:", "must be an image reference"),
    ("storageInitializer.image", "init@sha256:1234", "must be an image reference"),
    ("storageInitializer.cpuLimit", "many", 'must be a quantity of at least 0.*, not "many"'),
    ("storageInitializer.cpuLimit", -1, "must be a quantity of at least 0.*, not -1"),
    ("storageInitializer.cpuLimit", True, "must be an integer|must be a quantity|must be a number"),
    ("storageInitializer.memoryLimit", [1], "must be a string"),
    ("storageInitializer.enableModelcar", "sometimes", 'must be true or false, not "sometimes"'),
    ("storageInitializer.enableModelcar", [], "must be true or false, not \\[\\]"),
    ("storageInitializer.uidModelcar", -1, "must be at least 0, not -1"),
    ("storageInitializer.uidModelcar", 2**31, "must be at most 2147483647"),
    ("storageInitializer.uidModelcar", True, "must be an integer, not true"),
    ("storageInitializer.uidModelcar", "root", 'must be an integer, not "root"'),
    ("storageInitializer.ociModelMode", "lazy", "must be 'modelcar', 'native' or 'fetch', not \"lazy\""),
    ("storageInitializer.caBundleConfigMapName", "Company_CA", "DNS-1123"),
    ("storageInitializer.caBundleConfigMapName", "a" * 254, "at most 253 characters"),
    ("storageInitializer.caBundleVolumeMountPath", "etc/ssl", "must be an absolute path"),
    ("storageInitializer.caBundleVolumeMountPath", "/etc/../root", "without `..`"),
    ("storageInitializer.caBundleVolumeMountPath", "/etc:ro", "without `:`"),
    ("credentials.storageSpecSecretName", "-x", "DNS-1123"),
    ("credentials.storageSecretNameAnnotation", "a/b/c", "the name of an annotation"),
    ("credentials.gcs", "key.json", "must be an object"),
    ("credentials.gcs.gcsCredentialFileName", "../key.json", "a key of letters, digits"),
    ("credentials.s3.s3Region", False, r"must be a string \(use quotes\), not false"),
    ("credentials.s3.s3CABundleConfigMap", "a/b", "DNS-1123"),
    (
        "deploy.deploymentRolloutStrategy.defaultRollout.maxSurge",
        "some",
        "a number of pods, such as 1, or a percentage",
    ),
    ("deploy.deploymentRolloutStrategy.defaultRollout.maxSurge", -1, "a number of pods, such as 1, or a percentage"),
    ("deploy.deploymentRolloutStrategy.defaultRollout.maxUnavailable", "101%", "must be at most 100%"),
    ("deploy.deploymentRolloutStrategy.defaultRollout", {"maxSurge": 0, "maxUnavailable": "0%"}, "not both be 0"),
    ("storageDefaults.redOnly", True, "unknown key; did you mean readOnly"),
    ("storageDefaults.quite", True, "unknown key; known keys: "),
    ("storageDefaults.emptyDir.size", "1Gi", "unknown key; did you mean sizeLimit"),
    ("storageDefaults.emptyDir.sizeLimit", "500m", "must be whole bytes.*500Mi"),
    ("storageDefaults.emptyDir.medium", "memory", "must be '' or 'Memory'"),
    ("storageDefaults.ephemeralStorage", {"request": "2Gi", "limit": "1Gi"}, "request 2Gi is larger than .* limit 1Gi"),
    ("storageDefaults.allowReadWrite", ["Team A"], "must be true, false or a list of namespaces"),
    ("storageDefaults.allowReadWrite", "team-a", "must be true, false or a list of namespaces"),
    ("storageDefaults.singleFile.0", [".tar.gz"], "must not be an archive"),
    ("storageDefaults.singleFile.1", [".pt", "a b"], "must be a file extension"),
    ("storageDefaults.singleFile", ".pt", "must be a list"),
    ("storageDefaults.overrides.image", "registry.example.com/*", "must be a list"),
    ("storageDefaults.overrides.image.0", [""], "must not be empty"),
    ("storageDefaults.overrides.memoryLimit", "1GB", "must be a quantity"),
    ("storageDefaults.mode", "watch", "must be 'enforce' or 'observe'"),
    ("storageDefaults.localModelKey", "id", "must be 'hash' or 'name'"),
    ("storageDefaults.kserveNamespace", "kserve.system", "must be the name of a namespace"),
    ("storageDefaults.securityContext.runAsUser", "1000", 'must be an integer, not "1000"'),
    ("storageDefaults.securityContext.privileged", "false", "must be true or false"),
    ("storageDefaults.securityContext.runAsRoot", True, "unknown key"),
    ("storageDefaults.securityContext.seccompProfile.type", {"type": "Runtime"}, "must be 'RuntimeDefault'"),
    ("storageDefaults.securityContext.capabilities.drop", {"drop": "ALL"}, "must be a list"),
    ("storageDefaults.rollout.podSecurityContext.fsGroup", "0", "must be an integer"),
    ("storageDefaults.rollout.strategy", "Rolling", "must be Recreate, RollingUpdate"),
]


def nested(key, value):
    """Settings with this value at the key. The value can also belong to the parent object or list."""
    parts = key.split(".")
    if parts[-1].isdigit() or (isinstance(value, dict) and parts[-1] in value):
        parts = parts[:-1]
    for part in reversed(parts):
        value = {part: value}
    return value


@pytest.mark.parametrize(("key", "value", "reason"), WRONG)
def test_invalid_values_are_reported_with_key_and_reason(key, value, reason):
    with pytest.raises(SettingsError, match=reason) as raised:
        parse(nested(key, value))
    assert [problem.key for problem in raised.value.problems] == [key]


def test_all_problems_are_reported_together():
    with pytest.raises(SettingsError) as raised:
        parse(
            {
                "storageInitializer": '{"memoryLimit": "1Gx", "uidModelcar": -1}',
                "credentials": "[]",
                "deploy": "{",
                "storageDefaults": "mode: x\nblue: 1",
            }
        )
    assert [problem.key for problem in raised.value.problems] == [
        "storageInitializer.memoryLimit",
        "storageInitializer.uidModelcar",
        "credentials",
        "deploy",
        "storageDefaults.blue",
        "storageDefaults.mode",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "neither JSON nor YAML.*line 2|line 1"),
        ('["image"]', r"must be an object, not \['image'\]"),
        ("image", 'must be an object, not "image"'),
        ("5", "must be an object, not 5"),
        ("a: 1\n---\nb: 2", "must be one YAML document"),
        (True, "must be an object, not true"),
    ],
)
def test_values_that_are_not_objects_are_rejected(text, reason):
    with pytest.raises(SettingsError, match=reason):
        parse({"storageInitializer": text})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"cpuRequest": "2"}, "the cpu request 2 is larger than the cpu limit 1"),
        ({"memoryRequest": "2Gi"}, "the memory request 2Gi is larger than the memory limit 1Gi"),
        ({"memoryLimit": "1Mi"}, "the memory request 100Mi is larger than the memory limit 1Mi"),
    ],
)
def test_requests_larger_than_limits_are_rejected(given, reason):
    with pytest.raises(SettingsError, match=f"^storageInitializer: {reason}$"):
        parse({"storageInitializer": given})


def test_a_limit_of_zero_is_none():
    data = {
        "storageInitializer": {"cpuLimit": "0", "memoryLimit": 0},
        "storageDefaults": {"ephemeralStorage": {"request": "1Gi", "limit": "0Gi"}},
    }
    settings, warnings = parse(data)
    assert settings.storage_initializer.cpu_request == "100m"
    assert warnings == []


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        ({"storageInitializer": {"imagePullPolicy": "Always"}}, "storageInitializer.imagePullPolicy: unknown key"),
        (
            {"storageInitializer": {"cpuLimits": "2"}},
            "storageInitializer.cpuLimits: unknown key; did you mean cpuLimit?",
        ),
        ({"credentials": {"s3": {"s3Zone": "a"}}}, "credentials.s3.s3Zone: unknown key"),
        ({"deploy": {"mode": "x"}}, "deploy.mode: unknown key"),
        ({"storageInitialiser": "{}"}, "storageInitialiser: is ignored; did you mean storageInitializer?"),
        ({"StorageDefaults": "{}"}, "StorageDefaults: is ignored; did you mean storageDefaults?"),
        (
            {"storageInitializer": {"memoryRequest": "100m"}},
            "storageInitializer.memoryRequest: 100m is a fraction of a byte",
        ),
    ],
)
def test_probable_mistakes_are_warnings(data, warning):
    settings, warnings = parse(data)
    assert [str(each)[: len(warning)] for each in warnings] == [warning]
    assert settings.storage_initializer.cpu_limit == "1"


def test_other_keys_of_kserve_are_ignored():
    others = (
        "explainers inferenceService multiNode opentelemetryCollector autoscaler ingress logger batcher agent "
        "router metricsAggregator localModel security service _example"
    ).split()
    assert parse(dict.fromkeys(others, "{")) == (Settings(), [])


def test_settings_are_immutable():
    settings, _ = parse({"storageDefaults": {"overrides": {"image": ["a/*"]}}})
    with pytest.raises(ValidationError, match="frozen"):
        settings.storage_initializer.image = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.storage_defaults = settings.storage_defaults  # type: ignore[misc]
    assert isinstance(settings.storage_defaults.overrides.image, tuple)


def test_messages_are_shortened():
    with pytest.raises(SettingsError) as raised:
        parse({"storageInitializer": {"image": "x " * 10_000, "uidModelcar": [[["x"] * 500] * 500] * 500}})
    assert len(str(raised.value)) < 600


names = st.sampled_from(
    "image cpuLimit memoryRequest enableModelcar uidModelcar s3 gcs s3UseHttps deploymentRolloutStrategy "
    "defaultRollout maxSurge readOnly mode allowReadWrite singleFile securityContext capabilities emptyDir overrides "
    "rollout strategy cache claims x".split()
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["1", "1Gi", "true"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["storageInitializer", "credentials", "deploy", "storageDefaults"]),
        values | st.text(st.sampled_from("{}[]:,\"'&*!-\n ab1"), max_size=20),
        min_size=1,
    )
)
def test_any_data_is_parsed_or_rejected_with_problems(data):
    try:
        settings, _ = parse(data)
    except SettingsError as error:
        assert error.problems
        assert all(problem.key.split(".")[0] in data for problem in error.problems)
    else:
        assert parse(settings.model_dump(mode="json", by_alias=True))[0] == settings


def _problems(data: dict[str, object]) -> list[Problem]:
    with pytest.raises(SettingsError) as raised:
        parse(data)
    return raised.value.problems


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("#" * (MAX_TEXT + 1), "is 131,073 characters long: the maximum is 131,072"),
        ({"a": "x" * (MAX_TEXT + 1)}, "has more than 131,072 characters"),
        ({"x" * (MAX_TEXT + 1): 1}, "has more than 131,072 characters"),
        ("[" + "a," * 3 * MAX_VALUES + "a]", "more than 9,000 values (line 1"),
        ("a: [" + "1," * MAX_VALUES + "1]", "has more than 3,000 values"),
        (json.dumps({"a": [1] * MAX_VALUES}), "has more than 3,000 values"),
        ({"a": {str(number): [1, 2] for number in range(MAX_VALUES // 2)}}, "has more than 3,000 values"),
        ("%TAG !a! b\n" * 102 + "---\n", "more than 100 directives"),
    ],
)
@pytest.mark.parametrize("key", ["storageInitializer", "storageDefaults"])
def test_settings_that_would_cost_much_are_rejected(key: str, value: object, reason: str) -> None:
    assert [problem.key for problem in _problems({key: value})] == [key]
    assert reason in _problems({key: value})[0].reason


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump, dict])
def test_settings_have_the_same_bounds_however_they_are_written(write: Callable[[object], object]) -> None:
    caches = {f"team-{number}": "pvc://models/cache" for number in range(MAX_VALUES - 10)}
    settings, _ = parse({"storageDefaults": write({"cache": caches})})
    assert len(settings.storage_defaults.cache) == len(caches)
    more = caches | {f"more-{number}": "pvc://models/cache" for number in range(10)}
    (problem,) = _problems({"storageDefaults": write({"cache": more})})
    assert "more than 3,000 values" in problem.reason


@pytest.mark.parametrize(
    "value",
    [
        {f"readOnl{number}": 1 for number in range(1_000)},
        {"overrides": {"image": [{}] * 1_000}},
        {"cache": {"n" * 200 + str(number): 1 for number in range(300)}},
        {"x" * 1_000 + str(number): 1 for number in range(100)},
    ],
)
def test_the_message_about_many_problems_is_short(value: object) -> None:
    problems = _problems({"storageDefaults": value})
    assert len(problems) <= MAX_PROBLEMS
    assert len("; ".join(map(str, problems))) < 20_000
    if len(problems) == MAX_PROBLEMS:
        assert " more problems)" in problems[-1].reason


def test_many_warnings_are_few() -> None:
    _, warnings = parse({"storageInitializer": {f"imag{number}": 1 for number in range(1_000)}})
    assert len(warnings) == MAX_PROBLEMS
    assert "980 more problems" in warnings[-1].reason
