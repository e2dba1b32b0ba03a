"""`mutate`: several files and directories, pod templates wherever they are, and annotations that reach no pod."""

import copy
import json
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import yamls
from tests.cli.running import run, written
from tests.serving import pod, review
from tests.strategies import pods, spoiled
from webhook.offline import manifests

URI = "storage.kserve.io/uri"


def model_pod(name="iris", uri="pvc://models/iris"):
    return json.dumps(pod(uri=uri) | {"metadata": {"name": name, "annotations": {URI: uri}}})


def template(**annotations):
    return {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "server", "image": "s:1"}]}}


def custom(spec, kind="RayCluster", group="ray.io", **metadata):
    return {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "llama", **metadata}, "spec": spec}


# --- Files and directories


def test_every_file_is_read_in_order(tmp_path):
    first, second = written(tmp_path, model_pod("a"), "a.yaml"), written(tmp_path, model_pod("b"), "b.json")
    for arguments, env in ((["-f", first, "-f", second], {}), ([], {"STORAGE_WEBHOOK_FILE": f"{first}:{second}"})):
        documents = yamls.documents(run("mutate", *arguments, env=env).stdout)
        assert [each["metadata"]["name"] for each in documents] == ["a", "b"]
        assert all("volumes" in each["spec"] for each in documents)


def test_standard_input_can_be_one_of_them(tmp_path):
    path = written(tmp_path, model_pod("a"))
    documents = yamls.documents(run("mutate", "-f", path, "-f", "-", stdin=model_pod("b")).stdout)
    assert [each["metadata"]["name"] for each in documents] == ["a", "b"]


def test_a_directory_has_its_manifests_and_with_recursive_those_below(tmp_path):
    for name in ("b.yml", "a.yaml", "notes.txt", "c/d.json"):
        written(tmp_path, model_pod(name.replace("/", "-").replace(".", "-")), name)
    for options, names in (([], ["a-yaml", "b-yml"]), (["-R"], ["a-yaml", "b-yml", "c-d-json"])):
        documents = yamls.documents(run("mutate", "-f", str(tmp_path), *options).stdout)
        assert [each["metadata"]["name"] for each in documents] == names


def test_a_directory_without_manifests_is_an_error(tmp_path):
    written(tmp_path, model_pod(), "below/a.yaml")
    result = run("mutate", "-f", str(tmp_path))
    assert result.exit_code == 2
    assert str(tmp_path) in result.stderr
    assert "-R" in result.stderr


def test_with_several_files_each_line_names_its_own(tmp_path):
    files = [written(tmp_path, model_pod(name), f"{name}.json") for name in ("a", "b")]
    explained = run("mutate", "-f", str(tmp_path), "--explain").stdout.splitlines()
    assert [line.partition(": ")[0] for line in explained] == files
    assert f"note: {files[1]}: Pod b: the model is mounted" in run("mutate", "-f", str(tmp_path)).stderr


def test_the_unusable_file_of_several_is_named(tmp_path):
    good, bad = written(tmp_path, model_pod()), written(tmp_path, "a: [", "bad.yaml")
    result = run("mutate", "-f", good, "-f", bad)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{bad}: ")


# --- Pod templates


MODEL = {URI: "pvc://models/llama"}
WITH_TEMPLATES = [
    (custom({"headGroupSpec": {"template": template(**MODEL)}}), ["spec.headGroupSpec.template"]),
    (
        custom(
            {
                "headGroupSpec": {"template": template()},
                "workerGroupSpecs": [{"template": template()}, {"template": template(**MODEL)}],
            }
        ),
        ["spec.workerGroupSpecs[1].template"],
    ),
    (
        custom({"rayClusterConfig": {"headGroupSpec": {"template": template(**MODEL)}}}, "RayService"),
        ["spec.rayClusterConfig.headGroupSpec.template"],
    ),
    (
        custom(
            {"leaderWorkerTemplate": {"leaderTemplate": template(**MODEL), "workerTemplate": template(**MODEL)}},
            "LeaderWorkerSet",
            "leaderworkerset.x-k8s.io",
        ),
        ["spec.leaderWorkerTemplate.leaderTemplate", "spec.leaderWorkerTemplate.workerTemplate"],
    ),
    (
        custom({"replicatedJobs": [{"template": {"spec": {"template": template(**MODEL)}}}]}, "JobSet"),
        ["spec.replicatedJobs[0].template.spec.template"],
    ),
    (
        custom({"mpiReplicaSpecs": {"Worker": {"template": template(**MODEL)}}}, "MPIJob", "kubeflow.org"),
        ["spec.mpiReplicaSpecs.Worker.template"],
    ),
    (custom({"template": template(**MODEL)}, "Service", "serving.knative.dev"), ["spec.template"]),
    (custom({"template": template(**MODEL)}, "Rollout", "argoproj.io"), ["spec.template"]),
]


@pytest.mark.parametrize(
    ("document", "paths"), WITH_TEMPLATES, ids=lambda value: value["kind"] if isinstance(value, dict) else ""
)
def test_a_pod_template_of_any_kind_gets_what_its_pods_get(document, paths):
    result = run("mutate", "-o", "json", stdin=json.dumps(document))
    assert result.exit_code == 0, result.stderr
    expected = copy.deepcopy(document)
    for path in paths:
        holder = expected
        *parents, last = path.replace("[", ".").replace("]", "").split(".")
        for key in parents:
            holder = holder[int(key) if key.isdigit() else key]
        as_pod = {"apiVersion": "v1", "kind": "Pod", **holder[last]}
        mutated = json.loads(run("mutate", "-o", "json", stdin=json.dumps(as_pod)).stdout)
        holder[last] = {"metadata": mutated["metadata"], "spec": mutated["spec"]}
        assert f"{document['kind']} llama, {path}: " in result.stderr
    assert json.loads(result.stdout) == expected


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3) | st.just("POD TEMPLATE"),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=12,
    )
)
def test_every_template_is_found_and_nothing_else_changes(spec):
    def with_templates(value, made):
        if value == "POD TEMPLATE":
            return made
        if isinstance(value, dict):
            return {key: with_templates(child, made) for key, child in value.items()}
        return [with_templates(child, made) for child in value] if isinstance(value, list) else value

    document = custom({"of": [with_templates(spec, template())]})
    edited = manifests.edit_pods(document, lambda _, owner: "edited")
    assert edited == custom({"of": [with_templates(spec, "edited")]})


@pytest.mark.parametrize(
    "document",
    [
        {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "ServingRuntime", "spec": {"containers": [{"name": "c"}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "iris"}, "spec": {"ports": [{"name": "http"}]}},
        custom({"template": {"spec": {"containers": "none"}}}),
        custom({"template": {"spec": {"containers": ["c"]}}}),
    ],
)
def test_what_is_no_pod_template_is_unchanged(document):
    assert json.loads(run("mutate", "-o", "json", stdin=json.dumps(document)).stdout) == document


# --- Explanations


def explained(document, *options):
    result = run("mutate", "--explain", *options, stdin=document if isinstance(document, str) else json.dumps(document))
    return result, result.stdout.splitlines()


def test_each_pod_has_one_line_also_when_others_changed():
    plain = {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": template()}}
    denied = {"kind": "Job", "metadata": {"name": "bad"}, "spec": {"template": template(**{URI: "pvc://"})}}
    odd = pod(uri="s3://b/m", readonly="perhaps")
    result, lines = explained("---\n".join(json.dumps(each) + "\n" for each in (plain, denied, odd)))
    assert result.exit_code == 1
    assert [line.split(": ")[:2] for line in lines] == [
        ["Deployment web", "skipped (no-uri)"],
        ["Job bad", "denied"],
        ["Pod iris", "injected"],
    ]
    assert "spec.template.metadata.annotations has no storage.kserve.io/uri or storage.kserve.io/uris" in lines[0]
    assert 'spec.template.metadata.annotations has storage.kserve.io/uri "pvc://"' in lines[1]
    assert "containers: server" in lines[2]
    assert "warning: annotation storage.kserve.io/readonly" in lines[2]


def test_an_internal_annotation_without_the_label_of_kserve_is_explained():
    internal = "internal.serving.kserve.io/storage-initializer-sourceuri"
    given = pod()
    given["metadata"]["annotations"] = {internal: "s3://b/m"}
    _, (line,) = explained(given)
    assert "skipped (no-uri)" in line
    assert f"{internal} counts only with the label serving.kserve.io/inferenceservice" in line


def test_every_pod_of_a_list_and_of_a_review_is_explained():
    _, lines = explained({"kind": "PodList", "items": [pod(uri="s3://b/m"), pod()]})
    assert len(lines) == 2
    _, (line,) = explained(review(pod(uri="s3://b/m")))
    assert "request.object.metadata.annotations has" in line


WRAPPED = [
    lambda pod: pod,
    lambda pod: {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": pod}},
    lambda pod: custom({"workers": [pod]}),
    lambda pod: {"apiVersion": "v1", "kind": "List", "items": [pod, pod]},
    review,
]


@settings(max_examples=150)
@given(st.sampled_from(WRAPPED).flatmap(lambda wrapped: pods().map(wrapped)).flatmap(spoiled), st.data())
def test_an_object_with_any_values_is_explained_or_denied(document, data):
    options = data.draw(
        st.sampled_from([["--explain"], ["--explain", "--deployments"], ["-o", "diff"], ["-o", "patch"]])
    )
    result = run("mutate", *options, stdin=json.dumps(document))
    assert isinstance(result.exception, SystemExit | None), result.exc_info
    assert result.exit_code in (0, 1, 2)


def test_a_password_in_a_uri_is_not_printed():
    _, (line,) = explained(pod(uri="https://user:hunter2@host/m"))
    assert "hunter2" not in line


# --- Annotations that reach no pod


def advice(document):
    """The lines of advice and the command to run next, without their prefixes."""
    lines = run("mutate", "-o", "json", stdin=json.dumps(document)).stderr.splitlines()
    commands = [line.removeprefix("next: ").partition("cluster: ")[2] for line in lines if line.startswith("next: ")]
    return [line for line in lines if line.startswith("warning: ")], commands


def test_a_patch_moves_an_annotation_to_the_template():
    given = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "iris", "namespace": "models", "annotations": {URI: "s3://it's/a"}},
        "spec": {"template": template()},
    }
    (warning,), (command,) = advice(given)
    assert "on the Deployment" in warning
    *words, patch = shlex.split(command)
    assert words == "kubectl patch deployment.apps/iris --namespace models --type merge --patch".split()
    assert json.loads(patch) == {"spec": {"template": {"metadata": {"annotations": {URI: "s3://it's/a"}}}}}


@pytest.mark.parametrize(
    ("document", "command"),
    [
        (
            {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": template()}},
            "kubectl replace --force -f FILE, with the corrected manifest",
        ),
        (custom({"workers": [template()]}), "kubectl edit raycluster.ray.io/iris"),
    ],
)
def test_what_a_patch_cannot_do_has_another_command(document, command):
    warnings, commands = advice(document | {"metadata": {"name": "iris", "annotations": {URI: "s3://b/m"}}})
    assert len(warnings) == 1
    assert commands == [command]


def test_a_password_is_not_part_of_a_command():
    given = custom({"template": template()}, annotations={URI: "https://user:hunter2@host/m"})
    warnings, commands = advice(given)
    assert commands == ["kubectl edit raycluster.ray.io/llama"]
    assert "hunter2" not in "".join(warnings)


@pytest.mark.parametrize(
    ("kind", "selector"),
    [
        ("InferenceService", "--namespace models --selector serving.kserve.io/inferenceservice=llama "),
        ("ServingRuntime", "--namespace models --selector serving.kserve.io/inferenceservice "),
        ("ClusterServingRuntime", "--all-namespaces --selector serving.kserve.io/inferenceservice "),
        ("LLMInferenceService", "app.kubernetes.io/part-of=llminferenceservice,app.kubernetes.io/name=llama "),
    ],
)
def test_an_object_whose_pods_kserve_creates_has_the_command_that_shows_them(kind, selector):
    namespace = {} if kind.startswith("Cluster") else {"namespace": "models"}
    result, lines = explained(custom({"containers": [{"name": "c"}]}, kind, "serving.kserve.io", **namespace))
    assert (result.exit_code, lines) == (0, [])
    assert f"next: {kind} llama: KServe creates its pods" in result.stderr
    assert "kubectl get pods " in result.stderr
    assert selector in result.stderr


def test_an_annotation_of_a_runtime_moves_to_its_spec():
    key = "storage.kserve.io/memory-limit"
    (warning,), commands = advice(custom({}, "ServingRuntime", "serving.kserve.io", annotations={key: "16Gi"}))
    assert f"annotation {key} has no effect in metadata.annotations: move to spec.annotations" in warning
    assert json.loads(shlex.split(commands[0])[-1]) == {"spec": {"annotations": {key: "16Gi"}}}
    moved = custom({"annotations": {key: "16Gi"}}, "ServingRuntime", "serving.kserve.io", annotations={key: "16Gi"})
    assert advice(moved)[0] == []


def test_an_annotation_of_an_object_without_pods_is_named():
    result = run("mutate", stdin=json.dumps(custom({}, "Service", "v1", annotations={URI: "s3://b/m"})))
    assert f"warning: Service llama: annotation {URI} has no effect on the Service" in result.stderr
    assert "kubectl get pods --output yaml | storage-webhook mutate --explain -f -" in result.stderr


PLACES = {
    "spec.template.annotations": lambda given: given["spec"]["template"],
    "spec.template.spec.annotations": lambda given: given["spec"]["template"]["spec"],
    "spec.template.spec.containers[0].annotations": lambda given: given["spec"]["template"]["spec"]["containers"][0],
    "spec.annotations": lambda given: given["spec"],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Rollout"])
def test_an_annotation_at_any_wrong_place_is_named_with_the_right_one(kind, place):
    given = {"apiVersion": "g/v1", "kind": kind, "metadata": {"name": "iris"}, "spec": {"template": template()}}
    PLACES[place](given)["annotations"] = {URI: "s3://b/m"}
    (warning,), (command,) = advice(given)
    assert f"in {place}" in warning
    assert "move to spec.template.metadata.annotations" in warning
    assert json.loads(shlex.split(command)[-1]) == {
        "spec": {"template": {"metadata": {"annotations": {URI: "s3://b/m"}}}}
    }


@pytest.mark.parametrize("place", [("annotations",), ("metadata",), ("spec", "annotations")])
def test_a_pod_with_an_annotation_at_a_wrong_place_is_created_again(place):
    given = pod()
    holder = given
    for key in place:
        holder = holder.setdefault(key, {})
    holder[URI] = "s3://b/m"
    (warning,), (command,) = advice(given)
    assert f"in {'.'.join(place)}: move to metadata.annotations" in warning
    assert command.startswith("kubectl replace --force")


def test_the_nearest_of_several_templates_is_named():
    workers = [template(), template()]
    workers[1]["annotations"] = {URI: "s3://b/m"}
    (warning,), _ = advice(custom({"head": template(), "workers": workers}))
    assert "spec.workers[1].annotations" in warning
    assert "move to spec.workers[1].metadata.annotations" in warning


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({"podMetadata": {"annotations": {URI: "s3://b/m"}}}, "spec.podMetadata.annotations"),
        (
            {"templates": [{"metadata": {"annotations": {URI: "s3://b/m"}}, "container": {"image": "a"}}]},
            "spec.templates[0].metadata.annotations",
        ),
        (
            # Knative gives the container its name.
            {"template": {"metadata": {"annotations": {URI: "s3://b/m"}}, "spec": {"containers": [{"image": "a"}]}}},
            "spec.template.metadata.annotations",
        ),
    ],
)
def test_an_annotation_that_a_controller_may_copy_is_named_with_the_command_that_shows_its_pods(spec, place):
    result, lines = explained(custom(spec, "Workflow", "argoproj.io"))
    assert lines == []
    assert f"only if the controller copies it to pods: {place}" in result.stderr
    assert result.stderr.count("kubectl get pods --output yaml | storage-webhook mutate --explain -f -") == 1


@pytest.mark.parametrize(
    "document",
    [
        pod(uri="s3://b/m"),
        {"kind": "Namespace", "metadata": {"labels": {"storage.kserve.io/inject": "disabled"}}},
        {"kind": []},
    ],
)
def test_what_is_in_its_place_needs_no_advice(document):
    assert advice(document) == ([], [])
