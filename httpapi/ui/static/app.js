// What a page does in the browser beside showing itself. Each part works alone, and
// the pages work without any.
import { follow } from "./live.js";
import { find } from "./find.js";
import { keyboard } from "./keyboard.js";
import { theme } from "./theme.js";

theme();
keyboard();
// On a telephone the menu is wider than the screen.
const menu = document.querySelector(".frame > nav");
const current = menu?.querySelector("[aria-current]");
if (current) menu.scrollLeft = current.offsetLeft - menu.offsetLeft - (menu.clientWidth - current.offsetWidth) / 2;

const live = follow();
find(live);
