"""The fast road of packing makes the same of everything as the code in Python, or leaves it."""

import os
import subprocess
import sys

import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from packed import digests

from tfstream.annotations import voc_xml
from tfstream.annotations.reader import Entry
from tfstream.errors import AnnotationError
from tfstream.format.label_map import LabelMap
from tfstream.packing import fast
from tfstream.packing.images import probe
from tfstream.packing.packer import pack
from tfstream.packing.validate import check

pytestmark = pytest.mark.skipif(fast.library() is None, reason="the library was not built")

DOG = trees.Thing("dog", 1, 2, 30, 20)
ODD = {
    "plain": trees.annotation([DOG, trees.Thing("cat", 0, 0, 48, 36)]),
    "nothing": trees.annotation([]),
    "no_size": trees.annotation([DOG], size=None),
    "fractions": trees.annotation([trees.Thing("dog", 1.5, 2.25, 30.125, 20)]),
    "flags": trees.annotation([trees.Thing("dog", 1, 2, 3, 4, "<difficult>1</difficult>")]),
    "word": trees.annotation([trees.Thing("dog", 1, 2, 3, 4, "<truncated>yes</truncated>")]),
    "equals": trees.annotation([DOG, trees.Thing("cat", 1, 2, 30, 20)]),
    "part": trees.annotation(
        [trees.Thing("dog", 1, 2, 3, 4, "<part><name>head</name><bndbox></bndbox></part>")]
    ),
    "comment": trees.annotation([DOG]).replace("<object>", "<!-- so --><object>", 1),
    "entity": trees.annotation([trees.Thing("dog &amp; cat", 1, 2, 3, 4)]),
    "unicode": trees.annotation([trees.Thing("chien à poil", 1, 2, 3, 4)]),
    "quoted": trees.annotation([DOG]).replace("made up", 'made "up"'),
    "outline": trees.annotation(
        [
            trees.Thing(
                "dog",
                1,
                2,
                3,
                4,
                "<polygon><x1>1</x1><y1>1</y1><x2>2</x2><y2>1</y2><x3>2</x3><y3>2</y3></polygon>",
            )
        ]
    ),
    "outside": trees.annotation([trees.Thing("dog", 1, 2, 300, 20)]),
    "inverted": trees.annotation([trees.Thing("dog", 30, 2, 1, 20)]),
    "nan": trees.annotation([trees.Thing("dog", "nan", 2, 1, 20)]),
    "other_size": trees.annotation([DOG], size=(50, 36)),
    "twice": trees.annotation([DOG]).replace("<size>", "<size></size><size>"),
    "broken": trees.annotation([DOG])[:-20],
    "not_one": "<html></html>",
}


def odd_tree(root):
    """A tree with something else about each image."""
    for number, (name, xml) in enumerate(ODD.items()):
        trees.put(root / f"Annotations/DET/train/{name}.xml", xml)
        image = trees.encoded(trees.picture(number))
        trees.put(root / f"Data/DET/train/{name}.JPEG", image)
    picture = trees.picture(99)
    whole = trees.encoded(picture)
    for name, image in {
        "turned": trees.encoded(picture, orientation=6),
        "png": trees.encoded(picture, "PNG"),
        "grey": trees.encoded(picture.convert("L")),
        "cut": whole[: len(whole) // 2],
        "ends_well": whole[: len(whole) // 2] + b"\xff\xd9",
        "hole": whole[:200] + bytes(100) + whole[300:],
        "tail": whole + b"more",
        "empty": b"",
        "text": b"no image",
    }.items():
        trees.put(root / f"Annotations/DET/val/{name}.xml", trees.annotation([DOG], size=None))
        trees.put(root / f"Data/DET/val/{name}.JPEG", image)
    trees.put(root / "Annotations/DET/val/absent.xml", trees.annotation([DOG]))
    trees.put(root / "Annotations/DET/val/aside.xml", trees.annotation([DOG]))
    trees.put(root / "Data/DET/val/aside.JPEG", whole)
    trees.put(root / "Data/DET/val/aside.JPEG.metadata.json", '{"camera": "left", "year": 2016}')
    return root


@pytest.mark.parametrize(
    "options",
    [
        {"on_invalid": "skip"},
        {"on_invalid": "clip", "background": False},
        {"on_invalid": "skip", "labels": LabelMap(("cat", "dog"), has_background=True)},
        {"on_invalid": "skip", "max_side": 40},
    ],
    ids=str,
)
def test_the_bytes_are_those_of_the_road_in_python(tmp_path, monkeypatch, options):
    root = odd_tree(tmp_path / "tree")
    rejects = tmp_path / "rejects.jsonl"
    made = []
    for name, library in (("fast", fast.library()), ("python", None)):
        monkeypatch.setattr(fast, "library", lambda library=library: library)
        result = pack(
            root, tmp_path / name, rejects=rejects, processes=1, progress=False, **options
        )
        made.append((digests(tmp_path / name), rejects.read_text(), result.left_out))
    assert made[0] == made[1]
    assert result.total >= 10
    assert result.rejected >= 5


def test_ordinary_records_take_the_fast_road(tmp_path, monkeypatch):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=40, val=10)
    monkeypatch.setattr(voc_xml, "read", None)
    monkeypatch.setattr("tfstream.packing.write._write_record", None)
    assert pack(root, tmp_path / "out", processes=1, progress=False).total == 50


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("one")
    trees.put(root / "a.jpg", trees.encoded(trees.picture(1)))
    return root


@settings(max_examples=150, deadline=None)
@given(
    xml=st.sampled_from(list(ODD.values())),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 12),
            st.sampled_from(
                [*"<>/&01-. \t\ré\x00", "", "<object>", "</object>", "<size>", "</name>", "<!--"]
            ),
        ),
        max_size=3,
    ),
)
def test_what_it_takes_of_damaged_annotations_is_what_python_reads(place, xml, edits):
    for where, length, text in edits:
        at = int(where * len(xml))
        xml = xml[:at] + text + xml[at + length :]
    path = trees.put(place / "a.xml", xml)
    entry = Entry("train/a", "train", str(path), str(place / "a.jpg"))
    found = fast.scan([entry], None).records
    if not found:
        return
    try:
        image = voc_xml.read(entry)
    except AnnotationError as error:
        raise AssertionError(f"Python refuses what the fast road took: {error}") from error
    keep, rejects = check(image, probe(entry.image_path), labels=None, on_invalid="error")
    assert (keep, rejects) == (True, [])
    assert found[0].annotation == image.SerializeToString(deterministic=True)


# Reading the image takes more than the process may have.
SHORT = """
import resource, sys
from pathlib import Path
from tfstream import errors
from tfstream.packing.packer import pack
source, first, second = sys.argv[1:]
pack(source, first, processes=1, on_invalid="skip", progress=False)
large = next(Path(source).rglob("*.JPEG"))
with open(large, "r+b") as file:
    file.truncate(900_000_000)
    file.seek(-2, 2)
    file.write(b"\\xff\\xd9")
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 400_000_000,) * 2)
try:
    pack(source, second, processes=1, progress=False)
except errors.PackError as error:
    print(error)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the system has no /proc")
@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="AddressSanitizer ends a process that is short of memory",
)
def test_an_image_that_memory_does_not_hold_is_an_error_and_not_the_end_of_the_process(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=3, val=0)
    done = subprocess.run(
        [sys.executable, "-c", SHORT, str(root), str(tmp_path / "a"), str(tmp_path / "b")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert "not enough memory" in done.stdout
    assert "has 900,000,000 bytes" in done.stdout
