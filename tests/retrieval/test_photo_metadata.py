"""Claims about metadata: what files tell is in the album, filters ask for it, and broken metadata cost no picture."""

import struct

import pytest
from colors import ColorModel, paint
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from find.errors import FindError
from find.images.metadata import NOTHING, read_metadata
from find.query.query import Query
from find.retrieval.album import Album
from find.retrieval.filters import METADATA_COLUMNS, filter_sql

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
  xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/">
 <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Evening at the sea</rdf:li></rdf:Alt></dc:title>
 <dc:description><rdf:Alt><rdf:li xml:lang="x-default">Low
   tide</rdf:li></rdf:Alt></dc:description>
 <dc:subject><rdf:Bag><rdf:li>beach</rdf:li><rdf:li>Zoë's trip</rdf:li><rdf:li>beach</rdf:li></rdf:Bag></dc:subject>
 <Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Ada</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage>
 <mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>
  <rdf:li><rdf:Description mwg-rs:Name="Grace" mwg-rs:Type="Face"/></rdf:li>
  <rdf:li><rdf:Description mwg-rs:Name="Rex" mwg-rs:Type="Pet"/></rdf:li>
 </rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Canon", "Canon EOS 5D\0\0"
    exif[ExifTags.Base.ImageDescription] = "from EXIF"
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    camera[ExifTags.Base.ISOSpeedRatings] = 400
    camera[ExifTags.Base.ExposureTime] = IFDRational(1, 250)
    camera[ExifTags.Base.FNumber] = IFDRational(28, 10)
    camera[ExifTags.Base.FocalLength] = IFDRational(50, 1)
    camera[ExifTags.Base.LensModel] = "EF 50mm"
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLatitude] = "S", (33.0, 51.0, 36.0)
    gps[ExifTags.GPS.GPSLongitudeRef], gps[ExifTags.GPS.GPSLongitude] = "E", (151.0, 12.0, 0.0)
    return exif


def _with_iptc(jpeg: bytes, *fields: tuple[int, bytes], charset: bytes = b"\x1b%G") -> bytes:
    """A JPEG with an IPTC block as Photoshop writes it: an APP13 segment with resource 0x0404."""
    entries = [(1, 90, charset), *((2, number, text) for number, text in fields)]
    block = b"".join(
        b"\x1c" + bytes([record, number]) + struct.pack(">H", len(text)) + text for record, number, text in entries
    )
    resource = (
        b"8BIM" + struct.pack(">H", 0x0404) + b"\0\0" + struct.pack(">I", len(block)) + block + b"\0" * (len(block) % 2)
    )
    segment = b"Photoshop 3.0\0" + resource
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def _chunk(xmp: bytes) -> PngInfo:
    """XMP as a PNG has it."""
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return info


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metadata") / "photos"
    plain = Image.open(paint(folder / "plain.png", "red", "blue"))
    plain.save(folder / "all.jpg", exif=_exif(), xmp=XMP)
    plain.save(folder / "all.webp", exif=_exif(), xmp=XMP)
    plain.save(folder / "all.png", exif=_exif(), pnginfo=_chunk(XMP))
    plain.save(folder / "all.tif", exif=_exif(), tiffinfo={700: XMP})
    plain.save(folder / "iptc.jpg")
    fields = (5, b"Ein Fest"), (25, b"party"), (25, "Käse".encode()), (120, b"words")
    (folder / "iptc.jpg").write_bytes(_with_iptc((folder / "iptc.jpg").read_bytes(), *fields))
    plain.save(folder / "bomb.png", pnginfo=_chunk(BOMB))
    plain.save(folder / "broken.jpg", xmp=b"<x:xmpmeta", exif=b"Exif\0\0nothing")
    return folder


@pytest.fixture(scope="module")
def album(folder):
    return Album.build(ColorModel(), folder, folder.parent / "my.album", progress=False)


def _found(album, where, **values):
    return sorted(hit.name for hit in album.search(Query("red"), where=where, values=values))


@pytest.mark.parametrize("name", ["all.jpg", "all.png", "all.webp"])
def test_exif_and_xmp_are_read_of_every_format(folder, name):
    found = read_metadata(folder / name)
    assert (found.title, found.description) == ("Evening at the sea", "Low tide")
    assert found.keywords == ("beach", "Zoë's trip") and found.people == ("Ada", "Grace")
    assert (found.make, found.camera, found.lens) == ("Canon", "Canon EOS 5D", "EF 50mm")
    assert (found.iso, found.exposure, found.aperture, found.focal_length) == (400, 1 / 250, 2.8, 50)
    assert (found.latitude, found.longitude) == pytest.approx((-33.86, 151.2))
    assert found.broken == ()


def test_xmp_of_a_tiff_is_read(folder):
    assert read_metadata(folder / "all.tif").keywords == ("beach", "Zoë's trip")


def test_iptc_is_read_in_its_charset(folder, tmp_path):
    found = read_metadata(folder / "iptc.jpg")
    assert (found.title, found.description, found.keywords) == ("Ein Fest", "words", ("party", "Käse"))
    Image.open(folder / "plain.png").save(tmp_path / "old.jpg")
    old = _with_iptc((tmp_path / "old.jpg").read_bytes(), (25, "Käse".encode("latin-1")), charset=b"")
    (tmp_path / "old.jpg").write_bytes(old)
    assert read_metadata(tmp_path / "old.jpg").keywords == ("Käse",)


def test_a_file_without_metadata_tells_nothing(folder):
    assert read_metadata(folder / "plain.png") == NOTHING


def test_broken_metadata_are_counted_and_cost_no_picture(album, folder):
    assert len(album) == 8 and album.report.skipped == []
    assert read_metadata(folder / "bomb.png").broken == ("xmp",)
    assert "xmp" in read_metadata(folder / "broken.jpg").broken
    assert album.report.broken_metadata == 2 and "; 2 with broken metadata" in str(album.report)


def test_filters_ask_for_metadata(album):
    photos = ["all.jpg", "all.png", "all.webp"]
    assert _found(album, "camera = 'Canon EOS 5D' AND 'beach' IN keywords AND path NOT LIKE '%.tif'") == photos
    assert _found(album, "'party' in keywords") == ["iptc.jpg"]
    assert _found(album, ":word IN keywords AND iso <= 400 AND path NOT LIKE '%.tif'", word="Zoë's trip") == photos
    assert "all.jpg" not in _found(album, "'beach' NOT IN keywords")
    assert "plain.png" in _found(album, "'beach' NOT IN keywords AND NOT 'x' IN people")
    assert "all.jpg" in _found(album, "array_has(people, 'Grace') AND latitude < 0 AND exposure < 0.01")
    assert set(album.to_pandas().columns) >= set(METADATA_COLUMNS)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/\\"), max_size=30))
def test_a_text_that_looks_like_a_list_condition_stays_a_text(text):
    literal = "'" + text.replace("'", "''") + "'"
    if "://" not in text and text != "..":
        assert filter_sql(f"title = {literal} AND camera = :c", {"c": "' in keywords"}) == (
            f"title = {literal} AND camera = ''' in keywords'"
        )


def test_an_album_of_an_earlier_version_is_searched_and_indexed_and_says_what_it_lacks(folder, tmp_path):
    album = Album.build(ColorModel(), folder, tmp_path / "old.album", progress=False)
    album.table.checkout_latest()
    album.table.drop_columns(list(METADATA_COLUMNS))
    paint(folder.parent / "more.png", "green", "blue")
    old = Album.open(tmp_path / "old.album", ColorModel())
    assert len(old.search(Query("red"), k=20)) == 8 and len(old.to_pandas()) == 8
    with pytest.raises(FindError, match="earlier version, which did not keep keywords; make a new one"):
        old.search(Query("red"), where="'beach' IN keywords")
    (folder / "plain.png").touch()
    again = Album.build(ColorModel(), folder, tmp_path / "old.album", progress=False)
    assert again.report.updated == 1 and len(again) == 8
