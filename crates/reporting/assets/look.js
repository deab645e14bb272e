// A switch between the light and the dark look, which begins with what the reader's system asks for.
(() => {
  "use strict";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  // Pages from files may have no storage.
  const stored = (write) => { try { return write ? localStorage.setItem("look", write) : localStorage.getItem("look"); } catch { return null; } };
  const isDark = () => (root.dataset.look ? root.dataset.look === "dark" : system.matches);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "look";
  const tell = () => {
    button.textContent = isDark() ? "Light look" : "Dark look";
    document.dispatchEvent(new Event("look"));
  };
  const chosen = stored();
  if (chosen === "dark" || chosen === "light") root.dataset.look = chosen;
  button.addEventListener("click", () => {
    root.dataset.look = isDark() ? "light" : "dark";
    stored(root.dataset.look);
    tell();
  });
  system.addEventListener("change", tell);
  document.querySelector("header").append(button);
  tell();
})();
