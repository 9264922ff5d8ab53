"""What cannot be indexed is named, with where it is and the way out."""

from __future__ import annotations

import gzip
import subprocess
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import foreign_records
import pytest
import trees

from tfstream import errors
from tfstream.indexing import indexer, scan

PICTURE = trees.encoded(trees.picture(1, 8, 6))


def made(**features: Any) -> bytes:
    return foreign_records.payload({"image": PICTURE, "label": 0, **features})


def refused(*sources: Path, **options: Any) -> str:
    with pytest.raises(errors.TfstreamError) as caught:
        indexer.index(*sources, progress=False, processes=1, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", ["train.tfrecord", "train.tfrecord.gz", "a b.gz", "train"])
@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_compressed_file_is_told_with_a_command_after_which_it_is_found(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    packed = foreign_records.write(tmp_path / "there" / name, [made()])
    packed.write_bytes(compress(packed.read_bytes()))
    message = refused(packed, into=tmp_path / "index")
    assert message.endswith(f"; then index {tmp_path}/there-plain.")
    subprocess.run(["bash", "-c", message.split("`")[1]], check=True)
    result = indexer.index(tmp_path / "there-plain", progress=False, processes=1)
    assert result.splits == {"train": 1}


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        ("gs://b", "gsutil cat gs://b/shards/x.tfrecord.gz | gzip -dc"),
        ("memory://b", "gzip -dc < x.tfrecord.gz"),
    ],
)
def test_a_compressed_file_that_is_remote_is_written_to_local_disk(uri: str, command: str) -> None:
    start = gzip.compress(b"")
    message = scan._not_a_shard(f"{uri}/shards/x.tfrecord.gz", start, "it is short")
    wanted = f"`mkdir -p shards-plain && {command} > shards-plain/x.tfrecord`"
    assert f"{wanted}; then index shards-plain." in message
    assert ("copy it to local disk, as x.tfrecord.gz, and" in message) == ("gs:" not in uri)


def test_what_is_no_tfrecord_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.tfrecord").write_text("path,label\n" * 9)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path}/train.tfrecord is not a TFRecord file")


def test_a_file_that_is_cut_short_is_named_by_record_and_byte(tmp_path: Path) -> None:
    path = foreign_records.write(tmp_path / "train.tfrecord", [made(), made()])
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-7])
    message = refused(tmp_path)
    assert f"record 1 of {path} (at byte {size // 2}) is corrupt" in message


def test_a_byte_that_changed_is_named_by_record_and_byte(tmp_path: Path) -> None:
    path = foreign_records.write(tmp_path / "train.tfrecord", [made()] * 3)
    data = bytearray(path.read_bytes())
    data[2 * len(data) // 3 + 40] ^= 1
    path.write_bytes(data)
    assert f"record 2 of {path} (at byte {2 * len(data) // 3}) is corrupt" in refused(tmp_path)


def test_what_is_no_example_is_named(tmp_path: Path) -> None:
    foreign_records.write(tmp_path / "train.tfrecord", [b"\x12\x03abc"])
    assert "it is not a tf.train.Example with features" in refused(tmp_path)


def test_no_file_at_all_is_told_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    message = refused(tmp_path)
    assert f"{tmp_path} names no TFRecord file" in message
    assert "It holds readme.txt." in message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "x.tfrecord", into=tmp_path / "made")


def test_files_without_a_record_are_told(tmp_path: Path) -> None:
    (tmp_path / "train.tfrecord").write_bytes(b"")
    assert "holds a record: there is nothing to index" in refused(tmp_path)


def test_files_without_a_place_for_the_index_are_told(tmp_path: Path) -> None:
    path = foreign_records.write(tmp_path / "train.tfrecord", [made()])
    assert "--into" in refused(path)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ({"other": 1}, "it has a feature 'other', which none of the first"),
        ({"label": 0.5}, "its 'label' is a float_list, and that of others is a int64_list"),
        ({"image": b"no image"}, "'image' (8 bytes) is no image"),
        ({"image": [PICTURE, PICTURE]}, "'image' has 2 values"),
        ({"size": [1, 2]}, "'size' has 2 values"),
        ({"label": []}, "its 'label' is a float_list"),
    ],
)
def test_a_record_that_disagrees_is_named(
    tmp_path: Path, last: Mapping[str, Any], told: str
) -> None:
    usual = [made(size=number) for number in range(40)]
    path = foreign_records.write(tmp_path / "train.tfrecord", [*usual, made(**{"size": 1, **last})])
    message = refused(tmp_path)
    offset = sum(len(each) + 16 for each in usual)
    assert message.startswith(f"record 40 of {path} (at byte {offset}) is not like the others")
    assert told in message


def test_a_feature_that_is_left_out_may_be_anything(tmp_path: Path) -> None:
    usual = [made(extra=1), *(made() for _ in range(40)), made(extra="x")]
    foreign_records.write(tmp_path / "train.tfrecord", usual)
    result = indexer.index(tmp_path, ignore=["extra"], progress=False)
    assert result.splits == {"train": 42}


def test_records_without_an_image_are_told_with_their_features(tmp_path: Path) -> None:
    foreign_records.write(
        tmp_path / "train.tfrecord", [foreign_records.payload({"x": 1, "y": "a"})]
    )
    message = refused(tmp_path)
    assert "which feature of the records" in message
    assert "`--feature image=NAME`; they have x, y" in message


def test_records_of_numbers_alone_are_told_that_none_is_an_image(tmp_path: Path) -> None:
    payload = foreign_records.payload({"a": [1, 2], "b": 0.5})
    foreign_records.write(tmp_path / "train.tfrecord", [payload])
    message = refused(tmp_path)
    assert "can be the image, as none is of bytes" in message
    assert "they have a (int64_list), b (float_list)" in message
    assert "--feature" not in message


@pytest.mark.parametrize("context", [{"a": 1}, {"a": "text"}])
def test_sequence_examples_are_told(tmp_path: Path, context: dict[str, Any]) -> None:
    lists = b"\x12\x00"  # feature_lists
    payload = foreign_records.payload(context) + lists
    foreign_records.write(tmp_path / "train.tfrecord", [payload])
    message = refused(tmp_path)
    assert "are tf.train.SequenceExamples, which are not read" in message
    assert "--feature" not in message


def test_two_images_a_record_must_be_told_apart(tmp_path: Path) -> None:
    two = foreign_records.payload({"left": PICTURE, "right": PICTURE})
    foreign_records.write(tmp_path / "train.tfrecord", [two])
    assert "left and right could be one" in refused(tmp_path)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ({"imge": "image"}, "cannot be the 'imge' of a record. Nearest: 'image'"),
        ({"image": "imag"}, "has a feature 'imag'. Nearest: 'image'"),
        ({"label": "image"}, "Feature 'image'"),
        ({"ymin": "size"}, "the ymin must be a float_list"),
    ],
)
def test_a_role_that_cannot_be_is_refused(
    tmp_path: Path, features: dict[str, str], told: str
) -> None:
    foreign_records.write(tmp_path / "train.tfrecord", [made(size=1)])
    assert told in refused(tmp_path, features=features)


def test_the_roles_that_there_are_are_listed_beside_the_nearest(tmp_path: Path) -> None:
    foreign_records.write(tmp_path / "train.tfrecord", [made(size=1)])
    message = refused(tmp_path, features={"imgae": "image"})
    assert "Nearest: 'image'. The roles are image, key, filename, label" in message
    assert "truncated, occluded, crowd." in message


def test_keys_that_were_asked_for_must_be_unique(tmp_path: Path) -> None:
    payloads = [made(name=name) for name in ("a", "b", "a")]
    path = foreign_records.write(tmp_path / "train.tfrecord", payloads)
    message = refused(tmp_path, features={"key": "name"})
    assert message.startswith(f"record 2 of {path}")
    assert f"has the key 'a', which is that of record 0 of {path}" in message


def test_a_label_that_the_file_does_not_list_is_named(tmp_path: Path) -> None:
    foreign_records.write(tmp_path / "train.tfrecord", [made(), made(label=2)])
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    message = refused(tmp_path, labels=tmp_path / "labels.txt")
    file = f"{tmp_path}/labels.txt"
    assert message.startswith("record 1 of")
    assert (
        f"has the label 2, which is not among the 2 labels of {file}. Its numbers are 0 to 1. "
        in (message)
    )
    assert f"Add it to {file}, or give another file by --labels" in message
    assert "not like the others" not in message


def test_a_name_that_the_file_does_not_list_is_told_with_the_nearest(tmp_path: Path) -> None:
    payloads = [
        foreign_records.payload({"image": PICTURE, "label_text": name}) for name in ("dog", "catt")
    ]
    foreign_records.write(tmp_path / "train.tfrecord", payloads)
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    message = refused(tmp_path, labels=tmp_path / "labels.txt")
    assert "has the label 'catt', which is not among the 2 labels of" in message
    assert "Nearest: 'cat'. Add it to" in message


def test_a_label_that_tensorflow_datasets_does_not_list_is_told_with_its_file(
    tmp_path: Path,
) -> None:
    foreign_records.write(tmp_path / "train.tfrecord", [made(), made(label=2)])
    (tmp_path / "label.labels.txt").write_text("cat\ndog\n")
    assert f"the 2 labels of {tmp_path}/label.labels.txt" in refused(tmp_path)


def test_two_items_of_one_name_are_told_with_the_file_and_their_ids(tmp_path: Path) -> None:
    foreign_records.write(tmp_path / "train.tfrecord", [made()])
    file = tmp_path / "map.pbtxt"
    file.write_text('item { name: "a" id: 3 display_name: "cat" }\nitem { name: "cat" id: 8 }\n')
    message = refused(tmp_path, labels=file)
    assert message.startswith(f"{file} calls two items 'cat', those with the ids 3 and 8")


def test_boxes_that_are_not_as_many_as_labels_are_named(tmp_path: Path) -> None:
    payload = foreign_records.payload(
        {"image": PICTURE, "objects/bbox": [0.0, 0.0, 1.0], "objects/label": [1]}
    )
    foreign_records.write(tmp_path / "train.tfrecord", [payload])
    assert "it has 1 labels for 0.75 boxes" in refused(tmp_path)


def test_splits_must_take_each_file_once(tmp_path: Path) -> None:
    foreign_records.write(tmp_path / "a.tfrecord", [made()])
    assert "matches no split's glob" in refused(tmp_path, splits={"train": "b*"})
    twice = refused(tmp_path, splits={"train": "a*", "val": "*"})
    assert "matches the globs of train and val" in twice


def test_a_shard_that_tensorflow_datasets_counts_and_is_missing_is_told(tmp_path: Path) -> None:
    import scenes

    foreign_records.write_tfds(tmp_path, [scenes.image(1, "left"), scenes.image(2, "left")])
    (tmp_path / "scenes-train.tfrecord-00001-of-00002").unlink()
    assert "has 2 records in 2 files, and there are 1 in 1" in refused(tmp_path)


def test_a_dataset_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    foreign_records.write(tmp_path / "train.tfrecord", [made()])
    indexer.index(tmp_path, progress=False)
    assert "holds a dataset already, version 1, of these very files" in refused(tmp_path)


def test_a_dataset_of_the_same_files_that_was_edited_is_told_as_that(tmp_path: Path) -> None:
    import tfstream

    payloads = [made(key=name) for name in ("a", "b", "c")]
    foreign_records.write(tmp_path / "train.tfrecord", payloads)
    indexer.index(tmp_path, progress=False)
    tfstream.remove(tmp_path, "key:b", message="it is blurred")
    message = refused(tmp_path)
    told = "version 2, of these files, edited since (the last edit is a remove)"
    assert f"{tmp_path} holds a dataset already, {told}" in message
    assert f"see `tfstream versions {tmp_path}`, or give another directory by --into" in message
    foreign_records.write(tmp_path / "train.tfrecord", payloads[:2])
    assert "of these files, as they were before they changed" in refused(tmp_path)


def test_a_dataset_of_other_files_is_told_as_that(tmp_path: Path) -> None:
    paths = [
        foreign_records.write(tmp_path / name, [made()]) for name in ("a.tfrecord", "b.tfrecord")
    ]
    indexer.index(paths[0], into=tmp_path / "made", progress=False)
    assert "of 1 of these 2 files" in refused(*paths, into=tmp_path / "made")
    assert "of something else" in refused(paths[1], into=tmp_path / "made")


def test_nothing_can_be_appended_to_others_files(tmp_path: Path) -> None:
    import tfstream

    foreign_records.write(tmp_path / "there" / "train.tfrecord", [made()])
    tfstream.index(tmp_path / "there", progress=False)
    for name in ("cat", "dog"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        (tmp_path / "tree" / name / "1.jpg").write_bytes(PICTURE)
    with pytest.raises(errors.InvalidArgumentError, match="nothing can be appended"):
        tfstream.append(tmp_path / "tree", tmp_path / "there", progress=False)
