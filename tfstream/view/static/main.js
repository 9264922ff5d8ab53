// The page: what is looked at comes from the address behind the #, and goes there.

import { get } from "./api.js";
import { showBatch } from "./batch.js";
import { count, find, make } from "./dom.js";
import { Grid } from "./grid.js";
import { listen, showKeys } from "./keys.js";
import { closePanel, isPanelOpen } from "./panel.js";
import { QueryBox } from "./querybox.js";
import { RecordPage } from "./record.js";
import { showSaving } from "./saving.js";
import { Spread } from "./spread.js";
import { drawn, question, state, tell } from "./state.js";
import { showVersions } from "./versions.js";

const NEWS = 10_000; // ms between looks for a newer version

const box = new QueryBox(ask);
const grid = new Grid({ open: (place) => page.open(place), failed: told });
const page = new RecordPage(moved);
const spread = new Spread(refine);
let asked = 0;

// What the address says; without a version: the one that was asked for on the command line.
function fromAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  return {
    version: said.has("version") ? Number(said.get("version")) : undefined,
    slice: said.get("slice") ?? "",
    query: said.get("q") ?? "",
    record: said.has("record") ? Number(said.get("record")) : undefined,
  };
}

function toAddress({ replace = false } = {}) {
  const said = new URLSearchParams({ version: state.version });
  if (state.slice) said.set("slice", state.slice);
  if (state.query) said.set("q", state.query);
  if (page.place !== undefined) said.set("record", page.place);
  const address = `#${said}`;
  if (address !== location.hash) history[replace ? "replaceState" : "pushState"](null, "", address);
}

// Asks for what a query selects, and shows it; tells whether it was understood.
// early: the answer, where it was asked for already.
async function ask(query, sent, early = undefined) {
  asked += 1;
  const mine = asked;
  const was = state.query;
  try {
    state.query = query;
    const found = await (early ?? get("found", question()));
    if (mine !== asked) return false;
    state.found = found;
  } catch (error) {
    if (mine !== asked) return false;
    state.query = was;
    box.showMistake(error);
    return false;
  }
  box.showMistake(null);
  page.close();
  toAddress({ replace: !sent });
  show();
  return true;
}

function show() {
  const { records, of, version } = state.found;
  const all = records === of && !state.query;
  find("#count").replaceChildren(
    make("b", {}, count(records)),
    all ? ` record${records === 1 ? "" : "s"}` : ` of ${count(of)}`,
  );
  find("#version").textContent = `version ${version}`;
  find("#empty").hidden = records > 0;
  find("#grid").hidden = records === 0;
  if (!records) {
    find("#empty h2").textContent = "No record";
    find("#empty p").textContent = state.query
      ? "The query is understood, and selects nothing."
      : "There is nothing in this version.";
  }
  grid.show(records);
  // What takes the server longer comes after what one looks at first.
  const mine = asked;
  spread.begin();
  grid.complete().then(() => mine === asked && spread.update());
}

async function refine(condition) {
  try {
    const query = await get("refine", { q: state.query, condition });
    box.set(query);
    await ask(query, true);
  } catch (error) {
    box.showMistake(error);
  }
}

function moved(place) {
  toAddress({ replace: place !== undefined && fromAddress().record !== undefined });
  if (place !== undefined) grid.choose(place);
  else find("#grid").focus();
}

function told(error) {
  news(error.message, "Try again", () => ask(state.query, false));
}

function news(text, action, act) {
  find("#news").hidden = false;
  find("#news span").textContent = text;
  const button = find("#news button");
  button.textContent = action;
  button.onclick = () => {
    find("#news").hidden = true;
    act();
  };
}

// Opens a version of the dataset, whole or a slice of it.
async function open({ version, slice, query, record }) {
  let about;
  const early = get("found", { q: query, slice, version });
  early.catch(() => {}); // told below
  try {
    about = await get("about", { version });
  } catch (error) {
    told(error);
    return;
  }
  state.version = about.version;
  state.path = about.path;
  state.slice = slice;
  const name = about.path.replace(/\/+$/, "").split("/").pop();
  document.title = `${name} · tfstream`;
  find("#name").textContent = name;
  find("#name").title = about.path;
  showSlices(about.slices);
  box.set(query);
  if (!(await ask(query, false, early)) && query) {
    await ask("", false);
    box.set(query);
    await ask(query, false);
  }
  if (record !== undefined) page.open(record);
  if (about.newest > about.version) newer(about.newest);
}

function showSlices(names) {
  const select = find("#slice");
  const option = (value, text) => make("option", { value, selected: value === state.slice }, text);
  select.hidden = !names.length;
  select.replaceChildren(option("", "all records"), ...names.map((name) => option(name, name)));
}

let newest = 0;

function newer(number) {
  if (number <= newest) return;
  newest = number;
  const text = `There is a version ${number} now; this is version ${state.version}, which stays as it is.`;
  news(text, `Show version ${number}`, () => look(number));
}

async function look(version, key) {
  closePanel();
  await open({ version, slice: "", query: key === undefined ? state.query : "", record: undefined });
  if (key === undefined) return;
  try {
    page.open(await get("find", { version, key }));
  } catch (error) {
    told(error);
  }
}

async function watch() {
  if (document.hidden || !state.version) return;
  try {
    const number = await get("newest");
    if (number > state.version) newer(number);
  } catch (error) {
    told(error);
  }
}

function toggle(what) {
  drawn[what] = !drawn[what];
  find(`#drawn [value=${what}]`).checked = drawn[what];
  tell("drawn");
}

function toggleSpread() {
  document.body.classList.toggle("with-spread");
  document.body.classList.toggle("without-spread");
}

const saving = () => showSaving(async () => showSlices((await get("about", { version: state.version })).slices));

for (const input of document.querySelectorAll("#drawn input")) {
  input.addEventListener("change", () => toggle(input.value));
}
find("#size").addEventListener("input", (event) => grid.resize(Number(event.target.value)));
find("#version").addEventListener("click", () => showVersions(look));
find("#save").addEventListener("click", saving);
find("#batch").addEventListener("click", showBatch);
find("#help").addEventListener("click", showKeys);
find("#spread-toggle").addEventListener("click", toggleSpread);
find("#slice").addEventListener("change", (event) =>
  open({ version: state.version, slice: event.target.value, query: "", record: undefined }),
);
window.addEventListener("popstate", () => {
  const said = fromAddress();
  const same =
    said.query === state.query && said.slice === state.slice && said.version === state.version;
  if (!same) open(said);
  else if (said.record !== undefined) page.open(said.record);
  else page.close();
});

const aside = (action) => () => {
  if (!isPanelOpen() && !page.isOpen) action();
};
listen({
  "/": aside(() => {
    find("#query").focus();
    find("#query").select();
  }),
  "?": aside(showKeys),
  b: () => toggle("boxes"),
  p: () => toggle("masks"),
  k: () => toggle("keypoints"),
  n: () => toggle("names"),
  f: aside(toggleSpread),
  s: aside(saving),
  m: aside(showBatch),
  v: aside(() => showVersions(look)),
});
if (matchMedia("(max-width: 700px)").matches) {
  grid.wanted = 110;
  find("#size").value = 110;
}
setInterval(watch, NEWS);
await open(fromAddress());
find("#grid").focus({ preventScroll: true });
