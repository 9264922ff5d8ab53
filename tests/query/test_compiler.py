"""Tests of what queries compile to, and of how names and types are checked."""

from __future__ import annotations

from typing import Any

import pytest
from query import table

from tfstream.errors import QueryError
from tfstream.query import Condition, Fields, bind, compile_where, parse

FIELDS = Fields(
    {
        **{"camera": "string", "scene": "string", "day": "int", "iso": "float", "night": "bool"},
        **{"a.b": "int", "my notes": "string", "labels.x": "int", "file.x": "string", "or": "int"},
    },
    ["dog", "cat", "traffic light", "scene"],
    ["train", "val"],
)


def _compile(text: str, fields: Fields = FIELDS) -> Condition:
    return compile_where(parse(text), fields)


def test_a_query_without_conditions_is_true_of_all() -> None:
    assert _compile("@limit:3") == Condition("TRUE")


@pytest.mark.parametrize(
    ("name", "sql", "kind"),
    [
        ("width", '"width"', "int"),
        ("@path", '"key"', "string"),
        ("@size", '"bytes"', "int"),
        ("@phase", '"split"', "string"),
        ("a.b", '"a.b"', "int"),
        ("metadata.a.b", '"a.b"', "int"),
        ("file.camera", '"camera"', "string"),
        ("file.width", '"width"', "int"),
        ("file.x", '"file.x"', "string"),
        ("labels.dog", 'coalesce("labels"[?], 0)', "int"),
        ("metadata.labels.x", '"labels.x"', "int"),
    ],
)
def test_a_name_means_one_column(name: str, sql: str, kind: str) -> None:
    column = FIELDS.resolve(name)
    assert (column.sql, column.kind) == (sql, kind)


def test_names_that_differ_in_case_alone_are_different_columns() -> None:
    fields = Fields({"Width": "int", "day": "int", "Day": "int"}, [], [])
    names = ("width", "Width", "day", "Day")
    assert len({fields.resolve(name).sql.lower() for name in names}) == 4


@pytest.mark.parametrize(
    "name",
    [
        'x" = 1 OR 1=1 --',
        'a""b',
        "x'; DROP TABLE records; --",
        "?",
        "/*",
        "read_csv('/etc/passwd')",
    ],
)
def test_names_and_values_never_become_sql(name: str) -> None:
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    condition = _compile(
        f"{quoted} = {quoted} labels.{quoted} > 1", Fields({name: "string"}, [name], [])
    )
    inside = name.replace('"', '""')
    assert condition.sql == f'("{inside}" = ?) AND (coalesce("labels"[?], 0) > ?)'
    assert condition.parameters == (name, name, 1)


def test_a_long_list_is_one_comparison() -> None:
    keys = [f"n{number}" for number in range(5_000)]
    condition = _compile(f"key in [{', '.join(keys)}]")
    assert condition.parameters == tuple(keys)
    assert condition.sql.startswith('"key" IN (?, ?')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 'b'", "b"),
        ("x != 'b'", "a"),
        ("not x = 'b'", "a0"),
        ("not x != 'b'", "b0"),
        ("x in [b]", "b"),
        ("x not in [b]", "a0"),
        ("not not x = b", "b"),
        ("x is null", "0"),
        ("not x is null", "ab"),
        ("x:*", "ab"),
        ("not (x = a or x = b)", "0"),
        ("not (x != a and x != b)", "ab0"),
        ("x in [b, null]", "b0"),
        ("not x:b*", "a0"),
        ("x:[* TO *]", "ab"),
        ("not x:[a TO a]", "b0"),
    ],
)
def test_a_comparison_with_null_is_false_and_its_negation_true(text: str, expected: str) -> None:
    record = next(iter(table.rows(1, seed=0)))
    records = [{**record, "key": key, "camera": key if key != "0" else None} for key in "ab0"]
    with table.connect(records) as connection:
        found = table.keys(connection, _compile(text.replace("x", "camera"), table.FIELDS))
    assert "".join(sorted(found)) == "".join(sorted(expected))


def test_a_float_that_is_not_a_number_is_null() -> None:
    record = next(iter(table.rows(1, seed=0)))
    records = [
        {**record, "key": "nan", "iso": float("nan")},
        {**record, "key": "inf", "iso": float("inf")},
        {**record, "key": "one", "iso": 1.0},
    ]
    with table.connect(records) as connection:
        for text, expected in {
            "iso > 0": {"inf", "one"},
            "iso != 1": {"inf"},
            "iso:null": {"nan"},
            "not iso > 0": {"nan"},
        }.items():
            assert table.keys(connection, _compile(text, table.FIELDS)) == expected, text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("taken = 2024-01-31", "bcd"),
        ("taken < 2024-01-31", "a"),
        ("taken <= 2024-01-31", "abcd"),
        ("taken > 2024-01-31", "e"),
        ("taken >= 2024-01-31", "bcde"),
        ("taken:[2024-01-31 TO *]", "bcde"),
        ("taken:{2024-01-31 TO *]", "e"),
        ("taken:[* TO 2024-01-31}", "a"),
        ("taken in [2024-01-31]", "bcd"),
        ("taken:2024-01-31T12:30", "c"),
        ("taken = 2024-01-31T14:30:15+02:00", "c"),
        ("taken = 2024-01-31T12:30:15.5Z", ""),
        ("taken:null", "g"),
        ("not taken:[* TO *]", "g"),
        ("not taken > 2000-01-01", "fg"),
        ('taken = "2024-01-31"', "b"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_a_date_is_its_whole_day_wherever_it_is_asked(text: str, expected: str, zone: str) -> None:
    record = next(iter(table.rows(1, seed=0)))
    times = {
        "a": "2024-01-30T23:59:59",
        "b": "2024-01-31",
        "c": "2024-01-31 12:30:15",
        "d": "2024-02-01T00:59:59+01:00",
        "e": "2024-01-31T23:00:00-01:00",
        "f": "tomorrow",
        "g": None,
    }
    records = [{**record, "key": key, "taken": taken} for key, taken in times.items()]
    with table.connect(records) as connection:
        connection.execute(f"SET TimeZone = '{zone}'")
        found = table.keys(connection, _compile(text, table.FIELDS))
    assert "".join(sorted(found)) == expected


MISTAKES = [
    ("widht > 3", 1, "There is no field 'widht'. Did you mean width?"),
    ("width > 3 and Camera:x", 15, "There is no field 'Camera'. Did you mean camera?"),
    ("my_notes:x", 1, "There is no field 'my_notes'. Did you mean \"my notes\"?"),
    ("metadata.sceen:x", 1, "There is no field 'metadata.sceen'. Did you mean scene?"),
    ("metadata.width:1", 1, "There is no field 'metadata.width'. Did you mean width?"),
    ("zzz:1", 1, "There are key, offset,"),
    ("dog > 1", 1, "It is a label: write labels.dog >= 1"),
    ("3 < width", 1, "A comparison begins with its field"),
    ("labels.dgo > 1", 1, "There is no label 'dgo'. Did you mean labels.dog?"),
    ("labels.traffic_light > 1", 1, 'Did you mean labels."traffic light"?'),
    ("labels.x > 1", 1, "There is no label 'x'. There are dog, cat, traffic light, scene."),
    ("labels:dog", 1, "labels holds a count for each label: write labels.NAME >= 1"),
    ("labels", 1, "labels is a map of counts: it needs a comparison"),
    ("label:dgo", 7, "There is no label 'dgo'. Did you mean dog?"),
    ("label in [dog, cta]", 16, "There is no label 'cta'. Did you mean cat?"),
    ("@phase:trian", 8, "There is no split 'trian'. Did you mean train?"),
    ("split != test", 10, "There is no split 'test'. There are train, val."),
    ("camera > 3", 10, "camera is a string, and 3 is a number"),
    ("camera:3", 8, 'Where it is meant as text, write "3".'),
    ("camera = true", 10, "camera is a string, and true is a boolean"),
    ('width > "3"', 9, 'width is an integer, and "3" is a string'),
    ('iso:"3"', 5, 'iso is a float, and "3" is a string'),
    ("width = true", 9, "width is an integer, and true is a boolean"),
    ("width:2024-01-31", 7, "width is an integer, and 2024-01-31 is a date"),
    ("key:2024-01-31", 5, "key is a string, and 2024-01-31 is a date"),
    ("night = 1", 9, "night is a boolean, and 1 is a number"),
    ("night > true", 9, "night is a boolean: it equals true or false, and has no order for >."),
    ("night:[false TO true]", 8, "has no order"),
    ("width in [1, x]", 14, "width is an integer, and x is a string"),
    ("width > wdth", 9, "and 'wdth' is neither a number nor a field"),
    ("width > camera", 9, "width is an integer and camera is a string"),
    ("width:1*", 7, "width is an integer, and 1* a pattern of strings."),
    ("camera > f*", 10, "f* is a pattern, which has no order for >."),
    ("camera:[f* TO z]", 9, "An end of a range cannot be a pattern"),
    ("width:[5 TO 3]", 8, "The range's ends are the wrong way round: 5 is above 3."),
    ("camera > null", 10, "null has no order"),
    ("camera", 1, "camera is a string: it needs a comparison, as in camera:front."),
    ("night width", 7, "width is an integer: it needs a comparison"),
    ("camera:dog cat", 12, "There is no field 'cat'. It is a label"),
    ("camera > 2024-1-31", 10, "2024-1-31 is not a date as it must be written: 2024-01-31."),
    ('camera = my."notes"', 10, "only numbers can be compared with another field"),
    ("@group_by:sceen", 11, "There is no field 'sceen'. Did you mean scene?"),
    ("@split:trian", 8, "There is no field 'trian'."),
    ("@datapoint_by:labels.dog", 15, "takes a field with one value a record"),
    ("@group_by:labels", 11, "takes a field with one value a record"),
]


@pytest.mark.parametrize(("text", "column", "message"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_name_or_a_type_that_does_not_fit_is_shown(text: str, column: int, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        _compile(text)
    assert message in str(caught.value)
    assert caught.value.column == column


def test_the_fields_of_operators_get_the_names_of_columns() -> None:
    query = bind(parse("@split:file.scene @group_by:file.key @datapoint_by:metadata.a.b"), FIELDS)
    assert (query.split, query.group_by, query.datapoint_by) == ("scene", "key", "a.b")
    assert bind(parse("@split:0.5:0.5"), FIELDS).split == (0.5, 0.5)


def test_conditions_can_be_joined() -> None:
    both: Any = _compile("night or day:3").and_(_compile("width > 1"))
    assert both.sql == '(("night") OR ("day" = ?)) AND ("width" > ?)'
    assert both.parameters == (3, 1)
