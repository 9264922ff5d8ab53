"""Records without images: by number, queried, streamed, to numpy and to PyTorch."""

import numpy as np
import pytest
import tensorflow as tf
import tensors
import trees

import tfstream
from tfstream import errors
from tfstream.packing.packer import pack


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    root = tmp_path_factory.mktemp("arrays")
    tensors.make_npy_set(root / "set", train=20, validation=5)
    pack(root / "set", root / "packed", progress=False, processes=1, shard_bytes=2000)
    return tfstream.open(root / "packed")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = tmp_path_factory.mktemp("rows")
    pack(tensors.make_rows(root / "a.csv"), root / "packed", progress=False, processes=1)
    return tfstream.open(root / "packed")


def number_of(key):
    return int(key.removeprefix("id-"))


def test_a_record_is_a_dict_with_its_tensor(arrays, rows):
    record = arrays["id-7"]
    assert np.array_equal(record.pop("tensor"), tensors.array(7))
    assert record == {"key": "id-7", "label": "1", "target": None, "metadata": {}}
    assert rows["a/5"]["target"] == np.float32(30)
    assert rows["a/5"]["metadata"] == {"target": 30.0}


def test_batches_are_tensors_with_their_classes(arrays):
    seen = {}
    for batch in arrays.split("train").stream(batch_size=8, elements="dict"):
        assert (batch["tensor"].dtype, batch["tensor"].shape[1:]) == (tf.float32, tensors.DIM)
        for key, tensor, label in zip(
            *(batch[n].numpy() for n in ("key", "tensor", "label")), strict=True
        ):
            seen[key.decode()] = tensor, label
    assert sorted(map(number_of, seen)) == list(range(20))
    for key, (tensor, label) in seen.items():
        assert np.array_equal(tensor, tensors.array(number_of(key)))
        assert label == number_of(key) % 3


def test_classes_may_be_one_hot_as_many_as_there_are(arrays):
    _, labels = next(iter(arrays.stream(batch_size=4, label="one_hot")))
    assert (labels.shape, labels.dtype) == ((4, 3), tf.float32)


def test_rows_come_as_predictors_and_target(rows):
    predictors, target = next(iter(rows.stream(batch_size=8)))
    assert (predictors.shape, target.shape, target.dtype) == ((8, 3), (8,), tf.float32)
    assert np.array_equal(predictors[:, 0].numpy() * 10, target)
    assert not np.array_equal(target, np.sort(target))


def test_the_remainder_is_padded_with_a_weight(rows):
    *_, (predictors, target, weight) = rows.stream(batch_size=6, pad_remainder=True)
    assert weight.numpy().tolist() == [1, 1, 0, 0, 0, 0]
    assert not predictors[2:].numpy().any()
    assert not target[2:].numpy().any()


def test_workers_share_a_stream_and_another_number_of_them_goes_on(arrays):
    def keys(batches):
        return [key for batch in batches for key in np.asarray(batch["key"]).astype(str)]

    def stream(**options):
        return arrays.stream(batch_size=3, elements="dict", seed=5, **options)

    whole = keys(stream())
    parts = [stream(world=(index, 2)) for index in range(2)]
    first = [keys(part.take(2)) for part in parts]
    state = parts[0].state(batches_consumed=2)
    assert sorted(first[0] + first[1]) == sorted(whole[:12])
    assert keys(stream(state=state)) == whole[12:]


def test_numpy_has_the_batches_of_the_stream(arrays, rows):
    for data in (arrays, rows):
        wanted = list(data.stream(batch_size=5, seed=3).as_numpy_iterator())
        found = list(data.to_numpy_iterator(batch_size=5, seed=3))
        for one, other in zip(wanted, found, strict=True):
            assert all(map(np.array_equal, one, other))
            assert [part.dtype for part in one] == [part.dtype for part in other]


@pytest.mark.parametrize("workers", [0, 2])
def test_pytorch_has_the_batches_of_the_stream(rows, workers):
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'tfstream[torch]'")
    loader = torch.utils.data.DataLoader(
        rows.to_torch(batch_size=3, seed=3), batch_size=3, num_workers=workers
    )
    wanted = rows.stream(batch_size=3, seed=3).as_numpy_iterator()
    for (predictors, target), (x, y) in zip(loader, wanted, strict=True):
        assert np.array_equal(predictors.numpy(), x)
        assert np.array_equal(target.numpy(), y)
    assert (predictors.dtype, target.shape) == (torch.float32, (2,))


def test_pytorch_has_samples_by_number(arrays):
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'tfstream[torch]'")
    tensor, label = arrays.to_torch(map_style=True)[2]
    assert np.array_equal(tensor.numpy(), arrays[2]["tensor"])
    assert str(label) == arrays[2]["label"]


def test_queries_select_among_them(arrays, rows):
    assert len(rows.slice("target >= 50 and not target > 60")) == 2
    assert len(arrays.slice('label:"2"')) == 8
    predictors, _ = next(iter(rows.slice("target = 40").stream(batch_size=4)))
    assert predictors.numpy().tolist() == [[4, 2, -4]]
    table = rows.metadata
    assert set(table["format"].to_pylist()) == {"tensor"}
    assert set(table["bytes"].to_pylist()) == {12}


def test_data_points_have_a_tensor_for_each_member(rows):
    points = rows.data_points("bytes", size=9)
    batch = next(iter(points.stream(batch_size=1, elements="dict")))
    assert (batch["tensor"].shape, batch["target"].shape) == ((1, 9, 3), (1, 9))
    assert batch["present"].numpy().tolist() == [[True] * 8 + [False]]
    assert not batch["tensor"][0, 8].numpy().any()


def test_streams_of_tensors_are_mixed(arrays):
    train, validation = (
        arrays.split(name).stream(batch_size=4) for name in ("train", "validation")
    )
    batch, labels = next(
        iter(tfstream.mix({"a": train, "b": validation}, weights={"a": 1, "b": 1}))
    )
    assert (batch.shape, labels.shape) == ((4, *tensors.DIM), (4,))


def test_keras_learns_from_rows(rows):
    model = tf.keras.Sequential([tf.keras.layers.Input([3]), tf.keras.layers.Dense(1)])
    model.compile(tf.keras.optimizers.SGD(0.01), "mse")
    history = model.fit(rows.stream(batch_size=4), epochs=3, verbose=0)
    assert history.history["loss"][2] < history.history["loss"][0]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"image": tfstream.ImageSpec(size=(8, 8))},
            "the records hold no images: each holds a tensor",
        ),
        ({"image": tfstream.RAW}, "leave image out (got tfstream.RAW)"),
        ({"boxes": "ragged"}, "leave boxes out (got 'ragged')"),
        ({"label": "one_hot"}, "the records have no classes"),
        ({"image": None, "label": None}, None),
    ],
)
def test_what_there_is_not_cannot_be_asked_for(rows, asked, message):
    if message is None:
        assert next(iter(rows.stream(batch_size=2, **asked))).shape == (2,)  # the targets alone
        return
    for ask in (rows.stream, rows.to_numpy_iterator):
        with pytest.raises(errors.InvalidArgumentError) as caught:
            ask(**asked)
        assert message in str(caught.value)


@pytest.fixture
def damaged(tmp_path):
    pack(tensors.make_rows(tmp_path / "a.csv"), tmp_path / "packed", progress=False, processes=1)
    (shard,) = (tmp_path / "packed/shards").glob("*.tfrecord")
    data = bytearray(shard.read_bytes())
    data[40] ^= 1
    shard.write_bytes(data)
    return tfstream.open(tmp_path / "packed")


def test_a_damaged_record_is_left_out_alone(damaged):
    batches = list(damaged.stream(batch_size=4, on_corrupt="skip"))
    assert sum(len(target) for _, target in batches) == 7
    with pytest.raises(tf.errors.DataLossError):
        list(damaged.stream(batch_size=4))


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "uint32", "uint64", "float16", "float64"]
)
def test_numbers_of_every_type_come_through_exactly(tmp_path, dtype):
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    values = (
        np.array([0, 1, 1], dtype) if info is None else np.array([0, info.min, info.max], dtype)
    )
    tensors.put_array(tmp_path / "set/a.npy", values)
    given = tfstream.NpySet(tmp_path / "set", {"a": 0})
    data = tfstream.pack(given, tmp_path / "packed", progress=False, processes=1)
    for found, _ in (
        next(data.stream(batch_size=1).as_numpy_iterator()),
        next(iter(data.to_numpy_iterator(batch_size=1))),
    ):
        assert found.dtype == dtype
        assert np.array_equal(found[0], values)


def test_images_may_have_numbers_to_be_predicted(tmp_path):
    from tfstream.format.tensors import tensor_of
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage

    images = [
        AnnotatedImage(
            key=str(n),
            encoded=trees.encoded(trees.picture(n)),
            target=tensor_of(np.array([n, 2 * n], np.float32)),
        )
        for n in range(3)
    ]
    data = tfstream.pack(images, tmp_path / "packed", progress=False, processes=1)
    spec = tfstream.ImageSpec(size=(8, 8))
    image, target = next(iter(data.stream(batch_size=3, image=spec, label=None)))
    assert (image.shape, target.shape) == ((3, 8, 8, 3), (3, 2))
    assert data["2"]["target"].tolist() == [2, 4]
