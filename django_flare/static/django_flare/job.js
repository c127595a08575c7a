// Keeps the page of a job that has not ended up to date: every two seconds while the page is seen it asks for
// the part that changes, and puts it in the place of the old one if anything has changed. What was unfolded
// stays so, and what had the focus has it again.
"use strict";

(() => {
  const PAUSE = 2000;
  const ID = "flare-live";
  const seen = document.getElementById("flare-seen");
  let tag = null;

  function isLive() {
    const part = document.getElementById(ID);
    return part !== null && part.dataset.live === "yes";
  }

  // Nothing is pulled from under the hands of somebody who copies a text or presses a button.
  function isInUse(part) {
    const selection = window.getSelection();
    const isSelected = selection !== null && !selection.isCollapsed && selection.containsNode(part, true);
    return isSelected || part.querySelector("button:active, a:active, summary:active") !== null;
  }

  function focusable(part) {
    return [...part.querySelectorAll("a[href], button, summary, [tabindex]")];
  }

  function name(element) {
    const folded = element.closest("details");
    const own = element.getAttribute("href") || element.getAttribute("formaction") || "";
    return [element.tagName, own, folded ? folded.id : ""].join(" ");
  }

  // The same element, or the one in the same place among those that are alike.
  function counterpart(element, part, fresh) {
    const alike = (each) => name(each) === name(element);
    const place = focusable(part).filter(alike).indexOf(element);
    return focusable(fresh).filter(alike)[place];
  }

  function replace(part, fresh) {
    const active = document.activeElement;
    const focused = part.contains(active) ? counterpart(active, part, fresh) : null;
    for (const folded of part.querySelectorAll("details[open]")) {
      const same = folded.id && fresh.querySelector("#" + CSS.escape(folded.id));
      if (same) {
        same.open = true;
      }
    }
    part.replaceWith(fresh);
    if (focused) {
      focused.focus({ preventScroll: true });
    }
  }

  function tell(word) {
    seen.textContent = word;
  }

  async function refresh() {
    const part = document.getElementById(ID);
    if (isInUse(part)) {
      tell(seen.dataset.paused);
      return;
    }
    const headers = tag ? { "If-None-Match": tag } : {};
    const answer = await fetch(part.dataset.url, { headers, cache: "no-store", credentials: "same-origin" });
    if (answer.redirected || (!answer.ok && answer.status !== 304)) {
      return;
    }
    if (answer.status !== 304) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(ID);
      if (fresh === null || isInUse(part)) {
        return;
      }
      tag = answer.headers.get("ETag");
      replace(part, fresh);
    }
    tell(`${seen.dataset.updated} ${new Date().toLocaleTimeString()}`);
  }

  async function tick() {
    if (!isLive()) {
      return;
    }
    if (!document.hidden) {
      try {
        await refresh();
      } catch {
        // The server may be restarting; the next time tells.
      }
    }
    window.setTimeout(tick, PAUSE);
  }

  window.setTimeout(tick, PAUSE);
})();
