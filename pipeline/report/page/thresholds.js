// The three sliders: which masks they keep, and the command that keeps the same ones.

const SLIDER_STEPS = 100; // an arrow key moves by one, and each step is another value
const WORDS = {
  iou: { name: "Predicted IoU", short: "iou", sign: "above", column: "predicted_iou >" },
  stability: { name: "Stability", short: "stab", sign: "at least", column: "stability_score >=" },
  area: { name: "Area", short: "area", sign: "at most", column: "area_share <=" },
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

  /** The value at a place of the slider, rounded for commands; place 0 is what the masks were made with. */
  at(place) {
    if (place <= 0) return this.start;
    const way = place / SLIDER_STEPS;
    // rounding must not make a value looser than the first
    if (this.key === "area") return Math.min(this.start, Number((this.start * (this.end / this.start) ** way).toPrecision(2)));
    return Math.max(this.start, Number((this.start + way * (this.end - this.start)).toFixed(4)));
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

/** For each mask, whether all thresholds keep it. */
function shownMasks(masks, thresholds) {
  const changed = thresholds.filter((threshold) => threshold.isChanged);
  const shown = new Uint8Array(masks.count).fill(1);
  for (let mask = 0; mask < masks.count; mask += 1) {
    if (!changed.every((threshold) => threshold.keeps(masks, mask))) shown[mask] = 0;
  }
  return shown;
}

/** A word of a command, quoted for a shell as Python's shlex.quote does. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

/**
 * The command, and a sentence if it is not `sam-label filter`. The values are part of the output's name, so that
 * each choice has an output of its own.
 */
function commandOf(thresholds, folder) {
  const changed = thresholds.filter((threshold) => threshold.isChanged);
  if (changed.length === 0) return { text: "", why: "" };
  const refused = changed.find((threshold) => threshold.refused);
  const values = changed.map((threshold) => `-${threshold.words.short}${threshold.value}`).join("");
  if (!refused) {
    const options = changed.flatMap((threshold) => [threshold.option, String(threshold.value)]);
    return { text: ["sam-label", "filter", folder, folder + values, ...options].map(quoted).join(" "), why: "" };
  }
  const conditions = changed.map((threshold) => `${threshold.words.column} ${threshold.value}`);
  const words = ["sam-label", "export", folder, `${folder}-export${values}`, "--where", conditions.join(" and ")];
  return {
    text: words.map(quoted).join(" "),
    why: `The command is an export, because filter cannot do this: ${refused.refused}.`,
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
