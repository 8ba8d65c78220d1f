// The three sliders: which masks they leave, and the command that leaves the same ones.

const SLIDER_STEPS = 100; // an arrow key moves by one, and each is another value
const WORDS = {
  iou: { name: "Predicted IoU", sign: "above", column: "predicted_iou >" },
  stability: { name: "Stability", sign: "at least", column: "stability_score >=" },
  area: { name: "Area", sign: "at most", column: "area_share <=" },
};

class Threshold {
  constructor(told) {
    Object.assign(this, told);
    this.words = WORDS[this.key];
    this.value = this.start;
  }

  get isChanged() {
    return this.value !== this.start;
  }

  /** The value at a place of the slider, 0 for what the masks were made with; with few digits, for commands. */
  at(place) {
    if (place <= 0) return this.start;
    const way = place / SLIDER_STEPS;
    if (this.key !== "area") return Number((this.start + way * (this.end - this.start)).toFixed(4));
    return Number((this.start * (this.end / this.start) ** way).toPrecision(2));
  }

  get text() {
    if (this.key === "area") return `${this.words.sign} ${percent(this.value)}`;
    return this.value === 0 ? "any" : `${this.words.sign} ${this.value}`;
  }

  /** Whether a mask stays; scores are compared as float32, as sam-label does. */
  keeps(masks, mask) {
    if (!this.isChanged) return true;
    if (this.key === "iou") return masks.iou[mask] > Math.fround(this.value);
    if (this.key === "stability") return masks.stability[mask] >= Math.fround(this.value);
    return masks.area[mask] <= this.value * masks.imageHeight * masks.imageWidth;
  }
}

/** For each mask whether all thresholds leave it. */
function shownMasks(masks, thresholds) {
  const changed = thresholds.filter((threshold) => threshold.isChanged);
  const shown = new Uint8Array(masks.count).fill(1);
  for (let mask = 0; mask < masks.count; mask += 1) {
    if (!changed.every((threshold) => threshold.keeps(masks, mask))) shown[mask] = 0;
  }
  return shown;
}

/** The command, and a sentence if it is not `sam-label filter`, its first words saying the most. */
function commandOf(thresholds, commands) {
  const changed = thresholds.filter((threshold) => threshold.isChanged);
  const refused = changed.find((threshold) => threshold.refused);
  if (!refused) {
    const options = changed.map((threshold) => `${threshold.option} ${threshold.value}`);
    return { text: [commands.filter, ...options].join(" "), why: "" };
  }
  const conditions = changed.map((threshold) => `${threshold.words.column} ${threshold.value}`);
  return {
    text: `${commands.export} '${conditions.join(" and ")}'`,
    why: `An export gives these masks; sam-label filter cannot: ${refused.refused}.`,
  };
}

/** The row of one slider; calls `changed` when it moves. */
function sliderRow(threshold, changed) {
  const id = `slider-${threshold.key}`;
  const input = element("input", { type: "range", id, min: 0, max: SLIDER_STEPS, step: 1, value: 0 });
  // the slider says its value itself
  const output = element("span", { class: "value", "aria-hidden": "true" });
  const tell = () => {
    output.textContent = threshold.text;
    input.setAttribute("aria-valuetext", threshold.text);
  };
  input.addEventListener("input", () => {
    threshold.value = threshold.at(Number(input.value));
    tell();
    changed();
  });
  const reset = () => {
    input.value = 0;
    threshold.value = threshold.start;
    tell();
  };
  reset();
  input.disabled = threshold.start === threshold.end;
  const row = element("div", { class: "slider" }, element("label", { for: id }, threshold.words.name), input, output);
  return { row, reset };
}
