// Tables that sort: a button in each column's head, by value where cells have one, else by their words.
(() => {
  "use strict";
  const status = document.createElement("p");
  status.className = "unseen";
  status.setAttribute("role", "status");
  document.body.append(status);

  const valueOf = (cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value));
  const isUnknown = (cell) => cell.dataset.value === undefined && /^[–]?$/.test(cell.textContent.trim());

  const compare = (one, other) => {
    const [a, b] = [valueOf(one), valueOf(other)];
    if (a !== null && b !== null) return a - b;
    return one.textContent.localeCompare(other.textContent, "en", { numeric: true });
  };

  const sort = (table, column, head) => {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, cell: row.cells[column] }));
    const known = rows.filter(({ cell }) => !isUnknown(cell));
    known.sort((one, other) => (ascending ? 1 : -1) * compare(one.cell, other.cell));
    // What is unknown stays at the end either way.
    body.append(...known.map(({ row }) => row), ...rows.filter(({ cell }) => isUnknown(cell)).map(({ row }) => row));
    status.textContent = `sorted by ${head.textContent}, ${ascending ? "ascending" : "descending"}`;
  };

  for (const table of document.querySelectorAll("table")) {
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, column, head));
      head.append(button);
    });
  }

  // Paper has no fold.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => { fold.open = true; }));
})();
