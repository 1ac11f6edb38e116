// Which runs are chosen stands in the address of this page and of every view that is a link away.
const tray = document.querySelector("#tray");
const boxes = [...document.querySelectorAll("input[form=compare][type=checkbox]")];
const kept = [...document.querySelectorAll("#compare [data-kept]")];

for (const one of kept) {
  if (boxes.some((box) => box.value === one.value)) one.remove(); // its own box says it
}

function chosen() {
  return [...document.querySelectorAll("#compare [data-kept]"), ...boxes.filter((box) => box.checked)].map((one) => one.value);
}

function withChosen(address) {
  const url = new URL(address, location.href);
  url.searchParams.delete("run");
  for (const run of chosen()) url.searchParams.append("run", run);
  return url.pathname + url.search;
}

function update() {
  const many = chosen().length;
  tray.hidden = many === 0;
  tray.querySelector("[data-count]").textContent = many;
  for (const box of boxes) box.closest("tr").classList.toggle("chosen", box.checked);
  history.replaceState(null, "", withChosen(location.href));
  for (const link of document.querySelectorAll("a[data-view]")) link.href = withChosen(link.href);
  for (const form of document.querySelectorAll("form.filter, .picker form")) {
    for (const one of form.querySelectorAll("input[name=run]")) one.remove();
    for (const run of chosen()) {
      const input = document.createElement("input");
      Object.assign(input, { type: "hidden", name: "run", value: run });
      form.append(input);
    }
  }
}

for (const box of boxes) box.addEventListener("change", update);
tray.querySelector("[data-clear]").addEventListener("click", () => {
  for (const one of document.querySelectorAll("#compare [data-kept]")) one.remove();
  for (const box of boxes) box.checked = false;
  update();
});
update();

// A row opens its run wherever it is clicked, but for what has a meaning of its own.
document.querySelector("table.runs tbody")?.addEventListener("click", (event) => {
  if (event.target.closest("a, input, label") || getSelection().toString()) return;
  const cell = event.target.closest("td, th");
  const box = cell?.querySelector("input");
  if (box) box.click();
  else location.assign(cell.closest("tr").dataset.href);
});

// Which names are offered as columns.
document.querySelector("[data-names]")?.addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const label of document.querySelectorAll(".names label")) {
    label.hidden = !label.querySelector("input").value.toLowerCase().includes(wanted);
  }
});
// A filter that is empty stays out of the address.
for (const form of document.querySelectorAll("form.filter, .picker form")) {
  form.addEventListener("submit", () => {
    for (const input of form.elements) if (input.name && !input.value) input.disabled = true;
  });
}
