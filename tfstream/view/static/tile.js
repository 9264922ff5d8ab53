// One square of the grid: a picture and what is drawn over it.

import { make } from "./dom.js";
import { draw } from "./overlay.js";

export class Tile {
  constructor() {
    this.image = make("img", { alt: "", decoding: "async", draggable: false });
    this.canvas = make("canvas");
    this.note = make("span", { class: "note" });
    this.element = make("div", { class: "tile", role: "gridcell" }, this.image, this.canvas, this.note);
    this.image.addEventListener("load", () => this.become("shown"));
    this.image.addEventListener("error", () => {
      if (this.image.hasAttribute("src")) this.broken("does not decode");
    });
  }

  // Stands for a place of the answer from now on.
  take(place) {
    this.place = place;
    this.record = null;
    this.become("waiting");
    this.note.textContent = "";
    this.element.title = "";
    this.canvas.hidden = true;
  }

  move(left, top, size) {
    this.size = size;
    this.element.style.transform = `translate(${left}px, ${top}px)`;
    this.element.style.width = this.element.style.height = `${size}px`;
  }

  // Shows a record, once it is there.
  show(record) {
    if (!record || this.record === record) return;
    this.record = record;
    this.element.title = record.key;
    this.element.setAttribute("aria-label", record.key);
    if (record.error) {
      this.broken("damaged");
      return;
    }
    if (record.instead) {
      this.become("bare");
      this.note.textContent = `${record.instead}\n${record.key}`;
      return;
    }
    if (record.picture === null) {
      this.broken("does not decode");
      return;
    }
    this.image.src = `data:image/jpeg;base64,${record.picture}`;
    this.draw();
  }

  draw() {
    const { record, size } = this;
    this.canvas.hidden = !(record?.objects?.length || record?.void) || Boolean(record.instead);
    if (this.canvas.hidden) return;
    const scale = Math.min(size / record.width, size / record.height);
    const [width, height] = [record.width * scale, record.height * scale];
    const place = {
      canvas: { width: size, height: size },
      left: (size - width) / 2,
      top: (size - height) / 2,
      width,
      height,
    };
    draw(this.canvas, place, record.objects, { line: size > 220 ? 1.8 : 1.3, nowhere: record.void });
  }

  broken(why) {
    this.become("broken");
    this.canvas.hidden = true;
    this.note.textContent = `${why}\n${this.record.key}`;
  }

  become(what) {
    this.element.dataset.state = what;
  }

  drop() {
    this.image.removeAttribute("src");
    this.record = null;
    this.element.remove();
  }
}
