// Keys that every page knows. Rows are `tr[data-href]`; the one that is pointed at has the focus.
const rows = () => [...document.querySelectorAll("tr[data-href]")];
const help = document.querySelector("#help");

function move(by) {
  const all = rows();
  const at = all.indexOf(document.activeElement.closest("tr[data-href]"));
  const next = all[Math.min(Math.max(at + by, 0), all.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

const row = () => document.activeElement.closest("tr[data-href]");

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  Enter: () => row()?.matches(":focus") && location.assign(row().dataset.href),
  x: () => row()?.querySelector("input[type=checkbox]")?.click(),
  c: () => document.querySelector("#compare")?.requestSubmit(),
  t: () => document.querySelector("#theme").click(),
  "/": () => document.querySelector("[data-filter]")?.focus(),
  "?": () => help.showModal(),
};

addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  if (event.key === "Enter" && !event.target.matches("tr[data-href]")) return;
  event.preventDefault();
  KEYS[event.key]();
});

document.querySelector("#help-open").addEventListener("click", () => help.showModal());

for (const one of document.querySelectorAll("[data-copy]")) {
  one.addEventListener("click", async () => {
    await navigator.clipboard.writeText(one.dataset.copy);
    const before = one.textContent;
    one.textContent = "Copied";
    setTimeout(() => (one.textContent = before), 1500);
  });
}
