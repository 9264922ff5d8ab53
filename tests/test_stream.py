"""StreamDataset: the order, the elements, the errors, and Keras's way of iterating."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
import trees

import tfstream
from tfstream.errors import InvalidArgumentError
from tfstream.order import Order

SIZE = tfstream.ImageSpec(size=(32, 48))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("stream")
    trees.make_ilsvrc_tree(root / "tree", train=53, val=10)
    return tfstream.pack(root / "tree", root / "packed", shard_bytes=60_000, progress=False)


@pytest.fixture(scope="module")
def train(data):
    return data.split("train")


def keys(stream):
    return [
        key.decode()
        for element in stream.as_numpy_iterator()
        for key in np.atleast_1d(element["key"])
    ]


def keyed(part, **arguments):
    arguments = {"image": None, "label": None, "batch_size": 7} | arguments
    return part.stream(elements="dict", **arguments)


def expected(part, *, epoch=0, **order):
    """The keys of an epoch, from the arithmetic alone."""
    stored = part.metadata["key"].to_pylist()
    numbers = Order(len(part), **order).records_at(np.arange(len(part)), epoch)
    return [stored[n] for n in numbers]


@pytest.mark.parametrize("lanes", [1, 4, 16, 100])
@pytest.mark.parametrize("block_size", [1, 5])
def test_the_samples_come_in_the_order_that_the_arithmetic_says(train, lanes, block_size):
    ds = keyed(train, seed=5, lanes=lanes, block_size=block_size)
    assert keys(ds) == expected(train, seed=5, lanes=lanes, block_size=block_size)


def test_interleaved_readers_give_the_same_order_as_one(train, monkeypatch):
    alone = keys(keyed(train, seed=5))
    for readers in (2, 3, 16):
        monkeypatch.setattr("tfstream.order.Share.readers", lambda self, lanes, n=readers: n)
        assert keys(keyed(train, seed=5)) == alone


def test_iteration_i_gives_epoch_i(train):
    ds = keyed(train, seed=5)
    for epoch in range(3):
        assert keys(ds) == expected(train, seed=5, epoch=epoch)


def test_several_epochs_follow_one_another_each_with_its_own_last_batch(train):
    ds = keyed(train, seed=5, epochs=2)
    assert keys(ds) == expected(train, seed=5) + expected(train, seed=5, epoch=1)
    assert ds.cardinality() == 2 * ds.steps_per_epoch == 16
    assert [len(e["key"]) for e in ds.as_numpy_iterator()] == ([7] * 7 + [4]) * 2


def test_epochs_without_end_go_on(train):
    ds = keyed(train, seed=5, epochs=None)
    assert ds.cardinality() == tf.data.INFINITE_CARDINALITY
    assert keys(ds.take(16)) == expected(train, seed=5) + expected(train, seed=5, epoch=1)


def test_without_shuffle_records_come_in_storage_order(train):
    ds = keyed(train, shuffle=False)
    assert keys(ds) == keys(ds) == train.metadata["key"].to_pylist()


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_global_batches_do_not_depend_on_the_number_of_workers(train, world, drop):
    whole = expected(train, seed=5)
    per_worker = 2
    streams = [
        keyed(train, seed=5, world=(r, world), batch_size=per_worker, drop_remainder=drop)
        for r in range(world)
    ]
    batches = [[e["key"] for e in ds.as_numpy_iterator()] for ds in streams]
    assert [len(mine) for mine in batches] == [ds.steps_per_epoch for ds in streams]
    if drop:
        assert {len(mine) for mine in batches} == {len(train) // (per_worker * world)}
    for step in range(max(map(len, batches))):
        union = {k.decode() for mine in batches if step < len(mine) for k in mine[step]}
        size = per_worker * world
        assert union == set(whole[step * size : (step + 1) * size])


def test_a_batch_is_images_and_labels(train):
    ds = train.stream(batch_size=8, image=SIZE, label="one_hot", drop_remainder=True)
    assert ds.element_spec[0].shape == (8, 32, 48, 3)
    images, labels = next(iter(ds))
    assert images.shape == (8, 32, 48, 3)
    assert images.dtype == SIZE.dtype
    assert labels.shape == (8, train.labels.classes)
    np.testing.assert_array_equal(tf.reduce_sum(labels, axis=1), np.ones(8))


def test_labels_are_those_of_the_index(train):
    names = [*train.labels.names, None]
    ds = train.stream(batch_size=None, image=None, label="index", shuffle=False)
    assert [names[i] for i in ds.as_numpy_iterator()] == train.metadata["label"].to_pylist()
    ds = train.stream(batch_size=4, image=None, label="multi_hot", shuffle=False)
    rows = np.concatenate(list(ds.as_numpy_iterator()))
    for row, counts in zip(rows, train.metadata["labels"].to_pylist(), strict=True):
        assert {names[i] for i in np.flatnonzero(row)} == ({n for n, _ in counts} or {None})


def test_ragged_boxes_are_those_of_the_records(train):
    ds = train.stream(batch_size=10, image=SIZE, boxes="ragged", elements="dict", shuffle=False)
    number = 0
    for batch in ds:
        for boxes, box_labels in zip(batch["boxes"], batch["box_labels"], strict=True):
            record = train[number]["objects"]
            np.testing.assert_allclose(boxes, record["box"], atol=1e-6)
            assert [train.labels.names[i] for i in box_labels] == record["label"]
            number += 1
    assert number == len(train)


def test_padded_boxes_have_the_number_asked_for(train):
    ds = train.stream(batch_size=10, image=SIZE, boxes=3, elements="dict", shuffle=False)
    batch = next(iter(ds))
    assert batch["boxes"].shape == (10, 3, 4)
    assert batch["box_labels"].shape == (10, 3)
    for i in range(10):
        count = min(3, len(train[i]["objects"]["label"]))
        assert (batch["box_labels"][i].numpy() >= 0).sum() == count


def test_raw_images_are_the_stored_bytes(train):
    ds = train.stream(batch_size=None, image=tfstream.RAW, elements="dict", shuffle=False)
    first = next(iter(ds))
    assert first["image"].dtype == tf.string
    assert tf.io.decode_image(first["image"]).shape == train[0]["image"].shape


def test_augmentation_is_the_same_for_any_number_of_workers(train):
    spec = tfstream.ImageSpec(size=(16, 16), mode="random_crop", flip=True)

    def pictures(**arguments):
        ds = train.stream(batch_size=None, image=spec, elements="dict", seed=3, **arguments)
        return {e["key"]: e["image"] for e in ds.as_numpy_iterator()}

    alone = pictures()
    for r in range(3):
        for key, image in pictures(world=(r, 3)).items():
            np.testing.assert_array_equal(image, alone[key])
    again = train.stream(batch_size=None, image=spec, elements="dict", seed=3)
    list(again)
    second = {e["key"]: e["image"] for e in again.as_numpy_iterator()}
    assert sum(np.array_equal(second[k], alone[k]) for k in alone) < len(alone) / 4


def test_a_transform_is_applied_to_each_sample(train):
    ds = train.stream(batch_size=4, image=SIZE, transform=lambda image, label: (image, label + 100))
    assert (next(iter(ds))[1] >= 100).numpy().all()


def test_a_transform_may_branch_on_tensors_in_plain_python(train):
    def darken(sample):
        if sample["label"] > 0:
            sample["label"] = -sample["label"]
        return sample

    def labels(**arguments):
        ds = train.stream(image=None, elements="dict", batch_size=None, **arguments)
        return [sample["label"] for sample in ds.as_numpy_iterator()]

    assert labels(transform=darken) == [-label for label in labels()]


def test_what_is_left_out_of_a_tuple_is_not_there(train):
    alone = train.stream(batch_size=4, image=SIZE, label=None)
    assert isinstance(alone.element_spec, tf.TensorSpec)
    spec = train.stream(batch_size=4, image=SIZE, label=None, boxes=2).element_spec
    assert [part.shape.as_list() for part in spec] == [[None, 32, 48, 3], [None, 2, 4]]


def test_a_stream_is_iterated_in_a_tf1_session(train):
    with tf.Graph().as_default():
        ds = keyed(train, seed=5)
        iterator = tf.compat.v1.data.make_initializable_iterator(ds)
        element = iterator.get_next()
        with tf.compat.v1.Session() as session:
            for epoch in range(2):
                session.run(iterator.initializer)
                seen = []
                with pytest.raises(tf.errors.OutOfRangeError):
                    while True:
                        seen += [k.decode() for k in session.run(element)["key"]]
                assert seen == expected(train, seed=5, epoch=epoch)


@pytest.mark.kernel
def test_the_graph_serializes_and_runs_elsewhere(train):
    ds = keyed(train, seed=5)
    graph = tf.raw_ops.DatasetToGraphV2(
        input_dataset=tf.data.experimental.to_variant(ds), external_state_policy=1
    )
    variant = tf.data.experimental.from_variant(
        _graph_to_variant(graph.numpy()), structure=ds.element_spec
    )
    assert keys(variant) == expected(train, seed=5)


def _graph_to_variant(serialized):
    graph = tf.compat.v1.GraphDef.FromString(serialized)
    output = next(node.input[0] for node in graph.node if node.op == "_Retval")

    def body():
        return tf.graph_util.import_graph_def(graph, return_elements=[output + ":0"])[0]

    return tf.compat.v1.wrap_function(body, [])()


def test_keras_fit_sees_a_new_order_each_epoch_and_every_record_once(train):
    seen = []

    class Recorder(tf.keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = tf.keras.layers.Dense(1)

        def call(self, x):
            return self.dense(tf.reshape(tf.cast(x, tf.float32), [-1, 1]))

        def train_step(self, batch):
            tf.py_function(lambda p: seen.extend(p.numpy().tolist()), [batch[1]], [])
            return {"loss": tf.reduce_mean(self(batch[0]))}

    numbers = {key: i for i, key in enumerate(train.metadata["key"].to_pylist())}
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            list(numbers), list(numbers.values()), tf.string, tf.int32
        ),
        -1,
    )
    ds = keyed(train, seed=5, transform=lambda e: (table.lookup(e["key"]),) * 2)
    model = Recorder()
    model.compile()
    model.fit(ds, epochs=3, verbose=0)
    for epoch in range(3):
        mine = seen[epoch * len(train) : (epoch + 1) * len(train)]
        order = Order(len(train), seed=5)
        assert mine == order.records_at(np.arange(len(train)), epoch).tolist()


def test_stats_count_what_was_read(train):
    ds = keyed(train)
    list(ds)
    stats = ds.stats()
    assert stats["samples"] == len(train)
    assert stats["corrupt"] == 0
    assert stats["bytes_read"] >= sum(train.metadata["bytes"].to_pylist())


@pytest.fixture
def broken(tmp_path):
    """A dataset in which one byte of the third record's image is wrong."""
    trees.make_ilsvrc_tree(tmp_path / "tree", train=9, val=1)
    data = tfstream.pack(tmp_path / "tree", tmp_path / "packed", progress=False).split("train")
    table = data.stored.table
    path, offset = pathlib.Path(table.files[0]), int(table.offsets[2])
    content = bytearray(path.read_bytes())
    content[offset + int(table.lengths[2]) // 2] ^= 1
    path.write_bytes(content)
    return data, path, offset


def test_a_corrupt_record_is_named_by_file_offset_and_key(broken):
    data, path, offset = broken
    key = data.metadata["key"][2].as_py()
    with pytest.raises(tf.errors.OpError) as error:
        keys(keyed(data))
    for part in (str(path), f"byte {offset}", key):
        assert part in str(error.value)


@pytest.mark.filterwarnings("ignore:skipped")
def test_skipping_a_corrupt_record_loses_that_record_alone(broken):
    data, _, _ = broken
    order = expected(data, seed=5)
    order.remove(data.metadata["key"][2].as_py())
    ds = keyed(data, seed=5, on_corrupt="skip", image=SIZE, label="index", batch_size=3)
    assert keys(ds) == order
    assert ds.stats()["corrupt"] == 1
    assert ds.cardinality() == tf.data.UNKNOWN_CARDINALITY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size.*0"),
        ({"seed": -1}, "seed.*-1"),
        ({"lanes": 0}, "lanes.*0"),
        ({"block_size": -2}, "block_size.*-2"),
        ({"epochs": 0}, "epochs.*0"),
        ({"world": (3, 2)}, r"world.*\(3, 2\)"),
        ({"label": "onehot"}, "label.*'onehot'"),
        ({"boxes": 0}, "boxes.*0"),
        ({"boxes": "padded"}, "boxes.*'padded'"),
        ({"elements": "list"}, "elements.*'list'"),
        ({"image": (224, 224)}, "ImageSpec.*224"),
        ({"on_corrupt": "ignore"}, "on_corrupt.*'ignore'"),
        ({"image": None, "label": None}, "nothing is left"),
        ({"batch_size": 100, "drop_remainder": True}, "not one batch"),
    ],
)
def test_an_argument_out_of_range_is_one_error_with_its_value(train, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        train.stream(**arguments)
