// Searches while somebody types, and keeps the address in step so that it can be
// shared.

export function find(live) {
  for (const form of document.querySelectorAll("form[data-find]")) {
    let timer;
    form.querySelector("button[type=submit]")?.setAttribute("hidden", ""); // it finds without
    const go = () => {
      const url = new URL(location.href);
      url.search = "";
      for (const [name, value] of new FormData(form)) if (value) url.searchParams.set(name, value);
      history.replaceState(null, "", url);
      live.restart(url.href);
    };
    const soon = (ms) => {
      clearTimeout(timer);
      timer = setTimeout(go, ms);
    };
    form.addEventListener("input", () => soon(200));
    form.addEventListener("change", () => soon(0));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      soon(0);
    });
  }
}
