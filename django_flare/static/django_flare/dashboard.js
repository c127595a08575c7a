// Ask again for what changes of the dashboard, while somebody looks at it.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const content = document.getElementById("flare-content");
  const panel = document.getElementById("flare-refresh");
  if (!content || !panel) {
    return;
  }
  const told = panel.querySelector(".flare-updated");
  const button = panel.querySelector("button");
  const words = panel.dataset;
  const interval = 5000;
  let tag = null;
  let timer = null;
  let isPaused = false;
  let isAsking = false;
  let updated = new Date();

  function tell(word) {
    told.textContent = `${word} ${updated.toLocaleTimeString()}`;
  }

  function place(text) {
    const open = new Set([...content.querySelectorAll("details[open]")].map((each) => each.id));
    const focused = content.contains(document.activeElement) ? document.activeElement : null;
    const mark = focused && focused.matches("button") ? [focused.name, focused.value] : null;
    const page = new DOMParser().parseFromString(text, "text/html");
    for (const details of page.querySelectorAll("details")) {
      details.open = open.has(details.id);
    }
    content.replaceChildren(...page.body.childNodes);
    if (mark) {
      const same = [...content.querySelectorAll("button")].find(
        (each) => each.name === mark[0] && each.value === mark[1],
      );
      if (same) {
        same.focus({ preventScroll: true });
      }
    }
  }

  async function ask() {
    const headers = tag ? { "If-None-Match": tag } : {};
    const answer = await fetch(content.dataset.url, { headers, cache: "no-store", credentials: "same-origin" });
    if (answer.redirected || answer.status === 403) {
      isPaused = true;
      panel.textContent = words.signedOut;
      return;
    }
    if (answer.status !== 304) {
      if (!answer.ok) {
        throw new Error(String(answer.status));
      }
      const text = await answer.text();
      // Not under the hands of somebody who has just paused it.
      if (isPaused) {
        return;
      }
      tag = answer.headers.get("ETag");
      place(text);
    }
    updated = new Date();
    tell(words.updated);
  }

  async function refresh() {
    clearTimeout(timer);
    if (isPaused || isAsking || document.hidden) {
      return;
    }
    isAsking = true;
    try {
      await ask();
    } catch {
      tell(words.failed);
    }
    isAsking = false;
    wait();
  }

  function wait() {
    clearTimeout(timer);
    if (!isPaused && !document.hidden) {
      timer = setTimeout(refresh, interval);
    }
  }

  function show() {
    button.textContent = isPaused ? words.resume : words.pause;
    tell(words.updated);
    panel.hidden = false;
  }

  button.addEventListener("click", () => {
    isPaused = !isPaused;
    show();
    refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  show();
  wait();
});
