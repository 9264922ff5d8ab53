"""From what was measured to what holds a stream up, and what to change: arithmetic and words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tfstream.bench.timing import Timing

__all__ = ["Setting", "Stage", "Verdict", "judge"]

_SATURATED = 0.8  # of the cores: more than that, and they are what is short
_AS_FAST = 1.2  # times as fast as the whole: less than that, and it holds the whole up


@dataclasses.dataclass(frozen=True)
class Setting:
    """What advice depends on.

    Attributes:
        cores: That this process may use.
        remote: Whether records come over a network.
        cached: Whether they are kept on local disk then.
        stored_pixels: Of a stored picture, in the mean.
        made_pixels: Of the image that is made of it; 0: none is made.
        floats: Whether it is of a float dtype.
        antialias: `ImageSpec.antialias`.
    """

    cores: int
    remote: bool
    cached: bool
    stored_pixels: float
    made_pixels: int
    floats: bool
    antialias: bool | None


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: "read", "parse", "decode", "augment", "batch".
        cpu: Microseconds of CPU a sample.
        share: Of all stages' CPU, 0 to 1.
        rate: Samples a second, if there were nothing else to do.
    """

    name: str
    cpu: float
    share: float
    rate: float


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was found out.

    Attributes:
        stages: In the order of a record's road.
        whole: The stream itself.
        memory: The same without reading and parsing: the most that there is to be had.
        busy: The part of the cores' time that the whole takes, 0 to 1.
        bottleneck: The name of a stage, or "waiting".
        why: A sentence.
        advice: What to change, the most promising first.
    """

    stages: tuple[Stage, ...]
    whole: Timing
    memory: Timing
    busy: float
    bottleneck: str
    why: str
    advice: tuple[str, ...]

    @property
    def summed(self) -> float:
        """Microseconds of CPU a sample, of all stages together."""
        return sum(stage.cpu for stage in self.stages)


def judge(timings: Mapping[str, Timing], setting: Setting) -> Verdict:
    """Says what holds a stream up.

    Args:
        timings: By the names of `stages.pipelines`.
        setting: Of the stream and the machine.
    """
    stages = _stages(timings)
    whole, memory, read = timings["whole"], timings["memory"], timings["read"]
    busy = min(1.0, whole.cpu * whole.rate / 1e6 / setting.cores)
    largest = max(stages, key=lambda stage: stage.cpu)
    if read.rate < _AS_FAST * whole.rate:
        bottleneck, advice = "read", _reading(setting)
        why = (
            f"reading alone is {read.rate:,.0f} samples/s, and all stages together are "
            f"{whole.rate:,.0f}: the others wait for it"
        )
    elif busy >= _SATURATED:
        bottleneck, advice = largest.name, _computing(largest.name, setting)
        why = (
            f"{100 * busy:.0f} % of {setting.cores} cores' time is used, "
            f"{100 * largest.share:.0f} % of that for {largest.name}"
        )
    else:
        bottleneck, advice = "waiting", _WAITING
        why = (
            f"{100 * busy:.0f} % of {setting.cores} cores' time is used, and reading alone is "
            f"{read.rate / whole.rate:.1f} times as fast: something else waits"
        )
    return Verdict(stages, whole, memory, busy, bottleneck, why, advice)


def _stages(timings: Mapping[str, Timing]) -> tuple[Stage, ...]:
    """The stages, with what is decoding alone taken out of what makes samples."""
    finish = timings["finish"]
    cpu = {name: timings[name].cpu for name in ("read", "parse")}
    rates = {name: timings[name].rate for name in ("read", "parse", "batch")}
    if "decode" in timings:
        cpu["decode"] = min(timings["decode"].cpu, finish.cpu)
        rates["decode"] = timings["decode"].rate
    cpu["augment"] = finish.cpu - cpu.get("decode", 0.0)
    # As fast as what decodes and augments, if that had only the part of the CPU to do.
    rates["augment"] = finish.rate * finish.cpu / max(cpu["augment"], 1e-3)
    cpu["batch"] = timings["batch"].cpu
    total = sum(cpu.values())
    return tuple(Stage(name, each, each / total, rates[name]) for name, each in cpu.items())


_WAITING = (
    "look whether other programs use the machine: the rates are those of what they leave",
    "give stream() a larger batch_size, so that Python is asked for batches less often",
)


def _reading(setting: Setting) -> tuple[str, ...]:
    if not setting.remote:
        return (
            "put the shards on a faster disk, or have more memory for the system's page cache",
            "give stream() a block_size of 64 or more: neighbours are then read together",
        )
    kept = "open the dataset with cache_dir=…: from the second epoch on nothing is fetched"
    faster = (
        "give stream() a larger read_ahead, and open() more connections, if the link has room",
        "pack with --max-side: smaller pictures are fewer bytes",
    )
    return faster if setting.cached else (kept, *faster)


def _computing(stage: str, setting: Setting) -> tuple[str, ...]:
    others = (
        "let other machines do it: tfstream worker, and stream(service=…)",
        "train with more cores for the data",
    )
    larger = setting.made_pixels and setting.stored_pixels >= 2 * setting.made_pixels
    own: tuple[str, ...] = ()
    if stage == "decode" and larger:
        times = setting.stored_pixels / setting.made_pixels
        own = (
            f"pack with --max-side: stored pictures have {times:.1f} times the pixels of the "
            "images made of them, and all of these are decoded",
        )
    elif stage == "augment" and setting.antialias is not False:
        own = ("give the ImageSpec antialias=False: bilinear, as tf.image.resize does it",)
    elif stage in ("augment", "batch") and setting.floats:
        own = (
            'give the ImageSpec dtype="uint8", and cast and normalise in the model: a quarter of '
            "the bytes",
        )
    elif stage in ("read", "parse"):
        own = ("leave out what the model does not use: label=None, boxes=None, image=None",)
    return (*own, *others)
