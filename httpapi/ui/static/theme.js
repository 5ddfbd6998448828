// The switch between light and dark. The choice is kept in a cookie, so that the
// agent writes it into the next page and nothing flashes.

export function theme() {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const label = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", dark() ? "Switch to light colours" : "Switch to dark colours");
  };
  button.hidden = false;
  label();
  system.addEventListener("change", label);
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    document.cookie = `consul_ui_theme=${root.dataset.theme}; path=${document.body.dataset.base}; max-age=31536000; samesite=strict`;
    label();
  });
}
