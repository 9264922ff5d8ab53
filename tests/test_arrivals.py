"""What comes in any order, or not at all, put back into its order."""

import pytest
import tensorflow as tf

from tfstream import arrivals

COUNT = 60


def elements(turned=lambda place, given: place, lost=lambda number, given: False, **arguments):
    """What is given of elements that come in a turned order, of which some are lost; and asked."""
    asked = []

    def source(given, token):
        tf.py_function(lambda n: asked.append(int(n)), [given], [])
        places = tf.data.Dataset.range(COUNT - given).map(lambda place: turned(place, given))
        ds = places.map(lambda place: (place, {"n": place + given, "row": tf.fill([2], place)}))
        ds = ds.filter(lambda place, element: tf.logical_not(lost(element["n"], given)))
        return arrivals.sent(ds, arguments.get("token", token)), ds.element_spec[1]

    ds = arrivals.in_order(source, tf.constant(COUNT, tf.int64), samples=2, whence="the test")
    return [int(element["n"]) for element in ds], asked


def swapped(place, given):
    other = tf.bitwise.bitwise_xor(place, tf.constant(1, tf.int64))
    return tf.where(other < COUNT - given, other, place)


def backwards(place, given):
    return COUNT - given - 1 - place


def test_elements_are_given_in_their_turn_in_whichever_order_they_come():
    assert elements(swapped) == (list(range(COUNT)), [0])
    assert elements(backwards) == (list(range(COUNT)), [0])


def test_what_is_lost_is_asked_for_again_and_what_follows_it(monkeypatch, capfd):
    monkeypatch.setattr(arrivals, "PATIENCE_SECONDS", 3)
    given, asked = elements(swapped, lambda number, given: (number == 7) & (given == 0))
    assert (given, asked) == (list(range(COUNT)), [0, 7])
    assert "the test: no batch in its turn for 3 s" in capfd.readouterr().err


def test_what_does_not_fit_into_memory_is_asked_for_again(monkeypatch):
    monkeypatch.setattr(arrivals, "KEPT_BYTES", 1)
    given, asked = elements(backwards)
    assert given == list(range(COUNT))
    assert asked == [0, 16, 32, 48]


def test_what_nobody_asked_for_is_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError, match="the workers of the test"):
        elements(token=tf.constant(1.0, tf.float64))


@pytest.mark.parametrize(
    ("shape", "dtype", "kept"),
    [
        ((None, 224, 224, 3), tf.float32, 55),
        ((32, 224, 224, 3), tf.float32, 55),
        ((None,), tf.int64, 1024),
        ((None, None, None, 3), tf.uint8, 335),
        ((None, 4000, 6000, 3), tf.float32, 16),
    ],
)
def test_as_much_is_kept_as_memory_allows(shape, dtype, kept):
    assert arrivals.kept_elements((tf.TensorSpec(shape, dtype),), samples=32) == kept
