// As the model sees it: a batch with its crops and flips, and the boxes that followed them.

import { get } from "./api.js";
import { later, make } from "./dom.js";
import { draw } from "./overlay.js";
import { openPanel } from "./panel.js";
import { question } from "./state.js";

const MODES = ["random_crop", "center_crop", "resize", "crop_or_pad"];
const given = {
  height: "224",
  width: "224",
  mode: "random_crop",
  area: "0.08",
  flip: true,
  batch_size: "16",
  seed: "0",
  shuffle: true,
  epoch: "0",
  step: "0",
};

export function showBatch() {
  const body = openPanel("As the model sees it", "batch");
  const pictures = make("div", { class: "pictures" });
  const code = make("pre", { class: "code" });
  const told = make("output");
  let controller = new AbortController();

  async function update() {
    controller.abort();
    controller = new AbortController();
    pictures.setAttribute("aria-busy", "true");
    try {
      const asked = { ...question(), ...given, flip: given.flip ? "1" : "0", shuffle: given.shuffle ? "1" : "0" };
      const made = await get("batch", asked, controller.signal);
      given.step = String(made.step);
      form.elements.step.value = given.step;
      told.textContent = `batch ${made.step + 1} of ${made.steps.toLocaleString("en")}`;
      code.textContent = made.code;
      pictures.replaceChildren(...made.images.map(picture));
    } catch (error) {
      if (error.name === "AbortError") return;
      told.textContent = "";
      pictures.replaceChildren(make("p", { class: "error" }, error.message));
    }
    pictures.removeAttribute("aria-busy");
  }

  const form = options(later(250, update), told, update);
  body.append(form, pictures, code);
  update();
}

function options(changed, told, update) {
  const keep = (input) => () => {
    given[input.name] = input.type === "checkbox" ? input.checked : input.value;
    if (!["step", "epoch"].includes(input.name)) given.step = "0";
    changed();
  };
  const field = (name, attributes, title) => {
    const input = make("input", { name, ...attributes });
    if (attributes.type === "checkbox") input.checked = given[name];
    else input.value = given[name];
    input.addEventListener("input", keep(input));
    return make("label", {}, title, input);
  };
  const number = (name, min, max, title = name) => field(name, { type: "number", min, max }, title);
  const mode = make(
    "select",
    { name: "mode" },
    ...MODES.map((each) => make("option", { value: each, selected: each === given.mode }, each)),
  );
  mode.addEventListener("input", keep(mode));
  const step = (by, text) => {
    const turn = () => {
      given.step = String(Math.max(0, Number(given.step) + by));
      update();
    };
    return make("button", { type: "button", onclick: turn }, text);
  };
  const form = make(
    "form",
    { class: "options" },
    number("height", "1", "1024"),
    number("width", "1", "1024"),
    make("label", {}, "mode", mode),
    field("area", { type: "number", min: "0.01", max: "1", step: "0.01" }, "least area"),
    field("flip", { type: "checkbox" }, "flip"),
    field("shuffle", { type: "checkbox" }, "shuffle"),
    number("batch_size", "1", "64", "batch size"),
    number("seed", "0", "999999"),
    number("epoch", "0", "9999"),
    number("step", "0", "99999999"),
    make("span", { class: "steps" }, step(-1, "‹ batch"), told, step(1, "batch ›")),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  return form;
}

function picture({ key, source, objects }) {
  const image = make("img", { alt: key });
  const canvas = make("canvas");
  image.addEventListener("load", () => {
    const width = image.clientWidth;
    const height = image.clientHeight;
    draw(canvas, { canvas: { width, height }, left: 0, top: 0, width, height }, objects, { names: true });
  });
  image.src = source;
  return make("figure", { title: key }, image, canvas);
}
