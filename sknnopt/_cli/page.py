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
  --rule: #d5dbe1; --blue: #0072b2; --vermilion: #d55e00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e8ec; --soft: #a0abb5; --paper: #14181c; --panel: #1d2329;
    --rule: #363f48; --blue: #56b4e9; --vermilion: #f0905a;
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
p { margin: .4rem 0; max-width: 46rem; }
.lead { font-size: 1.05rem; }
.note, figcaption, footer { color: var(--soft); font-size: .9rem; }
.columns { display: grid; gap: 0 2.5rem; grid-template-columns: 1fr; }
@media (min-width: 46rem) { .columns { grid-template-columns: 1fr 1fr; } }
.columns > * { min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem; text-align: right; white-space: nowrap; }
th:first-child { padding-left: 0; text-align: left; font-weight: 400; }
thead th, thead th:first-child {
  border-bottom: 1px solid var(--rule); color: var(--soft);
  font-size: .85rem; font-weight: 600; vertical-align: bottom;
}
tbody tr + tr > * { border-top: 1px solid var(--rule); }
.wide { font-size: .85rem; }
.wide th, .wide td { padding: .25rem .5rem; }
.matrix td {
  min-width: 4.5rem; text-align: center;
  background: color-mix(in srgb, var(--blue) calc(var(--share) * 45%), transparent);
}
.matrix thead th { text-align: center; }
.matrix small { display: block; color: inherit; }
dl {
  display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem;
  margin: .5rem 0;
}
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: .5rem 0; }
figure.single { max-width: 34rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: system-ui, sans-serif !important; }
pre {
  background: var(--panel); border-radius: .4rem; margin: .6rem 0;
  overflow-x: auto; padding: .75rem 1rem; font-size: .9rem;
}
footer { border-top: 1px solid var(--rule); margin-top: 2.5rem; padding-top: .75rem; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="lead">$lead</p>

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

<h2>Training of the best model</h2>
<div class="columns">
<figure>$loss<figcaption>The training loss is taken while the weights change and
dropout acts, the validation loss after each epoch without dropout; so it may be the
smaller one.</figcaption></figure>
<figure>$score<figcaption>Both taken after each epoch, without
dropout.</figcaption></figure>
</div>

<div class="columns">
<section>
<h2>Held-out rows</h2>
$held_out
</section>
<section>
<h2>Convergence of the search</h2>
<figure>$convergence</figure>
</section>
</div>

<h2>All $n_candidates candidates, best first</h2>
$candidates

<h2>Using the model</h2>
<p>In Python:</p>
<pre><code>$load</code></pre>
<p>On the command line:</p>
<pre><code>$command</code></pre>

<footer>$footer</footer>
</body>
</html>
"""
