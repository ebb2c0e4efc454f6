"""Mutants: a module with one small change, by the operators of cosmic-ray and two more.

Of cosmic-ray the operators alone are used. Its sessions change the files that one works
on, and run one command for every mutant, where here only the tests that reach the
changed line run, on a copy.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword

#: All that a fit runs through between checked data and trained weights.
MODULES = {
    "network": (
        "_network",
        "_propagation",
        "_members",
        "_normalization",
        "_dropout",
        "_layout",
        "_reduction",
    ),
    "training": (
        "_training",
        "_loop",
        "_advancing",
        "_fitting",
        "_assembly",
        "_fits",
        "_job",
        "_feed",
        "_rates",
        "_record",
        "_snapshot",
        "_guard",
        "_scores",
    ),
    "optimizers": ("optimizers", "_constants"),
    "penalties": ("penalties",),
    "clipping": ("clipping", "_clipper"),
    "gathering": ("_gathering", "_batching", "_rendezvous", "_tasks", "_spreading"),
}


class _Replacement(Operator):
    """Puts other code where a statement of some kind is."""

    code: str

    @staticmethod
    def is_meant(statement: Any) -> bool:
        """Tell whether a statement is of this kind."""
        raise NotImplementedError

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Yield where a statement starts and ends, if it is of this kind."""
        if node.type == "simple_stmt" and self.is_meant(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Replace the statement."""
        del index
        old = node.children[0]
        prefix = old.get_first_leaf().prefix
        node.children[0] = Keyword(self.code, old.start_pos, prefix=prefix)
        return node

    @classmethod
    def examples(cls) -> Sequence[Any]:
        """Return none: the tests have them."""
        return ()


class RemoveStatement(_Replacement):
    """Puts ``pass`` where something is called, raised, deleted or stored elsewhere.

    A local name is not stored elsewhere: without it the next line would fail at once.
    """

    code = "pass"

    @staticmethod
    def is_meant(statement: Any) -> bool:
        """Tell whether a statement has an effect."""
        return _has_effect(statement)


class ReturnNone(_Replacement):
    """Returns None instead of anything else."""

    code = "return None"

    @staticmethod
    def is_meant(statement: Any) -> bool:
        """Tell whether a statement returns a value."""
        is_return = statement.type == "return_stmt"
        return is_return and statement.children[1].get_code().strip() != "None"


def _has_effect(statement: Any) -> bool:
    if statement.type in {"raise_stmt", "del_stmt"}:
        return True
    if statement.type in {"atom_expr", "power"}:
        return statement.children[-1].type == "trailer"
    if statement.type != "expr_stmt":
        return False
    target, sign = statement.children[:2]
    is_augmented = getattr(sign, "value", "=") != "=" or sign.type == "augassign"
    return is_augmented or target.type in {"atom_expr", "power"}


#: Of the 132 ways in which cosmic-ray swaps arithmetic signs most fail at once on
#: tensors (``%``, ``<<``): anything kills them, and the share would be too high.
_ARITHMETIC = (
    "Add_Sub",
    "Add_Mul",
    "Sub_Add",
    "Sub_Mul",
    "Mul_Div",
    "Mul_Add",
    "Div_Mul",
    "Div_FloorDiv",
    "FloorDiv_Div",
    "FloorDiv_Mul",
    "Mod_FloorDiv",
    "Mod_Mul",
    "Pow_Mul",
    "BitOr_BitAnd",
    "BitAnd_BitOr",
)
#: The opposite of each comparison, and its neighbor at equality.
_COMPARISONS = (
    "Eq_NotEq",
    "NotEq_Eq",
    "Lt_LtE",
    "Lt_GtE",
    "LtE_Lt",
    "LtE_Gt",
    "Gt_GtE",
    "Gt_LtE",
    "GtE_Gt",
    "GtE_Lt",
    "Is_IsNot",
    "IsNot_Is",
)
_OTHERS = (
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_Invert",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ExceptionReplacer",
    "NumberReplacer",
    "RemoveDecorator",
    "ZeroIterationForLoop",
)
_NAMES = (
    *(f"ReplaceBinaryOperator_{name}" for name in _ARITHMETIC),
    *(f"ReplaceComparisonOperator_{name}" for name in _COMPARISONS),
    *_OTHERS,
)
OPERATORS: dict[str, Operator] = {
    **{name: get_operator(f"core/{name}")() for name in _NAMES},
    "RemoveStatement": RemoveStatement(),
    "ReturnNone": ReturnNone(),
}


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Parameters
    ----------
    module : str
        Its name inside the package.
    operator : str
        One of ``OPERATORS``.
    occurrence : int
        Which of the places in the module where the operator can work.
    line, column : int
        Where, counted from 1 and 0.
    text : str
        The line.
    number : int
        Which of the operator's places on lines of this text.
    """

    module: str
    operator: str
    occurrence: int
    line: int
    column: int
    text: str
    number: int

    @property
    def key(self) -> str:
        """Return what names the mutant, also when lines have moved."""
        return f"{self.module} | {self.operator} {self.number} | {self.text}"

    def apply(self, source: str) -> str:
        """Return the changed source of the module."""
        changed = mutate_code(source, OPERATORS[self.operator], self.occurrence)
        if changed is None:
            raise ValueError(f"nothing to change: the source is not that of {self.key}")
        return str(changed)


def mutants_of(module: str, source: str) -> list[Mutant]:
    """Return all mutants of a module.

    Left out is what cannot change what the code does: annotations, ``__all__``,
    blocks of ``TYPE_CHECKING`` and overloads; and what is inside f-strings, the texts
    of messages. No operator touches docstrings and other strings.

    Parameters
    ----------
    module : str
        Its name.
    source : str
        Its text.

    Returns
    -------
    list of Mutant
        By operator, and from top to bottom.
    """
    lines = source.splitlines()
    spans = _idle_spans(source)
    nodes = list(ast_nodes(get_ast(source)))
    found = []
    for name, operator in OPERATORS.items():
        counts: Counter[str] = Counter()
        places = (p for node in nodes for p in operator.mutation_positions(node))
        starts = [start for start, _ in places]
        for occurrence, (line, column) in enumerate(starts):
            if any(low <= (line, column) < high for low, high in spans):
                continue
            text = lines[line - 1].strip()
            place = (line, column, text, counts[text])
            found.append(Mutant(module, name, occurrence, *place))
            counts[text] += 1
    return found


def _idle_spans(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where code does nothing, as pairs of lines and columns."""
    lines = source.encode().splitlines()

    def at(line: int, column: int) -> tuple[int, int]:
        # ast counts bytes, parso characters.
        return line, len(lines[line - 1][:column].decode())

    spans = []
    for node in ast.walk(ast.parse(source)):
        for idle in _idle_parts(node):
            start = at(idle.lineno, idle.col_offset)
            spans.append((start, at(idle.end_lineno, idle.end_col_offset)))
            spans += [
                (at(each.lineno, each.col_offset - 1), start)
                for each in getattr(idle, "decorator_list", [])
            ]
    return spans


def _idle_parts(node: ast.AST) -> Iterator[Any]:
    match node:
        case ast.arg(annotation=ast.expr() as part):
            yield part
        case ast.AnnAssign(annotation=part):
            yield part
        case ast.FunctionDef(decorator_list=decorators, returns=part):
            if any(ast.unparse(each) == "overload" for each in decorators):
                yield node
            if part is not None:
                yield part
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.JoinedStr():
            yield node
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            yield node


def draw(sources: dict[str, str], n_mutants: int, seed: int) -> list[Mutant]:
    """Draw mutants uniformly from all of some modules.

    Which are drawn follows from digests of their names with the seed: a module that
    changes replaces its own mutants alone. Mutants that do not compile, or compile to
    the same as before, are passed over.

    Parameters
    ----------
    sources : dict of str to str
        Texts of the modules by name.
    n_mutants : int
        How many.
    seed : int
        Another one draws others.

    Returns
    -------
    list of Mutant
        In random order.
    """
    everything = [m for name, text in sources.items() for m in mutants_of(name, text)]
    ranked = sorted(everything, key=lambda mutant: _rank(mutant.key, seed))
    others = (m for m in ranked if _is_another(sources[m.module], m))
    return list(islice(others, n_mutants))


def _rank(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()


def _is_another(source: str, mutant: Mutant) -> bool:
    try:
        changed = ast.dump(ast.parse(mutant.apply(source)))
    except SyntaxError:
        return False
    return changed != _dump(source)


@lru_cache
def _dump(source: str) -> str:
    return ast.dump(ast.parse(source))


def change(source: str, mutant: Mutant) -> str:
    """Return the lines that a mutant changes, as they become."""
    before, after = source.splitlines(), mutant.apply(source).splitlines()
    new = [line for line in unified_diff(before, after, n=0) if line[0] == "+"][1:]
    return " ".join(line[1:].strip() for line in new) or "(removed)"


def reaching_lines(source: str, mutant: Mutant) -> set[int] | None:
    """Return lines, any of which a test has to run to meet the change.

    Parameters
    ----------
    source : str
        Of the unchanged module.
    mutant : Mutant
        The change.

    Returns
    -------
    set of int or None
        The lines of the statement, or of its head where others are inside. Of the head
        of a function they are those of its body. None outside of functions, where code
        runs when it is imported, before any test.
    """
    functions, statements = _blocks(source)
    line = mutant.line
    inside = [each for each in functions if _first(each) <= line <= each.end_lineno]
    if not inside:
        return None
    function = inside[-1]
    if line < function.body[0].lineno:
        return _body_lines(function)
    holding = [each for each in statements if each.lineno <= line <= each.end_lineno]
    return _head_lines(holding[-1], line)


@lru_cache
def _blocks(source: str) -> tuple[list[Any], list[Any]]:
    """Return functions and statements, inner ones after outer ones."""
    nodes = list(ast.walk(ast.parse(source)))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    return functions, [node for node in nodes if isinstance(node, ast.stmt)]


def _first(function: ast.FunctionDef) -> int:
    return min([function.lineno, *(each.lineno for each in function.decorator_list)])


def _body_lines(function: Any) -> set[int]:
    return set(range(function.body[0].lineno, function.end_lineno + 1))


def _head_lines(statement: Any, line: int) -> set[int]:
    body = getattr(statement, "body", None)
    if body is None:
        return set(range(statement.lineno, statement.end_lineno + 1))
    if line < body[0].lineno:
        return set(range(statement.lineno, body[0].lineno))
    return {line}


def read(package: Path) -> dict[str, str]:
    """Return the texts of all modules that are measured, by name."""
    names = [name for group in MODULES.values() for name in group]
    return {name: (package / f"{name}.py").read_text("utf-8") for name in names}
