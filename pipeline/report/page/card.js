// One image of the gallery: its stage, or two beside each other if two datasets are compared.

class Card {
  constructor(image, page) {
    this.image = image;
    this.page = page;
    this.isNear = false;
    this.isStale = true;
    this.sides = image.sides.map((side) => new Masks(side, image.width, image.height));
    this.readout = element("p", { class: "readout" });
    this.stages = stagesOf(this, (text) => this.tell(text));
    this.large = element("button", { type: "button", class: "plain" }, "Enlarge");
    this.large.setAttribute("aria-label", `Enlarge ${image.name}`);
    this.large.addEventListener("click", () => page.enlarge(this));
    for (const stage of this.stages) {
      stage.onEnter = () => page.enlarge(this);
      stage.canvas.addEventListener("dblclick", () => page.enlarge(this));
    }
    const name = element("h3", { class: "name", title: image.uri }, image.name);
    const size = image.width ? `${image.width} × ${image.height}` : "";
    const head = element("div", { class: "card-head" }, name, element("span", { class: "size" }, size), this.large);
    this.large.hidden = !image.width;
    const pair = element("div", { class: "stages" }, ...framed(this.stages, page.names));
    this.element = element("li", { class: "card" }, pair, head, this.readout);
    this.tell("");
  }

  /** The numbers of all masks and of the shown ones, in the dataset itself. */
  get count() {
    const masks = this.sides.at(-1);
    return { all: masks.count, shown: this.stages.at(-1).shown.reduce((sum, one) => sum + one, 0) };
  }

  /** Sets the text below the image: about the chosen mask, or else about the image. */
  tell(text) {
    this.readout.classList.toggle("quiet", !text);
    this.readout.textContent = text || this.described();
  }

  described() {
    const last = this.sides.at(-1);
    if (last.why) return last.message ? `failed: ${last.why}` : last.why;
    if (last.matches) return changesOf(this).map(([number, name]) => `${whole(number)} ${name}`).join(" · ");
    const { all, shown } = this.count;
    const leftOut = last.leftOut ? ` (${whole(last.leftOut)} more are left out)` : "";
    if (all === 0) return `no masks${leftOut}`;
    const some = shown === all ? counted(all, "mask") : `${whole(shown)} of ${counted(all, "mask")}`;
    if (shown === 0) return `${some}${leftOut}`;
    const sum = last.iou.reduce((before, one, mask) => before + one * this.stages.at(-1).shown[mask], 0);
    return `${some}${leftOut} · mean IoU ${(sum / shown).toFixed(2)}`;
  }

  /** Applies the sliders; draws only when the card is on the screen. */
  update(thresholds) {
    for (const stage of this.stages) stage.show(shownMasks(stage.masks, thresholds));
    this.isStale = true;
    this.drawIfNear();
    if (this.stages.every((stage) => stage.chosen < 0)) this.tell("");
  }

  near(isNear) {
    this.isNear = isNear;
    this.drawIfNear();
  }

  drawIfNear() {
    if (!this.isNear || !this.isStale) return;
    this.isStale = false;
    for (const stage of this.stages) stage.draw();
  }
}

/** The stages of an image; with two datasets, each stage knows the other. */
function stagesOf(card, told) {
  const { image, page } = card;
  const stages = card.sides.map((masks, side) => {
    const where = page.names.length > 1 ? ` in ${page.names[side]}` : "";
    const label = `Masks of ${image.name}${where}`;
    return new Stage(image, masks, side, page.colours, label, told);
  });
  if (stages.length === 2) [stages[0].partner, stages[1].partner] = [stages[1], stages[0]];
  return stages;
}

/** Stages under the names of their datasets, if there are two. */
function framed(stages, names) {
  if (names.length === 1) return stages.map((stage) => stage.element);
  return stages.map((stage, side) =>
    element("figure", { class: "side" }, element("figcaption", {}, names[side]), stage.element),
  );
}

/** How many of the shown masks of two datasets are the same, changed, vanished, appeared. */
function changesOf(card) {
  const numbers = { "the same": 0, changed: 0, vanished: 0, appeared: 0 };
  card.stages.forEach((stage, side) => {
    (stage.masks.matches || []).forEach(([kind], mask) => {
      const name = KIND_NAMES[side][kind];
      if (stage.shown[mask] && (side === 1 || name === "vanished")) numbers[name] += 1;
    });
  });
  return Object.entries(numbers).map(([name, number]) => [number, name]);
}
