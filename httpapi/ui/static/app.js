// What a page does in the browser beside showing itself. Each part works alone, and
// the pages work without any.
import { follow } from "./live.js";
import { find } from "./find.js";
import { keyboard } from "./keyboard.js";
import { theme } from "./theme.js";

theme();
keyboard();
const live = follow();
find(live);
