// Starts the page: cards, sliders, groups, the look.

const GROUPS = {
  all: ["All", "All images of this page."],
  best: ["Best", "The highest mean predicted IoU of all rows that were read."],
  worst: ["Worst", "The lowest mean predicted IoU of all rows that were read."],
  random: ["Random", "Labelled images, chosen by the seed alone."],
  none: ["No masks", "Labelled, but no mask passed the thresholds."],
  failed: ["Failed", "Images that have a reason instead of masks."],
};
const ANNOUNCED_AFTER_MS = 500; // a screen reader hears where a slider stops, not each step

byId("not-run").remove();
const data = JSON.parse(byId("data").textContent);
const page = { names: data.names, colours: data.colours, cards: [], enlarge: (card) => largeView.open(card) };
const largeView = new LargeView(byId("large"), page);
const thresholds = data.sliders.map((told) => new Threshold(told));
page.cards = data.images.map((image) => new Card(image, page));
byId("cards").append(...page.cards.map((card) => card.element));

// Only what is near the screen is drawn.
const cardOf = new Map(page.cards.map((card) => [card.element, card]));
const watcher = new IntersectionObserver(
  (entries) => entries.forEach((entry) => cardOf.get(entry.target).near(entry.isIntersecting)),
  { rootMargin: "300px" },
);
page.cards.forEach((card) => watcher.observe(card.element));
addEventListener("beforeprint", () => page.cards.forEach((card) => card.near(true)));

let announcement = 0;

function outcome() {
  const counts = page.cards.map((card) => card.count);
  const all = counts.reduce((sum, count) => sum + count.all, 0);
  const shown = counts.reduce((sum, count) => sum + count.shown, 0);
  const images = counts.filter((count) => count.all > 0).length;
  const left = counts.filter((count) => count.shown > 0).length;
  const part = shown === all ? counted(all, "mask") : `${whole(shown)} of ${counted(all, "mask")}`;
  const share = shown === all || all === 0 ? "" : ` (${percent(shown / all)})`;
  return `${part}${share} in ${left === images ? "" : `${whole(left)} of `}${counted(images, "image")}`;
}

function update() {
  page.cards.forEach((card) => card.update(thresholds));
  const text = outcome();
  byId("count").textContent = text;
  const isChanged = thresholds.some((threshold) => threshold.isChanged);
  byId("reset").hidden = !isChanged;
  byId("command-box").hidden = !isChanged;
  const command = commandOf(thresholds, data.folder);
  byId("command").textContent = command.text;
  byId("command-why").textContent = command.why;
  byId("command-why").hidden = !command.why;
  if (page.names.length > 1) showLegend();
  clearTimeout(announcement);
  announcement = setTimeout(() => (byId("announced").textContent = text), ANNOUNCED_AFTER_MS);
}

// A slider reports more often than the screen is drawn.
let frame = 0;
const updateSoon = () => {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(update);
};

const rows = thresholds.map((threshold) => sliderRow(threshold, updateSoon));
byId("sliders").append(...rows.map(({ row }) => row));
byId("reset").addEventListener("click", () => {
  rows.forEach(({ reset }) => reset());
  update();
  byId("slider-iou").focus();
});

byId("copy").addEventListener("click", async () => {
  const code = byId("command");
  getSelection().selectAllChildren(code);
  try {
    await navigator.clipboard.writeText(code.textContent);
    byId("copy").textContent = "Copied";
    setTimeout(() => (byId("copy").textContent = "Copy"), 1500);
  } catch {
    code.focus(); // the text is selected, so the keyboard can copy it
  }
});

function showGroup(name) {
  for (const card of page.cards) card.element.hidden = name !== "all" && !card.image.groups.includes(name);
  byId("group-note").textContent = GROUPS[name][1];
}

for (const [name, [label]] of Object.entries(GROUPS)) {
  const number = page.cards.filter((card) => name === "all" || card.image.groups.includes(name)).length;
  if (number === 0) continue;
  const radio = element("input", { type: "radio", name: "group", value: name, checked: name === "all" });
  radio.addEventListener("change", () => showGroup(name));
  byId("groups").append(
    element("label", { class: "chip" }, radio, element("span", {}, `${label} `, element("small", {}, whole(number)))),
  );
}

function showLegend() {
  const totals = page.cards.filter((card) => card.sides.at(-1).matches).map(changesOf);
  const entries = ["the same", "changed", "vanished", "appeared"].map((name, place) => {
    const number = totals.reduce((sum, changes) => sum + changes[place][0], 0);
    const swatch = element("span", { class: "swatch" });
    swatch.style.backgroundColor = name === "appeared" ? KIND_COLOURS[1][2] : KIND_COLOURS[0][place];
    return element("li", {}, swatch, `${whole(number)} ${name}`);
  });
  byId("legend").replaceChildren(...entries);
}

const isDark = () => {
  const chosen = document.documentElement.dataset.look;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
const tellLook = () => byId("theme").setAttribute("aria-pressed", String(isDark()));
byId("theme").addEventListener("click", () => {
  document.documentElement.dataset.look = isDark() ? "light" : "dark";
  tellLook();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tellLook);
tellLook();

showGroup("all");
update();
