// Makes elements of the page. A string always becomes text: nothing here reads one as HTML.

/** A new element with attributes and children; a child that is a string becomes text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const byId = (id) => document.getElementById(id);

const whole = (number) => Math.round(number).toLocaleString("en-US");

const counted = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;

/** `12 %`, `0.031 %`: two significant digits. */
function percent(share) {
  const value = 100 * share;
  return `${value >= 10 ? Math.round(value) : Number(value.toPrecision(2))} %`;
}
