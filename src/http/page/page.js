// Keeps a page up to date, and lets it be used by keyboard. Every page works without it.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const language = document.documentElement.lang;

// ---- Times: the server tells UTC, the reader lives somewhere.

const full = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
const brief = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const MINUTE = 60, HOUR = 3600, DAY = 86400;

function age(seconds) {
  const distance = Math.abs(seconds);
  const [unit, size] = distance < MINUTE ? ["second", 1]
    : distance < HOUR ? ["minute", MINUTE] : distance < DAY ? ["hour", HOUR] : ["day", DAY];
  return new Intl.RelativeTimeFormat(language, { style: "short", numeric: "always" })
    .format(-Math.trunc(seconds / size), unit);
}

function localTimes(root = document) {
  for (const time of $$("time[datetime]", root)) {
    const at = new Date(time.dateTime);
    if (isNaN(at)) continue;
    const seconds = (Date.now() - at) / 1000;
    const kind = time.dataset.as;
    if (kind === "exact") time.textContent = full.format(at);
    else if (kind === "step") time.textContent = brief.format(at);
    else if (kind === "to-come" ? seconds < -1 : seconds >= 10 && seconds < DAY) time.textContent = age(seconds);
    else if (kind !== "to-come" && seconds >= DAY) time.textContent = brief.format(at);
    time.title = `${full.format(at)} · ${at.toISOString()}`;
  }
}

// ---- What is new: the parts of this page are fetched again and put in place where they have changed.

const told = $("#told");
let asking = null;
let again = false;
let settled = false;

// The message that is open, if one is.
const openMessage = (root = document) => $("article[data-id]", root)?.dataset.id;

// This page; where the newest message would be shown, with the one that is open.
function address() {
  const url = new URL(location.href);
  const open = openMessage();
  if (open && url.pathname === "/") url.searchParams.set("message", open);
  return url;
}

async function refresh() {
  if (asking) { again = true; return; }
  asking = fetch(address(), { headers: { Accept: "text/html" }, credentials: "same-origin" });
  try {
    const answer = await asking;
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    let changed = replace($("#health"), fresh);
    // Of another message nothing is put beside what is open of this one.
    const other = openMessage() && openMessage() !== openMessage(fresh);
    const parts = (root) => $$("[data-part]", root).filter((part) => !other || !part.closest("article"));
    for (const part of parts(document)) changed = replace(part, fresh) || changed;
    // What a part has become on the server may need the whole page: another kind of message, a first message.
    if (parts(fresh).some((part) => !document.getElementById(part.id))) location.reload();
    // The first time only makes up for what changed while the page was on its way.
    if (changed && settled) told.textContent = told.dataset.updated;
    settled = true;
  } catch {
    // The next change tries again.
  } finally {
    asking = null;
    if (again) { again = false; setTimeout(refresh, 500); }
  }
}

const originals = new Map();

// That time passes is no change: the page counts by itself.
const timeless = (part) => part.innerHTML.replace(/(<time [^>]*>)[^<]*/g, "$1");

function remember(root = document) {
  for (const part of $$("[data-part], #health", root)) originals.set(part.id, timeless(part));
}

function replace(part, fresh) {
  const other = part && fresh.getElementById(part.id);
  if (!other || timeless(other) === originals.get(part.id)) return false;
  // Nobody's typing or reading is disturbed.
  const named = (it) => it.getAttribute("href") ?? (it.matches("button") ? it.form?.getAttribute("action") : null);
  const focused = part.contains(document.activeElement) ? named(document.activeElement) : null;
  if (part.contains(document.activeElement) && !focused) return false;
  const rows = new Set($$("[data-row] a", part).map((link) => link.getAttribute("href")));
  const chosen = rowLink($(".here", part));
  const opened = $$("details", part).map((it) => it.open);
  const scrolled = part.scrollTop;
  originals.set(part.id, timeless(other));
  part.replaceChildren(...document.adoptNode(other).childNodes);
  $$("details", part).forEach((it, n) => { it.open = opened[n] ?? it.open; });
  for (const row of $$("[data-row]", part)) {
    if (rows.size && !rows.has(rowLink(row))) row.classList.add("fresh");
    if (chosen && rowLink(row) === chosen) row.classList.add("here");
  }
  part.scrollTop = scrolled;
  if (focused) $$("a, button", part).find((it) => named(it) === focused)?.focus();
  ready(part);
  return true;
}

// ---- Live: the server says that something has changed.

let timer = 0;
let last = 0;

function soon() {
  if (timer || document.hidden) return;
  const wait = Math.max(150, 1000 - (Date.now() - last));
  timer = setTimeout(() => { timer = 0; last = Date.now(); refresh(); }, wait);
}

// A message is a large page: alone, it is asked for again only when it is the one that has changed.
function concerns(event) {
  const open = openMessage();
  if (!open || $("#list")) return true;
  return event.type === "many" || (event.type === "message" && JSON.parse(event.data).id === open);
}

function listen() {
  const path = document.body.dataset.live;
  const sign = $("#live");
  if (!path || !window.EventSource) return;
  const word = sign.textContent;
  let events = null;
  let silent = 0;
  function connect() {
    events?.close();
    events = new EventSource(path);
    events.onopen = () => {
      clearTimeout(silent);
      silent = 0;
      sign.hidden = false;
      sign.classList.remove("lost");
      sign.textContent = word;
      // What changed before the stream was there is told by nobody.
      soon();
    };
    // A stream ends now and then, and the next one begins in seconds.
    events.onerror = () => {
      silent ||= setTimeout(() => {
        sign.hidden = false;
        sign.classList.add("lost");
        sign.textContent = sign.dataset.lost;
      }, 6000);
    };
    for (const kind of ["message", "many", "providers", "queue"]) {
      events.addEventListener(kind, (event) => { if (concerns(event)) soon(); });
    }
  }
  // A browser opens six connections to a host: windows that nobody sees leave them to the others.
  function disconnect() {
    clearTimeout(silent);
    silent = 0;
    events?.close();
    events = null;
  }
  if (!document.hidden) connect();
  // Without a stream the page asks by itself. One that was refused does not come back by itself.
  setInterval(() => {
    if (document.hidden || events?.readyState === EventSource.OPEN) return;
    soon();
    if (events?.readyState !== EventSource.CONNECTING) connect();
  }, 30000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { disconnect(); return; }
    connect();
    soon();
  });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

// ---- Keyboard.

const rowLink = (row) => row && $("a", row)?.getAttribute("href");

function move(by) {
  const rows = $$("[data-row]");
  if (!rows.length) return;
  const open = rows.findIndex((row) => $("a[aria-current]", row));
  const at = rows.findIndex((row) => row.classList.contains("here"));
  const from = at >= 0 ? at : open;
  const to = Math.min(Math.max(from + by, 0), rows.length - 1);
  rows.forEach((row) => row.classList.remove("here"));
  rows[to].classList.add("here");
  $("a", rows[to]).focus({ preventScroll: true });
  rows[to].scrollIntoView({ block: "nearest" });
}

let prefix = "";

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = event.target;
  if (target.closest?.("input, textarea, select, [contenteditable]")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  if ($("#keys").open) return;
  const before = prefix;
  prefix = "";
  const links = { o: $(".health a")?.getAttribute("href") ?? "/", m: "/messages", t: "/send" };
  if (before === "g" && links[event.key]) {
    location.href = links[event.key];
  } else if (event.key === "j") {
    move(1);
  } else if (event.key === "k") {
    move(-1);
  } else if (event.key === "Enter" && !target.closest?.("a, button, summary")) {
    const link = rowLink($(".here"));
    if (!link) return;
    location.href = link;
  } else if (event.key === "/") {
    const search = $("input[type=search]");
    if (search) { search.focus(); search.select(); } else location.href = "/messages";
  } else if (event.key === "r") {
    refresh();
  } else if (event.key === "g") {
    prefix = "g";
    return;
  } else if (event.key === "?") {
    $("#keys").showModal();
  } else {
    return;
  }
  event.preventDefault();
}

// ---- Buttons that only work with a script.

function ready(root = document) {
  localTimes(root);
  // On a narrow screen, what is chosen may be out of sight.
  for (const chosen of $$(".nav [aria-current], .tabs [aria-current]", root)) {
    const bar = chosen.parentElement;
    const [outer, inner] = [bar.getBoundingClientRect(), chosen.getBoundingClientRect()];
    if (inner.right > outer.right) bar.scrollLeft += inner.right - outer.right + outer.width / 3;
  }
  for (const button of $$("[data-copy]", root)) {
    if (!navigator.clipboard) break;
    button.hidden = false;
    button.onclick = async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      const word = button.textContent;
      told.textContent = button.textContent = told.dataset.copied;
      setTimeout(() => { button.textContent = word; }, 1500);
    };
  }
}

remember();
ready();
listen();
setInterval(localTimes, 30000);
document.addEventListener("keydown", pressed);
const help = $("#help");
help.hidden = false;
help.addEventListener("click", () => $("#keys").showModal());
