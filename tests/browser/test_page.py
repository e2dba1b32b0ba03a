"""The development page in Chromium: what it shows, by keyboard, on a phone, and with hostile input."""

from __future__ import annotations

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.serving import pod
from webhook.playground.examples import examples
from webhook.playground.routes import MAX_BODY_BYTES

EXAMPLES = examples().manifests
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True}


@pytest.fixture
def phone(context_options):
    context_options.update(PHONE)


def opened(page, example="s3"):
    """Open the page with an example, and wait for its result."""
    page.goto(f"/#{example}")
    page.reload()
    expect(page.locator("article").first).to_be_visible()
    return page


def typed(page, text, field="Manifests"):
    page.get_by_label(field, exact=True).fill(text if isinstance(text, str) else json.dumps(text))


def status(page):
    return page.get_by_role("status")


# --- What it shows


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_is_shown_with_its_outcome(page, example):
    opened(page, example.name)
    outcome = {"denied": "denied", "rollout": "adjusted"}.get(example.name, "injected")
    expect(page.locator("article .badge")).to_have_text(outcome)
    expect(page.locator("#example-description")).to_have_text(example.description)
    expect(page.locator("table.diff")).to_have_count(0 if outcome == "denied" else 1)


def test_differences_lookups_and_annotations(page):
    opened(page)
    expect(status(page)).to_contain_text("1 injected")
    expect(page.locator("td.code.added", has_text="s3://models/iris")).to_be_visible()
    expect(page.get_by_text("Secret minio")).to_contain_text("found")
    expect(page.locator(".explanations").first).to_contain_text(
        "The model's URI, for pods that KServe does not manage."
    )
    expect(page.locator("article").last).to_contain_text("serving.kserve.io/s3-endpoint")
    expect(page.locator("#command-line")).to_have_text(
        "storage-webhook mutate -f manifests.yaml --facts objects.yaml -o diff"
    )


def test_a_denial_has_its_message_and_status(page):
    opened(page, "denied")
    expect(page.locator(".notice.denied")).to_contain_text("the path must not contain '..'")
    expect(page.locator(".facts")).to_contain_text("422")


def test_a_skipped_pod_has_its_reason(page):
    opened(page)
    typed(page, pod())
    expect(page.locator(".badge")).to_have_text("skipped")
    expect(page.locator(".facts")).to_contain_text("no-uri")


def test_several_documents_and_a_list(page):
    opened(page)
    several = {"kind": "List", "items": [pod(uri="s3://b/m"), pod(uri="pvc://")]}
    typed(page, f"{json.dumps(several)}\n---\nkind: Service\nmetadata: {{name: web}}\n---\n{json.dumps(pod())}")
    expect(page.locator("article h2")).to_have_text(["List ", "Service web", "Pod iris"])
    expect(status(page)).to_contain_text("1 injected, 1 denied, 1 skipped")
    expect(page.locator("article").nth(1)).to_contain_text("It stays as it is")


def test_settings_objects_and_namespace_count(page):
    opened(page)
    page.get_by_text("Settings", exact=False).locator("visible=true").first.click()
    page.get_by_label("Start from").select_option("observe")
    expect(page.locator(".badge")).to_have_text("observed")
    expect(page.locator("#settings-name")).to_have_text("Observe mode")
    typed(page, "storageDefaults: {allowReadWrite: [models]}", "Settings ConfigMap")
    expect(page.locator("#settings-name")).to_have_text("your own")
    writing = {"kind": "Pod", **pod()}
    writing["metadata"] = {
        "name": "iris",
        "annotations": {"storage.kserve.io/uri": "pvc://c/m", "storage.kserve.io/readonly": "false"},
    }
    typed(page, writing)
    expect(page.locator(".badge")).to_have_text("denied")
    typed(page, "models", "Namespace")
    expect(page.locator(".badge")).to_have_text("injected")
    expect(page.locator("#command-line")).to_contain_text("-n models")


def test_the_yaml_after_the_mutation_can_be_copied(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page)
    page.get_by_role("button", name="Copy YAML").click()
    expect(status(page)).to_contain_text("copied")
    assert "storage-initializer" in page.evaluate("navigator.clipboard.readText()")


def test_input_is_not_lost_on_reload_of_an_example(page):
    opened(page, "claim")
    assert page.url.endswith("#claim")
    expect(page.get_by_label("Example", exact=True)).to_have_value("claim")


# --- Errors


def test_an_error_is_at_its_field_and_goes_away(page, expected_errors):
    expected_errors.append("status of 422")
    opened(page)
    typed(page, "a: [")
    expect(page.locator("#manifests-problem")).to_contain_text("neither JSON nor YAML")
    expect(page.get_by_label("Manifests", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(status(page)).to_have_text("The manifests cannot be read.")
    typed(page, pod(uri="s3://b/m"))
    expect(page.locator("#manifests-problem")).to_be_hidden()
    expect(page.get_by_label("Manifests", exact=True)).to_have_attribute("aria-invalid", "false")


def test_input_over_the_limit_is_named(page, expected_errors):
    expected_errors.append("status of 413")
    opened(page)
    typed(page, "#" * (MAX_BODY_BYTES + 1))
    expect(status(page)).to_contain_text("larger than 512 KiB")


def test_a_server_that_has_stopped_is_named(page, server, expected_errors):
    opened(page)
    expected_errors.append("ERR_CONNECTION_REFUSED")
    page.route("**/preview", lambda route: route.abort("connectionrefused"))
    typed(page, pod())
    expect(status(page)).to_contain_text("The server does not answer")


# --- Hostile input

SCRIPT = "<img src=x onerror='window.hostile=1'><script>window.hostile=1</script>"


def test_hostile_text_is_shown_as_text(page, expected_errors):
    expected_errors.append("status of 422")
    opened(page)
    hostile = pod(uri=f"s3://b/{SCRIPT}", **{SCRIPT: SCRIPT})
    hostile["kind"], hostile["metadata"]["name"] = "Pod", SCRIPT
    hostile["metadata"]["labels"] = {"serving.kserve.io/inferenceservice": SCRIPT}
    hostile["spec"]["containers"][0]["name"] = SCRIPT
    typed(page, hostile)
    expect(page.locator("article h2")).to_contain_text(SCRIPT)
    for summary in page.locator("summary").all():
        summary.click()
    typed(page, f"kind: Secret\nmetadata: {{name: {json.dumps(SCRIPT)}}}", "Cluster objects to look up")
    typed(page, f"a: &{SCRIPT} [")
    expect(page.locator("#manifests-problem")).not_to_be_empty()
    typed(page, f"storageDefaults: {{{json.dumps(SCRIPT)}: 1}}", "Settings ConfigMap")
    typed(page, hostile)
    expect(page.locator("#settings-problem")).to_contain_text("unknown key")
    assert page.evaluate("window.hostile") is None
    assert page.locator("img").count() == 1
    assert page.locator("main script").count() == 0


def test_the_policy_stops_code_that_is_injected_all_the_same(page, expected_errors):
    expected_errors.append("TrustedHTML")
    opened(page)
    blocked = page.evaluate(
        """() => { try { document.body.innerHTML = "<b>x</b>"; return false; } catch { return true; } }"""
    )
    assert blocked


# --- By keyboard, on a phone, and for everyone


def test_every_control_is_reached_by_keyboard_and_shows_its_focus(page):
    opened(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the result"
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert [each for each in ("example", "manifests", "namespace", "webhook") if each not in reached] == []
    assert any("Copy YAML" in each for each in reached)
    assert any("unchanged line" in each for each in reached)
    page.get_by_label("Namespace").focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_views_and_folds_work_by_keyboard(page):
    opened(page)
    expect(page.locator("table.split")).to_be_visible()
    page.get_by_label("Side by side").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("table.unified")).to_be_visible()
    lines = page.locator("table.diff td.code")
    before = lines.count()
    page.get_by_role("button", name="unchanged line").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="unchanged line")).to_have_count(0)
    assert lines.count() > before
    assert page.evaluate("document.activeElement.tagName") == "TR"


@pytest.mark.usefixtures("phone")
@pytest.mark.parametrize("name", ["s3", "adapters", "shared-cache", "denied", "warning"])
def test_nothing_is_cut_on_a_phone(page, name):
    opened(page, name)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    cut = page.evaluate(
        """() => [...document.querySelectorAll("article *")].filter(
               (each) => !each.closest(".hidden") && each.getBoundingClientRect().right > innerWidth
           ).map((each) => each.outerHTML.slice(0, 80))"""
    )
    assert cut == []
    expect(page.locator("table.split")).to_have_count(0)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_no_barrier_is_found(browser, server, colours, size):
    options = PHONE if size == "phone" else {}
    with browser.new_context(
        ignore_https_errors=True, base_url=server.url, color_scheme=colours, bypass_csp=True, **options
    ) as context:
        page = context.new_page()
        for name in ("s3", "denied", "warning"):
            assert _barriers(opened(page, name)) == []
        typed(page, "a: [")
        expect(page.locator("#manifests-problem")).not_to_be_empty()
        page.locator("summary").first.click()
        assert _barriers(page) == []
        page.goto("/docs")
        expect(page.locator("article").first).to_be_visible()
        assert _barriers(page) == []


def _barriers(page):
    """What axe-core finds: the rule, and the elements that break it."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]


# --- The API


def test_the_api_is_listed_without_the_internet(page):
    page.goto("/docs")
    expect(page.get_by_role("heading", name="/mutate-pods")).to_be_visible()
    expect(page.get_by_role("heading", name="/preview")).to_be_visible()
    expect(page.locator("article", has_text="/mutate-pods")).to_contain_text(
        "Inject the model that a new pod requests."
    )
