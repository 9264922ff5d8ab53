// Histograms of what was found; a click on a bar asks for its records alone.

import { get } from "./api.js";
import { count, find, make, plural, setVariables } from "./dom.js";
import { colour, drawn, on, question, state, toggleLabel } from "./state.js";

const FIRST = 12; // bars, before more are asked for

export class Spread {
  // refine: is called with the condition of the bar that was clicked.
  constructor(refine) {
    this.refine = refine;
    this.element = find("#histograms");
    this.more = new Set(); // titles of those that are shown at full length
    this.wanted = ""; // part of the labels' names
    on("drawn", () => this.mark());
  }

  // What is shown belongs to another query from now on.
  begin() {
    this.controller?.abort();
    this.element.setAttribute("aria-busy", "true");
  }

  async update() {
    this.begin();
    this.controller = new AbortController();
    try {
      this.made = await get("histograms", question(), this.controller.signal);
      this.show();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.element.replaceChildren(make("p", { class: "error" }, error.message));
    }
    this.element.removeAttribute("aria-busy");
  }

  show() {
    this.element.replaceChildren(...this.made.map((each) => this.section(each)));
    this.mark();
  }

  section(histogram) {
    const { title, kind, bars, missing } = histogram;
    const made = make("section", { class: kind }, make("h2", {}, title));
    if (histogram.others === null) {
      made.append(make("p", { class: "faint" }, "too many different values to show"));
    } else if (!bars.length && !missing) {
      made.append(make("p", { class: "faint" }, "nothing to show"));
    } else if (kind === "numbers") {
      made.append(...this.columns(bars));
    } else {
      made.append(...this.rows(histogram));
    }
    if (missing) made.append(this.row(missing, Math.max(missing.count, ...counts(bars)), kind, true));
    return made;
  }

  rows({ title, kind, bars, others }) {
    const long = this.more.has(title);
    const wanted = kind === "labels" ? this.wanted.toLowerCase() : "";
    const fitting = bars.filter((bar) => bar.text.toLowerCase().includes(wanted));
    const most = Math.max(1, ...counts(bars));
    const shown = fitting.slice(0, long ? undefined : FIRST);
    const out = shown.map((bar) => this.row(bar, most, kind));
    if (kind === "labels" && bars.length > FIRST) out.unshift(this.filter());
    const left = fitting.length - shown.length;
    if (left) {
      const open = () => {
        this.more.add(title);
        this.show();
      };
      out.push(make("button", { class: "quiet more", onclick: open }, `${count(left)} more`));
    }
    if (others && long) {
      out.push(make("p", { class: "faint" }, `and ${count(others)} further: ask for them by name`));
    }
    return out;
  }

  filter() {
    const input = make("input", {
      type: "search",
      placeholder: "find a label",
      "aria-label": "Find a label",
      oninput: () => {
        this.wanted = input.value;
        const section = input.closest("section");
        const labels = this.section(this.made[0]);
        section.replaceWith(labels);
        const next = find("input", labels);
        next.focus();
        next.setSelectionRange(next.value.length, next.value.length);
        this.mark();
      },
    });
    input.value = this.wanted;
    return input;
  }

  row(bar, most, kind, isMissing = false) {
    const button = make(
      "button",
      {
        class: "bar",
        title: bar.condition,
        "data-condition": bar.condition,
        vars: { share: `${(100 * bar.count) / most}%` },
        onclick: () => this.refine(bar.condition),
      },
      make("span", {}, bar.text || "(empty)"),
      make("small", {}, count(bar.count)),
    );
    if (isMissing) button.classList.add("missing");
    if (kind !== "labels" || isMissing) return button;
    const eye = make("button", {
      class: "eye",
      "data-label": bar.text,
      "aria-label": `Draw ${bar.text}`,
      title: "draw it or not",
      onclick: () => toggleLabel(bar.text),
    });
    const line = make("div", { class: "line" }, eye, button);
    setVariables(line, { colour: colour({ label: bar.text, class: bar.class }, 55) });
    return line;
  }

  columns(bars) {
    const most = Math.max(1, ...counts(bars));
    const told = make("output", { class: "told" });
    const say = (bar) => {
      told.textContent = bar ? `${bar.text}: ${plural(bar.count, "record")}` : "";
    };
    const made = bars.map((bar) =>
      make("button", {
        class: "column",
        "aria-label": `${bar.text}: ${plural(bar.count, "record")}`,
        "data-condition": bar.condition,
        // Where there is something, something is seen.
        vars: { share: bar.count ? `${Math.max(4, (100 * bar.count) / most)}%` : "0%" },
        onpointerenter: () => say(bar),
        onfocus: () => say(bar),
        onpointerleave: () => say(null),
        onblur: () => say(null),
        onclick: () => this.refine(bar.condition),
      }),
    );
    const ends = make(
      "div",
      { class: "ends" },
      make("span", {}, bars.at(0).text),
      told,
      make("span", {}, bars.length > 1 ? bars.at(-1).text : ""),
    );
    return [make("div", { class: "columns" }, ...made), ends];
  }

  // Shows which labels are drawn, and which conditions the query has.
  mark() {
    for (const eye of this.element.querySelectorAll(".eye")) {
      eye.setAttribute("aria-pressed", String(!drawn.hidden.has(eye.dataset.label)));
    }
    for (const bar of this.element.querySelectorAll("[data-condition]")) {
      bar.classList.toggle("asked", state.query.includes(bar.dataset.condition));
    }
  }
}

const counts = (bars) => bars.map((bar) => bar.count);
