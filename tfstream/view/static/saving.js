// Keeping a query as a named slice.

import { post } from "./api.js";
import { make, plural } from "./dom.js";
import { closePanel, openPanel } from "./panel.js";
import { question, state } from "./state.js";

// saved: is called with the name of the new slice.
export function showSaving(saved) {
  const body = openPanel("Keep this query as a slice", "saving");
  const name = make("input", {
    name: "name",
    required: true,
    autofocus: true,
    maxlength: "100",
    spellcheck: "false",
    autocapitalize: "off",
    "aria-label": "Name",
    placeholder: "night-dogs",
  });
  const told = make("p", { role: "alert" });
  const form = make(
    "form",
    {},
    make("p", {}, `${plural(state.found.records, "record")} of version ${state.found.version}`),
    make("pre", { class: "code" }, state.query || "all records"),
    make("label", {}, "Name", name),
    make("p", { class: "faint" }, "Letters, digits, “.”, “_” and “-”. It is kept beside the dataset and never changes."),
    told,
    make("button", { class: "main" }, "Keep it"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const made = await post("slices", { ...question(), name: name.value });
      done(body, made);
      saved(made.name);
    } catch (error) {
      told.className = "error";
      told.textContent = error.message;
    }
  });
  body.append(form);
  name.focus();
}

function done(body, { name, version, records }) {
  body.replaceChildren(
    make("p", { class: "done" }, `Kept ${plural(records, "record")} of version ${version} as ${name}.`),
    make("pre", { class: "code" }, `tfstream.open(${JSON.stringify(state.path)}, slice=${JSON.stringify(name)})`),
    make("button", { class: "main", onclick: closePanel }, "Go on"),
  );
}
