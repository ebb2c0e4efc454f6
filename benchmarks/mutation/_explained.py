"""Mutants that no test can kill, and why: what they compute is the same."""

from __future__ import annotations

_CACHED = "What is cached is made again, and equal: layouts have no state."
_ONE_ENTRY = "The last axis of the rows' scales has one entry, the first and the last."
_LENGTHS = "The sequences are as long as each other in any case; this checks it."
_ONE_COLUMN = "There is one column, which is the first and the last."
_REMADE = "What is kept is made again where it is not, and equal."
_COMPARED = "Nobody compares two of them, or puts them into a set."
_AT_ONCE = "How many steps have their losses computed at once; each step's is its own."
_PADDING = "Outputs at padding are multiplied by zero: they have to be finite, no more."
_PROTOCOL = "In a protocol, which is for type checkers: nothing of it is ever called."

#: Reasons by the mutants' keys.
EXPLAINED: dict[str, str] = {
    "_assembly | NumberReplacer 1 | y = y[:, 0]": _ONE_COLUMN,
    "_feed | RemoveStatement 0 | self._weights[counts.tobytes()] = pair": _REMADE,
    "_feed | ReplaceUnaryOperator_Delete_Not 0 | "
    "if not self._is_weighted and (kept := self._weights.get(counts.tobytes())):": (
        _REMADE + " With weights of rows nothing is kept."
    ),
    "_fits | ReplaceFalseWithTrue 0 | verbose: bool = False": (
        "A default that no caller in the package relies on, but where nothing is shown."
    ),
    "_fitting | NumberReplacer 0 | torch.zeros(1, device=device).cpu()": (
        "Whether a tensor can be put there does not depend on how long it is."
    ),
    "_gathering | ReplaceTrueWithFalse 0 | uses_threads = True": (
        "joblib asks it of backends that were not named; this one is always named."
    ),
    "_guard | ReplaceOrWithAnd 0 | "
    "if self._whole is None or self.checkpoint is None:": (
        "A guard has both or neither; the first tells it to a type checker."
    ),
    "_job | ReplaceComparisonOperator_NotEq_Eq 0 | "
    "kinds=kinds if any(kind != kinds[0] for kind in kinds) else (),": (
        "Kinds that are all alike say the same as none."
    ),
    "_job | ReplaceFalseWithTrue 0 | @dataclass(frozen=True, eq=False)": _COMPARED,
    "_job | ReplaceFalseWithTrue 2 | @dataclass(frozen=True, eq=False)": _COMPARED,
    "_layout | NumberReplacer 1 | if segments and layer != segments[-1].layer:": (
        "More parts then begin at a whole stretch: more columns with the same numbers."
    ),
    "_loop | NumberReplacer 0 | return torch.split(steps, max(1, _BLOCK // numbers))": (
        _AT_ONCE
    ),
    "_loop | NumberReplacer 1 | raw.masked_fill_(padding, 0.0)": (_PADDING),
    "_loop | NumberReplacer 3 | _BLOCK = 1 << 13": _AT_ONCE,
    "_loop | ReplaceBinaryOperator_Mul_Div 0 | "
    "def epoch(self, *, at_once: bool = True) -> dict[str, np.ndarray]:": (
        "Every caller names the argument, which the change still allows."
    ),
    "_members | NumberReplacer 1 | some = members[rule.where].nonzero()[:, 0]": (
        _ONE_COLUMN
    ),
    "_members | RemoveDecorator 0 | @property": (_PROTOCOL),
    "_rendezvous | NumberReplacer 1 | self._largest = 0": (
        "The largest payload so far counts only once there is one."
    ),
    "_rendezvous | RemoveStatement 0 | call.last_submit = time.monotonic()": (
        "How long a caller is waited for, and so the size of a round, depends on it, "
        "and no result."
    ),
    "_rendezvous | RemoveStatement 0 | parent.raise_if_cancelled()": (
        "The call would have its tasks dropped as soon as it submits them."
    ),
    "_rendezvous | ReplaceFalseWithTrue 0 | self._is_processing = False": (
        "It is read where a trainer has been at work, which sets it."
    ),
    "_rendezvous | ReplaceUnaryOperator_Delete_USub 0 | return -1": (
        "The trainer looks once a second for what it is called for anyway."
    ),
    "_scores | NumberReplacer 1 | _KEPT = 1 << 22": (
        "Numbers that are kept from one epoch to the next, else made again, and equal."
    ),
    "_scores | ReplaceComparisonOperator_Gt_GtE 1 | "
    "wrong = ((raw > 0) != (target > 0.5)).any(-1, keepdim=True)": (
        "Targets are 0 or 1: none is at the border."
    ),
    "_spreading | NumberReplacer 0 | arrays = {name: np.concatenate([d[name] for d in "
    "dumps]) for name in dumps[0]}": (
        "All dumps have the same names, and there are two at least."
    ),
    "_spreading | NumberReplacer 0 | with ThreadPoolExecutor(1) as pool:": (
        "There is one task: a second thread would have none."
    ),
    "_tasks | RemoveStatement 0 | self.payload: Any = None": (
        "It is read of tasks that have handed one over."
    ),
    "_tasks | ReturnNone 1 | return False": "Where it is asked, None counts as False.",
    "_training | ReplaceFalseWithTrue 0 | def get_iterator(self, dataset: Any, "
    "training: bool = False) -> Iterator[Any]:": (
        "An argument of skorch's that this iterator has no use for."
    ),
    "penalties | ReplaceUnaryOperator_Delete_USub 0 | "
    "return (strength * weights.abs()).sum(dim=-1)": (
        "Members and columns are all the axes: the last one is the second."
    ),
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
    "_loop | NumberReplacer 0 | raw.masked_fill_(padding, 0.0)": (_PADDING),
    "_loop | NumberReplacer 1 | "
    "hooks.end(batch, raw, sum_over_rows(losses * batch.scale[..., 0]))": _ONE_ENTRY,
    "_loop | NumberReplacer 3 | "
    "means.append(sum_over_rows(losses * parts[2][..., 0]))": _ONE_ENTRY,
    "_members | RemoveDecorator 1 | @property": (_PROTOCOL),
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

#: Tests that were not among those tried, most of them as they were written afterwards,
#: and that fail on a mutant that had survived.
SINCE: dict[str, str] = {
    "_fitting | ExceptionReplacer 1 | except (RuntimeError, AssertionError, "
    "NotImplementedError, TypeError) as error:": "test_device_that_is_not_there",
    "_fitting | ReplaceAndWithOr 0 | if len(job) > 1 and is_own:": (
        "test_refit_without_folds_drops_them"
    ),
    "_loop | RemoveStatement 0 | self.kind = job.kind": "test_nobody_is_left",
    "_network | RemoveDecorator 0 | @torch.no_grad()": "test_running_statistics",
    "_network | ReplaceFalseWithTrue 0 | torch.inference_mode(False),": (
        "test_response_has_a_gradient"
    ),
    "_rates | ReplaceBinaryOperator_Mul_Div 0 | "
    "base = settings.learning_rate * record.plateau_factor": "test_rates_on_a_plateau",
    "_record | ReturnNone 0 | "
    "return part.weights.new_zeros(len(part.weights), widths[name])": (
        "test_records_of_different_rules_join"
    ),
    "_rendezvous | RemoveStatement 0 | self._advance()  # begins none": (
        "test_a_thread_that_is_refused_wakes_the_trainer"
    ),
    "_rendezvous | ZeroIterationForLoop 0 | for call in list(rendezvous._calls):": (
        "test_the_end_of_the_interpreter_cancels_what_trains"
    ),
    "_snapshot | ReturnNone 0 | return cls(record, **own, history=history)": (
        "test_only_what_is_left_is_trained"
    ),
    "_training | NumberReplacer 3 | rows.table.X[rows.index], target[:, 0] if "
    "target.shape[1] == 1 else target": "test_order_of_hooks",
}
