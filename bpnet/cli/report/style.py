"""The style of the page: light and dark, on paper, and on a phone.

Text has a contrast of at least 7 against its background, pictures of at least 3.
"""

from __future__ import annotations

CSS = """
:root { --paper: #ffffff; --ink: #1b1f24; --soft: #4a525c; --faint: #b6bec8;
  --panel: #f4f6f8; --first: #0062a3; --second: #b34700;
  --font: system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e8ecf1;
  --soft: #b4bdc8; --faint: #4f5965; --panel: #1f242a; --first: #6cb6f5;
  --second: #ffa657; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 62rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 var(--font); overflow-wrap: anywhere; }
header p { margin: 0; color: var(--soft); }
h1 { margin: 0 0 1rem; font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 0.75rem; padding-bottom: 0.25rem; font-size: 1.25rem;
  border-bottom: 1px solid var(--faint); }
h3 { margin: 1.5rem 0 0.5rem; font-size: 1rem; }
p { max-width: 44rem; margin: 0.5rem 0; }
.lead { font-size: 1.125rem; }
p:has(+ .figures) { break-after: avoid; }
.figures { display: grid; gap: 1.5rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
figure { margin: 0.5rem 0; max-width: 30rem; }
svg { display: block; width: 100%; height: auto; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; min-width: min(100%, 26rem);
  font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: 0.4rem;
  max-width: calc(100vw - 2.5rem); }
th, td { padding: 0.35rem 0.6rem 0.35rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--faint); overflow-wrap: normal; }
td { background: color-mix(in srgb, var(--first) var(--share, 0%), transparent); }
td, thead th + th { padding-left: 0.9rem; }
thead th { color: var(--soft); font-weight: 600; }
tbody th { font-weight: 600; }
td { white-space: nowrap; }
td:last-child, .text { white-space: normal; }
td:last-child:not(.number), .text { min-width: 12rem; }
.number { text-align: right; white-space: nowrap; }
thead .number { white-space: normal; }
dl { margin: 0; }
dl div { display: grid; grid-template-columns: 9rem 1fr; gap: 0 1rem; padding: 0.3rem 0;
  border-bottom: 1px solid var(--faint); }
dt { color: var(--soft); }
dd { margin: 0; }
pre { margin: 0; padding: 0.75rem 1rem; background: var(--panel); white-space: pre-wrap;
  border-radius: 0.4rem; font-size: 0.9rem; }
pre span { white-space: nowrap; }
@media (max-width: 34rem) { dl div { grid-template-columns: 1fr; } h1 { font-size: 1.4rem; } }
@media print { :root { --paper: #ffffff; --ink: #000000; --soft: #333333; --faint: #bbbbbb;
  --panel: #f2f2f2; --first: #0062a3; --second: #b34700; }
  body { max-width: none; padding: 0; font-size: 10.5pt; } h2 { break-after: avoid; }
  figure, tr, dl div { break-inside: avoid; } .table { overflow: visible; }
  .figures { grid-template-columns: 1fr 1fr; } }
"""
