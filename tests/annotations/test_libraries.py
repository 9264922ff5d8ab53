"""Datasets of other libraries: Hugging Face's `datasets`, and TFDS."""

import io
from pathlib import Path

import numpy as np
import packed
import pytest
import trees
from PIL import Image

from tfstream import errors
from tfstream.format import manifest
from tfstream.format.tensors import Contents, numbers
from tfstream.packing.packer import pack


def quiet(source, dest, **options):
    return pack(source, dest, **{"progress": False, "processes": 1, **options})


def by_key(dest):
    return {each.key: each for each in packed.records(Path(dest))}


def contents(dest):
    return str(Contents.from_proto(manifest.load(dest).schema))


@pytest.fixture
def datasets():
    return pytest.importorskip("datasets", reason="needs Hugging Face's: pip install datasets")


def jpeg(number):
    return trees.encoded(trees.picture(number))


@pytest.fixture
def pets(datasets):
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "day": datasets.Value("int64"),
        }
    )

    def split(begin, end):
        rows = [
            {"image": {"bytes": jpeg(n), "path": None}, "label": n % 2, "day": n}
            for n in range(begin, end)
        ]
        return datasets.Dataset.from_list(rows, features=features)

    return datasets.DatasetDict({"train": split(0, 4), "validation": split(4, 6)})


def test_images_of_hugging_face_are_packed_as_they_are_stored(pets, tmp_path):
    result = quiet(pets, tmp_path / "out")
    assert (result.format, result.splits) == ("huggingface", {"train": 4, "validation": 2})
    image = by_key(tmp_path / "out")["train/3"]
    assert image.encoded == jpeg(3)
    assert ([item.label for item in image.objects], image.metadata["day"].int_value) == (["dog"], 3)
    assert quiet(pets["train"], tmp_path / "one").splits == {"train": 4}


def test_a_streaming_dataset_of_hugging_face_is_packed(pets, tmp_path):
    streaming = pets["train"].to_iterable_dataset()
    assert quiet(streaming, tmp_path / "out").records == 4


def test_boxes_of_hugging_face_are_corners_and_sizes(datasets, tmp_path):
    objects = {
        "bbox": datasets.Sequence(datasets.Sequence(datasets.Value("float32"), length=4)),
        "category": datasets.Sequence(datasets.ClassLabel(names=["hand", "foot"])),
    }
    features = datasets.Features(
        {"image_id": datasets.Value("string"), "image": datasets.Image(), "objects": objects}
    )
    row = {
        "image_id": "x",
        "image": {"bytes": jpeg(0), "path": None},
        "objects": {"bbox": [[12, 9, 24, 18]], "category": [1]},
    }
    quiet(datasets.Dataset.from_list([row], features=features), tmp_path / "out")
    (item,) = by_key(tmp_path / "out")["x"].objects
    assert item.label == "foot"
    box = [item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax]
    assert box == [0.25, 0.25, 0.75, 0.75]


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("Array2D", [[1, 2], [3, 4]], "a tensor, float32 [2, 2]"),
        ("Sequence", [1, 2, 3], "a tensor, float32 [3]"),
    ],
)
def test_arrays_of_hugging_face_are_tensors(datasets, tmp_path, column, values, told):
    kind = {
        "Array2D": lambda: datasets.Array2D((2, 2), "float32"),
        "Sequence": lambda: datasets.Sequence(datasets.Value("float32"), length=3),
    }[column]()
    features = datasets.Features({"x": kind, "label": datasets.ClassLabel(names=["a", "b"])})
    quiet(
        datasets.Dataset.from_list([{"x": values, "label": 1}], features=features), tmp_path / "out"
    )
    assert contents(tmp_path / "out") == told
    (image,) = packed.records(tmp_path / "out")
    assert numbers(image.tensor).tolist() == values
    assert not manifest.load(tmp_path / "out").labels.background


def test_columns_of_numbers_of_hugging_face_are_predictors(datasets, tmp_path):
    table = datasets.Dataset.from_dict(
        {"a": [1.0, 2.0], "b": [3, 4], "note": ["s", "t"], "y": [5.0, 6.0]}
    )
    quiet(table, tmp_path / "out")
    assert contents(tmp_path / "out") == "a tensor, float32 [2] and a target, float32 []"
    image = by_key(tmp_path / "out")["train/1"]
    assert numbers(image.tensor).tolist() == [2, 4]
    assert (float(numbers(image.target)), image.metadata["note"].string_value) == (6, "t")


def test_what_is_neither_image_nor_tensor_is_told_of(datasets, tmp_path):
    table = datasets.Dataset.from_dict({"text": ["a", "b"]})
    with pytest.raises(
        errors.InvalidArgumentError, match="has the features text: an Image is need"
    ):
        quiet(table, tmp_path / "out")


def test_a_class_that_there_is_not_is_told_of_with_its_row(datasets, tmp_path):
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.Value("string"),
            "key": datasets.Value("string"),
        }
    )
    rows = [{"image": None, "label": "a", "key": "k"}]
    with pytest.raises(errors.AnnotationError, match="row 0 of train, 'k': its image is empty"):
        quiet(datasets.Dataset.from_list(rows, features=features), tmp_path / "out")


@pytest.fixture
def tfds():
    return pytest.importorskip(
        "tensorflow_datasets", reason="needs TFDS: pip install tensorflow-datasets"
    )


def builder_of(tfds, root, features, rows):
    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = Path(root)

        def _info(self):
            named = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=named, disable_shuffling=True)

        def _split_generators(self, manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(rows)

    builder = Made(data_dir=root)
    builder.download_and_prepare()
    return builder


def test_images_of_tfds_are_packed_as_they_are_stored(tfds, tmp_path):
    pixels = [np.asarray(trees.picture(n)) for n in range(3)]
    features = {
        "image": tfds.features.Image(encoding_format="png"),
        "objects": tfds.features.Sequence(
            {
                "bbox": tfds.features.BBoxFeature(),
                "label": tfds.features.ClassLabel(names=["a", "b"]),
            }
        ),
    }
    box = tfds.features.BBox(ymin=0.25, xmin=0.5, ymax=0.75, xmax=1.0)
    rows = [{"image": each, "objects": [{"bbox": box, "label": 1}]} for each in pixels]
    builder = builder_of(tfds, tmp_path / "tfds", features, rows)
    result = quiet(builder, tmp_path / "out")
    assert (result.format, result.splits) == ("tfds", {"train": 3})
    image = by_key(tmp_path / "out")["train/2"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(image.encoded))), pixels[2])
    (item,) = image.objects
    assert (item.label, item.box.ymin, item.box.xmax) == ("b", 0.25, 1.0)


def test_tensors_of_tfds_are_packed_with_their_classes(tfds, tmp_path):
    features = {
        "x": tfds.features.Tensor(shape=(2, 3), dtype=np.float32),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
    }
    rows = [{"x": np.full((2, 3), n, np.float32), "label": n % 2} for n in range(3)]
    quiet(builder_of(tfds, tmp_path / "tfds", features, rows), tmp_path / "out")
    assert contents(tmp_path / "out") == "a tensor, float32 [2, 3]"
    image = by_key(tmp_path / "out")["train/1"]
    assert numbers(image.tensor).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert [item.label for item in image.objects] == ["b"]
