// A photo with its masks over it. One mask can be chosen: by pointing, by tapping, by the arrow keys.

const KINDS = ["same", "changed", "alone"];
// With two datasets: the names and colours of the masks in the first and in the second.
const KIND_NAMES = [
  ["the same", "changed", "vanished"],
  ["the same", "changed", "appeared"],
];
const KIND_COLOURS = [
  ["#8d9399", "#e8b021", "#e4572e"],
  ["#8d9399", "#e8b021", "#12a594"],
];

class Stage {
  /** `side` is 0 for the one dataset, or 0 and 1 for two; `told` gets the text of the chosen mask. */
  constructor(image, masks, side, colours, label, told) {
    Object.assign(this, { image, masks, side, colours, label, told });
    this.shown = new Uint8Array(masks.count).fill(1);
    this.chosen = -1;
    this.isPinned = false;
    this.isLarge = false;
    this.partner = null;
    this.onEnter = null;
    this.canvas = element("canvas", { class: "masks" });
    this.element = element("div", { class: "stage" }, this.photo(), this.canvas);
    const note = this.note();
    if (note) this.element.append(note);
    if (masks.count === 0) return;
    this.asSlider();
    this.canvas.addEventListener("pointermove", (event) => this.hovered(event));
    this.canvas.addEventListener("pointerleave", () => this.isPinned || this.choose(-1));
    this.canvas.addEventListener("click", (event) => this.tapped(event));
    this.canvas.addEventListener("keydown", (event) => this.keyed(event));
    this.canvas.addEventListener("focus", () => {
      if (this.chosen < 0 && this.canvas.matches(":focus-visible")) this.step(1);
    });
    this.canvas.addEventListener("blur", () => this.choose(-1));
  }

  /** The photo; a plain ground if there is none, or if the stage shows words. */
  photo() {
    const { image, masks } = this;
    if (image.photo && !masks.why) return element("img", { src: image.photo, alt: `Photo ${image.name}`, decoding: "async" });
    return element("div", { class: "ground" });
  }

  /** Why there is no photo, or no mask; null if there are both. */
  note() {
    const { image, masks } = this;
    if (masks.why) return element("p", { class: "stage-note" }, element("b", {}, masks.why), ` ${masks.message}`);
    if (!image.gone) return null;
    return element("p", { class: "gone", title: image.gone_why }, `The photo is no longer available: ${image.gone}`);
  }

  // One steps through masks as with a slider, whose value screen readers say as it changes.
  asSlider() {
    const attributes = {
      tabindex: 0,
      role: "slider",
      "aria-label": this.label,
      "aria-valuemin": 0,
      "aria-valuemax": this.masks.count,
      "aria-valuenow": 0,
      "aria-valuetext": "no mask chosen",
    };
    for (const [name, value] of Object.entries(attributes)) this.canvas.setAttribute(name, value);
  }

  colourOf(mask) {
    const { matches } = this.masks;
    return matches ? KIND_COLOURS[this.side][matches[mask][0]] : this.colours[mask];
  }

  draw() {
    if (this.masks.count === 0) return;
    const { matches } = this.masks;
    const isQuiet = (mask) => matches !== null && KINDS[matches[mask][0]] === "same";
    paint(this.canvas, this.masks, this.shown, (mask) => this.colourOf(mask), isQuiet, this.chosen);
  }

  show(shown) {
    this.shown = shown;
    if (this.chosen >= 0 && !shown[this.chosen]) this.choose(-1);
  }

  describe(mask) {
    const { matches } = this.masks;
    const text = this.masks.described(mask);
    if (!matches) return text;
    const [kind, , iou] = matches[mask];
    const name = KIND_NAMES[this.side][kind];
    return `${text} · ${name}${KINDS[kind] === "alone" ? "" : ` (overlap ${iou.toFixed(2)})`}`;
  }

  /** Chooses a mask, or none for -1, and its counterpart in the other dataset. */
  choose(mask, isLed = false) {
    if (mask < 0) this.isPinned = false;
    if (mask === this.chosen) return;
    this.chosen = mask;
    const text = mask < 0 ? "no mask chosen" : this.describe(mask);
    this.canvas.setAttribute("aria-valuenow", mask + 1);
    this.canvas.setAttribute("aria-valuetext", text);
    this.draw();
    if (isLed) return;
    this.told(mask < 0 ? "" : text);
    if (this.partner && this.masks.matches) {
      const counterpart = mask < 0 ? -1 : this.masks.matches[mask][1];
      this.partner.choose(this.partner.shown[counterpart] ? counterpart : -1, true);
    }
  }

  /** The cell below a pointer; -1 beside the image, which may be narrower or lower than its stage. */
  cellAt(event) {
    const { width, height } = this.masks;
    const box = this.canvas.getBoundingClientRect();
    let [across, down] = [box.width / width, box.height / height];
    if (!this.isLarge) across = down = Math.min(across, down); // the large view's frame has the image's own shape
    const x = Math.floor((event.clientX - box.left - (box.width - width * across) / 2) / across);
    const y = Math.floor((event.clientY - box.top - (box.height - height * down) / 2) / down);
    return x >= 0 && x < width && y >= 0 && y < height ? y * width + x : -1;
  }

  hovered(event) {
    if (this.isPinned || event.pointerType !== "mouse") return;
    const [smallest] = this.masks.at(this.cellAt(event), this.shown);
    this.choose(smallest === undefined ? -1 : smallest);
  }

  /** Each tap at a place goes on to the next larger mask there. */
  tapped(event) {
    const here = this.masks.at(this.cellAt(event), this.shown);
    if (here.length === 0) {
      this.choose(-1);
      return;
    }
    const place = this.isPinned ? here.indexOf(this.chosen) : -1;
    this.choose(here[(place + 1) % here.length]);
    this.isPinned = true;
  }

  keyed(event) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key in steps) this.step(steps[event.key]);
    else if (event.key === "Home") this.stepFrom(-1, 1);
    else if (event.key === "End") this.stepFrom(this.masks.count, -1);
    else if (event.key === "Escape" && this.chosen >= 0) this.choose(-1);
    else if (event.key === "Enter" && this.onEnter) this.onEnter();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  step(way) {
    this.stepFrom(this.chosen < 0 && way < 0 ? this.masks.count : this.chosen, way);
  }

  /** Chooses the next shown mask from a place on. */
  stepFrom(place, way) {
    let mask = place + way;
    while (mask >= 0 && mask < this.masks.count && !this.shown[mask]) mask += way;
    if (mask < 0 || mask >= this.masks.count) return;
    this.choose(mask);
    this.isPinned = true;
  }
}
