// The query box: what it may go on with, and where a mistake is.

import { get } from "./api.js";
import { find, later, make } from "./dom.js";
import { state } from "./state.js";

const TYPED = 90; // ms
const PAUSE = 600; // ms after which a query is asked without being sent

export class QueryBox {
  // ask: is called with the text, and whether it was sent.
  constructor(ask) {
    this.ask = ask;
    this.input = find("#query");
    this.list = find("#suggestions");
    this.mistake = find("#mistake");
    this.offered = [];
    this.at = -1;
    this.complete = later(TYPED, () => this.completions());
    this.pause = later(PAUSE, () => this.ask(this.input.value, false));
    this.input.addEventListener("input", () => {
      this.showMistake(null);
      this.changed();
      // What is offered was so for less text; a space ends what it would complete.
      if (/\s$/.test(this.input.value.slice(0, this.input.selectionStart))) this.close();
      this.complete();
      this.pause();
    });
    this.input.addEventListener("keydown", (event) => this.pressed(event));
    this.input.addEventListener("blur", () => this.close());
    this.input.addEventListener("scroll", () => this.align());
    find("#clear").addEventListener("click", () => {
      this.set("");
      this.send();
      this.input.focus();
    });
    find("#ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  get text() {
    return this.input.value;
  }

  set(text) {
    this.input.value = text;
    this.changed();
    this.close();
  }

  changed() {
    find("#clear").hidden = !this.input.value;
  }

  send() {
    this.pause.cancel();
    this.close();
    this.ask(this.input.value, true);
  }

  async completions() {
    const cursor = this.input.selectionStart ?? this.input.value.length;
    const typed = this.input.value.slice(0, cursor);
    try {
      const made = await get("complete", { q: typed, version: state.version });
      if (typed !== this.input.value.slice(0, this.input.selectionStart)) return;
      if (document.activeElement === this.input) this.offer(made, typed);
    } catch {
      this.close();
    }
  }

  offer({ begin, suggestions }, typed) {
    // The server counts characters, JavaScript halves of some.
    this.begin = [...typed].slice(0, begin).join("").length;
    this.offered = suggestions;
    this.at = -1;
    this.list.replaceChildren(
      ...suggestions.map(({ text, about }, number) =>
        make(
          "li",
          {
            role: "option",
            id: `suggestion-${number}`,
            onmousedown: (event) => {
              event.preventDefault();
              this.accept(number);
            },
          },
          make("code", {}, text),
          make("small", {}, about),
        ),
      ),
    );
    this.list.hidden = !suggestions.length;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
  }

  close() {
    this.complete.cancel();
    this.list.hidden = true;
    this.at = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  mark(at) {
    this.at = (at + this.offered.length + 1) % (this.offered.length + 1);
    if (this.at === this.offered.length) this.at = -1;
    [...this.list.children].forEach((item, number) => {
      item.setAttribute("aria-selected", String(number === this.at));
      if (number === this.at) item.scrollIntoView({ block: "nearest" });
    });
    if (this.at < 0) this.input.removeAttribute("aria-activedescendant");
    else this.input.setAttribute("aria-activedescendant", `suggestion-${this.at}`);
  }

  accept(number) {
    const { text } = this.offered[number];
    // Up to the cursor of now: more may have been typed since this was offered.
    this.input.setRangeText(text, this.begin, this.input.selectionStart, "end");
    this.close();
    this.changed();
    this.pause();
  }

  pressed(event) {
    const open = !this.list.hidden;
    if (event.key === "ArrowDown" && open) this.mark(this.at + 1);
    else if (event.key === "ArrowDown") this.completions();
    else if (event.key === "ArrowUp" && open) this.mark(this.at < 0 ? this.offered.length - 1 : this.at - 1);
    else if (event.key === "Tab" && open && !event.shiftKey) this.accept(Math.max(0, this.at));
    else if (event.key === "Enter" && open && this.at >= 0) this.accept(this.at);
    else if (event.key === "Escape" && open) this.close();
    else if (event.key === "Escape") find("#grid").focus();
    else return;
    event.preventDefault();
  }

  // Shows an error, under the place where the mistake is; null: none.
  showMistake(error) {
    this.mistake.hidden = error === null;
    this.input.setAttribute("aria-invalid", String(error !== null));
    if (error === null) return;
    const before = [...this.input.value].slice(0, (error.column ?? 1) - 1).join("");
    // What stands before the place is there, unseen, so that the caret is below it.
    find("pre", this.mistake).replaceChildren(make("span", {}, before), "^");
    find("pre", this.mistake).hidden = !error.column;
    find("p", this.mistake).textContent = error.message;
    this.align();
  }

  // The caret stays below its character where the text is longer than the box.
  align() {
    find("pre", this.mistake).style.transform = `translateX(${-this.input.scrollLeft}px)`;
  }
}
