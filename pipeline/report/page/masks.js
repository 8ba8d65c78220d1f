// The masks of one image in one dataset, as the page carries them (pipeline/report/packed_masks.py).

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
  return bytes;
}

class Masks {
  constructor(side, imageWidth, imageHeight) {
    this.count = side.masks;
    this.leftOut = side.left_out || 0;
    this.why = side.error || side.why || "";
    this.message = side.error ? side.why : "";
    this.matches = side.matches || null;
    this.drawn = side.drawn || 0;
    [this.width, this.height] = side.grid || [4, 3];
    this.imageWidth = imageWidth;
    this.imageHeight = imageHeight;
    this.iou = new Float32Array(bytesOf(side.iou || "").buffer);
    this.stability = new Float32Array(bytesOf(side.stability || "").buffer);
    this.area = new Uint32Array(bytesOf(side.area || "").buffer);
    this.packed = side.runs || "";
    this.edges = [];
    // Small masks are drawn over the large ones that they are parts of.
    this.largestFirst = [...this.area.keys()].sort((one, other) => this.area[other] - this.area[one]);
  }

  /** For each drawn mask its cells, as pairs: the first, and the one after the last. Unpacked once. */
  get spans() {
    if (this.unpacked === undefined) {
      this.unpacked = unpackedSpans(bytesOf(this.packed), this.drawn, this.width * this.height);
      this.packed = "";
    }
    return this.unpacked;
  }

  /** The cells of a mask that have a neighbour outside it; computed once. */
  edge(mask) {
    if (this.edges[mask] === undefined) {
      this.edges[mask] = edgeCells(this.spans[mask], this.width, this.height);
    }
    return this.edges[mask];
  }

  /** Whether a mask holds a cell. */
  holds(mask, cell) {
    const spans = this.spans[mask];
    if (spans === undefined) return false;
    for (let place = 0; place < spans.length; place += 2) {
      if (cell < spans[place]) return false;
      if (cell < spans[place + 1]) return true;
    }
    return false;
  }

  /** The masks at a cell, the smallest first. */
  at(cell, shown) {
    const found = this.largestFirst.filter((mask) => shown[mask] && this.holds(mask, cell));
    return found.reverse();
  }

  share(mask) {
    return this.area[mask] / (this.imageWidth * this.imageHeight);
  }

  /** The text that a person reads about a mask. */
  described(mask) {
    const values = [
      `Mask ${mask + 1} of ${this.count}`,
      `IoU ${this.iou[mask].toFixed(3)}`,
      `stability ${this.stability[mask].toFixed(3)}`,
      `${percent(this.share(mask))} of the image (${whole(this.area[mask])} px)`,
    ];
    return values.join(" · ");
  }
}

function unpackedSpans(bytes, count, cells) {
  const every = [];
  let place = 0;
  for (let mask = 0; mask < count; mask += 1) {
    const spans = [];
    let cell = 0;
    let isInside = false;
    while (cell < cells) {
      let run = 0;
      let shift = 0;
      let byte;
      do {
        if (place === bytes.length) throw new Error("the masks of an image are cut off");
        byte = bytes[place++];
        run |= (byte & 127) << shift;
        shift += 7;
      } while (byte > 127);
      if (isInside) spans.push(cell, cell + run);
      cell += run;
      isInside = !isInside;
    }
    every.push(Int32Array.from(spans));
  }
  return every;
}

let marks = new Uint8Array(0);

function edgeCells(spans, width, height) {
  const cells = width * height;
  if (marks.length < cells) marks = new Uint8Array(cells);
  const edge = [];
  for (let place = 0; place < spans.length; place += 2) marks.fill(1, spans[place], spans[place + 1]);
  for (let place = 0; place < spans.length; place += 2) {
    for (let cell = spans[place]; cell < spans[place + 1]; cell += 1) {
      const x = cell % width;
      const isEdge =
        (x > 0 && !marks[cell - 1]) ||
        (x < width - 1 && !marks[cell + 1]) ||
        (cell >= width && !marks[cell - width]) ||
        (cell + width < cells && !marks[cell + width]);
      if (isEdge) edge.push(cell);
    }
  }
  for (let place = 0; place < spans.length; place += 2) marks.fill(0, spans[place], spans[place + 1]);
  return Int32Array.from(edge);
}
