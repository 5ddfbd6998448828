package ui

// accessibility is what a page is held against: readable contrast of every text
// (WCAG 2.1, 1.4.3: 4.5 to 1, or 3 to 1 where it is large), names for all that can be
// operated, no ID twice, one first heading, headings that skip no level, landmarks.
const accessibility = `
const problems = [];
const rgba = (s) => { const m = s.match(/[\d.]+/g).map(Number); return s.startsWith("color(srgb") ? [m[0]*255, m[1]*255, m[2]*255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
const light = (c) => { const f = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }; return 0.2126 * f(c[0]) + 0.7152 * f(c[1]) + 0.0722 * f(c[2]); };
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
const behind = (e) => { const stack = []; for (let n = e; n; n = n.parentElement) stack.push(rgba(getComputedStyle(n).backgroundColor)); return stack.reduceRight((under, c) => over(c, under), [255, 255, 255, 1]); };
const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 1;
const about = (e) => e.tagName + " " + (e.className.baseVal ?? e.className) + " " + (e.textContent || e.value || "").trim().slice(0, 40);
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let texts = 0;
for (let n = walker.nextNode(); n; n = walker.nextNode()) {
  const e = n.parentElement;
  if (!n.textContent.trim() || !seen(e) || ["SCRIPT", "STYLE"].includes(e.tagName)) continue;
  texts++;
  const style = getComputedStyle(e);
  const back = behind(e);
  const front = over(rgba(e.namespaceURI.endsWith("svg") ? style.fill : style.color), back);
  const px = parseFloat(style.fontSize);
  const want = px >= 24 || (px >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
  const got = ratio(front, back);
  if (got < want) problems.push("contrast " + got.toFixed(2) + " of " + about(e));
}
if (texts < 5) problems.push("hardly any text was looked at");
for (const e of document.querySelectorAll("a, button, summary, input:not([type=hidden]), select, textarea")) {
  const name = e.getAttribute("aria-label") || e.textContent.trim() && !e.matches("input, select, textarea") || (e.labels && [...e.labels].some((l) => l.textContent.trim()));
  if (!name) problems.push("no name: " + about(e) + " " + e.outerHTML.slice(0, 80));
}
for (const e of document.querySelectorAll("img, svg")) if (!e.closest("[aria-hidden=true]") && !e.getAttribute("aria-label") && !e.getAttribute("alt")) problems.push("no name: " + e.outerHTML.slice(0, 80));
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
for (const id of new Set(ids)) if (ids.filter((x) => x === id).length > 1) problems.push("ID twice: " + id);
const heads = [...document.querySelectorAll("h1,h2,h3,h4,h5,h6")].map((e) => +e.tagName[1]);
if (heads.filter((h) => h === 1).length !== 1) problems.push("first headings: " + heads.filter((h) => h === 1).length);
heads.forEach((h, i) => { if (i && h > heads[i - 1] + 1) problems.push("a heading skips a level"); });
for (const css of ["main", "nav", "header", "html[lang]", "title"]) if (!document.querySelector(css)) problems.push("no " + css);
for (const e of document.querySelectorAll("table th:not([scope])")) problems.push("no scope: " + about(e));
for (const e of document.querySelectorAll("[tabindex]")) if (e.tabIndex > 0) problems.push("an order of its own: " + about(e));
return problems;`

// accessible fails the test for what is wrong with the page that is open.
func (b *browser) accessible() {
	b.t.Helper()
	var problems []string
	b.run(accessibility, &problems)
	for _, p := range problems {
		b.t.Errorf("%s: %s", b.page, p)
	}
}
