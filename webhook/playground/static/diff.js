// Draws the difference between two lists of lines as a table.

import { counted, element } from "./elements.js";

const CONTEXT = 3;
const YAML_LINE = /^(\s*(?:- )*)([^\s"'#][^:#"']*?:)(?=\s|$)(.*)$/;

/** A table of the lines `before` and `after`, with unchanged runs folded; `view` is "split" or "unified". */
export function diffTable(name, { before, after, changes }, view) {
  const split = view === "split";
  const rows = blocks(before.length, changes).flatMap((block) =>
    block.same ? sameRows(before, block, split) : changedRows(before, after, block, split));
  const caption = element("caption", { class: "hidden" }, `Differences of ${name}`);
  const columns = (split ? ["number", "code", "number", "code"] : ["number", "sign", "code"]).map(
    (kind) => element("col", { class: kind }));
  return element("table", { class: `diff ${view}` },
    caption, element("colgroup", {}, ...columns), head(split), element("tbody", {}, ...rows));
}

/** The numbers of added and removed lines. */
export function countLines(changes) {
  return changes.reduce(
    ([added, removed], [oldStart, oldEnd, newStart, newEnd]) =>
      [added + newEnd - newStart, removed + oldEnd - oldStart], [0, 0]);
}

function head(split) {
  const titles = split ? ["Line", "Before", "Line", "After"] : ["Line", "Change", "YAML"];
  const cells = titles.map((title) => element("th", { scope: "col" }, title));
  return element("thead", { class: split ? "" : "hidden" }, element("tr", {}, ...cells));
}

/** The runs of unchanged and of changed lines, from top to bottom. */
function blocks(length, changes) {
  const found = [];
  let [oldLine, newLine] = [0, 0];
  for (const [oldStart, oldEnd, newStart, newEnd] of [...changes, [length, length, null, null]]) {
    if (oldStart > oldLine) found.push({ same: true, oldLine, newLine, length: oldStart - oldLine });
    if (newStart !== null) found.push({ same: false, oldStart, oldEnd, newStart, newEnd });
    [oldLine, newLine] = [oldEnd, newEnd];
  }
  const last = found.length - 1;
  return found.map((block, index) => ({ ...block, first: index === 0, last: index === last }));
}

function sameRows(before, { oldLine, newLine, length, first, last }, split) {
  const row = (index) => sameRow(before[oldLine + index], oldLine + index, newLine + index, split);
  const [top, bottom] = [first ? 0 : CONTEXT, last ? 0 : CONTEXT];
  const hidden = length - top - bottom;
  if (hidden < 4) return Array.from({ length }, (_, index) => row(index));
  const rows = (from, to) => Array.from({ length: to - from }, (_, index) => row(from + index));
  const fold = element("tr", { class: "fold" }, element("td", { colspan: split ? 4 : 3 }, element("button", {
    type: "button",
    onclick: () => {
      const shown = rows(top, length - bottom);
      shown[0].tabIndex = -1;
      fold.replaceWith(...shown);
      shown[0].focus();
    },
  }, `Show ${counted(hidden, "unchanged line")}`)));
  return [...rows(0, top), fold, ...rows(length - bottom, length)];
}

function sameRow(text, oldLine, newLine, split) {
  return split
    ? element("tr", {}, number(oldLine), code(text), number(newLine), code(text))
    : element("tr", {}, number(newLine), sign(""), code(text));
}

function changedRows(before, after, { oldStart, oldEnd, newStart, newEnd }, split) {
  const [removed, added] = [before.slice(oldStart, oldEnd), after.slice(newStart, newEnd)];
  if (!split) {
    return [
      ...removed.map((text, index) =>
        element("tr", { class: "removed" }, number(oldStart + index), sign("-"), code(text))),
      ...added.map((text, index) =>
        element("tr", { class: "added" }, number(newStart + index), sign("+"), code(text))),
    ];
  }
  return Array.from({ length: Math.max(removed.length, added.length) }, (_, index) =>
    element("tr", {},
      ...side(removed[index], oldStart + index, "removed", "-"),
      ...side(added[index], newStart + index, "added", "+")));
}

function side(text, line, kind, mark) {
  if (text === undefined) return [element("td", { class: "none" }), element("td", { class: "none" })];
  return [number(line, kind), code(text, kind, mark)];
}

function number(line, kind = "") {
  return element("td", { class: `number ${kind}` }, String(line + 1));
}

function sign(mark) {
  return element("td", { class: "sign" }, mark);
}

/** A cell with one line of YAML. A wrapped line keeps its indent. */
function code(text, kind = "", mark = "") {
  const [, indent, key, value] = YAML_LINE.exec(text) ?? [];
  const parts = key === undefined ? [text] : [indent, element("b", {}, key), value];
  const cell = element("td", { class: `code ${kind}` }, mark && element("span", { class: "hidden" }, `${mark} `), ...parts);
  cell.style.setProperty("--indent", `${text.length - text.trimStart().length + 2}ch`);
  return cell;
}
