"""Tables in memory: a pandas DataFrame, or an Arrow table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from tfstream.annotations.files import key_of
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place
from tfstream.annotations.rows import Columns, columns_of
from tfstream.annotations.tables import add_row
from tfstream.errors import AnnotationError, InvalidArgumentError
from tfstream.format import example
from tfstream.v1 import annotated_image_pb2

__all__ = ["Table", "is_table"]


def is_table(source: object) -> bool:
    """Whether something is a table that can be packed."""
    return type(source).__module__.partition(".")[0] in ("pandas", "pyarrow") and hasattr(
        source, "columns"
    )


class Table(AnnotationReader):
    """Columns as in a CSV file; paths are absolute, or below the working directory.

    The key is that of a column `key`, or the path below the directory that holds all images. Where
    no column has boxes, columns that mean nothing else are metadata.
    """

    name = "table"
    layout = "a table with a column of image paths and one of labels or four of boxes"

    def __init__(self, source: Any = None) -> None:
        """Keeps the table."""
        self._source = source

    def find(self, source: str) -> list[str]:
        """None: it is no tree."""
        return []

    def guarded(self, root: str) -> tuple[str, ...]:
        """No directory is walked."""
        return ()

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Goes through the rows."""
        import pyarrow as pa

        table = self._source
        if not isinstance(table, pa.Table):
            table = pa.Table.from_pandas(table, preserve_index=False)
        names = list(map(str, table.column_names))
        columns = columns_of([names])
        if columns is None:
            raise InvalidArgumentError(
                f"The table has the columns {', '.join(names)}: one of image paths (path, file, "
                "image …) is needed, and one of labels (label, class …) or four of boxes (xmin, "
                "ymin, xmax, ymax, or x, y, width, height)."
            )
        own = names.index("key") if "key" in names else None
        meant = {columns.path, columns.label, columns.split, own, *(columns.size or ())}
        free = [] if columns.box else [at for at in range(len(names)) if at not in meant]
        rows: dict[str, list[tuple[int, list[Any]]]] = {}
        for number, fields in enumerate(
            zip(*(table[at].to_pylist() for at in range(len(names))), strict=True)
        ):
            path = fields[columns.path]
            if not isinstance(path, (str, os.PathLike)) or not str(path):
                yield _wrong(f"row {number} of the table has no path but {path!r}")
            else:
                rows.setdefault(os.path.abspath(path), []).append((number, list(fields)))
        top = os.path.commonpath([os.path.dirname(path) for path in rows]) if rows else ""
        for path, some in rows.items():
            number, first = some[0]
            split = first[columns.split] if columns.split is not None else None
            key = first[own] if own is not None else key_of(os.path.relpath(path, top))
            told = {
                "columns": vars(columns),
                "rows": some,
                "metadata": {names[at]: first[at] for at in free if first[at] is not None},
            }
            yield Entry(
                key=str(key),
                split=str(split or "train"),
                annotation_path=f"row {number} of the table",
                image_path=path,
                annotation=json.dumps(told, default=str).encode(),
            )

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Makes an image of its rows."""
        image = annotated_image_pb2.AnnotatedImage()
        told = json.loads(entry.annotation)
        columns = Columns(**told["columns"])
        for number, fields in told["rows"]:
            try:
                add_row(columns, ["" if each is None else each for each in fields], image)
            except AnnotationError as error:
                raise AnnotationError(f"row {number} of the table: {error}") from error
        try:
            example.put_metadata(image, told["metadata"])
        except (TypeError, ValueError) as error:
            raise AnnotationError(f"{entry.annotation_path}: {error}") from error
        place(entry, image)
        return image


def _wrong(problem: str) -> Entry:
    return Entry(key="", split="train", annotation_path="the table", image_path="", problem=problem)
