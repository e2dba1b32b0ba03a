// Lists the routes of /openapi.json.

import { element, json } from "./elements.js";

const { paths, components } = await json("/openapi.json");

function schemaOf(holder) {
  const schema = holder?.content?.["application/json"]?.schema;
  return schema?.$ref ? components.schemas[schema.$ref.split("/").pop()] : schema;
}

function body(title, schema) {
  if (!schema || !Object.keys(schema).length) return null;
  return element("details", {}, element("summary", {}, title),
    element("pre", {}, element("code", {}, JSON.stringify(schema, null, 2))));
}

function route(path, method, { summary, description, requestBody, responses }) {
  const errors = Object.entries(responses).filter(([status]) => status !== "200");
  return element("article", { class: "panel" },
    element("div", { class: "title" }, element("h2", {},
      element("span", { class: "badge" }, method.toUpperCase()), " ", element("code", {}, path))),
    element("p", {}, description ?? summary),
    errors.length ? element("ul", { class: "hint errors" }, ...errors.map(([status, response]) =>
      element("li", {}, element("code", {}, status), ` ${response.description}`))) : null,
    body("Request", schemaOf(requestBody)),
    body("Response", schemaOf(responses["200"])));
}

document.getElementById("routes").replaceChildren(...Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => route(path, method, operation))));
