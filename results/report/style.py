"""Style: how a page looks, on a screen in the dark or the light, on a phone, on paper."""

STYLE = """
:root { --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --mark: #f6f8fa; --accent: #2563eb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa5b1; --line: #363d47; --paper: #0f1318; --mark: #1a2027; --accent: #7aa7ff; }
}
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --mark: #fff; --accent: #000; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 3rem 0 .75rem; padding-bottom: .35rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .25rem; }
p { max-width: 46rem; margin: .6rem 0; overflow-wrap: anywhere; }
p.soft, figcaption { color: var(--soft); font-size: .93rem; }
figure { margin: 1rem 0; min-width: 0; }
figcaption { overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem; margin: 1.25rem 0; }
.tile { background: var(--mark); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.45rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .88rem; }
.pair { display: grid; gap: 0 1.5rem; /* auto-fill: a figure is drawn before its neighbour is there */
  grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); }
.wide { overflow-x: auto; }
.images { display: flex; flex-wrap: wrap; gap: .75rem; }
.images figure { margin: 0; width: 8rem; }
.images img { width: 4rem; image-rendering: pixelated; border: 1px solid var(--line); }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; margin: .75rem 0; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { white-space: nowrap; color: var(--soft); font-weight: 600; }
th.number, td.number { text-align: right; }
tbody tr.first td { font-weight: 650; }
pre { background: var(--mark); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem;
  overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .88rem; line-height: 1.45; }
summary { cursor: pointer; color: var(--accent); }
.xtick text, .ytick text, .xtitle, .ytitle, .gtitle, .legendtext, .annotation-text { fill: var(--ink) !important; }
.gridlayer path, .xaxislayer-above path, .yaxislayer-above path { stroke: var(--line) !important; }
@media print {
  @page { margin: 14mm; }
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2, h3 { break-after: avoid; }
  figure, .tile, tr, pre.short { break-inside: avoid; }
  .wide { overflow: visible; }
  .modebar { display: none !important; }
  .pair { grid-template-columns: 1fr; }
}
"""
