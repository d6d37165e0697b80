"use strict";
// Renders /openapi.json. All text goes through textContent: nothing of the document is ever read as HTML.

const METHODS = ["get", "post", "patch", "put", "delete"];
const DEPTH = 6;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function prose(tag, text, attributes = {}) {
  const node = make(tag, attributes);
  text.split("`").forEach((part, index) => node.append(index % 2 ? make("code", {}, part) : part));
  return node;
}

function resolve(schema, all) {
  const name = (schema.$ref || "").split("/").pop();
  return name ? { name, ...all[name] } : schema;
}

function describe(schema, all) {
  const found = resolve(schema, all);
  if (found.name) return found.name;
  if (found.enum) return found.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (found.anyOf) return found.anyOf.map((one) => describe(one, all)).join(" | ");
  if (found.type === "array") return `list of ${describe(found.items || {}, all)}`;
  const bounds = [];
  if (found.minimum !== undefined) bounds.push(`>= ${found.minimum}`);
  if (found.exclusiveMinimum !== undefined) bounds.push(`> ${found.exclusiveMinimum}`);
  if (found.maximum !== undefined) bounds.push(`<= ${found.maximum}`);
  if (found.maxLength !== undefined) bounds.push(`at most ${found.maxLength} characters`);
  if (found.pattern) bounds.push(found.pattern);
  return [found.format || found.type || "any JSON", ...bounds].join(", ");
}

function shape(media, schema, all) {
  return media === "text/event-stream" ? "event stream" : describe(schema, all);
}

function sample(schema, all, depth = 0) {
  const found = resolve(schema, all);
  if (depth > DEPTH) return null;
  if (found.default !== undefined) return found.default;
  if (found.enum) return found.enum[0];
  if (found.anyOf) return found.anyOf.some((one) => one.type === "null") ? null : sample(found.anyOf[0], all, depth);
  switch (found.type) {
    case "object": {
      const entries = Object.entries(found.properties || {});
      return Object.fromEntries(entries.map(([name, one]) => [name, sample(one, all, depth + 1)]));
    }
    case "array": return [sample(found.items || {}, all, depth + 1)];
    case "string": return found.format === "date-time" ? "2026-11-22T10:00:00.000000Z" : "...";
    case "integer": case "number": return found.minimum || 0;
    case "boolean": return false;
    case "null": return null;
    default: return {};
  }
}

function table(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
}

function row(cells, attributes = {}) {
  return make("tr", attributes, ...cells.map((cell) => (typeof cell === "string" ? prose("td", cell) : make("td", {}, cell))));
}

function fields(schema, all) {
  const found = resolve(schema, all);
  const needed = new Set(found.required || []);
  const rows = Object.entries(found.properties || {}).map(([name, one]) =>
    row([make("code", {}, name), describe(one, all) + (needed.has(name) ? "" : ", optional"), one.description || ""]));
  return rows.length ? table(["field", "type", ""], rows) : "";
}

function curl(path, method, operation, all) {
  const words = ["curl"];
  if (method !== "get") words.push("-X", method.toUpperCase());
  const content = operation.requestBody && operation.requestBody.content;
  if (content) {
    const [media, { schema }] = Object.entries(content)[0];
    const whole = sample(schema, all);
    const short = "input" in whole ? { input: "hello" } : whole;
    words.push("-H", `'Content-Type: ${media}'`, "-d", `'${JSON.stringify(short)}'`);
  }
  return [...words, `'${location.origin}${path}'`].join(" ");
}

function operationSection(path, method, operation, all) {
  const title = make("h3", {}, make("span", { class: `verb ${method}` }, method.toUpperCase()), make("span", { class: "path" }, path));
  const section = make("section", { id: operation.operationId }, title, make("p", {}, operation.summary + "."));
  if (operation.description) section.append(prose("p", operation.description, { class: "soft" }));
  if (operation.parameters.length) {
    section.append(make("h4", {}, "Parameters"), table(["name", "type", ""], operation.parameters.map((one) =>
      row([make("code", {}, one.name), `${describe(one.schema, all)} (${one.in})`, one.description || ""]))));
  }
  const content = operation.requestBody && operation.requestBody.content;
  if (content) section.append(make("h4", {}, "Body"), fields(Object.values(content)[0].schema, all));
  const rows = Object.entries(operation.responses).map(([status, one]) =>
    row([status, one.description, Object.entries(one.content || {}).map(([media, { schema }]) => shape(media, schema, all)).join(" or ")]));
  section.append(make("h4", {}, "Answers"), table(["status", "", "body"], rows));
  section.append(make("h4", {}, "Try it"), make("pre", {}, make("code", {}, curl(path, method, operation, all))));
  section.dataset.text = `${path} ${operation.summary} ${operation.description || ""} ${operation.tags}`.toLowerCase();
  return section;
}

function problemSection(problems) {
  const rows = problems.map((one) => {
    const line = row([make("code", {}, one.code), String(one.status), one.text, one.hint], { id: one.code });
    line.dataset.text = `${one.code} ${one.text}`.toLowerCase();
    return line;
  });
  return make("section", { id: "problems" }, make("h2", {}, "Problems"),
    make("p", {}, "Every refusal has one of these codes; the code never changes."), table(["code", "status", "what", "next step"], rows));
}

function schemaSection(all) {
  const section = make("section", { id: "schemas" }, make("h2", {}, "Shapes"));
  for (const name of Object.keys(all).sort()) {
    section.append(make("h4", { id: `shape-${name}` }, name), prose("p", all[name].description || "", { class: "soft" }), fields(all[name], all));
  }
  return section;
}

function show(api) {
  const all = api.components.schemas;
  const main = document.getElementById("content");
  const side = document.getElementById("routes");
  const lists = new Map();
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("about").textContent = api.info.description;
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((one) => item[one])) {
      const operation = item[method];
      main.append(operationSection(path, method, operation, all));
      const tag = operation.tags[0];
      if (!lists.has(tag)) {
        lists.set(tag, make("ul"));
        side.append(make("h2", {}, tag), lists.get(tag));
      }
      const link = make("a", { href: `#${operation.operationId}` }, make("span", { class: `verb ${method}` }, method.toUpperCase()), operation.summary);
      lists.get(tag).append(make("li", {}, link));
    }
  }
  main.append(problemSection(api["x-problems"]), schemaSection(all));
  side.append(make("h2", {}, "more"), make("ul", {}, make("li", {}, make("a", { href: "#problems" }, "Problems")),
    make("li", {}, make("a", { href: "#schemas" }, "Shapes")), make("li", {}, make("a", { href: "openapi.json" }, "OpenAPI 3.1"))));
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const node of main.querySelectorAll("[data-text]")) node.hidden = !node.dataset.text.includes(wanted);
  });
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

fetch("openapi.json")
  .then((answer) => {
    if (!answer.ok) throw new Error(`the node answered ${answer.status}`);
    return answer.json();
  })
  .then(show)
  .catch((error) => {
    const trouble = document.getElementById("trouble");
    trouble.textContent = `The reference could not be loaded: ${error.message}. Load the page again.`;
    trouble.hidden = false;
  });
