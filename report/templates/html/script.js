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

function element(name, className, ...inside) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...inside);
  return made;
}

// The contents follow the reader: the section whose heading was passed last is the current one.
function followReader() {
  const contents = document.querySelector(".contents.aside");
  const links = new Map();
  for (const link of contents.querySelectorAll("a")) {
    links.set(link.hash.slice(1), link);
  }
  const headings = [...document.querySelectorAll("main :is(h2, h3, h4)")].filter(
    (heading) => links.has(heading.id));
  let current = null;
  function follow() {
    let passed = null;
    for (const heading of headings) {
      if (heading.getBoundingClientRect().top >= 120) break;
      passed = heading;
    }
    const link = passed && links.get(passed.id);
    if (link === current) return;
    current?.removeAttribute("aria-current");
    for (const item of contents.querySelectorAll(".here")) item.classList.remove("here");
    current = link;
    if (!link) return;
    link.setAttribute("aria-current", "location");
    link.closest(".level-2")?.classList.add("here");
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
    const copy = button(words.copy, async () => {
      const text = parts.map((part) => part.textContent.replace(/\n$/, "")).join("\n");
      await navigator.clipboard.writeText(`${text}\n`);
      copy.textContent = words.copied;
      setTimeout(() => { copy.textContent = words.copy; }, 2000);
    });
    copy.className = "copy";
    const frame = element("div", "copyable");
    parts[0].before(frame);
    frame.append(parts[0], copy);
  }
}

// A choice says whether it was right, and opens the answer.
function askQuestions() {
  for (const question of document.querySelectorAll(".prediction")) {
    const items = [...question.querySelectorAll("[data-letter]")];
    for (const item of items) {
      const verdict = element("span", "verdict");
      verdict.setAttribute("role", "status");
      const choice = button("", () => {
        const right = item.dataset.letter === question.dataset.answer;
        for (const other of items) {
          other.classList.remove("right", "wrong");
          other.querySelector(".verdict").textContent = "";
          other.querySelector("button").setAttribute("aria-pressed", "false");
        }
        item.classList.add(right ? "right" : "wrong");
        verdict.textContent = right ? words.right : words.wrong;
        choice.setAttribute("aria-pressed", "true");
        question.querySelector(".answer").open = true;
      });
      choice.setAttribute("aria-pressed", "false");
      choice.append(...item.childNodes, verdict);
      item.append(choice);
    }
  }
}

// The notes to a listing stand beside their lines, as far as they do not push each other down.
function placeNotes() {
  const wide = matchMedia("(min-width: 1000px)");
  function place() {
    for (const noted of document.querySelectorAll(".noted")) {
      const list = noted.querySelector(".notes");
      let bottom = 0;
      for (const note of list.children) {
        note.style.marginTop = "";
        if (!wide.matches) continue;
        const mark = noted.querySelector(`.mark[data-mark="${note.dataset.mark}"]`);
        const wanted = mark.getBoundingClientRect().top - list.getBoundingClientRect().top;
        const now = note.getBoundingClientRect().top - list.getBoundingClientRect().top;
        if (wanted > Math.max(now, bottom)) note.style.marginTop = `${wanted - now}px`;
        bottom = note.getBoundingClientRect().bottom - list.getBoundingClientRect().top;
      }
    }
  }
  // A listing far from the screen has no measures yet; it gets them when it comes near.
  const seen = new IntersectionObserver(place, { rootMargin: "400px" });
  for (const noted of document.querySelectorAll(".noted")) seen.observe(noted);
  wide.addEventListener("change", place);
}

// A sequence can be seen event by event. Its parts are called LABEL-step-NUMBER.PART.
function offerSteps() {
  for (const figure of document.querySelectorAll("figure.figure")) {
    const steps = new Map();
    for (const part of figure.querySelectorAll('[id*="-step-"]')) {
      const number = Number(/-step-(\d+)/.exec(part.id)[1]);
      steps.set(number, [...(steps.get(number) ?? []), part]);
    }
    if (steps.size < 3) continue;
    const last = Math.max(...steps.keys());
    const told = figure.querySelector(".told");
    const sentences = [...(told?.querySelectorAll("li") ?? [])].map((item) => item.innerHTML);
    const bar = element("div", "steps");
    const place = element("span", "place");
    place.setAttribute("role", "status");
    const sentence = element("p", "sentence");
    sentence.setAttribute("aria-live", "polite");
    let shown = 0;
    function show(number) {
      shown = Math.min(Math.max(number, 1), last);
      for (const [step, parts] of steps) {
        for (const part of parts) {
          part.style.opacity = step > shown ? 0 : step < shown ? 0.5 : 1;
        }
      }
      place.textContent = words.step.replace("{n}", shown).replace("{all}", last);
      sentence.innerHTML = sentences[shown - 1] ?? "";
      back.disabled = shown === 1;
      forward.disabled = shown === last;
    }
    function whole() {
      shown = 0;
      for (const parts of steps.values()) for (const part of parts) part.style.opacity = "";
      bar.replaceChildren(start);
    }
    const back = button(`← ${words.back}`, () => show(shown - 1));
    const forward = button(`${words.next} →`, () => show(shown + 1));
    const all = button(words.all, () => { whole(); start.focus(); });
    const start = button(words.by_steps, () => {
      bar.replaceChildren(back, forward, all, place, sentence);
      show(1);
      forward.focus();
    });
    bar.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by || !shown) return;
      event.preventDefault();
      show(shown + by);
      // A button that cannot be pressed any more would lose the keyboard.
      (by > 0 && !forward.disabled ? forward : back.disabled ? forward : back).focus();
    });
    bar.append(start);
    if (told) told.replaceWith(bar);
    else figure.querySelector(".card").after(bar);
  }
}

// What a reference means shows while one points at it, or after a tap: the source, the word of the
// glossary, the figure, listing or table itself.
function showPreviews() {
  const preview = element("aside", "preview");
  preview.id = "preview";
  preview.setAttribute("role", "note");
  preview.hidden = true;
  document.body.append(preview);
  let by = null;
  function contentOf(target) {
    if (target.matches("li, div")) return [element("div", "", target.textContent)];
    const caption = target.querySelector("figcaption").cloneNode(true);
    const shown = target.querySelector(".card > :is(svg, img), pre, table").cloneNode(true);
    // Two elements of one page must not have the same identifier.
    for (const part of shown.querySelectorAll("[id]")) part.removeAttribute("id");
    return [caption, shown];
  }
  function show(link, touched) {
    const target = document.getElementById(link.hash.slice(1));
    if (!target) return;
    const inside = contentOf(target);
    if (touched) {
      const go = element("a", "go", words.go);
      go.href = link.hash;
      inside.push(go);
    }
    preview.replaceChildren(...inside);
    preview.hidden = false;
    by = link;
    link.setAttribute("aria-describedby", "preview");
    const line = link.getBoundingClientRect();
    const left = Math.max(16, Math.min(line.left, document.documentElement.clientWidth - preview.offsetWidth - 16));
    const fits = line.bottom + preview.offsetHeight + 16 < innerHeight || line.top < preview.offsetHeight + 16;
    preview.style.left = `${scrollX + left}px`;
    preview.style.top = `${scrollY + (fits ? line.bottom + 6 : line.top - preview.offsetHeight - 6)}px`;
  }
  function hide() {
    preview.hidden = true;
    by?.removeAttribute("aria-describedby");
    by = null;
  }
  let touch = false;
  addEventListener("pointerdown", (event) => {
    touch = event.pointerType === "touch";
    if (by && !preview.contains(event.target) && event.target.closest("a") !== by) hide();
  });
  const references = "main a:is([href^='#src-'], [href^='#term-'], [href^='#fig-'], [href^='#lst-'], [href^='#tab-']):not(.number)";
  for (const link of document.querySelectorAll(references)) {
    link.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") show(link, false); });
    link.addEventListener("focus", () => { if (!touch) show(link, false); });
    link.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") hide(); });
    link.addEventListener("blur", () => { if (!touch) hide(); });
    link.addEventListener("click", (event) => {
      if (!touch || by === link) { hide(); return; }
      event.preventDefault();
      show(link, true);
    });
  }
  preview.addEventListener("click", (event) => { if (event.target.matches(".go")) hide(); });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
}

// A picture can be seen as large as the window.
function enlargePictures() {
  const dialog = element("dialog", "large");
  document.body.append(dialog);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  for (const card of document.querySelectorAll(".card")) {
    const open = button("⤢", () => {
      const large = card.querySelector("svg, img").cloneNode(true);
      for (const part of large.querySelectorAll("[id]")) {
        if (!part.closest("defs")) part.removeAttribute("id");
      }
      const form = element("form", "", element("button", "", words.close));
      form.method = "dialog";
      dialog.replaceChildren(form, large);
      dialog.showModal();
    });
    open.className = "enlarge";
    open.setAttribute("aria-label", words.enlarge);
    open.title = words.enlarge;
    card.append(open);
    card.querySelector("img")?.addEventListener("click", () => open.click());
  }
}

// Words are looked for in the whole text; what was found takes the place of the contents.
function search() {
  const blocks = "h2, h3, h4, h5, p, li, dt, dd, td, th, figcaption, pre, svg";
  let index = null;
  function texts() {
    index ??= [...document.querySelectorAll("main > section")].flatMap((section) => {
      let heading = null;
      return [...section.querySelectorAll(blocks)].flatMap((block) => {
        if (block.matches("h2, h3, h4, h5")) heading = block;
        const inside = block.matches("pre, figcaption, svg") ? null : block.querySelector("p, li");
        if (inside || block.closest(".hidden-code")) return [];
        const parts = block.matches("svg") ? [...block.querySelectorAll("text")] : [block];
        const text = parts.map((part) => part.textContent).join(" ").replace(/\s+/g, " ").trim();
        return [{ block, heading, text, lower: text.toLowerCase() }];
      });
    });
    return index;
  }
  function result({ block, heading, text, lower }, wanted) {
    const at = lower.indexOf(wanted);
    const from = Math.max(0, at - 40);
    const link = element("a", "", element("b", "", heading?.textContent ?? ""));
    link.append(from ? "…" : "", text.slice(from, at),
      element("mark", "", text.slice(at, at + wanted.length)), text.slice(at + wanted.length, at + wanted.length + 60));
    link.href = `#${heading?.id ?? "text"}`;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const details = block.closest("details:not([open])");
      if (details) details.open = true;
      block.scrollIntoView({ block: "center" });
      block.animate([{ outline: "3px solid #e6a700" }, { outline: "3px solid transparent" }], 2500);
    });
    return element("li", "", link);
  }
  for (const input of document.querySelectorAll(".search")) {
    const list = input.nextElementSibling;
    const found = element("ol", "found");
    found.hidden = true;
    list.after(found);
    input.hidden = false;
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase().replace(/\s+/g, " ");
      list.hidden = wanted.length > 1;
      found.hidden = !list.hidden;
      if (found.hidden) return;
      const results = texts().filter(({ lower }) => lower.includes(wanted)).slice(0, 40);
      found.replaceChildren(...results.map((one) => result(one, wanted)));
      if (!results.length) found.append(element("li", "", words.nothing_found));
    });
  }
}

// What is wider or higher than its place scrolls, and then the keyboard must reach it.
function reachWhatScrolls() {
  const boxes = document.querySelectorAll("pre, .scroll, .card, math[display='block']");
  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const style = getComputedStyle(target);
      const scrolls =
        (target.scrollWidth > target.clientWidth + 1 && style.overflowX !== "visible") ||
        (target.scrollHeight > target.clientHeight + 1 && ["auto", "scroll"].includes(style.overflowY));
      if (scrolls) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
      if (target.matches("div")) scrolls ? target.setAttribute("role", "group") : target.removeAttribute("role");
    }
  });
  for (const box of boxes) observer.observe(box);
}

followReader();
askQuestions();
showPreviews();
offerSteps();
enlargePictures();
search();
// What nobody needs for the first sight of the page waits until that is there.
(window.requestIdleCallback ?? setTimeout)(() => {
  offerCopies();
  placeNotes();
  reachWhatScrolls();
});
