"""Loads the kernels, and puts their stand-ins into the graph where they were not compiled.

Each function here has the signature of the op of its name in `native/`.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfstream import order as order_lib
from tfstream import standins
from tfstream.fetch import kernel
from tfstream.fetch.fetcher import fetcher
from tfstream.fetch.source import Spec
from tfstream.format.foreign import Translator
from tfstream.format.lookup import key_at

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    "begin_iteration",
    "count_waiting",
    "counters",
    "end_iteration",
    "epoch_order",
    "fetch_records",
    "library",
    "progress",
    "read_records",
    "restore",
    "translate_records",
]

_PATH = Path(__file__).parent / "lib" / "libtfstream_ops.so"
_KEY_OF = ctypes.CFUNCTYPE(
    ctypes.c_bool,
    ctypes.c_char_p,
    ctypes.c_int64,
    ctypes.POINTER(ctypes.c_char),
    ctypes.c_int64,
)


@functools.lru_cache(maxsize=1)
def library() -> Any | None:
    """The module of the compiled ops; None, said once, where there are none."""
    import tensorflow as tf

    if not _PATH.exists():
        warnings.warn(
            "tfstream was installed without its native kernel (there was no C++ compiler): "
            "reading and resizing go through slower stand-ins. Install g++ and reinstall "
            "tfstream to have the kernel.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    module = tf.load_op_library(str(_PATH))
    _native().tfstream_set_key_of(_key_of)
    kernel.register(_native(), lambda *call: fetcher().begin(*call))
    return module


@functools.lru_cache(maxsize=1)
def _native() -> ctypes.CDLL:
    """The library's plain C functions; TensorFlow has loaded it by then."""
    native = ctypes.CDLL(str(_PATH))
    native.tfstream_set_key_of.argtypes = [_KEY_OF]
    native.tfstream_set_key_of.restype = None
    native.tfstream_read_counters.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_int64)]
    native.tfstream_read_counters.restype = None
    native.tfstream_waited.argtypes = [ctypes.c_int64]
    native.tfstream_waited.restype = ctypes.c_int64
    native.tfstream_restore.argtypes = [ctypes.c_int64] * 3
    native.tfstream_restore.restype = None
    native.tfstream_progress.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_int64)]
    native.tfstream_progress.restype = ctypes.c_bool
    return native


@_KEY_OF
def _key_of(path: bytes, offset: int, out: Any, capacity: int) -> bool:
    """Tells the kernel the key of a record, from the index beside the shard."""
    try:
        key = key_at(path.decode(), offset)
    except Exception:  # called from C: an exception has nowhere to go, and the record's
        return False  # place is in the message anyway
    if key is None:
        return False
    data = key.encode()[: capacity - 1] + b"\0"
    ctypes.memmove(out, data, len(data))
    return True


def counters(stream: int) -> dict[str, float]:
    """What a stream has read in this process.

    Args:
        stream: The stream's number.

    Returns:
        `samples` (records), `bytes_read`, `requests` (system calls, each for one
        or more neighbouring records), `corrupt` (records), `seconds` (from the first
        record to the newest), `samples_per_second`, `starved_seconds` (in which whoever
        iterates the stream waited), and what `fetch.counters` counts.
    """
    if library() is None:
        counted, seconds, waited = standins.counters(stream)
    else:
        out = (ctypes.c_int64 * 5)()
        _native().tfstream_read_counters(stream, out)
        names = ("samples", "bytes_read", "requests", "corrupt")
        counted = dict(zip(names, out[:4], strict=True))
        seconds = out[4] / 1e9
        waited = _native().tfstream_waited(stream)
    read: dict[str, float] = dict(counted)
    read["seconds"] = seconds
    read["starved_seconds"] = waited / 1e9
    read["samples_per_second"] = read["samples"] / seconds if seconds else 0.0
    fetched = fetcher().counters(stream).snapshot()
    return {**fetched, **read, "corrupt": read["corrupt"] + fetched["corrupt"]}


def begin_iteration(
    *, stream: int, epoch: int, position: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Begins an iteration of a stream.

    Args:
        stream: The stream's number.
        epoch: Of its first iteration, unless `restore` said another.
        position: In that epoch, in samples over all workers; as well.

    Returns:
        How many began before in this process (or since `restore`), the epoch of the first of
        them, and the position where this one begins; int64 scalars. After `end_iteration`, once,
        -1 for the first: what begins is empty.
    """
    import tensorflow as tf

    lib = library()
    if lib is not None:
        return tuple(lib.tfstream_begin_iteration(stream=stream, epoch=epoch, position=position))

    begin = functools.partial(standins.begin_iteration, stream, epoch, position)
    out = tf.numpy_function(begin, [], [tf.int64] * 3, stateful=True)
    for each in out:
        each.set_shape([])
    return tuple(out)


def end_iteration(end: tf.Tensor, *, stream: int) -> tf.Tensor:
    """Says whether what begins next is the end of an iteration.

    Args:
        end: bool scalar.
        stream: The stream's number.

    Returns:
        The same.
    """
    import tensorflow as tf

    lib = library()
    if lib is not None:
        return lib.tfstream_end_iteration(end, stream=stream)

    note = functools.partial(standins.end_iteration, stream=stream)
    out = tf.numpy_function(note, [end], tf.bool, stateful=True)
    out.set_shape([])
    return out


def restore(stream: int, epoch: int, position: int) -> None:
    """Has the next iteration of a stream begin somewhere, and those after it at the next epochs.

    Args:
        stream: The stream's number.
        epoch: Of the next iteration.
        position: In that epoch, in samples over all workers.
    """
    if library() is None:
        standins.restore(stream, epoch, position)
    else:
        _native().tfstream_restore(stream, epoch, position)


def progress(stream: int) -> tuple[int, int, int, int] | None:
    """How far a stream has come in this process.

    Returns:
        The epoch and position where its first iteration began, how many have begun since, and how
        many elements of the newest were delivered; None before anything of that.
    """
    if library() is None:
        return standins.progress(stream)
    out = (ctypes.c_int64 * 4)()
    known = _native().tfstream_progress(stream, out)
    return (out[0], out[1], out[2], out[3]) if known else None


def count_waiting(since: tf.Tensor | None = None, *, stream: int) -> tf.Tensor:
    """Takes the time, and counts what has passed as waited for the stream.

    Args:
        since: What it gave before the wait, int64 scalar; None: now is before.
        stream: The stream's number.

    Returns:
        Nanoseconds of a clock that never goes back, int64 scalar.
    """
    import tensorflow as tf

    since = tf.constant(0, tf.int64) if since is None else since
    lib = library()
    if lib is not None:
        return lib.tfstream_count_waiting(since, stream=stream)

    count = functools.partial(standins.count_waiting, stream=stream)
    out = tf.numpy_function(count, [since], tf.int64, stateful=True)
    out.set_shape([])
    return out


def epoch_order(
    positions: tf.Tensor, epoch: tf.Tensor, *, order: order_lib.Order, draws: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Which records stand at the positions of an epoch, and their random numbers.

    Args:
        positions: int64 [n].
        epoch: int64 scalar.
        order: The arithmetic.
        draws: Random numbers a sample.

    Returns:
        Record numbers, int64 [n], and uniforms in [0, 1), float32 [n, draws].
    """
    import tensorflow as tf

    lib = library()
    if lib is not None:
        numbers, uniforms = lib.tfstream_epoch_order(
            positions,
            epoch,
            records=order.records,
            seed=order.seed,
            lanes=order.lanes,
            block_size=order.block_size,
            shuffle=order.shuffle,
            draws=draws,
        )
    else:

        def compute(p: Any, e: Any) -> tuple[Any, Any]:
            return order.records_at(p, int(e)), order.draws(p, int(e), draws)

        numbers, uniforms = tf.numpy_function(compute, [positions, epoch], [tf.int64, tf.float32])
    numbers.set_shape(positions.shape)
    uniforms.set_shape([positions.shape[0], draws])
    return numbers, uniforms


def read_records(
    files: tf.Tensor,
    shards: tf.Tensor,
    offsets: tf.Tensor,
    lengths: tf.Tensor,
    *,
    stream: int,
    skip_corrupt: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads framed records and checks their checksums.

    Args:
        files: string [f], the paths of the shards.
        shards: int32 [n], each record's place in `files`.
        offsets: int64 [n], where each frame begins, in bytes.
        lengths: int32 [n], each frame's length, in bytes.
        stream: The stream whose counters are advanced.
        skip_corrupt: Go on past a corrupt record, leaving its place empty;
            otherwise it raises tf.errors.DataLossError, naming file, offset and key.

    Returns:
        Payloads, string [n], and whether each is sound, bool [n].
    """
    import tensorflow as tf

    lib = library()
    if lib is not None:
        return tuple(
            lib.tfstream_read_records(
                files, shards, offsets, lengths, stream=stream, skip_corrupt=skip_corrupt
            )
        )

    read = functools.partial(standins.read_records, stream=stream, skip_corrupt=skip_corrupt)
    records, sound = tf.numpy_function(
        read, [files, shards, offsets, lengths], [tf.string, tf.bool], stateful=True
    )
    records.set_shape(shards.shape)
    sound.set_shape(shards.shape)
    return records, sound


def fetch_records(
    numbers: tf.Tensor, samples: tf.Tensor, *, spec: Spec, stream: int, skip_corrupt: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes records of a remote dataset through the process's fetcher; blocks until they are here.

    Args:
        numbers: int64 [n], of the records, over the chosen splits.
        samples: int64 [3], which samples of an iteration want them: epoch, the first, the one
            after the last. Those that follow one another are asked for in their order.
        spec: The dataset.
        stream: The stream whose counters are advanced.
        skip_corrupt: As for `read_records`.

    Returns:
        Payloads, string [n], and whether each is sound, bool [n].
    """
    import tensorflow as tf

    lib = library()
    if lib is not None:
        text = tf.constant(spec.to_json())
        return tuple(
            lib.tfstream_fetch_records(
                numbers, samples, text, stream=stream, skip_corrupt=skip_corrupt
            )
        )

    fetch = functools.partial(
        standins.fetch_records, spec=spec, stream=stream, skip_corrupt=skip_corrupt
    )
    records, sound = tf.numpy_function(
        fetch, [numbers, samples], [tf.string, tf.bool], stateful=True
    )
    records.set_shape(numbers.shape)
    sound.set_shape(numbers.shape)
    return records, sound


def translate_records(
    records: tf.Tensor,
    sound: tf.Tensor,
    keys: tf.Tensor,
    *,
    translator: Translator,
    skip_corrupt: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes records ours that tfstream did not write.

    Args:
        records: string [n], as they are stored.
        sound: bool [n]; those that are not are left as they are.
        keys: string [n], the keys of records that hold none.
        translator: How.
        skip_corrupt: Go on past a record that cannot be understood; otherwise it raises an error.

    Returns:
        The records, string [n], and whether each is sound, bool [n].
    """
    import tensorflow as tf

    def translate(*arrays: Any) -> Any:
        return standins.translate_records(*arrays, translator=translator, skip_corrupt=skip_corrupt)

    made, good = tf.numpy_function(translate, [records, sound, keys], [tf.string, tf.bool])
    made.set_shape(records.shape)
    good.set_shape(records.shape)
    return made, good
