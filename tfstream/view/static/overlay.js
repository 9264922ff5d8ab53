// Boxes, outlines, masks and keypoints over a picture, from data, on a canvas.

import { colour, drawn } from "./state.js";

const masks = new WeakMap(); // mask -> { colour, picture }, as it was drawn last

// Draws the objects over a picture of so many CSS pixels that lies at (left, top) of the canvas.
// line: width of lines; names: whether labels are written; only: an object to show alone; nowhere: a
// mask of where nobody says what the picture shows.
export function draw(canvas, place, objects, given = {}) {
  const { line = 1.5, names = false, only = null, nowhere = null } = given;
  const scale = Math.min(window.devicePixelRatio || 1, 2);
  const { width, height } = place.canvas;
  const inPixels = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== inPixels[0]) canvas.width = inPixels[0];
  if (canvas.height !== inPixels[1]) canvas.height = inPixels[1];
  const pen = canvas.getContext("2d");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const shown = objects.filter((item) => (only ? item === only : !drawn.hidden.has(item.label)));
  if (!shown.length && !nowhere) return;
  pen.setTransform(scale, 0, 0, scale, place.left * scale, place.top * scale);
  pen.lineJoin = "round";
  if (drawn.masks && nowhere && !only) drawHatched(pen, place, nowhere);
  if (drawn.masks) for (const item of shown) drawMask(pen, place, item);
  for (const item of shown) {
    if (drawn.masks && item.polygons) drawPolygons(pen, place, item, line);
    if (drawn.boxes && item.box) drawBox(pen, place, item, line);
  }
  if (drawn.keypoints) for (const item of shown) drawKeypoints(pen, place, item, line);
  if (names || drawn.names) for (const item of shown) if (item.box) drawName(pen, place, item);
}

function twice(pen, line, item, stroke) {
  pen.strokeStyle = "rgb(0 0 0 / 0.45)";
  pen.lineWidth = line + 1.5;
  stroke();
  pen.strokeStyle = colour(item);
  pen.lineWidth = line;
  stroke();
}

function drawBox(pen, place, item, line) {
  const [ymin, xmin, ymax, xmax] = item.box;
  const box = [
    xmin * place.width,
    ymin * place.height,
    (xmax - xmin) * place.width,
    (ymax - ymin) * place.height,
  ];
  pen.setLineDash(item.flags.length ? [line * 4, line * 2.5] : []);
  twice(pen, line, item, () => pen.strokeRect(...box));
  pen.setLineDash([]);
}

function drawPolygons(pen, place, item, line) {
  const path = new Path2D();
  for (const corners of item.polygons) {
    for (let at = 0; at < corners.length; at += 2) {
      path[at ? "lineTo" : "moveTo"](corners[at] * place.width, corners[at + 1] * place.height);
    }
    path.closePath();
  }
  pen.globalAlpha = 0.28;
  pen.fillStyle = colour(item);
  pen.fill(path, "evenodd");
  pen.globalAlpha = 1;
  pen.strokeStyle = colour(item);
  pen.lineWidth = line * 0.8;
  pen.stroke(path);
}

function drawMask(pen, place, item) {
  if (!item.mask) return;
  pen.globalAlpha = 0.45;
  pen.imageSmoothingEnabled = true;
  pen.drawImage(pictureOf(item.mask, colour(item)), 0, 0, place.width, place.height);
  pen.globalAlpha = 1;
}

// Grey stripes, as no label has them.
function drawHatched(pen, place, mask) {
  const striped = document.createElement("canvas");
  striped.width = Math.ceil(place.width);
  striped.height = Math.ceil(place.height);
  const stripes = striped.getContext("2d");
  stripes.strokeStyle = "#fff";
  stripes.lineWidth = 1.5;
  for (let at = -striped.height; at < striped.width; at += 5) {
    stripes.moveTo(at, striped.height);
    stripes.lineTo(at + striped.height, 0);
  }
  stripes.stroke();
  stripes.globalCompositeOperation = "destination-in";
  stripes.drawImage(pictureOf(mask, "#fff"), 0, 0, striped.width, striped.height);
  pen.globalAlpha = 0.35;
  pen.drawImage(pictureOf(mask, "#888"), 0, 0, place.width, place.height);
  pen.globalAlpha = 0.8;
  pen.drawImage(striped, 0, 0);
  pen.globalAlpha = 1;
}

// A mask's runs as a picture: where they are True it has a colour.
function pictureOf(mask, colour) {
  if (masks.get(mask)?.colour === colour) return masks.get(mask).picture;
  const made = document.createElement("canvas");
  made.width = mask.width;
  made.height = mask.height;
  const pen = made.getContext("2d");
  pen.fillStyle = colour;
  let at = 0;
  mask.runs.forEach((length, number) => {
    if (number % 2) fillRun(pen, mask.width, at, at + length);
    at += length;
  });
  masks.set(mask, { colour, picture: made });
  return made;
}

function fillRun(pen, width, begin, end) {
  while (begin < end) {
    const row = Math.floor(begin / width);
    const left = begin - row * width;
    const length = Math.min(end - begin, width - left);
    pen.fillRect(left, row, length, 1);
    begin += length;
  }
}

function drawKeypoints(pen, place, item, line) {
  for (const [x, y, visibility] of item.keypoints ?? []) {
    if (!visibility) continue;
    pen.beginPath();
    pen.arc(x * place.width, y * place.height, line * 1.8, 0, 2 * Math.PI);
    pen.fillStyle = visibility === 1 ? "rgb(0 0 0 / 0.5)" : colour(item);
    pen.fill();
    pen.lineWidth = Math.max(1, line * 0.6);
    pen.strokeStyle = visibility === 1 ? colour(item) : "rgb(0 0 0 / 0.7)";
    pen.stroke();
  }
}

function drawName(pen, place, item) {
  const [ymin, xmin, ymax] = item.box;
  pen.font = "600 11px system-ui, sans-serif";
  const text = item.label.length > 40 ? `${item.label.slice(0, 39)}…` : item.label;
  const wide = pen.measureText(text).width + 8;
  const left = Math.max(0, Math.min(xmin * place.width, place.width - wide));
  const above = ymin * place.height - 16;
  const top = above >= 0 ? above : Math.min(ymax * place.height, place.height - 16);
  pen.fillStyle = colour(item, 70);
  pen.fillRect(left, top, wide, 16);
  pen.fillStyle = "#000";
  pen.fillText(text, left + 4, top + 12);
}
