// The page: sends the input whenever it changes, and shows the preview.

import { countLines, diffTable } from "./diff.js";
import { counted, element, json, prose } from "./elements.js";

const FIELDS = ["manifests", "settings", "objects", "namespace"];
const FIRST_EXAMPLE = "s3";
const DELAY_MILLISECONDS = 250;
const narrow = matchMedia("(max-width: 60rem)");
const byId = (id) => document.getElementById(id);

let examples = { manifests: [], settings: [] };
let preview = null;
let running = new AbortController();
let timer;

// --- Input

function request() {
  const values = Object.fromEntries(FIELDS.map((field) => [field, byId(field).value]));
  return { ...values, webhook: byId("webhook").value };
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(update, DELAY_MILLISECONDS);
}

async function update() {
  running.abort();
  const { signal } = (running = new AbortController());
  describeInput();
  try {
    preview = await json("/preview", request(), signal);
    showProblem({});
    showPreview();
  } catch (error) {
    if (error.name === "AbortError") return;
    showProblem(error.detail ?? { field: "", message: `The server does not answer: ${error.message}` });
  }
}

function describeInput() {
  const objects = byId("objects").value.trim();
  byId("objects-count").textContent = objects ? counted(objects.split(/^---$/m).length, "object") : "none";
  const preset = examples.settings.find((each) => each.manifests === byId("settings").value);
  byId("settings-name").textContent =
    byId("settings").value.trim() ? preset?.title ?? "your own" : "those of this server";
}

function choose(list, name) {
  return examples[list].find((example) => example.name === name);
}

function showExample() {
  const example = choose("manifests", byId("example").value);
  if (!example) return;
  byId("example-description").textContent = example.description;
  byId("manifests").value = example.manifests;
  byId("objects").value = example.objects;
  byId("webhook").value = example.webhook;
  history.replaceState(null, "", `#${example.name}`);
  update();
}

function showPreset() {
  const preset = choose("settings", byId("preset").value);
  byId("preset-description").textContent = preset?.description ?? "";
  byId("settings").value = preset?.manifests ?? "";
  update();
}

function fill(select, list, none) {
  const option = ({ name, title }) => element("option", { value: name }, title);
  byId(select).replaceChildren(...(none ? [element("option", { value: "" }, none)] : []), ...list.map(option));
  byId(`${select}-field`).hidden = list.length === 0;
}

// --- Result

function showProblem({ field, message }) {
  for (const each of FIELDS) {
    const problem = byId(`${each}-problem`);
    problem.textContent = each === field ? message : "";
    byId(each).setAttribute("aria-invalid", String(each === field));
  }
  if (!message) return;
  const details = byId(`${field}-details`);
  if (details) details.open = true;
  byId("status").textContent = field ? `The ${field} cannot be read.` : message;
  byId("documents").classList.add("stale");
}

function showPreview() {
  const { documents, settings_warnings: warnings, annotations } = preview;
  byId("documents").classList.remove("stale");
  byId("documents").replaceChildren(
    ...warnings.map((warning) => notice("warning", "Settings", warning)),
    ...documents.map(documentPanel),
    ...(annotations.length ? [objectsPanel(annotations)] : []),
    ...(documents.length ? [] : [element("p", { class: "panel empty" }, "Paste a manifest, or pick an example.")]),
  );
  byId("status").textContent = summary(documents);
  byId("command").hidden = documents.length === 0;
  byId("command-line").textContent = commandLine(request());
}

function summary(documents) {
  const outcomes = documents.flatMap((each) => each.results.map((result) => result.outcome));
  const [added, removed] = countLines(documents.flatMap((each) => each.changes));
  const kinds = [...new Set(outcomes)].map(
    (kind) => `${outcomes.filter((each) => each === kind).length} ${kind}`);
  const lines = added + removed ? `, ${counted(added, "line")} added, ${removed} removed` : "";
  return kinds.length ? `${kinds.join(", ")}${lines}` : "No pod";
}

function documentPanel(each) {
  const [kind, ...name] = each.name.split(" ");
  const title = element("h2", {}, element("span", { class: "kind" }, kind), ` ${name.join(" ")}`);
  const badges = [...new Set(each.results.map((result) => result.outcome))].map(
    (outcome) => element("span", { class: `badge ${outcome}` }, outcome));
  const copy = each.changes.length ? copyButton(each) : null;
  return element("article", { class: "panel" },
    element("div", { class: "title" }, title, ...badges, copy),
    ...each.misplaced.map((text) => notice("warning", "Warning", text)),
    ...each.commands.map((text) => notice("next", "Next", text)),
    ...(each.results.length ? each.results.flatMap((result) => resultParts(result, each)) : [noPod()]),
    each.lookups.length ? lookups(each.lookups) : null,
    each.changes.length ? diff(each) : null,
    ...each.results.filter((result) => result.annotations.length).map((result) =>
      explanations("Annotations and labels", result.annotations)));
}

function noPod() {
  const what = byId("webhook").value === "deployments" ? "no Deployment" : "no pod and no pod template";
  return element("p", { class: "facts" }, `It contains ${what}. It stays as it is.`);
}

function resultParts(result, { name, results }) {
  const owner = results.length > 1 && result.owner !== name ? `${result.owner}: ` : "";
  const facts = [
    result.reason ? ["Reason", element("code", {}, result.reason)] : null,
    result.sources.length ? ["Source", result.sources.join(", ")] : null,
    result.containers.length ? ["Mounted in", result.containers.join(", ")] : null,
    result.message ? ["Status", element("code", {}, String(result.code))] : null,
  ].filter(Boolean);
  return [
    result.message ? notice("denied", "Denied", owner + result.message) : null,
    ...result.warnings.map((warning) => notice("warning", "Warning", owner + warning)),
    facts.length
      ? element("dl", { class: "facts" },
        ...facts.flatMap(([term, text]) => [element("dt", {}, owner + term), element("dd", {}, text)]),
        result.reason ? element("dd", { class: "meaning" }, ...prose(result.explanation)) : null)
      : null,
  ].filter(Boolean);
}

function notice(kind, label, text) {
  return element("p", { class: `notice ${kind}` }, element("strong", {}, label), element("span", {}, text));
}

function lookups(list) {
  const items = list.map(({ kind, name, found }) => element("li", { class: found ? "found" : "missing" },
    `${kind}${name && ` ${name}`}`, element("span", { class: "state" }, found ? "found" : "none")));
  return element("div", { class: "lookups" }, element("h3", {}, "Looked up"), element("ul", {}, ...items));
}

function view() {
  return narrow.matches ? "unified" : document.querySelector("[name=view]:checked").value;
}

function diff(each) {
  return element("div", { class: "scroll" }, diffTable(each.name, each, view()));
}

function explanations(title, list) {
  const rows = list.map(({ key, value, meaning, values }) => element("div", {},
    element("dt", {}, element("code", {}, key)),
    element("dd", { class: "value" }, element("code", {}, value)),
    element("dd", {}, ...prose(meaning), " ", element("span", { class: "hint" }, ...prose(`Values: ${values}.`)))));
  return element("section", { class: "explanations" },
    element("h3", {}, title), element("dl", {}, ...rows));
}

function objectsPanel(annotations) {
  return element("article", { class: "panel" }, explanations("Annotations of the cluster objects", annotations));
}

function copyButton({ after }) {
  const button = element("button", {
    type: "button",
    class: "copy",
    onclick: async () => {
      await navigator.clipboard.writeText(`${after.join("\n")}\n`);
      byId("status").textContent = "The YAML after the mutation is copied.";
    },
  }, "Copy YAML");
  return button;
}

function commandLine({ settings, objects, namespace, webhook }) {
  const parts = ["storage-webhook mutate -f manifests.yaml"];
  if (objects.trim()) parts.push("--facts objects.yaml");
  if (settings.trim()) parts.push("--settings file:settings.yaml");
  if (namespace && namespace !== "default") parts.push(`-n ${quoted(namespace)}`);
  if (webhook === "deployments") parts.push("--deployments");
  return [...parts, "-o diff"].join(" ");
}

function quoted(text) {
  return /^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// --- Start

async function start() {
  byId("input").addEventListener("submit", (event) => event.preventDefault());
  for (const field of FIELDS) byId(field).addEventListener("input", schedule);
  byId("webhook").addEventListener("change", update);
  byId("example").addEventListener("change", showExample);
  byId("preset").addEventListener("change", showPreset);
  byId("view").addEventListener("change", () => preview && showPreview());
  narrow.addEventListener("change", () => preview && showPreview());
  examples = await json("/examples");
  fill("example", examples.manifests);
  fill("preset", examples.settings, "The settings of this server");
  byId("example").value = (choose("manifests", location.hash.slice(1)) ?? choose("manifests", FIRST_EXAMPLE))?.name ?? "";
  if (byId("manifests").value) update();
  else if (byId("example").value) showExample();
  else update();
}

start();
