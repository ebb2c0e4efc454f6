"""The report's page: text that does not depend on the result, and its style."""

from __future__ import annotations

#: For string.Template: a dollar sign of the page itself is written twice.
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root {
  --ink: #1d2329; --soft: #5a646e; --paper: #ffffff; --panel: #f5f7f9;
  --rule: #d5dbe1; --blue: #0072b2; --vermilion: #d55e00; --shade: #1d232959;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e8ec; --soft: #a0abb5; --paper: #14181c; --panel: #1d2329;
    --rule: #363f48; --blue: #56b4e9; --vermilion: #f0905a; --shade: #ffffff40;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 3rem;
  color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .4rem 0; max-width: 46rem; text-wrap: pretty; }
.lead { font-size: 1.05rem; }
.note, figcaption, footer { color: var(--soft); font-size: .9rem; }
.findings ul { margin: .4rem 0; max-width: 46rem; padding-left: 1.2rem; }
.findings li { margin: .5rem 0; overflow-wrap: anywhere; }
.findings code { font-size: .9rem; }
.findings small { color: var(--soft); }
.columns { display: grid; gap: 0 2.5rem; grid-template-columns: 1fr; }
@media (min-width: 46rem) { .columns { grid-template-columns: 1fr 1fr; } }
.columns > * { min-width: 0; }
.scroll, pre {  /* A shadow at the edge beyond which there is more. */
  overflow-x: auto;
  background:
    linear-gradient(to right, var(--ground) 40%, transparent) left / 2rem 100% local,
    linear-gradient(to left, var(--ground) 40%, transparent) right / 2rem 100% local,
    linear-gradient(to right, var(--shade), transparent) left / .5rem 100%,
    linear-gradient(to left, var(--shade), transparent) right / .5rem 100%;
  background-color: var(--ground); background-repeat: no-repeat;
}
.scroll { --ground: var(--paper); }
@media (max-width: 30rem) {
  .scroll table:not(.matrix) { font-size: .85rem; }
  .scroll th, .scroll table:not(.matrix) td { padding-inline: .35rem; }
  .scroll th { white-space: normal; }
}
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem; text-align: right; white-space: nowrap; }
th:first-child { padding-left: 0; text-align: left; font-weight: 400; }
thead th, thead th:first-child {
  border-bottom: 1px solid var(--rule); color: var(--soft);
  font-size: .85rem; font-weight: 600; vertical-align: bottom;
}
tbody tr + tr > * { border-top: 1px solid var(--rule); }
.tall {
  max-height: 30rem; overflow: auto; border: 1px solid var(--rule);
  border-radius: .4rem;
}
.tall:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
.sortable { border-collapse: separate; border-spacing: 0; font-size: .85rem; }
.sortable th, .sortable td { padding: .25rem .6rem; }
.sortable tbody th {
  background: var(--paper); left: 0; position: sticky; text-align: right;
}
.sortable thead th, .sortable thead th:first-child {
  background: var(--panel); padding-block: .35rem; position: sticky; text-align: right;
  top: 0; z-index: 1;
}
.sortable thead th:first-child { left: 0; z-index: 2; }
.sortable .text { text-align: left; }
.sortable button {
  background: none; border: 0; color: inherit; cursor: pointer; font: inherit;
  margin: 0; padding: 0; text-align: inherit;
}
.sortable button:hover { color: var(--ink); text-decoration: underline; }
.sortable button:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
.sortable [aria-sort] { color: var(--ink); }
.sortable [aria-sort="ascending"] button::after { content: " \\25b2" / ""; }
.sortable [aria-sort="descending"] button::after { content: " \\25bc" / ""; }
.sortable .best > * { color: var(--blue); font-weight: 600; }
.sortable .pruned > * { color: var(--soft); }
@media print { .tall { max-height: none; } }
.matrix td {
  min-width: 4rem; text-align: center;
  background: color-mix(in srgb, var(--blue) calc(var(--share) * 45%), transparent);
}
.matrix td, .matrix thead th + th { padding-inline: .4rem; text-align: center; }
.matrix small { display: block; color: inherit; }
dl {
  display: grid; grid-template-columns: fit-content(8rem) 1fr; gap: .2rem 1.25rem;
  margin: .5rem 0;
}
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: .5rem 0; }
figure.single { max-width: 34rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: system-ui, sans-serif !important; }
pre {
  --ground: var(--panel);
  border-radius: .4rem; margin: .6rem 0; padding: .75rem 1rem; font-size: .9rem;
}
footer { border-top: 1px solid var(--rule); margin-top: 2.5rem; padding-top: .75rem; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="lead">$lead</p>

<h2>Diagnosis</h2>
<div class="findings">$diagnosis</div>

<h2>Training of the best model</h2>
<div class="columns">
<figure>$loss<figcaption>The training loss is taken while the weights change and
dropout acts, the validation loss after each epoch without dropout; so it may be the
smaller one.</figcaption></figure>
<figure>$score<figcaption>Both taken after each epoch, without
dropout.</figcaption></figure>
</div>

<h2>Scores</h2>
$scores
<p class="note">$scores_note</p>

<div class="columns">
<section>
<h2>Best hyperparameters</h2>
$best
<p class="note">$best_note</p>
</section>
<section>
<h2>Data</h2>
$data
$data_notes
</section>
</div>

<h2>Held-out rows</h2>
$held_out

<h2>The search</h2>
<p>$search_note</p>
<div class="columns">
<section>
<h3>Convergence</h3>
<figure>$convergence</figure>
</section>
<section>
<h3>Learning curves</h3>
<figure>$curves<figcaption>$curves_note</figcaption></figure>
</section>
<section>
<h3>What mattered</h3>
<figure>$importance<figcaption>$importance_note</figcaption></figure>
</section>
</div>

<h3 id="candidates">All candidates</h3>
$candidates

<h2>Using the model</h2>
<p>In Python:</p>
<pre><code>$load</code></pre>
<p>On the command line:</p>
<pre><code>$command</code></pre>

<footer>$footer</footer>
<script>$script</script>
</body>
</html>
"""

#: Turns the names of a table's columns into buttons that sort it.
SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    if (!isNaN(x) && !isNaN(y)) return x - y;
    if (isNaN(x) !== isNaN(y)) return isNaN(x) - isNaN(y);
    return a < b ? -1 : a > b ? 1 : 0;
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const key = row => {
        const cell = row.cells[column];
        return cell.dataset.value ?? cell.textContent;
      };
      const isBlank = row => key(row) === "";
      const rows = [...body.rows];
      const full = rows.filter(row => !isBlank(row));
      full.sort((a, b) => sign * compare(key(a), key(b)));
      body.append(...full, ...rows.filter(isBlank));
    });
  });
}
"""
