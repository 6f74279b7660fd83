"use strict";
(function () {
  const figures = JSON.parse(document.getElementById("figures").textContent);

  // Colours stand in the figures as names of the style sheet, so that they follow the reader's theme.
  function resolved(item, style) {
    if (typeof item === "string" && item.startsWith("--")) return style.getPropertyValue(item).trim();
    if (Array.isArray(item)) return item.map((part) => resolved(part, style));
    if (item === null || typeof item !== "object") return item;
    return Object.fromEntries(Object.entries(item).map(([key, part]) => [key, resolved(part, style)]));
  }

  function axis(own, colour) {
    return Object.assign({
      gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, automargin: true,
      ticks: "outside", tickcolor: colour("--line"), showline: true,
    }, own);
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    for (const [key, figure] of Object.entries(figures)) {
      const layout = Object.assign({}, resolved(figure.layout, style), {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--ink") },
        margin: { l: 56, r: 12, t: 12, b: 48 }, hovermode: "closest",
        hoverlabel: { align: "left", bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
        legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, font: { size: 11 } },
      });
      layout.xaxis = axis(layout.xaxis, colour);
      layout.yaxis = axis(layout.yaxis, colour);
      Plotly.react(key, resolved(figure.data, style), layout, { displaylogo: false, displayModeBar: false, responsive: true });
    }
  }

  function sorted(table, column, ascending) {
    const value = (row) => {
      const cell = row.cells[column];
      return "order" in cell.dataset ? (cell.dataset.order === "" ? null : Number(cell.dataset.order)) : cell.textContent.trim();
    };
    return Array.from(table.tBodies[0].rows, (row) => [value(row), row]).sort(([a], [b]) => {
      if (a === b) return 0;
      if (a === null || a === "") return 1; // what is missing stands last either way
      if (b === null || b === "") return -1;
      const order = typeof a === "number" ? a - b : a.localeCompare(b);
      return ascending ? order : -order;
    });
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = Array.from(table.tHead.rows[0].cells);
    headings.forEach((heading, column) => heading.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      table.tBodies[0].append(...sorted(table, column, ascending).map(([, row]) => row));
    }));
  }

  if (Object.keys(figures).length) {
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    matchMedia("print").addEventListener("change", draw);
  }
})();
