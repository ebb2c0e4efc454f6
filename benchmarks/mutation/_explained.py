"""Mutants that no test can kill, and why: what they compute is the same."""

from __future__ import annotations

_CACHED = "What is cached is made again, and equal: layouts have no state."
_ONE_ENTRY = "The last axis of the rows' scales has one entry, the first and the last."
_LENGTHS = "The sequences are as long as each other in any case; this checks it."

#: Reasons by the mutants' keys.
EXPLAINED: dict[str, str] = {
    "_batching | NumberReplacer 1 | n_workers: int = 1,": (
        "No worker is as one: nothing is shared out, and the calling thread computes."
    ),
    "_batching | ReplaceTrueWithFalse 0 | "
    "for number, outcome in zip(part, trained, strict=True):": _LENGTHS,
    "_fits | NumberReplacer 1 | _WORTH_A_THREAD = 350_000.0": (
        "A measured time, a millionth of which is far below its error; it decides on "
        "the number of threads and on no result."
    ),
    "_fitting | NumberReplacer 0 | _same_seeds = lru_cache(maxsize=16)(_draw_seeds)": (
        "How many draws are remembered; a draw that is not is made again, and equal."
    ),
    "_layout | RemoveDecorator 0 | @lru_cache(maxsize=256)": _CACHED,
    "_layout | RemoveDecorator 1 | @lru_cache(maxsize=256)": _CACHED,
    '_loop | NumberReplacer 0 | finite &= np.isfinite(line.get("valid_loss", 0.0))': (
        "Any finite number says that no validation loss has diverged."
    ),
    "_loop | NumberReplacer 0 | raw.masked_fill_(padding, 0.0)": (
        "Outputs at padding are multiplied by zero: they have to be finite, no more."
    ),
    "_loop | NumberReplacer 1 | "
    "hooks.end(batch, raw, sum_over_rows(losses * batch.scale[..., 0]))": _ONE_ENTRY,
    "_loop | NumberReplacer 3 | "
    "means.append(sum_over_rows(losses * parts[2][..., 0]))": _ONE_ENTRY,
    "_members | RemoveDecorator 1 | @property": (
        "In a protocol, which is for type checkers: nothing of it is ever called."
    ),
    "_normalization | NumberReplacer 2 | "
    "share = weight / torch.where(count > 0, count, 1.0)": (
        "Where no row counts all weights are zero, and so is their share of anything."
    ),
    "_propagation | NumberReplacer 1 | if self._fan_out == 1:": (
        "The general product computes the same as the quicker one for a single column."
    ),
    "_rendezvous | ReturnNone 1 | return []": (
        "No stragglers: what starts tasks takes None for an empty list."
    ),
    "_spreading | ReplaceTrueWithFalse 0 | "
    "dumps, histories = zip(*outcomes, strict=True)": _LENGTHS,
    "_training | NumberReplacer 0 | _ROWS_AT_ONCE = 8192": (
        "How many rows skorch's prediction takes at a time; each row's is its own."
    ),
}
