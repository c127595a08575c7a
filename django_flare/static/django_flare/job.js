// Keeps the page of a job that has not ended up to date: every two seconds while the page is seen, the
// part between is fetched anew and put in the place of the old one. What was unfolded stays so.
"use strict";

(() => {
  const PAUSE = 2000;
  const ID = "flare-live";

  function isLive() {
    const part = document.getElementById(ID);
    return part !== null && part.dataset.live === "yes";
  }

  function isInUse(part) {
    const selection = window.getSelection();
    const active = document.activeElement;
    return (selection !== null && !selection.isCollapsed) || (active !== null && part.contains(active));
  }

  async function refresh() {
    const answer = await fetch(window.location.href, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) {
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(ID);
    const part = document.getElementById(ID);
    // Nothing is pulled from under the hands of somebody who reads or is about to press a button.
    if (fresh === null || part === null || isInUse(part)) {
      return;
    }
    for (const folded of part.querySelectorAll("details[open]")) {
      const same = folded.id && fresh.querySelector("#" + CSS.escape(folded.id));
      if (same) {
        same.open = true;
      }
    }
    part.replaceWith(fresh);
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
