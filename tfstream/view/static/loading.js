// Records and their pictures by their place in the answer: a request for each stretch that is not
// there, which brings them as they are made. What was scrolled past is given up.

import { lines } from "./api.js";
const SIDES = [160, 320, 640]; // pixels, of which the server makes pictures
const MOST = 96; // records of a request
const KEPT = 64 << 20; // characters of pictures

// How large pictures are for tiles of so many CSS pixels.
export function sideFor(size) {
  const wanted = size * Math.min(window.devicePixelRatio || 1, 2);
  return SIDES.find((each) => each >= wanted * 0.8) ?? SIDES.at(-1);
}

export class Loading {
  // asked: the question; side: the most pixels of a picture; arrived: is called with the first and
  // last place of what came.
  constructor({ asked, side, arrived, failed }) {
    this.asked = asked;
    this.side = side;
    this.arrived = arrived;
    this.failed = failed;
    this.records = new Map(); // place -> record, those that came last at the end
    this.kept = 0; // characters
    this.underWay = new Set(); // { first, last, controller }
  }

  get(place) {
    return this.records.get(place);
  }

  // Loads what is seen, and what is around it once nothing is awaited.
  want(seen, around) {
    this.wanted = [seen, around];
    for (const stretch of this.underWay) {
      if (stretch.last < around.first || stretch.first > around.last) this.giveUp(stretch);
    }
    this.load(seen);
    if (!this.underWay.size) this.load({ first: seen.last + 1, last: around.last });
    if (!this.underWay.size) this.load({ first: around.first, last: seen.first - 1 });
  }

  load({ first, last }) {
    const isMissing = (place) => !this.records.has(place) && !this.isUnderWay(place);
    while (first <= last && !isMissing(first)) first += 1;
    while (first <= last && !isMissing(last)) last -= 1;
    last = Math.min(last, first + MOST - 1);
    if (first <= last) this.fetch({ first, last, controller: new AbortController() });
  }

  isUnderWay(place) {
    return [...this.underWay].some(({ first, last }) => first <= place && place <= last);
  }

  async fetch(stretch) {
    this.underWay.add(stretch);
    const { first, last, controller } = stretch;
    const given = { ...this.asked, begin: first, count: last - first + 1, side: this.side };
    let place = first;
    try {
      for await (const some of lines("records", given, controller.signal)) {
        for (const record of some) this.keep(place++, record);
        this.arrived(place - some.length, place - 1);
      }
    } catch (error) {
      if (error.name !== "AbortError") this.failed(error);
      return;
    } finally {
      this.underWay.delete(stretch);
    }
    if (place > first) this.want(...this.wanted);
  }

  keep(place, record) {
    this.records.set(place, record);
    this.kept += record.picture?.length ?? 0;
    for (const [first, { picture }] of this.records) {
      if (this.kept <= KEPT) break;
      this.records.delete(first);
      this.kept -= picture?.length ?? 0;
    }
  }

  giveUp(stretch) {
    stretch.controller.abort();
    this.underWay.delete(stretch);
  }

  close() {
    this.arrived = () => {};
    this.failed = () => {};
    this.underWay.forEach((stretch) => this.giveUp(stretch));
  }
}
