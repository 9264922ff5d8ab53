// What the keyboard does, and the list of it.

import { make } from "./dom.js";
import { openPanel } from "./panel.js";

const KEYS = [
  ["/", "to the query box; Tab takes what it proposes, Enter asks"],
  ["← ↑ → ↓", "through the grid; Page, Home and End as well"],
  ["Enter", "open the record that is marked"],
  ["← →", "in a record: the one before, the next one"],
  ["Esc", "back"],
  ["b, p, k, n", "boxes, masks, keypoints, names: draw them or not"],
  ["f", "histograms"],
  ["s", "keep the query as a slice"],
  ["m", "as the model sees it"],
  ["v", "versions"],
  ["?", "this list"],
];

// actions: a function by key.
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("input:not([type=checkbox]):not([type=range]), select, textarea")) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

export function showKeys() {
  openPanel("Keys", "keys").append(
    make(
      "dl",
      {},
      ...KEYS.flatMap(([key, what]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, what)]),
    ),
  );
}
