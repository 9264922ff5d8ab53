// The versions of the dataset, and in what two of them differ.

import { get } from "./api.js";
import { bytes, count, make, plural } from "./dom.js";
import { openPanel } from "./panel.js";
import { state } from "./state.js";

// look: is called with a version's number, or with a number and a key.
export async function showVersions(look) {
  const body = openPanel("Versions", "versions");
  body.append(make("p", { class: "faint" }, "…"));
  try {
    const versions = await get("versions");
    const result = make("div", { class: "difference" });
    body.replaceChildren(
      make("div", { class: "scrolls" }, table(versions, look)),
      versions.length > 1 ? comparing(versions, result, look) : "",
      result,
    );
  } catch (error) {
    body.replaceChildren(make("p", { class: "error" }, error.message));
  }
}

function table(versions, look) {
  const heads = ["version", "records", "bytes", "made", "when", "by", "tags", "message", ""];
  const row = (info) => {
    const open = make("button", { onclick: () => look(info.number) }, "look at it");
    const here = info.number === state.version;
    const cells = [
      String(info.number),
      count(info.records),
      bytes(info.bytes),
      info.operation,
      info.time ? new Date(info.time).toLocaleString() : "",
      info.author,
      info.tags.join(", "),
      info.message,
      here ? "shown" : open,
    ];
    return make("tr", { class: here ? "here" : "" }, ...cells.map((cell) => make("td", {}, cell)));
  };
  return make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", {}, head)))),
    make("tbody", {}, ...versions.map(row)),
  );
}

function comparing(versions, result, look) {
  const choice = (name, chosen) =>
    make(
      "select",
      { name, "aria-label": name },
      ...versions.map(({ number }) =>
        make("option", { value: String(number), selected: number === chosen }, String(number)),
      ),
    );
  const newest = versions[0].number;
  const form = make(
    "form",
    { class: "compare" },
    "from ",
    choice("before", versions[1].number),
    " to ",
    choice("after", newest),
    make("button", {}, "Compare"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form));
    result.replaceChildren(make("p", { class: "faint" }, "comparing …"));
    try {
      result.replaceChildren(...difference(await get("difference", given), look));
    } catch (error) {
      result.replaceChildren(make("p", { class: "error" }, error.message));
    }
  });
  return form;
}

function difference(made, look) {
  const { added, removed, changed, before, after, records } = made;
  const told = `${count(added)} added, ${count(removed)} removed, ${count(changed)} changed`;
  const row = ({ kind, key, columns }) =>
    make(
      "li",
      { class: kind },
      make(
        "button",
        { class: "quiet", onclick: () => look(kind === "removed" ? before : after, key) },
        key,
      ),
      columns.length ? make("small", {}, columns.join(", ")) : null,
    );
  const left = added + removed + changed - records.length;
  return [
    make("h3", {}, told),
    make("ul", {}, ...records.map(row)),
    left > 0 ? make("p", { class: "faint" }, `and ${plural(left, "further record")}`) : "",
  ];
}
