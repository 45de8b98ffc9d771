"""How the page looks: light and dark, wide and narrow, on the screen and on paper."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light; --ink: #222; --paper: #fff; --faint: #6b6f76; --line: #c4c8ce;
  --band: #f4f5f7; --published: #8a5a00; --link: #0b57a4;
  --front: #0072b2; }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #e4e6e9; --paper: #15171a; --faint: #9aa0a8; --line: #474c54;
    --band: #1e2126; --published: #e0ac55; --link: #7db7f2;
    --front: #4aa8e8; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 3.5rem; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 110rem; margin: 0 auto; padding: 2rem clamp(1rem, 3vw, 3rem) 6rem; }
p { max-width: 48rem; } a { color: var(--link); }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.45rem; margin: 3.5rem 0 .4rem; }
h3 { font-size: 1.1rem; margin: 2.4rem 0 .4rem; }
h4 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
.rules, figcaption, small, .note { color: var(--faint); }
small { font-size: .84em; } .rules, .note { font-size: .88rem; margin: .3rem 0 .8rem; }
.rules { max-width: 70rem; }
nav { position: sticky; top: 0; z-index: 2; background: var(--paper); padding: .5rem 0;
  border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .32rem .6rem; text-align: right; white-space: nowrap; vertical-align: top; }
td { line-height: 1.35; }
th { vertical-align: bottom; white-space: normal; line-height: 1.3; }
th.group { text-align: center; font-weight: 400; font-size: .85rem; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--paper); }
td:first-child { white-space: normal; min-width: 7rem; max-width: 32rem; }
thead tr:last-child th { border-bottom: 2px solid var(--ink); }
tbody tr:nth-child(even) td { background: var(--band); }
td.word, th.word { text-align: left; } .best { font-weight: 700; }
.published { color: var(--published); }
td.first, th.first { border-left: 1px solid var(--line); }
td.source { text-align: left; white-space: normal; min-width: 14rem; color: var(--faint);
  font-size: .88em; }
figure { margin: .6rem 0; } svg { display: block; width: 100%; height: auto; max-width: 50rem; }
svg text { font-family: system-ui, sans-serif !important; }
.plots { display: flex; flex-wrap: wrap; gap: 0 2rem; }
.plots figure { flex: 1 1 min(100%, 30rem); max-width: 44rem; }
.crops { display: flex; flex-wrap: wrap; gap: .7rem; margin-bottom: 1rem; --side: 192px; }
.crops figure { margin: 0; width: var(--side); }
.crops img { width: 100%; height: auto; image-rendering: pixelated; display: block; }
.crops b { flex-basis: 100%; font-weight: 600; font-size: .92rem; }
figcaption { font-size: .82rem; line-height: 1.35; overflow-wrap: anywhere; margin-top: .2rem; }
@media (min-width: 1200px) { .crops { --side: 288px; } }
@media screen and (max-width: 900px) { table { font-size: .8rem; }
  th, td { padding: .25rem .27rem; }
  .level small { display: block; } .level br { display: none; }
  td:first-child { min-width: 4rem; } }
@media print { body { padding: 0; font-size: 10pt; max-width: none; } nav { display: none; }
  .wide { overflow: visible; } .rules, .note { font-size: 8.5pt; } table { font-size: 7.5pt; }
  th, td { padding: 1.5pt 3pt; }
  td:first-child, th:first-child { position: static; }
  h2, h3, h4, .rules, .note, .crops b { break-after: avoid; } svg { max-width: 4.5in; }
  tr, figure { break-inside: avoid; }
  .crops { --side: 96pt; } .plots figure { flex: 0 1 46%; } }
"""
HEAD = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>degrain bench</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{STYLE}</style></head><body>
<h1>How good, and at what cost?</h1>
<p>Every number in the color of this text was measured by <code>degrain bench</code>, on the same
noisy pixels for all methods of a table. <span class="published">Published</span> numbers stand in
columns of their own. ± is the standard error of the mean over pictures.</p>
"""
