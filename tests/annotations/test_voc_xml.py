"""One annotation file, good and bad."""

import pytest
import trees
from hypothesis import given
from hypothesis import strategies as st

from tfstream.annotations import voc_xml
from tfstream.errors import AnnotationError


def parse(text):
    return voc_xml.parse(text.encode(), "a.xml")


def test_everything_of_an_annotation_is_read():
    image = parse(
        """<annotation>
        <folder>VOC2012</folder><filename>x.jpg</filename>
        <source><database>The VOC2012 Database</database><annotation>PASCAL</annotation>
        <image>flickr</image></source>
        <owner><name>not a label</name></owner>
        <size><width>486</width><height>500</height><depth>3</depth></size>
        <segmented>1</segmented>
        <object><name>person</name><pose>Left</pose><truncated>1</truncated>
          <difficult>0</difficult><occluded>1</occluded>
          <part><name>head</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax>
            <ymax>4</ymax></bndbox></part>
          <bndbox><xmin>174.5</xmin><ymin>101</ymin><xmax>349</xmax><ymax>351</ymax></bndbox>
        </object>
        <object><name> dog &amp; cat </name><difficult>1</difficult></object>
        </annotation>"""
    )
    assert (image.width, image.height) == (486, 500)
    assert {k: v.string_value for k, v in image.metadata.items() if k != "segmented"} == {
        "folder": "VOC2012",
        "source.database": "The VOC2012 Database",
        "source.annotation": "PASCAL",
        "source.image": "flickr",
    }
    assert image.metadata["segmented"].bool_value
    person, other = image.objects
    assert (person.label, person.truncated, person.difficult, person.occluded) == (
        "person",
        True,
        False,
        True,
    )
    box = person.box
    assert (box.xmin, box.ymin, box.xmax, box.ymax) == (174.5, 101, 349, 351)
    assert other.label == "dog & cat"
    assert other.difficult
    assert not other.HasField("box")


@pytest.mark.parametrize(
    "polygon",
    [
        "<pt><x>1</x><y>2</y></pt><pt><x>3</x><y>4.5</y></pt><pt><x>5</x><y>6</y></pt>",
        "<x1>1</x1><y1>2</y1><x2>3</x2><y2>4.5</y2><x3>5</x3><y3>6</y3>",
    ],
)
def test_polygons_of_both_kinds_are_read(polygon):
    image = parse(
        f"<annotation><object><name>a</name><polygon>{polygon}</polygon></object></annotation>"
    )
    outline = image.objects[0].polygons[0]
    assert (list(outline.x), list(outline.y)) == ([1, 3, 5], [2, 4.5, 6])


def test_an_annotation_without_size_leaves_it_open():
    assert parse("<annotation><size/></annotation>").width == 0
    assert parse("<annotation/>").height == 0


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1 or str()};" * 10}">' for n in range(1, 10))
    + "]><annotation><folder>&lol9;</folder></annotation>"
)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("<annotation>\n<object>\n</annotation>", 3, "mismatched tag"),
        ("", 1, "no element found"),
        ("\n\n<annotation>&what;</annotation>", 3, "undefined entity"),
        (BOMB, 1, "the XML declares an entity"),
        (
            '<!DOCTYPE a [\n<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
            2,
            "declares an entity",
        ),
        ("<annotation>\n<object>\n</object></annotation>", 2, "<object> is empty"),
        ("<annotation>\n\n<object><pose/></object></annotation>", 3, "<object> has no <name>"),
        ("<annotation><size>\n<width>4x</width></size></annotation>", 2, "not a number: '4x'"),
        ("<annotation><size>\n<width>-4</width></size></annotation>", 2, "number of pixels: -4"),
        ("<annotation><size>\n<width>nan</width></size></annotation>", 2, "of pixels: nan"),
        (
            "<annotation><object><name>a</name>\n<bndbox><xmin>1</xmin></bndbox></object>"
            "</annotation>",
            2,
            "<bndbox> has no <ymin>",
        ),
        (
            "<annotation><object><name>a</name><bndbox>\n<ymin>one</ymin></bndbox></object>"
            "</annotation>",
            2,
            "<ymin> of <bndbox> is not a number: 'one'",
        ),
        ("<annotation><object><name>a</name>\n<bndbox/></object></annotation>", 2, "is empty"),
        (
            "<annotation><object><name>a</name>\n<difficult>2</difficult></object></annotation>",
            2,
            "neither 0 nor 1: '2'",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_file_and_line(text, line, words):
    with pytest.raises(AnnotationError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"a.xml:{line}: ")
    assert words in str(caught.value)


def test_another_kind_of_xml_is_refused():
    with pytest.raises(AnnotationError, match=r"a\.xml is not an annotation.*<annotation>"):
        parse("<html><body/></html>")


@given(st.binary(max_size=300))
def test_any_bytes_give_an_annotation_or_a_clear_error(data):
    with pytest.raises(AnnotationError, match=r"a\.xml"):
        voc_xml.parse(data, "a.xml")


@given(st.data())
def test_a_damaged_file_gives_an_annotation_or_a_clear_error(data):
    good = trees.annotation(trees.things(2)).encode()
    at = data.draw(st.integers(0, len(good) - 1))
    damaged = (
        good[:at] + data.draw(st.binary(max_size=4)) + good[at + data.draw(st.integers(0, 9)) :]
    )
    try:
        voc_xml.parse(damaged, "a.xml")
    except AnnotationError as error:
        told = str(error)
    else:
        told = "a.xml"
    assert "a.xml" in told
