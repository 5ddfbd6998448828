// Keys: / searches, j and k walk the rows, t changes the theme, Escape closes menus.

export function keyboard() {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = document.querySelector("details.menu[open]");
      if (menu) {
        menu.removeAttribute("open");
        menu.querySelector("summary").focus();
      } else if (document.activeElement?.matches("input[type=search]")) {
        document.activeElement.blur();
      }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.key === "/") {
      const search = document.querySelector("input[type=search]");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    } else if (event.key === "j" || event.key === "k") {
      const links = [...document.querySelectorAll("#live td.first a, #live .card h2 a")];
      if (!links.length) return;
      event.preventDefault();
      const now = links.indexOf(document.activeElement);
      const next = event.key === "j" ? Math.min(now + 1, links.length - 1) : Math.max(now - 1, 0);
      links[next].focus();
      links[next].scrollIntoView({ block: "nearest" });
    } else if (event.key === "t") {
      document.getElementById("theme")?.click();
    }
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.removeAttribute("open");
  });
}
