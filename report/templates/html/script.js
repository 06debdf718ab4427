// What the page can do beyond being read. Without this script nothing is missing but comfort.
"use strict";

const words = JSON.parse(document.getElementById("words").textContent);

function button(text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", act);
  return made;
}

// The contents follow the reader: the section whose heading was passed last is the current one.
function followReader() {
  const contents = document.querySelector(".contents.aside");
  const links = new Map();
  for (const link of contents.querySelectorAll("a")) {
    links.set(link.hash.slice(1), link);
  }
  const headings = [...document.querySelectorAll("main :is(h2, h3)")].filter(
    (heading) => links.has(heading.id));
  let current = null;
  function follow() {
    const passed = headings.filter((heading) => heading.getBoundingClientRect().top < 120);
    const link = passed.length ? links.get(passed[passed.length - 1].id) : null;
    if (link === current) return;
    current?.removeAttribute("aria-current");
    current = link;
    if (!link) return;
    link.setAttribute("aria-current", "location");
    const box = link.getBoundingClientRect();
    const frame = contents.getBoundingClientRect();
    if (box.top < frame.top + 40 || box.bottom > frame.bottom - 40) {
      contents.scrollTop += box.top - frame.top - frame.height / 3;
    }
  }
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; follow(); });
  }, { passive: true });
  follow();
}

// Code is copied by a click: all of a listing, also what is folded, without the numbers.
function offerCopies() {
  const blocks = document.querySelectorAll("main figure.listing, main pre.code:not(.numbered)");
  for (const block of blocks) {
    const parts = block.matches("pre") ? [block] : [...block.querySelectorAll("pre.code")];
    const text = parts.map((part) => part.textContent.replace(/\n$/, "")).join("\n");
    const frame = document.createElement("div");
    frame.className = "copyable";
    parts[0].before(frame);
    const copy = button(words.copy, async () => {
      await navigator.clipboard.writeText(`${text}\n`);
      copy.textContent = words.copied;
      setTimeout(() => { copy.textContent = words.copy; }, 2000);
    });
    copy.className = "copy";
    frame.append(parts[0], copy);
  }
}

// A sequence can be seen event by event. Its parts are called LABEL-step-NUMBER.PART.
function offerSteps() {
  for (const card of document.querySelectorAll("figure.figure .card")) {
    const steps = new Map();
    for (const part of card.querySelectorAll('[id*="-step-"]')) {
      const number = Number(/-step-(\d+)/.exec(part.id)[1]);
      steps.set(number, [...(steps.get(number) ?? []), part]);
    }
    if (steps.size < 3) continue;
    const last = Math.max(...steps.keys());
    const bar = document.createElement("div");
    bar.className = "steps";
    const place = document.createElement("span");
    place.setAttribute("role", "status");
    let shown = last;
    function show(number) {
      shown = Math.min(Math.max(number, 1), last);
      for (const [step, parts] of steps) {
        for (const part of parts) {
          part.style.opacity = step > shown ? 0 : step < shown ? 0.55 : 1;
        }
      }
      place.textContent = words.step.replace("{n}", shown).replace("{all}", last);
      back.disabled = shown === 1;
      forward.disabled = shown === last;
    }
    const back = button(`\u25c0 ${words.back}`, () => show(shown - 1));
    const forward = button(`${words.next} \u25b6`, () => show(shown + 1));
    const all = button(words.all, () => {
      for (const parts of steps.values()) for (const part of parts) part.style.opacity = "";
      bar.replaceChildren(start);
      start.focus();
    });
    const start = button(words.by_steps, () => {
      bar.replaceChildren(back, forward, all, place);
      show(1);
      forward.focus();
    });
    bar.append(start);
    card.after(bar);
  }
}

// The source behind a number shows in the margin while one points at it; on a narrow page, below.
function showSources() {
  const note = document.createElement("aside");
  note.id = "note";
  note.className = "note";
  note.setAttribute("role", "note");
  note.hidden = true;
  document.body.append(note);
  function show(event) {
    const link = event.currentTarget;
    const entry = document.getElementById(link.hash.slice(1));
    note.textContent = `${link.textContent} ${entry.textContent}`;
    note.hidden = false;
    link.setAttribute("aria-describedby", "note");
    const line = link.getBoundingClientRect();
    const text = link.closest("p, li, td, blockquote, figcaption").getBoundingClientRect();
    const margin = document.documentElement.clientWidth - text.right;
    const beside = margin > note.offsetWidth + 48;
    const below = Math.max(16, Math.min(line.left, text.right - note.offsetWidth));
    note.style.left = `${scrollX + (beside ? text.right + 28 : below)}px`;
    note.style.top = `${scrollY + (beside ? line.top - 4 : line.bottom + 6)}px`;
  }
  function hide(event) {
    note.hidden = true;
    event.currentTarget.removeAttribute?.("aria-describedby");
  }
  for (const link of document.querySelectorAll('main a[href^="#src-"]')) {
    link.addEventListener("pointerenter", show);
    link.addEventListener("focus", show);
    link.addEventListener("pointerleave", hide);
    link.addEventListener("blur", hide);
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") note.hidden = true; });
}

followReader();
showSources();
offerCopies();
offerSteps();
