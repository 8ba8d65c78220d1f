// Draws masks on a canvas over the photo: each with a colour and an outline, larger ones below.

const FILL = 0.4;
const FILL_QUIET = 0.12;
const FILL_ASIDE = 0.1; // of the others, while one mask is chosen
const OUTLINE = 0.95;
const OUTLINE_QUIET = 0.6;
const OUTLINE_ASIDE = 0.3;

// A canvas's bytes are red, green, blue, alpha; in one number, on little-endian machines, alpha is highest.
function colourNumber(css, alpha) {
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(css.slice(place, place + 2), 16));
  return ((Math.round(alpha * 255) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Draws the shown masks; `chosen` is one of them or -1, and `isQuiet` says which masks matter less. */
function paint(canvas, masks, shown, colourOf, isQuiet, chosen) {
  if (canvas.width !== masks.width) canvas.width = masks.width;
  if (canvas.height !== masks.height) canvas.height = masks.height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(masks.width, masks.height);
  const cells = new Uint32Array(image.data.buffer);
  const visible = masks.largestFirst.filter((mask) => shown[mask] && mask < masks.drawn);
  const drawn = [...visible.filter(isQuiet), ...visible.filter((mask) => !isQuiet(mask))];
  const isAside = (mask) => chosen >= 0 && mask !== chosen;
  for (const mask of drawn) {
    const fill = colourNumber(colourOf(mask), isAside(mask) ? FILL_ASIDE : isQuiet(mask) ? FILL_QUIET : FILL);
    const spans = masks.spans[mask];
    for (let place = 0; place < spans.length; place += 2) cells.fill(fill, spans[place], spans[place + 1]);
  }
  for (const mask of drawn) {
    const line = colourNumber(colourOf(mask), isAside(mask) ? OUTLINE_ASIDE : isQuiet(mask) ? OUTLINE_QUIET : OUTLINE);
    for (const cell of masks.edge(mask)) cells[cell] = line;
  }
  if (chosen >= 0 && chosen < masks.drawn && shown[chosen]) {
    const spans = masks.spans[chosen];
    const fill = colourNumber(colourOf(chosen), FILL);
    for (let place = 0; place < spans.length; place += 2) cells.fill(fill, spans[place], spans[place + 1]);
    for (const cell of masks.edge(chosen)) cells[cell] = 0xffffffff;
  }
  context.putImageData(image, 0, 0);
}
