// What is looked at, and what is drawn: one place, told to all who listen.

export const state = {
  version: undefined, // a number
  slice: "",
  query: "",
  found: { records: 0, of: 0, version: 0, pictures: "" },
};

export const drawn = {
  boxes: true,
  masks: true,
  keypoints: true,
  names: false,
  hidden: new Set(), // labels
};

const listeners = { found: [], drawn: [] };

export const on = (event, listener) => listeners[event].push(listener);

export const tell = (event) => listeners[event].forEach((listener) => listener());

// What every request says of the records that are meant.
export const question = () => ({ q: state.query, slice: state.slice, version: state.version });

export function toggleLabel(label) {
  if (!drawn.hidden.delete(label)) drawn.hidden.add(label);
  tell("drawn");
}

// A colour for each label, told apart from those of its neighbours in the label map.
export function colour(item, lightness = 60) {
  let index = item.class;
  if (index < 0) index = [...item.label].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 9973, 7);
  return `hsl(${Math.round((index * 137.508 + 205) % 360)} 88% ${lightness}%)`;
}
