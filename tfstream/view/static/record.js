// A record's page: the picture, its objects, and all that is known of it.

import { get } from "./api.js";
import { bytes, count, find, make } from "./dom.js";
import { draw } from "./overlay.js";
import { colour, drawn, on, question, state, toggleLabel } from "./state.js";

const LISTED = 300; // objects
const MARGIN = 14; // pixels around a picture
const MOST = 4; // times that a small picture is enlarged

export class RecordPage {
  // moved: is called with the place that is looked at, undefined once it is closed.
  constructor(moved) {
    this.moved = moved;
    this.dialog = find("#record");
    this.only = null;
    this.dialog.addEventListener("close", () => {
      this.place = undefined;
      this.moved(undefined);
    });
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    on("drawn", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.dialog);
  }

  get isOpen() {
    return this.dialog.open;
  }

  async open(place) {
    if (place < 0 || place >= state.found.records) return;
    this.place = place;
    this.moved(place);
    const controller = new AbortController();
    this.controller?.abort();
    this.controller = controller;
    try {
      this.record = await get("record", { ...question(), place }, controller.signal);
      this.only = null;
      this.show();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.dialog.replaceChildren(this.bar(String(place)), make("p", { class: "error" }, error.message));
    }
    if (!this.dialog.open && this.place !== undefined) this.dialog.showModal();
    this.draw();
    if (this.dialog.open) find("h2", this.dialog).focus();
  }

  close() {
    this.controller?.abort();
    if (this.dialog.open) this.dialog.close();
  }

  bar(title) {
    const step = (by, text, name) =>
      make(
        "button",
        {
          class: "icon",
          "aria-label": name,
          title: name,
          disabled: this.place + by < 0 || this.place + by >= state.found.records,
          onclick: () => this.open(this.place + by),
        },
        text,
      );
    return make(
      "div",
      { class: "bar-of-record" },
      step(-1, "‹", "Previous record (←)"),
      make("span", { class: "faint" }, `${count(this.place + 1)} of ${count(state.found.records)}`),
      step(1, "›", "Next record (→)"),
      make("h2", { tabindex: "-1" }, title),
      make(
        "button",
        { class: "icon", "aria-label": "Close", title: "Close (Esc)", onclick: () => this.dialog.close() },
        "✕",
      ),
    );
  }

  show() {
    const { record } = this;
    this.image = make("img", { alt: record.key });
    this.canvas = make("canvas");
    this.figure = make("figure", {}, this.image, this.canvas);
    if (record.error) {
      this.figure.replaceChildren(make("p", { class: "error" }, record.error));
    } else if (record.instead) {
      this.figure.replaceChildren(make("p", { class: "faint" }, record.instead));
    } else {
      this.image.addEventListener("load", () => this.draw());
      this.image.addEventListener("error", () => this.undecodable());
      this.image.src = `/picture/${state.found.pictures}/${record.number}/1600`;
    }
    this.dialog.replaceChildren(
      this.bar(record.key),
      make("div", { class: "of-record" }, this.figure, this.details()),
    );
  }

  // The picture's address answers with the reason.
  async undecodable() {
    const figure = this.figure;
    let why = "the image does not decode";
    try {
      const answer = await fetch(this.image.src);
      if (!answer.ok) why = (await answer.json()).error;
    } catch {
      // What is known has been said.
    }
    figure.replaceChildren(make("p", { class: "error" }, why));
  }

  draw() {
    if (!this.dialog.open || !this.image?.naturalWidth || this.record.error) return;
    const { record, image, canvas, figure } = this;
    const room = [figure.clientWidth, figure.clientHeight].map((side) => Math.max(1, side - 2 * MARGIN));
    const scale = Math.min(room[0] / record.width, room[1] / record.height, MOST);
    const [width, height] = [Math.round(record.width * scale), Math.round(record.height * scale)];
    for (const each of [image, canvas]) {
      each.style.width = `${width}px`;
      each.style.height = `${height}px`;
    }
    const place = { canvas: { width, height }, left: 0, top: 0, width, height };
    draw(canvas, place, record.objects, { line: 2, names: true, only: this.only, nowhere: record.void });
  }

  details() {
    const { record } = this;
    const facts = [
      ["target", record.target ?? undefined],
      ["split", record.split],
      ["label", record.label ?? "none"],
      ["size", [this.size(), record.format, bytes(record.bytes)].filter(Boolean).join(", ")],
      ["file", record.filename],
      ["orientation", record.orientation > 1 ? record.orientation : undefined],
      ["shard", record.shard],
      ["offset", `${count(record.offset)}, ${count(record.length)} bytes`],
      ["number", count(record.number)],
    ];
    const metadata = Object.entries(record.metadata).map(([name, value]) => [name, value ?? "null"]);
    const out = make("div", { class: "details" }, this.objects());
    if (metadata.length) out.append(make("h3", {}, "Metadata"), list(metadata));
    out.append(make("h3", {}, "Stored"), list(facts), this.annotation());
    return out;
  }

  size() {
    const { width, height, instead } = this.record;
    return instead ? "" : `${count(width)} × ${count(height)} px`;
  }

  objects() {
    const { objects, titles = {}, more = 0 } = this.record;
    const out = make("div", {}, make("h3", {}, objects.length ? "Objects" : "No objects"));
    const items = objects.slice(0, LISTED).map((item) => {
      const parts = ["polygons", "mask", "keypoints"].filter((part) => item[part]);
      const only = (which) => () => {
        this.only = which;
        this.draw();
      };
      const button = make(
        "button",
        {
          class: "object",
          "aria-pressed": String(!drawn.hidden.has(item.label)),
          title: "draw this label or not",
          vars: { colour: colour(item, 55) },
          onclick: () => {
            toggleLabel(item.label);
            this.only = null;
            for (const each of out.querySelectorAll(".object")) {
              each.setAttribute("aria-pressed", String(!drawn.hidden.has(each.dataset.label)));
            }
          },
          onpointerenter: only(item),
          onfocus: only(item),
          onpointerleave: only(null),
          onblur: only(null),
        },
        make("span", {}, item.label, titles[item.label] ? make("i", {}, ` ${titles[item.label]}`) : null),
        make("small", {}, [this.pixels(item.box), ...item.flags, ...parts].filter(Boolean).join(", ")),
      );
      button.dataset.label = item.label;
      return button;
    });
    out.append(...items);
    const left = objects.length - items.length + more;
    if (left > 0) out.append(make("p", { class: "faint" }, `and ${count(left)} further`));
    return out;
  }

  pixels(box) {
    if (!box) return "";
    const [ymin, xmin, ymax, xmax] = box;
    const { width, height } = this.record;
    const size = [(xmax - xmin) * width, (ymax - ymin) * height].map((side) => Math.round(side));
    return `${size[0]} × ${size[1]} at ${Math.round(xmin * width)}, ${Math.round(ymin * height)}`;
  }

  // Everything as it is, made when it is first looked at.
  annotation() {
    const text = make("pre");
    const made = make("details", {}, make("summary", {}, "Full annotation"), text);
    made.addEventListener("toggle", () => {
      const short = (name, value) => (name === "runs" ? `${value.length} runs` : value);
      text.textContent ||= JSON.stringify(this.record, short, 1);
    });
    return made;
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined || event.target.matches("input, select")) return;
    event.preventDefault();
    this.open(this.place + by);
  }
}

function list(pairs) {
  const known = pairs.filter(([, value]) => value !== undefined);
  return make(
    "dl",
    {},
    ...known.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]),
  );
}
