// Keeps the page's part that changes up to date: the agent answers once that part
// comes out differently than what is shown.

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export function follow() {
  const region = document.getElementById("live");
  const state = document.getElementById("state");
  if (!region || !region.dataset.live) return { restart() {} };
  let seen = region.dataset.live;
  let abort = new AbortController();
  let at = location.href;
  let failures = 0;

  const say = (how, text) => {
    if (state && state.dataset.state !== how) {
      state.dataset.state = how;
      state.textContent = text;
    }
  };

  function show(html) {
    const focused = document.activeElement;
    const held = region.contains(focused) && focused.getAttribute("href");
    const open = [...region.querySelectorAll("details[open][id]")].map((d) => d.id);
    // It is the agent's own, escaped there, and scripts in it would not run.
    const next = new DOMParser().parseFromString(html, "text/html").body;
    region.replaceChildren(...next.childNodes);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (held) [...region.querySelectorAll("a")].find((a) => a.getAttribute("href") === held)?.focus({ preventScroll: true });
    region.classList.remove("new");
    void region.offsetWidth; // so that the mark of something new shows again
    region.classList.add("new");
  }

  async function once() {
    const url = new URL(at);
    url.searchParams.set(".live", seen);
    url.hash = "";
    const mine = abort;
    // An answer that never comes is noticed all the same.
    const signal = AbortSignal.any([mine.signal, AbortSignal.timeout(75000)]);
    try {
      const answer = await fetch(url, { signal, cache: "no-store" });
      if (mine !== abort) return;
      if (answer.status === 200 && answer.headers.has("X-Live")) {
        const html = await answer.text();
        if (mine !== abort) return;
        seen = answer.headers.get("X-Live");
        show(html);
      } else if (answer.status !== 204) {
        throw new Error(answer.statusText);
      }
      failures = 0;
      say("on", "live");
    } catch {
      if (mine !== abort) return;
      failures++;
      if (failures > 1) say("lost", "not live: no answer");
      await pause(Math.min(1000 * 2 ** failures, 15000));
    }
  }

  async function run() {
    for (;;) {
      if (document.hidden) {
        // A page that nobody looks at costs the agent nothing.
        await new Promise((seenAgain) => document.addEventListener("visibilitychange", seenAgain, { once: true }));
        continue;
      }
      await once();
    }
  }
  say("on", "live");
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      abort.abort();
      abort = new AbortController();
    }
  });
  run();
  return {
    // restart follows another address; what is shown is replaced at once.
    restart(url) {
      at = url;
      seen = "new";
      abort.abort();
      abort = new AbortController();
    },
  };
}
