from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sknnopt._cli.tables import (
    InputError,
    decide_task,
    numbers,
    prediction_rows,
    read_table,
    training_table,
)


def written(folder: Path, text: str | bytes) -> Path:
    """Write a table and return its path."""
    path = folder / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b", "c"], "classification"),
        ([True, False, True], "classification"),
        ([0, 1, 1], "classification"),
        ([0.5, 1.5, 0.5], "classification"),
        (list(range(10)), "classification"),
        (list(range(11)), "regression"),
        ([0.5, 1.5, 2.5], "regression"),
    ],
)
def test_task_follows_the_target(values: list[object], task: str) -> None:
    """Few whole numbers or text are classes, all else is a quantity."""
    column = pd.Series(values)
    decided, reason = decide_task(column)
    assert decided == task
    assert f"{column.nunique()} distinct values" in reason
    for asked in ("classification", "regression"):
        assert decide_task(column, asked)[0] == asked


def test_columns_are_told_apart() -> None:
    """Numbers and truth values become float64, text stays text, gaps stay gaps."""
    frame = pd.DataFrame(
        {
            "whole": [1, 2, 3, 4],
            "gap": [1.5, np.nan, 2.5, 3.5],
            "flag": [True, False, True, False],
            "color": ["red", None, "blue", "red"],
            "y": [0, 1, 0, 1],
        }
    )
    table = training_table(frame, "y")
    assert table.numeric == ("whole", "gap", "flag")
    assert table.text == ("color",)
    assert table.n_missing == 1
    assert table.X["flag"].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert table.y.dtype == np.int64


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 1.0, 2.0], [1, 2, 1, 2]),
        (["b", "a", "b", "a"], ["b", "a", "b", "a"]),
        ([True, False, True, False], [True, False, True, False]),
        ([0.5, 1.0, 0.5, 1.0], ["0.5", "1.0", "0.5", "1.0"]),
    ],
)
def test_labels_are_classes(values: list[object], expected: list[object]) -> None:
    """Labels have a type that a classifier accepts."""
    table = training_table(pd.DataFrame({"x": range(4), "y": values}), "y")
    assert table.y.tolist() == expected
    assert table.y.dtype != object


def test_useless_columns_are_left_out() -> None:
    """An empty column and one that names the rows are dropped, with a note."""
    frame = pd.DataFrame(
        {
            "x": np.arange(50.0),
            "empty": [np.nan] * 50,
            "name": [f"row {i}" for i in range(50)],
            "y": [0, 1] * 25,
        }
    )
    table = training_table(frame, "y")
    assert list(table.X.columns) == ["x"]
    assert [note.split(" was ")[0] for note in table.notes] == [
        "Column 'empty'",
        "Column 'name'",
    ]


@pytest.mark.parametrize(
    ("columns", "task", "pattern"),
    [
        ({"x": [1, 2]}, "auto", "no column 'y'; the columns are x"),
        ({"x": [1, 2], "y": [1, None]}, "auto", "'y' is missing in 1 of 2 rows"),
        ({"y": [1, 2]}, "auto", "no column to learn from"),
        ({"x": [1, 2], "y": ["a", "b"]}, "regression", "'y' must hold numbers.*'a'"),
        ({"x": [1, 2], "y": [3, 3]}, "regression", "'y' is 3 in all rows"),
        (
            {"x": [1, 2, 3], "y": [0.5, 1, 2]},
            "classification",
            "fractions such as 0.5.*--task regression",
        ),
        (
            {"x": ["1", "2", "oops"], "y": [0, 1, 1]},
            "auto",
            "'x' must hold numbers, but row 3 has 'oops'",
        ),
        ({"x": [1, np.inf], "y": [0, 1]}, "auto", "'x' holds an infinite .* row 2"),
    ],
)
def test_bad_table_is_refused(
    columns: dict[str, list[object]], task: str, pattern: str
) -> None:
    """The error names the column and what to do."""
    with pytest.raises(InputError, match=pattern):
        training_table(pd.DataFrame(columns), "y", task=task)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("", "is empty"),
        ("a,b\n", "has a header but no rows"),
        ("a,b\n1,2,3\n4,5,6\n", "more fields than its header"),
        ("a,b\n1,2\n1,2,3\n", "cannot read .*Expected 2 fields in line 3"),
        (b"a,b\n\xff\xfe,1\n", "not a text file in UTF-8"),
    ],
)
def test_unreadable_file_is_refused(
    text: str | bytes, pattern: str, tmp_path: Path
) -> None:
    """The error is one line that says what is wrong with the file."""
    with pytest.raises(InputError, match=pattern) as caught:
        read_table(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    """A path that is no file is named; an address is a path too."""
    with pytest.raises(InputError, match="there is no file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="Is a directory"):
        read_table(tmp_path)
    with pytest.raises(InputError, match="there is no file"):
        read_table("https://example.org/table.csv")


def test_text_columns_keep_their_digits(tmp_path: Path) -> None:
    """A column that is read as text keeps its leading zeros."""
    path = written(tmp_path, "code,x\n007,1\n,2\n")
    frame = read_table(path, text=["code", "absent"])
    assert frame["code"].iloc[0] == "007"
    assert frame["code"].isna().tolist() == [False, True]


def test_rows_follow_the_model() -> None:
    """Columns come in the model's order, and further ones are ignored."""
    frame = pd.DataFrame({"c": ["u"], "extra": [1], "b": [2], "a": ["3"]})
    X = prediction_rows(frame, ["a", "b", "c"], ["c"])
    assert list(X.columns) == ["a", "b", "c"]
    assert X.iloc[0].tolist() == [3.0, 2.0, "u"]


def test_lacking_columns_are_named() -> None:
    """The error lists what the model was trained on and the table lacks."""
    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(InputError, match=r"lacks the columns .*: b, c"):
        prediction_rows(frame, ["a", "b", "c"], [])


def test_text_is_refused_where_numbers_are_known() -> None:
    """A word in a numeric column is named with its row."""
    frame = pd.DataFrame({"a": ["1", "many"]})
    with pytest.raises(InputError, match="'a' must hold numbers, but row 2 has 'many'"):
        prediction_rows(frame, ["a"], [])


def test_large_whole_numbers_are_numbers() -> None:
    """A whole number that fits no integer type is a float."""
    assert numbers(pd.Series(["123456789012345678901234"])).tolist() == [
        123456789012345678901234.0
    ]


@pytest.mark.parametrize("header", ["a,a,y", "a, a,y", "y,b,y"])
def test_double_names_are_refused(header: str, tmp_path: Path) -> None:
    """A name that stands twice is refused: one column would stand in for the other."""
    path = written(tmp_path, f"{header}\n1,2,3\n4,5,6\n")
    with pytest.raises(InputError, match=r"more than one column '[ay]'"):
        read_table(path)


@pytest.mark.parametrize(
    ("entry", "pattern"),
    [("1e160", "1e\\+160 in row 2"), ("9" * 500, "infinite number in row 2")],
)
def test_numbers_too_large_to_compute_with(entry: str, pattern: str) -> None:
    """Numbers whose squares overflow are refused, by column and row."""
    column = pd.Series([1.0, float(entry)], name="a")
    with pytest.raises(InputError, match=f"'a' holds .*{pattern}"):
        numbers(column)


def test_whole_numbers_of_many_digits(tmp_path: Path) -> None:
    """A whole number of hundreds of digits is refused, and not printed whole."""
    frame = read_table(written(tmp_path, f"a,y\n{'9' * 500},0\n1,1\n"))
    # pandas 2.0 reads it as text, later ones as a number, which no float holds.
    is_text = isinstance(frame["a"][0], str)
    told = r"must hold numbers.*'\.\.\.'" if is_text else "holds an infinite number"
    with pytest.raises(InputError, match=f"'a' {told}") as caught:
        training_table(frame, "y")
    assert len(str(caught.value)) < (120 if is_text else 100)


@pytest.mark.parametrize("labels", [["1e300", "2e300"], [str(2**63), str(2**63 + 1)]])
def test_labels_beyond_64_bits_stay_themselves(
    labels: list[str], tmp_path: Path
) -> None:
    """Labels that no integer holds are kept apart, as text."""
    rows = "".join(f"{i},{labels[i % 2]}\n" for i in range(6))
    table = training_table(read_table(written(tmp_path, f"a,y\n{rows}")), "y")
    assert len(np.unique(table.y)) == 2
    assert table.y.dtype.kind == "U"


def test_other_separators_get_a_hint(tmp_path: Path) -> None:
    """A table of one column with separators in its name is asked about."""
    frame = read_table(written(tmp_path, "a;y\n1;0\n2;1\n"))
    with pytest.raises(InputError, match="separated by commas"):
        training_table(frame, "y")
