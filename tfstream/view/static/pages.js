// Records by their place in the answer, fetched some at a time; what was scrolled past is given up.

import { get } from "./api.js";
import { question } from "./state.js";

const SIZE = 32; // records a page
const KEPT = 120; // pages

export class Pages {
  // arrived: is called with the first and last place of what came.
  constructor(total, arrived, failed) {
    this.total = total;
    this.arrived = arrived;
    this.failed = failed;
    this.beside = []; // pages that are fetched when nothing else is
    this.pages = new Map(); // number -> { records, controller }
    this.asked = question();
  }

  get(place) {
    return this.pages.get(Math.floor(place / SIZE))?.records?.[place % SIZE];
  }

  // Fetches what is seen, and then the pages beside it.
  want(first, last) {
    const begin = Math.floor(Math.max(0, first) / SIZE);
    const end = Math.floor(Math.max(0, Math.min(last, this.total - 1)) / SIZE);
    const most = Math.floor(Math.max(0, this.total - 1) / SIZE);
    for (const [number, page] of this.pages) {
      if (!page.records && (number < begin - 1 || number > end + 1)) {
        page.controller.abort();
        this.pages.delete(number);
      }
    }
    for (let number = begin; number <= end; number += 1) this.fetch(number);
    this.beside = [end + 1, begin - 1].filter((number) => number >= 0 && number <= most);
    for (const number of this.pages.keys()) {
      if (this.pages.size <= KEPT) break;
      if (number < begin - 1 || number > end + 1) this.pages.delete(number);
    }
  }

  async fetch(number) {
    if (number === undefined || this.pages.has(number) || !this.total) return;
    const page = { records: null, controller: new AbortController() };
    this.pages.set(number, page);
    const given = { ...this.asked, begin: number * SIZE, count: SIZE };
    try {
      page.records = await get("records", given, page.controller.signal);
      this.arrived(number * SIZE, number * SIZE + page.records.length - 1);
      const underWay = [...this.pages.values()].some((other) => !other.records);
      if (!underWay) this.fetch(this.beside.shift());
    } catch (error) {
      this.pages.delete(number);
      if (error.name !== "AbortError") this.failed(error);
    }
  }

  close() {
    for (const page of this.pages.values()) if (!page.records) page.controller.abort();
    this.arrived = () => {};
    this.failed = () => {};
  }
}
