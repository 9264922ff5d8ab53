// Rows of any number in an element whose height browsers can hold. Arithmetic only.

const HIGHEST = 8_000_000; // pixels: browsers make mistakes with more than some 16 million

export class Scrolling {
  // total: height of all rows, in pixels; view: that of what is seen of them.
  constructor(total, view) {
    this.total = Math.max(total, view);
    this.view = view;
    this.height = Math.min(this.total, HIGHEST); // of the element
    this.shift = 0; // where the rows are, less where the element was scrolled to
    this.last = 0;
  }

  get scale() {
    const room = this.height - this.view;
    return room > 0 ? (this.total - this.view) / room : 1;
  }

  // Where among the rows it is, once the element was scrolled there. Small steps are exact; a jump
  // of the scrollbar is to the same share of the whole.
  moved(top) {
    const jumped = Math.abs(top - this.last) > 2 * this.view;
    const atEnd = top <= 0 || top >= this.height - this.view - 1;
    if (this.scale !== 1 && (jumped || atEnd)) this.shift = top * this.scale - top;
    this.last = top;
    return this.clamp(top + this.shift);
  }

  // Where the element is to be scrolled to, so that the rows are there.
  place(position) {
    const wanted = this.clamp(position);
    this.last = wanted / this.scale;
    this.shift = wanted - this.last;
    return this.last;
  }

  clamp(position) {
    return Math.max(0, Math.min(position, this.total - this.view));
  }
}
