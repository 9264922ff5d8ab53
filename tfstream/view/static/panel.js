// The dialog that versions, batches, slices and keys are shown in.

import { find, make } from "./dom.js";

const dialog = find("#panel");

dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});

// Opens the panel; gives the element that its content goes into.
export function openPanel(title, name) {
  const body = make("div", { class: `body ${name}` });
  const close = make(
    "button",
    { class: "icon", "aria-label": "Close", title: "Close (Esc)", onclick: closePanel },
    "✕",
  );
  dialog.replaceChildren(make("div", { class: "head" }, make("h2", {}, title), close), body);
  dialog.dataset.name = name;
  if (!dialog.open) dialog.showModal();
  return body;
}

export function closePanel() {
  dialog.close();
}

export const isPanelOpen = () => dialog.open;
