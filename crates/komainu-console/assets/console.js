// What pages do beyond being read: keys. Everything works without it.

const search = document.getElementById("search");
const keys = document.getElementById("keys");
const menu = document.getElementById("menu-open");

/** The lines of all tables of the page, in order. */
const lines = () => [...document.querySelectorAll("table.rows tbody tr")];

/** Moves the mark from one line to the next, or the one before. */
function move(by) {
  const all = lines();
  if (all.length === 0) return;
  const from = all.findIndex((line) => line.classList.contains("here"));
  const first = by > 0 ? 0 : all.length - 1;
  const to = from < 0 ? first : Math.min(all.length - 1, Math.max(0, from + by));
  if (from >= 0) all[from].classList.remove("here");
  all[to].classList.add("here");
  all[to].scrollIntoView({ block: "nearest" });
}

/** Opens the first link of the marked line. */
function open() {
  const link = document.querySelector("table.rows tr.here a[href]");
  if (link) link.click();
  return Boolean(link);
}

function isTyping(target) {
  return target instanceof Element && target.closest("input, select, textarea, [contenteditable]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (document.activeElement === search) search.blur();
    if (menu) menu.checked = false;
    return;
  }
  if (isTyping(event.target) || keys?.open) return;
  switch (event.key) {
    case "/":
      search?.focus();
      search?.select();
      break;
    case "?":
      keys?.showModal();
      break;
    case "j":
      move(1);
      break;
    case "k":
      move(-1);
      break;
    case "Enter":
      if (event.target !== document.body || !open()) return;
      break;
    default:
      return;
  }
  event.preventDefault();
});

/** A click copies what is made for being passed on. */
for (const element of document.querySelectorAll("[data-copy]")) {
  element.addEventListener("click", () => {
    navigator.clipboard?.writeText(element.textContent.trim()).then(() => {
      element.classList.add("copied");
      setTimeout(() => element.classList.remove("copied"), 800);
    });
  });
}

/** A drag over a chart chooses the time of the page that `data-brush` names. */
for (const area of document.querySelectorAll("[data-brush]")) {
  const plot = area.querySelector("rect.k-brush");
  if (plot) brush(area, plot);
}

function brush(area, plot) {
  const [from, to] = [Number(plot.dataset.from), Number(plot.dataset.to)];
  let begin = null;
  let mark = null;
  let isDrag = false;
  const within = (x) => {
    const { left, right } = plot.getBoundingClientRect();
    return Math.min(right, Math.max(left, x));
  };
  const timeAt = (x) => {
    const { left, width } = plot.getBoundingClientRect();
    return new Date(from + ((x - left) / width) * (to - from)).toISOString().slice(0, 16);
  };
  area.addEventListener("dragstart", (event) => event.preventDefault());
  area.addEventListener("pointerdown", (event) => {
    const { left, right, top, bottom } = plot.getBoundingClientRect();
    const isIn = event.clientX >= left && event.clientX <= right && event.clientY >= top && event.clientY <= bottom;
    begin = isIn && event.button === 0 && event.pointerType !== "touch" ? event.clientX : null;
    isDrag = false;
  });
  addEventListener("pointermove", (event) => {
    if (begin === null || Math.abs(event.clientX - begin) < 6) return;
    isDrag = true;
    const outer = area.getBoundingClientRect();
    const inner = plot.getBoundingClientRect();
    const [left, right] = [begin, within(event.clientX)].sort((a, b) => a - b);
    if (!mark) area.append((mark = Object.assign(document.createElement("div"), { className: "brushed" })));
    mark.style.left = `${left - outer.left}px`;
    mark.style.width = `${right - left}px`;
    mark.style.top = `${inner.top - outer.top}px`;
    mark.style.height = `${inner.height}px`;
  });
  addEventListener("pointerup", (event) => {
    mark?.remove();
    mark = null;
    if (begin === null || !isDrag) return void (begin = null);
    const [left, right] = [begin, within(event.clientX)].sort((a, b) => a - b);
    begin = null;
    const { brush: base } = area.dataset;
    const sign = base.includes("?") ? "&" : "?";
    location.assign(`${base}${sign}from=${timeAt(left)}&to=${timeAt(right)}`);
  });
  // The click at the end of a drag follows no link.
  area.addEventListener("click", (event) => isDrag && event.preventDefault(), true);
}
