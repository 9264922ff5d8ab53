// The endless grid: only what is seen, and a little around it, is there.

import { find, later } from "./dom.js";
import { Loading, sideFor } from "./loading.js";
import { Scrolling } from "./scrolling.js";
import { Tile } from "./tile.js";
import { on, question } from "./state.js";

const GAP = 6;
const PADDING = 10;
const ABOVE = 2; // rows beyond what is seen, on both sides
const PATIENCE = 1000; // ms
const CALM = 160; // ms without scrolling, after which the scrollbar is set right

export class Grid {
  // open: is called with the place of the record that was chosen.
  constructor({ open, failed }) {
    this.open = open;
    this.failed = failed;
    this.element = find("#grid");
    this.room = find("#tiles");
    this.tiles = new Map();
    this.spare = [];
    this.chosen = -1;
    this.wanted = 180;
    this.top = 0;
    this.total = 0;
    this.scrolling = new Scrolling(0, 1);
    const calm = later(CALM, () => this.settle());
    this.element.addEventListener("scroll", () => {
      this.top = this.scrolling.moved(this.element.scrollTop);
      this.plan();
      calm();
    }, { passive: true });
    this.room.addEventListener("click", (event) => {
      const place = this.placeOf(event.target);
      if (place === undefined) return;
      this.choose(place);
      this.open(place);
    });
    this.element.addEventListener("keydown", (event) => this.pressed(event));
    new ResizeObserver(() => this.layout()).observe(this.element);
    on("drawn", () => this.tiles.forEach((tile) => tile.draw()));
  }

  placeOf(element) {
    const tile = element.closest(".tile");
    return tile === null ? undefined : Number(tile.dataset.place);
  }

  // Shows another answer, from its beginning.
  show(total) {
    this.total = total;
    this.asked = question();
    this.loading?.close();
    this.loading = null;
    this.clear();
    this.chosen = -1;
    this.top = 0;
    this.layout();
  }

  resize(wanted) {
    this.wanted = wanted;
    this.clear();
    this.layout();
  }

  clear() {
    for (const tile of this.tiles.values()) this.retire(tile);
    this.tiles.clear();
  }

  retire(tile) {
    tile.drop();
    this.spare.push(tile);
  }

  // Fits the columns to the width, and stays at the record that is first.
  layout() {
    const width = this.element.clientWidth - 2 * PADDING;
    this.view = this.element.clientHeight;
    if (width <= 0 || this.view <= 0) return;
    const first = this.size ? Math.floor(this.top / this.step) * this.columns : 0;
    this.columns = Math.max(2, Math.round((width + GAP) / (this.wanted + GAP)));
    const size = Math.floor((width - GAP * (this.columns - 1)) / this.columns);
    if (size !== this.size) this.clear();
    this.size = size;
    this.step = size + GAP;
    this.load(sideFor(size));
    const rows = Math.ceil(this.total / this.columns);
    this.scrolling = new Scrolling(rows * this.step - GAP + 2 * PADDING, this.view);
    this.room.style.height = `${this.scrolling.height}px`;
    this.go(Math.floor(first / this.columns) * this.step);
  }

  load(side) {
    if (!this.asked || this.loading?.side === side) return;
    this.loading?.close();
    this.loading = new Loading({
      asked: this.asked,
      side,
      arrived: (first, last) => this.fill(first, last),
      failed: this.failed,
    });
  }

  go(top) {
    this.top = this.scrolling.clamp(top);
    this.element.scrollTop = this.scrolling.place(this.top);
    this.plan();
  }

  settle() {
    this.element.scrollTop = this.scrolling.place(this.top);
    this.plan();
  }

  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => {
      this.planned = false;
      this.render();
    });
  }

  render() {
    if (!this.loading) return;
    const firstRow = Math.floor((this.top - PADDING) / this.step);
    const lastRow = Math.floor((this.top + this.view - PADDING) / this.step);
    const { first, last } = this.places(firstRow - ABOVE, lastRow + ABOVE);
    for (const [place, tile] of this.tiles) {
      if (place < first || place > last) {
        this.tiles.delete(place);
        this.retire(tile);
      }
    }
    this.loading.want(this.places(firstRow, lastRow), { first, last });
    const shift = this.element.scrollTop - this.top + PADDING;
    for (let place = first; place <= last; place += 1) this.put(place, shift);
  }

  // Of all tiles in some rows, those that there are.
  places(firstRow, lastRow) {
    const first = Math.max(0, firstRow * this.columns);
    return { first, last: Math.min(this.total, (lastRow + 1) * this.columns) - 1 };
  }

  put(place, shift) {
    let tile = this.tiles.get(place);
    if (!tile) {
      tile = this.spare.pop() ?? new Tile();
      tile.take(place);
      tile.element.dataset.place = place;
      this.tiles.set(place, tile);
      this.room.append(tile.element);
    }
    const row = Math.floor(place / this.columns);
    const left = PADDING + (place - row * this.columns) * this.step;
    tile.move(left, row * this.step + shift, this.size);
    tile.element.classList.toggle("chosen", place === this.chosen);
    tile.show(this.loading.get(place));
  }

  fill(first, last) {
    for (let place = first; place <= last; place += 1) {
      this.tiles.get(place)?.show(this.loading.get(place));
    }
  }

  // Waits until everything that is seen has its picture, or cannot have one; or for a second.
  async complete() {
    const begin = performance.now();
    const isWaiting = ({ place, element }) =>
      element.dataset.state === "waiting" &&
      Math.floor(place / this.columns) * this.step < this.top + this.view;
    while (performance.now() - begin < PATIENCE) {
      if (this.tiles.size && ![...this.tiles.values()].some(isWaiting)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  // Marks a record, and scrolls to where it is seen.
  choose(place) {
    this.chosen = Math.max(0, Math.min(place, this.total - 1));
    const begin = Math.floor(this.chosen / this.columns) * this.step;
    if (begin < this.top) this.go(begin);
    else if (begin + this.step + PADDING > this.top + this.view) {
      this.go(begin + this.step + PADDING - this.view);
    } else this.plan();
  }

  pressed(event) {
    const rows = Math.max(1, Math.floor(this.view / this.step));
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.columns,
      ArrowDown: this.columns,
      PageUp: -rows * this.columns,
      PageDown: rows * this.columns,
      Home: -this.total,
      End: this.total,
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !this.total) return;
    if (event.key in steps) {
      event.preventDefault();
      const from = this.chosen < 0 ? Math.floor(this.top / this.step) * this.columns : this.chosen;
      this.choose(this.chosen < 0 && Math.abs(steps[event.key]) === 1 ? from : from + steps[event.key]);
    } else if (event.key === "Enter" && this.chosen >= 0) {
      event.preventDefault();
      this.open(this.chosen);
    }
  }
}
