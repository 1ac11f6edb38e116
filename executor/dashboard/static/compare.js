// The controls of a comparison act at once; what they say stands in the address.
import { pictures } from "/static/charts.js";

const form = document.querySelector(".controls");
const slider = form.querySelector("[name=smooth]");

function address(path) {
  const words = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value && !(name === "smooth" && Number(value) === 0)) words.append(name, value);
  return `${path}?${words}`;
}

form.querySelector("button").hidden = true;
for (const select of form.querySelectorAll("select")) select.addEventListener("change", () => location.assign(address("/compare")));
form.addEventListener("submit", (event) => (event.preventDefault(), location.assign(address("/compare"))));

let waiting;
slider.addEventListener("input", () => {
  form.querySelector(".set").textContent = Number(slider.value).toFixed(2);
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    history.replaceState(null, "", address("/compare"));
    const curves = pictures.find(({ figure }) => figure.dataset.chart === "curves");
    curves.figure.dataset.src = address("/compare/curves.json");
    for (const link of document.querySelectorAll("a[href^='/compare']")) {
      const url = new URL(link.href);
      if (Number(slider.value)) url.searchParams.set("smooth", slider.value);
      else url.searchParams.delete("smooth");
      link.href = url.pathname + url.search;
    }
    await curves.load();
  }, 120);
});
