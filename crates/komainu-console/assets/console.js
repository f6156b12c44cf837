// What pages do beyond being read: keys, copying, choosing times, playing terminals, news. Everything works without it.

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

/** Follows the first link of the marked line. */
function open() {
  const link = document.querySelector("table.rows tr.here a[href]");
  if (link) location.assign(link.href);
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

/** Gives what is in a part of the page its behaviour. */
function equip(part) {
  // A click copies what is made for being passed on.
  for (const element of part.querySelectorAll("[data-copy]")) {
    element.addEventListener("click", () => {
      copy(element.textContent.trim()).then(() => {
        element.classList.add("copied");
        setTimeout(() => element.classList.remove("copied"), 800);
      });
    });
  }
  // A drag over a chart chooses the time of the page that `data-brush` names.
  for (const area of part.querySelectorAll("[data-brush]")) {
    const plot = area.querySelector("rect.k-brush");
    if (plot) brush(area, plot);
  }
  for (const card of part.querySelectorAll("[data-replay]")) replay(card);
  if (values) for (const value of part.querySelectorAll("a[data-filter]")) value.setAttribute("aria-haspopup", "menu");
}

const values = document.getElementById("values")?.showPopover ? document.getElementById("values") : null;
equip(document);
if (values) valueMenu();

/** Copies a text, also where pages come over plain HTTP and browsers hand out no clipboard. */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/** A click on a value opens what can be done with it. A second one, or one with a key held, follows its link as ever. */
function valueMenu() {
  const items = [...values.querySelectorAll("[data-do]")];
  const list = values.querySelector("[role=menu]");
  const said = document.getElementById("values-said");
  const has = (name, word) => values.dataset[name].split(" ").includes(word);
  let value = null;
  let texts = {};

  /** The address of a list that is narrowed further. */
  const and = (base, name, text) => `${base}${base.includes("?") ? "&" : "?"}${name}=${encodeURIComponent(text)}`;

  /** What leads where: null is not offered. */
  function links(kind, plain) {
    const mark = document.querySelector("main [data-attacks]") ?? values;
    const list = document.querySelector("main [data-list]");
    const test = (sign) => kind + sign + plain.replace(/[\\,]/g, "\\$&");
    const search = plain && `/search?q=${encodeURIComponent(plain)}`;
    if (list?.dataset.fields.split(" ").includes(kind)) {
      const [base, sign] = [list.dataset.list, list.dataset.without];
      return { only: and(base, kind, plain), without: sign ? and(base, kind, sign + plain) : null, search };
    }
    if (has("columns", kind)) {
      const base = mark.dataset.attacks;
      const attacks = and(values.dataset.attacks, "where", test("="));
      return { only: and(base, "where", test("=")), without: and(base, "where", test("!=")), attacks, search };
    }
    if (has("kinds", kind)) {
      const base = and(mark.dataset.observables, "where", `kind=${kind}`);
      const [only, without] = ["=", "!="].map((sign) => and(base, "where", `value${sign}${plain.replace(/[\\,]/g, "\\$&")}`));
      return { only, without, search };
    }
    if (kind === "sample") return { attacks: `/observables/one?kind=file&value=${plain}&range=1y`, search };
    return { search };
  }

  function show(link) {
    const [kind, plain] = link.dataset.filter.split("=").map(decodeURIComponent);
    const safe = link.dataset.safe ? decodeURIComponent(link.dataset.safe) : null;
    texts = { copy: plain, safe };
    const all = links(kind, plain);
    all.look = has("pageless", kind) ? null : link.href;
    for (const item of items) {
      const deed = item.dataset.do;
      item.hidden = !(deed in texts ? texts[deed] : all[deed]);
      if (item.matches("a") && !item.hidden) item.href = all[deed];
    }
    const code = values.querySelector("code");
    code.textContent = safe && safe.length <= 48 ? safe : "";
    const name = (link.querySelector(".k-name") ?? link).textContent.trim();
    values.querySelector("p").textContent = name;
    list.setAttribute("aria-label", name);
    value = link;
    said.textContent = "";
    link.setAttribute("aria-expanded", "true");
    values.showPopover();
    const { left, bottom, top } = link.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = values;
    const isAbove = bottom + height + 8 > innerHeight && top > height + 8;
    values.style.left = `${scrollX + Math.max(8, Math.min(left, document.documentElement.clientWidth - width - 8))}px`;
    values.style.top = `${scrollY + (isAbove ? top - height - 4 : bottom + 4)}px`;
    items.find((item) => !item.hidden)?.focus();
  }

  function close() {
    const from = value;
    values.hidePopover();
    from?.focus();
  }

  addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[data-filter]") : null;
    if (!link || event.defaultPrevented || event.button !== 0 || event.detail > 1) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    show(link);
  });
  addEventListener("keydown", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[data-filter]") : null;
    if (!link || event.key !== " ") return;
    event.preventDefault();
    show(link);
  });
  values.addEventListener("keydown", (event) => {
    const open = items.filter((item) => !item.hidden);
    const at = open.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (event.key === " " && document.activeElement.matches("a")) document.activeElement.click();
    else if (to !== undefined) open.at(to % open.length).focus();
    else return event.key === "Enter" ? event.stopPropagation() : undefined;
    event.preventDefault();
    event.stopPropagation();
  });
  values.addEventListener("click", async (event) => {
    const text = texts[event.target.closest("button[data-do]")?.dataset.do];
    if (text === undefined) return;
    close();
    await copy(text);
    said.textContent = values.dataset.copied;
    const mark = value;
    mark?.classList.add("copied");
    setTimeout(() => mark?.classList.remove("copied"), 800);
  });
  values.addEventListener("toggle", (event) => {
    if (event.newState !== "open") document.querySelector("a[data-filter][aria-expanded]")?.removeAttribute("aria-expanded");
  });
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

/** Plays what a terminal showed, piece by piece. Nothing longer than `WAIT_MAX_MS` is waited for. */
function replay(card) {
  const WAIT_MAX_MS = 2000;
  const screen = card.querySelector(".terminal");
  const pieces = [...screen.querySelectorAll("[data-at]")];
  const line = Object.assign(document.createElement("div"), { className: "line" });
  const button = Object.assign(document.createElement("button"), { type: "button" });
  const speed = document.createElement("select");
  speed.setAttribute("aria-label", card.dataset.speed);
  for (const times of [1, 2, 4, 8]) speed.append(new Option(`${times} ×`, times));
  line.append(button, speed);
  card.querySelector(".card-head").append(line);
  let next = pieces.length;
  let timer = null;
  const say = () => (button.textContent = timer === null ? card.dataset.play : card.dataset.pause);
  const step = () => {
    const piece = pieces[next];
    piece.classList.remove("unseen");
    piece.scrollIntoView({ block: "nearest" });
    next += 1;
    if (next === pieces.length) timer = null;
    else {
      const wait = Math.max(0, Number(pieces[next].dataset.at) - Number(piece.dataset.at));
      timer = setTimeout(step, Math.min(wait, WAIT_MAX_MS) / Number(speed.value));
    }
    say();
  };
  button.addEventListener("click", () => {
    if (timer !== null) {
      clearTimeout(timer);
      timer = null;
      return void say();
    }
    if (next === pieces.length) {
      for (const piece of pieces) piece.classList.add("unseen");
      next = 0;
    }
    step();
  });
  say();
}

/** Pages that show what is now are asked for again when there is news: at once, or at a click while somebody works on the page. */
function live() {
  const AGAIN_MS = 3000;
  const mark = document.querySelector("[data-live]");
  if (!mark || !window.EventSource) return;
  let source = null;
  let due = null;
  let offer = null;
  const isBusy = () => {
    const main = document.querySelector("main");
    const isChosen = !getSelection().isCollapsed && main.contains(getSelection().anchorNode);
    return isChosen || isTyping(document.activeElement) || main.querySelector(".brushed, a[aria-expanded]") !== null;
  };
  const refresh = async () => {
    due = null;
    if (isBusy()) return show();
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [old, fresh] = [document.querySelector("main"), page.querySelector("main")];
    if (!fresh || isBusy()) return fresh ? show() : undefined;
    const [x, y] = [scrollX, scrollY];
    const open = [...old.querySelectorAll("details")].map((details) => details.open);
    old.replaceChildren(...fresh.childNodes);
    [...old.querySelectorAll("details")].forEach((details, place) => (details.open = open[place] ?? details.open));
    equip(old);
    scrollTo(x, y);
    old.dataset.refreshed = String(Number(old.dataset.refreshed ?? 0) + 1);
    offer?.remove();
    offer = null;
  };
  const show = () => {
    if (offer) return;
    offer = Object.assign(document.createElement("button"), { type: "button", className: "primary news", textContent: mark.dataset.offer });
    offer.addEventListener("click", () => {
      document.activeElement?.blur();
      getSelection().removeAllRanges();
      values?.hidePopover();
      refresh();
    });
    document.body.append(offer);
  };
  const soon = () => (due ??= setTimeout(refresh, AGAIN_MS));
  // Who does not look at the page needs no stream; coming back, there may be news.
  const listen = () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      source = new EventSource("/live");
      for (const kind of mark.dataset.live.split(" ")) source.addEventListener(kind, soon);
    }
  };
  document.addEventListener("visibilitychange", () => {
    listen();
    if (!document.hidden) soon();
  });
  listen();
}

live();
