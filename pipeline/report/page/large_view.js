// Shows one image large: on the same kind of stage, and with its masks as a table for those who read.

class LargeView {
  constructor(dialog, page) {
    this.dialog = dialog;
    this.page = page;
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      dialog.replaceChildren();
      if (this.from) this.from.focus();
    });
  }

  /** Opens a card with the mask that is chosen in the gallery, and moves the keyboard's focus to it. */
  open(card) {
    this.from = document.activeElement;
    const chosen = card.stages.map((stage) => stage.chosen);
    this.fill(card);
    this.dialog.showModal();
    const side = chosen.findIndex((mask) => mask >= 0);
    if (side >= 0) {
      this.stages[side].choose(chosen[side]);
      this.stages[side].canvas.focus();
    }
  }

  fill(card) {
    const { image, page } = card;
    const readout = element("p", { class: "readout", "aria-hidden": "true" });
    let without = "";
    const told = (text) => (readout.textContent = text || without);
    this.stages = stagesOf(card, told);
    for (const [place, stage] of this.stages.entries()) {
      stage.isLarge = true;
      stage.element.classList.add("is-large");
      stage.element.style.aspectRatio = `${image.width} / ${image.height}`;
      stage.element.style.maxWidth = `calc(72vh * ${image.width / image.height})`;
      stage.shown = card.stages[place].shown;
      stage.draw();
    }
    without = "Point at a mask, tap it, or step through them with the arrow keys.";
    if (!this.stages.some(hasShown)) without = card.count.all ? "No masks at these thresholds." : "No masks.";
    told("");
    const close = element("button", { type: "button", class: "plain" }, "Close");
    close.addEventListener("click", () => this.dialog.close());
    const others = page.cards.filter((other) => !other.element.hidden && other.image.width);
    const turn = (name, step) => {
      const other = others[others.indexOf(card) + step];
      const button = element("button", { type: "button", class: "plain", disabled: !other }, name);
      button.addEventListener("click", () => {
        this.fill(other);
        const buttons = [...this.dialog.querySelectorAll(".buttons button:not(:disabled)")];
        (buttons.find((again) => again.textContent === name) || buttons.at(-1)).focus();
      });
      return button;
    };
    const head = element(
      "div",
      { class: "large-head" },
      element("h2", { id: "large-name", class: "name", title: image.uri }, image.name),
      element("div", { class: "buttons" }, turn("Previous", -1), turn("Next", 1), close),
    );
    const pair = element("div", { class: "stages" }, ...framed(this.stages, page.names));
    const last = this.stages.at(-1);
    const table = hasShown(last) ? this.table(last) : null;
    const body = element("div", { class: "large-body" }, element("div", { class: "large-picture" }, pair, readout), table);
    this.dialog.replaceChildren(head, body);
  }

  table(stage) {
    const { masks } = stage;
    const body = element("tbody");
    for (let mask = 0; mask < masks.count; mask += 1) {
      if (!stage.shown[mask]) continue;
      const swatch = element("span", { class: "swatch" });
      swatch.style.backgroundColor = stage.colourOf(mask);
      const choose = element("button", { type: "button", class: "row-button" }, swatch, String(mask + 1));
      choose.setAttribute("aria-label", `Show mask ${mask + 1}`);
      for (const moment of ["focus", "click", "pointerenter"]) choose.addEventListener(moment, () => stage.choose(mask));
      const values = [masks.iou[mask].toFixed(3), masks.stability[mask].toFixed(3), percent(masks.share(mask)), whole(masks.area[mask])];
      const cells = values.map((value) => element("td", {}, value));
      if (masks.matches) cells.push(element("td", {}, KIND_NAMES[1][masks.matches[mask][0]]));
      body.append(element("tr", {}, element("th", { scope: "row" }, choose), ...cells));
    }
    const names = ["mask", "IoU", "stability", "area", "pixels", ...(masks.matches ? ["change"] : [])];
    const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)));
    const table = element("table", {}, element("caption", {}, stage.label), element("thead", {}, head), body);
    return element("div", { class: "scrolled large-table", tabindex: 0, role: "group", "aria-label": "Masks as a table" }, table);
  }
}

const hasShown = (stage) => stage.shown.some((isShown) => isShown);
