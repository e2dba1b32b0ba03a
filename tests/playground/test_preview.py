"""The preview: what `mutate` does, as data, with limits for the input."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import pod
from webhook.offline import manifests
from webhook.offline.facts_file import FactsFile
from webhook.offline.mutator import Mutator
from webhook.playground.examples import DIRECTORY, examples
from webhook.playground.preview import MAX_OBJECTS, InvalidInput, PreviewRequest, preview
from webhook.settings.model import EMBEDDED

EXAMPLES = examples()
BY_NAME = {example.name: example for example in EXAMPLES.manifests}


def previewed(text, **fields):
    return preview(PreviewRequest(manifests=text if isinstance(text, str) else json.dumps(text), **fields), EMBEDDED)


def results(text, **fields):
    return [result for document in previewed(text, **fields).documents for result in document.results]


@pytest.mark.parametrize("name", BY_NAME)
def test_the_preview_of_an_example_is_the_output_of_mutate(name):
    example = BY_NAME[name]
    facts = FactsFile(manifests.load(example.objects)) if example.objects else None
    mutator = Mutator(EMBEDDED, "default", facts)
    (expected,) = [mutator.mutate_pods(document) for document in manifests.load(example.manifests)]
    (document,) = previewed(example.manifests, objects=example.objects).documents
    assert manifests.load("\n".join(document.after)) == [expected]
    assert manifests.load("\n".join(document.before)) == manifests.load(example.manifests)
    assert bool(document.changes) == (document.before != document.after)


def test_an_example_is_its_whole_file():
    for name, example in BY_NAME.items():
        text = (DIRECTORY / f"{name}.yaml").read_text()
        documents = manifests.load(example.manifests) + manifests.load(example.objects)
        assert len(documents) == len(manifests.load(text))
        assert all(document in documents for document in manifests.load(text))


def test_the_examples_of_settings_are_valid_and_differ_from_the_defaults():
    before = previewed(BY_NAME["claim"].manifests).documents
    for example in EXAMPLES.settings:
        shown = previewed(BY_NAME["claim"].manifests, settings=example.manifests)
        assert shown.settings_warnings == []
        if example.name in ("observe", "copy-claims"):
            assert shown.documents != before


def test_settings_namespace_and_webhook_count():
    assert results(pod(uri="s3://b/m"), settings="storageDefaults: {mode: observe}")[0].outcome == "observed"
    settings = "storageDefaults: {allowReadWrite: [models]}"
    writing = {
        **pod(uri="pvc://claim/m", readonly="false"),
        "metadata": {"annotations": {"storage.kserve.io/uri": "pvc://claim/m", "storage.kserve.io/readonly": "false"}},
    }
    assert results(writing, settings=settings)[0].outcome == "denied"
    assert results(writing, settings=settings, namespace="models")[0].outcome == "injected"
    rollout = BY_NAME["rollout"]
    assert rollout.webhook == "deployments"
    assert results(rollout.manifests, webhook="deployments")[0].outcome == "adjusted"


def test_a_denial_has_its_message_and_code():
    (result,) = results(pod(uri="pvc://"))
    assert (result.outcome, result.code) == ("denied", 422)
    assert "does not name a claim" in result.message


def test_a_skipped_pod_has_its_reason_and_what_was_looked_for():
    (result,) = results(pod())
    assert (result.outcome, result.reason) == ("skipped", "no-uri")
    assert "The pod does not request a model" in result.explanation
    assert "storage.kserve.io/uri" in result.explanation


def test_annotations_that_reach_no_pod_are_named_with_the_next_command():
    annotations = {"storage.kserve.io/uri": "s3://b/m"}
    template: dict[str, object] = {"metadata": {}, "spec": {"containers": []}}
    deployment = {"kind": "Deployment", "metadata": {"annotations": annotations}, "spec": {"template": template}}
    (document,) = previewed(deployment).documents
    assert "spec.template.metadata.annotations" in "".join(document.misplaced)
    assert "kubectl" in "".join(document.commands)


def test_annotations_are_explained_as_in_the_reference():
    (result,) = results(pod(uri="s3://b/m", unknown="x"))
    (explanation,) = result.annotations
    reference = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()
    assert f"| `{explanation.key}` | {explanation.meaning} | {explanation.values} |" in reference
    assert explanation.value == "s3://b/m"
    assert any("unknown" in warning for warning in result.warnings)


def test_lookups_say_what_was_found():
    example = BY_NAME["s3"]
    (document,) = previewed(example.manifests, objects=example.objects).documents
    found = {(lookup.kind, lookup.name): lookup.found for lookup in document.lookups}
    assert found[("ServiceAccount", "iris")]
    assert found[("Secret", "minio")]
    (document,) = previewed(example.manifests, objects="{kind: Secret, metadata: {name: other}}").documents
    assert ("ServiceAccount", "iris", False) in [(each.kind, each.name, each.found) for each in document.lookups]
    (document,) = previewed(example.manifests).documents
    assert document.lookups == []


def test_no_secret_value_is_in_a_preview():
    example = BY_NAME["s3"]
    shown = previewed(example.manifests, objects=example.objects.replace("replace-me", "s3cr3t"))
    assert "s3cr3t" not in shown.model_dump_json()


def test_several_documents_keep_their_order_and_others_pass_through():
    text = "\n---\n".join([json.dumps(pod(uri="s3://b/m")), "{kind: Service, metadata: {name: web}}", "[1, 2]", "x"])
    documents = previewed(text).documents
    assert [document.name for document in documents] == ["Pod iris", "Service web", "the document", "the document"]
    assert [len(document.results) for document in documents] == [1, 0, 0, 0]
    assert [bool(document.changes) for document in documents] == [True, False, False, False]


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("manifests", "a: [", "neither JSON nor YAML"),
        ("manifests", "!!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("manifests", "[" * 200 + "]" * 200, "nested deeper"),
        ("manifests", "- a\n" * 60_000, "more than 50,000 values"),
        ("manifests", json.dumps({"kind": "List", "items": [pod()] * (MAX_OBJECTS + 1)}), "more than 200 pods"),
        ("manifests", json.dumps({"kind": "RayCluster", "spec": [pod()] * (MAX_OBJECTS + 1)}), "more than 200 pods"),
        ("manifests", "--- a\n" * (MAX_OBJECTS + 1), "more than 200 pods"),
        ("objects", "--- {kind: Secret, metadata: {name: a}}\n" * (MAX_OBJECTS + 1), "more than 200 pods"),
        ("objects", "a: [", "neither JSON nor YAML"),
        ("settings", "a: [", "neither JSON nor YAML"),
        ("settings", "storageInitializer: {cpuLimit: lots}", "storageInitializer.cpuLimit"),
        ("settings", "{kind: Pod}", "contains no ConfigMap"),
    ],
)
def test_input_that_cannot_be_read_names_its_field(field, text, words):
    with pytest.raises(InvalidInput, match=re.escape(words)) as raised:
        preview(PreviewRequest(**{"manifests": "", field: text}), EMBEDDED)
    assert raised.value.field == field


def test_aliases_cannot_expand_to_more_than_the_limit():
    text = f"long: &long {'x' * 100_000}\nmany: [{', '.join(['*long'] * 100)}]"
    with pytest.raises(InvalidInput, match="with its aliases expanded"):
        previewed(text)


def test_without_a_checkout_there_are_no_examples(tmp_path):
    none = examples(tmp_path / "absent")
    assert (none.manifests, none.settings) == ([], [])


def test_the_command_mutate_does_not_import_the_page():
    code = (
        "import sys, webhook.cli.mutate, webhook.offline.mutator; print([m for m in sys.modules if 'playground' in m])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
