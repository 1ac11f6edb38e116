// Runs before the page is drawn, so that it never flashes in the other colours.
"use strict";
const THEMES = ["auto", "light", "dark"];

function theme() {
  const kept = localStorage.getItem("theme");
  return THEMES.includes(kept) ? kept : "auto";
}

function showTheme() {
  document.documentElement.dataset.theme = theme();
  const label = document.querySelector("#theme span");
  if (label) label.textContent = theme()[0].toUpperCase() + theme().slice(1);
}

function nextTheme() {
  localStorage.setItem("theme", THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
  showTheme();
}

showTheme();
addEventListener("DOMContentLoaded", () => {
  showTheme();
  document.querySelector("#theme").addEventListener("click", nextTheme);
});
