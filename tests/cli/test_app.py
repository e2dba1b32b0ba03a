"""The command line: output, messages, exit codes and start-up."""

import json
import re
import subprocess
import sys

import click
import jsonpatch
import pytest

from tests import yamls
from tests.cli.running import COMMAND, run, storage_webhook, written
from tests.golden import injected_cases
from tests.serving import pod, review

DEPLOYMENT = """\
# A comment
apiVersion: apps/v1
kind: Deployment
metadata:
  name: iris
  annotations: {built: "2024-01-01", commit: '12e03', ok: "yes"}
spec:
  template:
    metadata:
      annotations: {storage.kserve.io/uri: s3://models/iris}
    spec:
      containers:
        - name: server
          image: registry.example.com/server:1
          env: [{name: PORT, value: "8080"}]
"""
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  storageInitializer: |
    {"image": "registry.example.com/initializer:2"}
  storageDefaults: |
    mode: %s
"""


# --- mutate: output


def test_a_plain_deployment_gets_its_model():
    result = run("mutate", stdin=DEPLOYMENT)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "note: Deployment iris: the model is mounted in server (annotation storage.kserve.io/containers overrides this)"
    ]
    mutated = yamls.document(result.stdout)
    spec = mutated["spec"]["template"]["spec"]
    assert spec["initContainers"][0]["args"] == ["s3://models/iris", "/mnt/models"]
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": "kserve-provision-location", "mountPath": "/mnt/models", "readOnly": True}
    ]


def test_a_kserve_pod_gets_its_single_file():
    model_pod = pod()
    model_pod["metadata"]["labels"] = {"serving.kserve.io/inferenceservice": "iris"}
    model_pod["metadata"]["annotations"] = {
        "internal.serving.kserve.io/storage-initializer-sourceuri": "pvc://models/iris/model.joblib"
    }
    model_pod["spec"]["containers"][0]["name"] = "kserve-container"
    result = run("mutate", "-o", "json", stdin=json.dumps(model_pod))
    (mount,) = json.loads(result.stdout)["spec"]["containers"][0]["volumeMounts"]
    assert mount == {
        "name": "kserve-pvc-source",
        "mountPath": "/mnt/models/model.joblib",
        "subPath": "iris/model.joblib",
        "readOnly": True,
    }


@pytest.mark.parametrize("case", injected_cases(), ids=lambda case: case.name)
def test_the_command_line_gives_the_same_result_as_the_server(case, tmp_path):
    options = ["-n", case.namespace]
    for name, option in (("settings.yaml", "--settings=file:{}"), ("facts.yaml", "--facts={}")):
        if (case.path / name).exists():
            options.append(option.format(case.path / name))
    result = run("mutate", *options, "-o", "json", stdin=json.dumps(case.pod))
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == case.outcome()["pod"]


def test_quoted_strings_and_dates_are_preserved():
    annotations = yamls.document(run("mutate", stdin=DEPLOYMENT).stdout)["metadata"]["annotations"]
    assert annotations == {"built": "2024-01-01", "commit": "12e03", "ok": "yes"}
    assert "commit: '12e03'" in run("mutate", stdin=DEPLOYMENT).stdout


def test_several_documents_stay_several():
    service = "kind: Service\nmetadata: {name: iris}\n"
    result = run("mutate", stdin=f"---\n{service}---\n{DEPLOYMENT}---\n# nothing\n---\n3\n")
    first, second, third = yamls.documents(result.stdout)
    assert first == yamls.document(service)
    assert second["spec"]["template"]["spec"]["initContainers"]
    assert third == 3


def test_several_documents_are_a_list_in_json():
    listed = json.loads(run("mutate", "-o", "json", stdin=f"{DEPLOYMENT}---\n{DEPLOYMENT}").stdout)
    assert (listed["kind"], len(listed["items"])) == ("List", 2)


def test_a_review_stays_a_review():
    result = run("mutate", "-o", "json", stdin=json.dumps(review(pod(uri="s3://b/m"))))
    assert json.loads(result.stdout)["request"]["object"]["spec"]["initContainers"]


def test_each_document_has_a_patch():
    result = run("mutate", "-o", "patch", stdin=f"{DEPLOYMENT}---\nkind: Service\n")
    first, second = map(json.loads, result.stdout.splitlines())
    mutated = yamls.document(run("mutate", stdin=DEPLOYMENT).stdout)
    assert jsonpatch.apply_patch(yamls.document(DEPLOYMENT), first) == mutated
    assert second == []


def test_the_diff_shows_what_changed():
    lines = run("mutate", "-o", "diff", stdin=DEPLOYMENT).stdout.splitlines()
    assert lines[:2] == ["--- Deployment iris", "+++ Deployment iris, mutated"]
    assert "+        - s3://models/iris" in lines
    assert not any(line.startswith("-") for line in lines[2:])
    assert not any("built" in line for line in lines)


def test_an_unchanged_document_has_an_empty_diff():
    assert run("mutate", "-o", "diff", stdin="kind: Service\n").stdout == ""


@pytest.mark.parametrize("output", ["yaml", "json", "patch", "diff"])
def test_input_without_documents_is_accepted(output):
    result = run("mutate", "-o", output, stdin="# nothing\n")
    assert result.exit_code == 0


def test_the_namespace_option_applies_to_manifests_without_one(tmp_path):
    settings = written(tmp_path, 'storageDefaults: {"allowReadWrite": ["research"]}', "settings.yaml")
    writing = json.loads(json.dumps(pod(uri="pvc://c/m", readonly="false")))
    options = ["mutate", "--settings", f"file:{settings}", "-n", "research"]
    assert run(*options, stdin=json.dumps(writing)).exit_code == 1
    del writing["metadata"]["namespace"]
    assert run(*options, stdin=json.dumps(writing)).exit_code == 0


def test_settings_from_a_file(tmp_path):
    settings = written(tmp_path, CONFIG_MAP % "enforce", "settings.yaml")
    result = run("mutate", "--settings", f"file:{settings}", stdin=DEPLOYMENT)
    assert "image: registry.example.com/initializer:2" in result.stdout


def test_observe_mode_changes_nothing_and_warns(tmp_path):
    settings = written(tmp_path, CONFIG_MAP % "observe", "settings.yaml")
    denied = DEPLOYMENT.replace("s3://models/iris", "pvc://")
    result = run("mutate", "-o", "patch", "--settings", f"file:{settings}", stdin=denied)
    assert (result.exit_code, result.stdout) == (0, "[]\n")
    assert "warning: Deployment iris: would be denied: annotation storage.kserve.io/uri" in result.stderr


# --- mutate: messages


def test_a_denial_names_the_document_and_prints_no_manifest():
    wrong = DEPLOYMENT.replace("s3://models/iris", "pvc://Claim/x").replace("name: iris", "name: wrong")
    result = run("mutate", stdin=f"{DEPLOYMENT}---\n{wrong}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith('denied: Deployment wrong: annotation storage.kserve.io/uri "pvc://Claim/x"')


def test_a_warning_does_not_stop_the_mutation():
    result = run("mutate", stdin=DEPLOYMENT.replace("uri: s3://models/iris", "uri: s3://m, storage.kserve.io/urii: x"))
    assert result.exit_code == 0
    assert "warning: Deployment iris: annotation" in result.stderr
    assert "did you mean storage.kserve.io/uri" in result.stderr


def workload(kind, path, *, own=None, template=None):
    """A workload with these annotations on itself and on its pod template at `path`."""
    found = {"metadata": {"annotations": template or {}}, "spec": {"containers": [{"name": "server", "image": "s:1"}]}}
    for key in reversed(path):
        found = {key: found}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "iris", "annotations": own or {}}, **found}


URI = "storage.kserve.io/uri"
POD_PATHS = {
    **dict.fromkeys("Deployment StatefulSet DaemonSet ReplicaSet ReplicationController Job".split(), "spec.template"),
    "CronJob": "spec.jobTemplate.spec.template",
    "PodTemplate": "template",
}


@pytest.mark.parametrize("template", [{}, {"storage.kserve.io/readonly": "true"}])
@pytest.mark.parametrize(("kind", "path"), POD_PATHS.items())
def test_an_annotation_that_belongs_on_the_pod_template_is_named(kind, path, template):
    given = workload(kind, path.split("."), own={URI: "s3://models/iris"}, template=template)
    result = run("mutate", stdin=json.dumps(given))
    assert result.exit_code == 0
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert warning.startswith(f"warning: {kind} iris: annotation {URI} ")
    assert f"on the {kind}" in warning
    assert f"{path}.metadata.annotations" in warning


@pytest.mark.parametrize("form", ["review", "list", "typed list", "--deployments"])
def test_an_annotation_that_belongs_on_the_pod_template_is_named_in_every_form_of_input(form):
    given = workload(
        "Deployment", ("spec", "template"), own={"storage.kserve.io/mount-path": "/m"}, template={URI: "hf://m"}
    )
    documents = {
        "review": review(given, kind={"kind": "Deployment"}),
        "list": {"kind": "List", "items": [given]},
        "typed list": {"kind": "DeploymentList", "items": [{key: given[key] for key in ("metadata", "spec")}]},
    }
    options = ["--deployments"] if form in ("--deployments", "review") else []
    result = run("mutate", *options, stdin=json.dumps(documents.get(form, given)))
    assert "Deployment iris: annotation storage.kserve.io/mount-path" in result.stderr
    assert "spec.template.metadata.annotations" in result.stderr


@pytest.mark.parametrize(
    ("own", "template"),
    [
        ({URI: "s3://models/iris"}, {URI: "s3://models/iris"}),
        ({"storage.kserve.io/rollout-strategy": "Recreate"}, {URI: "s3://models/iris"}),
        ({"storage.kserve.io/progress-deadline": "30m"}, {URI: "s3://models/iris"}),
        ({"kubectl.kubernetes.io/restartedAt": "now"}, {URI: "s3://models/iris"}),
    ],
)
def test_an_annotation_in_the_right_place_is_not_named(own, template):
    given = workload("Deployment", ("spec", "template"), own=own, template=template)
    assert "warning" not in run("mutate", stdin=json.dumps(given)).stderr


def test_the_reason_is_printed_when_nothing_changes():
    result = run("mutate", stdin=DEPLOYMENT.replace("storage.kserve.io/uri", "note"))
    assert result.stderr == "unchanged: Deployment iris: The pod does not request a model.\n"
    assert yamls.document(result.stdout)["kind"] == "Deployment"
    result = run("mutate", stdin="kind: Service\n")
    assert result.stderr == "unchanged: no pod and no pod template in standard input.\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "neither JSON nor YAML"),
        ("[" * 1000, "nested deeper"),
        ("a: !!python/object:x {}", "neither JSON nor YAML"),
        ("\x00", "neither JSON nor YAML"),
    ],
)
def test_unreadable_input_is_reported(tmp_path, text, words):
    path = written(tmp_path, text)
    result = run("mutate", "-f", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{path}: ")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_missing_file_is_reported(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        for option in (["mutate", "-f"], ["check-settings", "-f"], ["mutate", "--facts"]):
            result = run(*option, str(path), stdin=DEPLOYMENT)
            assert result.exit_code == 2
            assert str(path) in result.stderr
            assert "Traceback" not in result.stderr


def test_a_binary_file_is_reported(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(b"\x89PNG\xff")
    assert run("mutate", "-f", str(path)).stderr == f"{path}: not UTF-8 text\n"


def test_invalid_settings_are_reported_with_file_key_and_reason(tmp_path):
    settings = written(tmp_path, 'storageDefaults: {"readonly2": true}', "settings.yaml")
    result = run("mutate", "--settings", f"file:{settings}", stdin=DEPLOYMENT)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{settings}: storageDefaults.readonly2: unknown key; did you mean readOnly?")


@pytest.mark.parametrize("content", [None, "a: b: c", "[" * 2000])
def test_an_unusable_settings_file_is_named_once(content, tmp_path):
    settings = written(tmp_path, content, "settings.yaml") if content else tmp_path / "absent.yaml"
    result = run("mutate", "--settings", f"file:{settings}", stdin=DEPLOYMENT)
    assert result.exit_code == 2
    assert result.stderr.count(str(settings)) == 1


@pytest.mark.parametrize("source", ["configmap:kserve/x", "nonsense", "file:", ""])
def test_settings_sources_that_need_a_cluster_are_rejected(source):
    result = run("mutate", "--settings", source, stdin=DEPLOYMENT)
    assert result.exit_code == 2
    assert "embedded" in result.stderr
    assert "file:PATH" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["mutate", "-o", "xml"], ["mutate", "--nope"], ["serve", "--port", "99999"], ["x"]]
)
def test_usage_errors_exit_with_2(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


# --- check-settings


def test_valid_settings_are_printed_with_defaults(tmp_path):
    result = run("check-settings", "-f", written(tmp_path, CONFIG_MAP % "enforce"))
    assert (result.exit_code, result.stderr) == (0, "")
    effective = yamls.document(result.stdout)
    assert effective["storageInitializer"]["image"] == "registry.example.com/initializer:2"
    assert effective["storageInitializer"]["cpuLimit"] == "1"
    assert run("check-settings", stdin=result.stdout).stdout == result.stdout


def test_every_invalid_key_is_reported(tmp_path):
    bad = "storageDefaults: {mode: sometimes, readonli: true}\nstorageInitializer: {cpuLimit: lots}"
    result = run("check-settings", stdin=bad)
    assert (result.exit_code, result.stdout) == (1, "")
    for key in ("storageDefaults.mode", "storageDefaults.readonli", "storageInitializer.cpuLimit"):
        assert f"error: {key}: " in result.stderr


def test_unknown_keys_of_kserve_are_warnings_or_errors_when_strict():
    unknown = "storageInitializer: {enableFlying: true}"
    result = run("check-settings", stdin=unknown)
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: storageInitializer.enableFlying: ")
    result = run("check-settings", "--strict", stdin=unknown)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: storageInitializer.enableFlying: ")


ACCESS = "storageDefaults: {access: [{paths: [private], allow: none}, {serviceAccounts: [trainer], allow: readWrite}]}"


@pytest.mark.parametrize(
    ("requester", "uri", "expected"),
    [
        ("models/default", "pvc://models/private/a", "none (storageDefaults.access[0])"),
        ("models/default", "pvc://models", "none (storageDefaults.access[0])"),
        ("models/trainer", "pvc://models/a", "readWrite (storageDefaults.access[1])"),
        ("models/default", "s3://models/a", "read (storageDefaults.access, of which no rule matches)"),
    ],
)
def test_what_pods_may_do_is_printed_with_the_rule(requester, uri, expected):
    result = run("check-settings", "--as", requester, "--uri", uri, "--uri", "hf://a/b", stdin=ACCESS)
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first == f"{uri}: {expected}"
    assert second.startswith("hf://a/b: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--as", "models/default"], "belong together"),
        (["--uri", "pvc://a"], "belong together"),
        (["--as", "models", "--uri", "pvc://a"], "<namespace>/<service account>"),
        (["--as", "models/default", "--uri", "pvc://a/../b"], "'..'"),
        (["--as", "models/default", "--uri", ""], "is empty"),
    ],
)
def test_a_question_that_cannot_be_answered_is_rejected(arguments, words):
    result = run("check-settings", *arguments, stdin=ACCESS)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


@pytest.mark.parametrize("text", ["", "kind: Secret", "- a", "a: ["])
def test_input_without_a_configmap_is_rejected(text):
    result = run("check-settings", stdin=text)
    assert result.exit_code in (1, 2)
    assert result.stderr
    assert "Traceback" not in result.stderr


# --- audit, certs, cache: errors


def test_an_audit_of_an_unreachable_cluster_fails(tmp_path):
    nobody = """
    apiVersion: v1
    kind: Config
    clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
    contexts: [{name: c, context: {cluster: c}}]
    current-context: c
    """
    result = run("audit", "-A", env={"KUBECONFIG": written(tmp_path, nobody)})
    assert result.exit_code == 2
    assert result.stderr == "the API server cannot be reached (NewConnectionError): try again\n"


def test_an_unreachable_webhook_is_reported_with_advice():
    result = run("certs", "show", "--address", "127.0.0.1:1")
    assert result.exit_code == 2
    assert "127.0.0.1:1: cannot read the serving certificate: Connection refused" in result.stderr
    assert "--address" in result.stderr


def test_a_missing_cache_is_reported(tmp_path):
    result = run("cache", "list", str(tmp_path / "absent"))
    assert result.exit_code == 2
    assert f"{tmp_path}/absent: No such file or directory: use the directory of a mounted claim" in result.stderr


# --- serve: start-up errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--tls-cert-file", "--dev"]),
        (["--tls-cert-file", "a"], ["--tls-key-file"]),
        (["--tls-cert-file", "absent.crt", "--tls-key-file", "absent.key"], ["absent.crt", "no such file"]),
        (["--dev", "--client-ca-file", "absent.ca"], ["absent.ca", "no such file"]),
        (["--dev", "--settings", "nonsense"], ["nonsense", "embedded", "file:PATH", "configmap:NAMESPACE/NAME"]),
        (["--dev", "--settings", "configmap:kserve"], ["configmap:NAMESPACE/NAME"]),
        (["--dev", "--settings", "file:absent.yaml"], ["absent.yaml", "No such file"]),
        *((["--dev", "--host", host], [host, "loopback"]) for host in ("0.0.0.0", "::", "10.0.0.1", "a.example")),
    ],
)
def test_start_up_errors_name_what_to_change(arguments, words, in_this_process):
    finished = run("serve", *arguments)
    assert finished.exit_code == 2
    assert isinstance(finished.exception, SystemExit)
    for word in words:
        assert word in finished.stderr


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_an_address_that_cannot_be_used_is_named(host, authority, tmp_path, in_this_process):
    certificate, key = authority.issue(tmp_path)
    finished = run("serve", "--host", host, "--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    assert finished.exit_code == 2
    assert f"cannot listen on {host}" in finished.stderr


@pytest.fixture
def in_this_process(monkeypatch):
    """Run the command in this process: without exiting, and without configuring logs."""
    monkeypatch.setattr("webhook.server.run.exit_process", sys.exit)
    monkeypatch.setattr("webhook.server.logs.configure", lambda *_: None)


def test_the_server_does_not_start_with_invalid_settings(tmp_path):
    settings = written(tmp_path, "storageInitializer: {cpuLimit: lots}\nstorageDefaults: {readonli: true}")
    finished = storage_webhook("serve", "--dev", "--port", "0", "--settings", f"file:{settings}")
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr + finished.stdout
    assert "storageInitializer.cpuLimit: " in finished.stderr
    assert "storageDefaults.readonli: " in finished.stderr


# --- The command


def test_python_m_webhook_reads_options_from_the_environment(tmp_path):
    path = written(tmp_path, DEPLOYMENT)
    finished = storage_webhook("mutate", STORAGE_WEBHOOK_FILE=path, STORAGE_WEBHOOK_OUTPUT="patch")
    assert finished.returncode == 0
    assert json.loads(finished.stdout)


HEAVY = (
    "kubernetes.client",
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "cryptography",
    "prometheus_client",
    "structlog",
)


def test_mutate_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from webhook.__main__ import main\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    settings = written(tmp_path, CONFIG_MAP % "enforce")
    finished = subprocess.run(
        [sys.executable, "-c", code, "mutate", "--settings", f"file:{settings}"],
        input=DEPLOYMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "initContainers" in finished.stdout
    assert finished.stderr.splitlines()[-1] == "[]"


def _options(command, path=()):
    if isinstance(command, click.Group) or hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _options(inner, (*path, name))
    for parameter in command.params:
        if path and parameter.name != "help" and parameter.param_type_name == "option":
            yield pytest.param(parameter, path, id=" ".join((*path, parameter.name)))


@pytest.mark.parametrize(("parameter", "path"), list(_options(COMMAND)))
def test_every_option_has_an_environment_variable(parameter, path):
    (*_, long) = parameter.opts
    name = long.removeprefix("--").upper().replace("-", "_")
    prefix = "CACHE_" if path[0] == "cache" else ""
    assert parameter.envvar == f"STORAGE_WEBHOOK_{prefix}{name}"


@pytest.mark.parametrize("command", [[], ["serve"], ["mutate"], ["check-settings"]], ids=" ".join)
def test_help_is_printed(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)
