"""Selected records that tfstream did not write, made ours as they are read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tfstream.errors import CorruptRecordError
from tfstream.format.foreign import Translator
from tfstream.format.numbered import NumberedKeys

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["ForeignRecords"]


@dataclasses.dataclass(frozen=True, eq=False)
class ForeignRecords:
    """How records of a selection become ours.

    Attributes:
        translator: Makes them ours.
        keys: Those of records that hold none; None: they do.
        rows: int64 [selected], which of the splits' records are selected; None: all.
    """

    translator: Translator
    keys: NumberedKeys | None
    rows: npt.NDArray[np.int64] | None

    def translate(self, number: int, payload: bytes, place: str = "") -> bytes:
        """The record of ours.

        Args:
            number: Of the record, among the selected ones.
            payload: The record, as it is stored.
            place: Where it lies, for messages.

        Raises:
            CorruptRecordError: It is not one that the dataset's feature map fits.
        """
        row = number if self.rows is None else int(self.rows[number])
        key = "" if self.keys is None else self.keys.key(row)
        try:
            return self.translator.translate(payload, key)
        except (CorruptRecordError, ValueError) as error:
            where = f" in {place}" if place else ""
            raise CorruptRecordError(
                f"record {row}{where} is not as it was when it was indexed: {error}"
            ) from error
