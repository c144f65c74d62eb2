"use strict";
// Draws every chart, in the reader's colours and width, and keeps the time axes of the linked ones together.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const phone = window.innerWidth < 600;
  const charts = [...document.querySelectorAll(".chart")];
  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--soft"), zerolinewidth: 1, gridwidth: 1, showgrid: true };
    return { axis, text: colour("--text"), soft: colour("--soft"), card: colour("--card") };
  };
  const dressed = (layout) => {
    const { axis, text, soft, card } = theme();
    return {
      ...layout,
      font: { ...layout.font, color: text },
      hoverlabel: { bgcolor: card, font: { color: text }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: text },
      xaxis: { ...layout.xaxis, ...axis, nticks: phone ? 4 : 10 },
      yaxis: { ...layout.yaxis, ...axis, zeroline: Boolean(layout.yaxis.zeroline) },
    };
  };
  // Named one by one: what a later plotly adds (an upload, say) does not appear here by itself.
  const buttons = [["zoom2d", "pan2d", "resetScale2d", "toImage"]];
  const config = { responsive: true, displaylogo: false, displayModeBar: phone ? false : "hover", modeBarButtons: buttons };
  const specs = new Map();
  for (const chart of charts) {
    const spec = JSON.parse(document.querySelector(`script[data-for="${chart.id}"]`).textContent);
    specs.set(chart, spec);
    Plotly.newPlot(chart, spec.data, dressed(spec.layout), config);
  }
  dark.addEventListener("change", () => charts.forEach((chart) => Plotly.react(chart, specs.get(chart).data, dressed(specs.get(chart).layout), config)));

  const linked = charts.filter((chart) => "linked" in chart.dataset);
  let following = false;
  for (const chart of linked) {
    chart.on("plotly_relayout", (change) => {
      if (following) return;
      const range = change["xaxis.autorange"] ? { "xaxis.autorange": true }
        : "xaxis.range[0]" in change ? { "xaxis.range[0]": change["xaxis.range[0]"], "xaxis.range[1]": change["xaxis.range[1]"] } : null;
      if (!range) return;
      following = true;
      Promise.all(linked.filter((other) => other !== chart).map((other) => Plotly.relayout(other, { ...range }))).finally(() => { following = false; });
    });
  }
})();
