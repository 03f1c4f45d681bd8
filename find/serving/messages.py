"""Request and response models of the service, from which its OpenAPI description is generated."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator
from pydantic_core import PydanticCustomError

QUERY = (
    "Text with entities: {words} is a phrase; [name@x,y], [name@x0,y0,x1,y1] and [name#mask] are regions of a picture, "
    "pixels, x right, y down. A backslash escapes the next character. "
    "In a query without entities the model finds them, if it can."
)
IMAGES = (
    "Pictures and masks that the query names, as files in base64; pictures also as handles. A name that is not here is "
    "one of the album's images."
)

MOST_PARTS = 1000
"""Items of a list, or pictures of a request, above which validation stops; the service's limits are far below."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, body: object) -> object:
        """Names the valid fields when a request has an unknown one; pydantic says only that it is not permitted."""
        known = [field.alias or name for name, field in cls.model_fields.items()]
        unknown = [name for name in body if name not in known] if isinstance(body, dict) else []
        if unknown:
            field = unknown[0][:40].encode(errors="replace").decode()  # without lone surrogates
            details = {"field": field, "known": ", ".join(known)}
            raise PydanticCustomError("unknown_field", "there is no field {field}; there are {known}", details)
        for name, value in body.items() if isinstance(body, dict) else ():
            _check_value(name, value)
        return body


def _check_value(name: str, value: object) -> None:
    """Rejects input that is expensive to validate or impossible to answer: pydantic reports each of millions of invalid
    items, in gigabytes; text with a lone surrogate cannot be encoded in the response.
    """
    parts = value if isinstance(value, (list, dict)) else [value]
    if len(parts) > MOST_PARTS:
        details = {"name": name, "count": len(parts), "most": MOST_PARTS}
        raise PydanticCustomError("too_many", "{name} has {count} items, more than {most}", details)
    try:
        for part in parts:
            part.encode() if isinstance(part, str) else None
    except UnicodeEncodeError:
        raise PydanticCustomError("no_unicode", "{name} holds text that is not valid Unicode", {"name": name}) from None


class SearchRequest(_Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "{a blue car} on {the road}", "k": 5}]})

    query: str = Field(description=QUERY, examples=["{a blue car} on {the road}", "a dog like [rex@120,80]"])
    others: list[str] = Field(default=[], alias="and", description="Further queries that an image must match")
    without: list[str] = Field(default=[], description="Queries that it must not match")
    images: dict[str, str] = Field(default={}, description=IMAGES)
    k: int = Field(default=10, ge=1, description="Maximum number of hits")
    where: str | None = Field(
        default=None,
        description=(
            "SQL condition on path, time, width, height, bytes, modified, frame, seconds, title, description, "
            "keywords, people, make, camera, lens, iso, exposure, aperture, focal_length, latitude, longitude"
        ),
        examples=["width > 640 AND path LIKE 'holiday/%'"],
    )
    dim: int | None = Field(default=None, ge=1, description="Leading values of each vector to compare; null for all")
    min_relevance: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Keep only those of the k hits whose probability of relevance is at least this",
    )
    masks: bool = Field(default=False, description="Include the entities' masks (COCO run-length codes)")
    fold: bool = Field(
        default=False,
        description="Near-duplicates of a hit, and further frames of its film, are listed with it, not as separate "
        "hits; slower in large albums",
    )
    include_query: bool = Field(
        default=False, description="Whether images of the album that the query's regions are of may be hits"
    )


class Mask(BaseModel):
    """COCO's compressed run-length code."""

    size: list[int] = Field(description="Height and width")
    counts: str


class FoundEntity(BaseModel):
    text: str = Field(description="The phrase, or the region's name in brackets")
    term: float = Field(description="Cosine similarity with the image's object that it matched")
    present: float | None = Field(
        description="Probability that this object is what the entity describes; null for weights without a match head"
    )
    object: int = Field(description="Index of that object in the image")
    box: list[int] = Field(description="x0, y0, x1, y1 in pixels; x1 and y1 are exclusive")
    segmentation: Mask | None = None


class FoundConnection(BaseModel):
    text: str = Field(description="Words that connect the entities")
    entities: list[int] = Field(description="Indices of the two entities that they connect, or of the one they place")
    fit: float = Field(
        description="How well they fit the objects' positions: 1 they agree, 0 they say nothing, -1 they contradict"
    )


class FoundQuery(BaseModel):
    query: str
    is_excluded: bool = Field(description="Whether the query is one of `without`")
    score: float = Field(
        description="Weighted sum of image_term, the mean of the entities' terms and the connections' terms; published "
        "weights: image_term + 0.5 x mean; only one of the two if the other is missing"
    )


class AlbumImage(BaseModel):
    name: str = Field(description="Path below the album's folder of photos; the name to use in a query's region")
    width: int
    height: int
    time: datetime | None = Field(description="When it was taken, if the file says")
    frame: int = Field(description="Frame number in a video; 0 for a photo")
    seconds: float | None = Field(description="Seconds since the video's start; null for a photo")
    picture: str = Field(description="URL path of the picture with the matched objects drawn, on this server")


class SampleAnswer(BaseModel):
    total: int = Field(description="Number of images in the album")
    images: list[AlbumImage]


class FoundMoment(AlbumImage):
    """An image, or one frame of a film, and what made its score."""

    score: float = Field(
        description="For a single query, its score; otherwise the mean score of `query` and `and`, minus half of the "
        "highest score of `without`"
    )
    relevance: float | None = Field(
        description="Probability that the image is relevant; null for weights without a match head, and for queries "
        "without entities"
    )
    image_term: float | None = Field(
        description="Cosine similarity of the sentence and the image; null if the query is a single entity"
    )
    entities: list[FoundEntity] = Field(description="Of `query`")
    connections: list[FoundConnection] = Field(description="Of `query`; empty if the weights do not score connections")
    queries: list[FoundQuery] = Field(description="Contributions of `query`, of each `and` and of each `without`")


class FoundImage(FoundMoment):
    rank: int
    duplicates: list[str] = Field(
        description="With `fold`: images that show the same picture, by name and, of frames, seconds"
    )
    moments: list[FoundMoment] = Field(
        description="With `fold`, of a film: its frames among the best, this one included, by time"
    )


READ_AS = "with detected entities in braces; queries that mark entities themselves are unchanged"


class SearchAnswer(BaseModel):
    read_as: list[str] = Field(description="`query`, each of `and` and each of `without`, " + READ_AS)
    notes: list[str] = Field(
        description="What of a plain sentence was left out, excluded (without {a dog}) or not understood, for people"
    )
    unwanted: list[str] = Field(
        description="What `query` and `and`, as plain sentences, say must not be there, as in: a car without a dog"
    )
    hits: list[FoundImage]
    unknown_words: list[str] = Field(description="Words unknown to the language model: results for them are a guess")


IMAGE = "The picture to segment, a file in base64 or the handle of an uploaded picture; or give `name`"
NAME = "An image of the album to segment, by its path below the folder of photos; or give `image`"


class StoreRequest(_Request):
    image: str = Field(description="A picture file in base64")


class StoredPicture(BaseModel):
    picture: str = Field(
        description="Its handle, which requests may carry in the place of the file", examples=["picture:0f3a..."]
    )
    width: int
    height: int
    seconds: float = Field(
        description="Lifetime of the handle after its last use; shorter if memory is needed for other pictures. "
        "A request with an expired one is answered by 410: send the picture again"
    )


class SegmentRequest(_Request):
    image: str | None = Field(default=None, description=IMAGE)
    name: str | None = Field(default=None, description=NAME)
    query: str = Field(description=QUERY, examples=["{a red dog} next to {a sofa}"])
    images: dict[str, str] = Field(default={}, description=IMAGES)


class SegmentedEntity(BaseModel):
    text: str
    score: float = Field(description="Probability with which this mask was selected among all proposals, 0..1")
    present: float | None = Field(
        description="Probability that the entity is in the picture, 0..1; null for weights without a match head"
    )
    doubtful: bool = Field(
        description="True for an empty mask, a probably absent entity, a low score, or words that the language model "
        "has never seen"
    )
    unknown_words: list[str]
    box: list[int] | None = Field(description="x0, y0, x1, y1 in pixels; null for an empty mask")
    segmentation: Mask


class SegmentAnswer(BaseModel):
    read_as: str = Field(description="The query, " + READ_AS)
    width: int
    height: int
    entities: list[SegmentedEntity]


_Coordinate = Annotated[float, Field(allow_inf_nan=False)]
_Point = Annotated[list[_Coordinate], Field(min_length=2, max_length=2)]
# Of each of many wrong points in a line pydantic would tell otherwise.
_Line = Annotated[list[_Point], Field(min_length=2, max_length=500), FailFast()]
_Outline = Annotated[list[_Point], Field(min_length=3, max_length=500), FailFast()]


class InteractRequest(_Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "rex.jpg", "points": [[120, 80]]}]})

    image: str | None = Field(default=None, description=IMAGE)
    name: str | None = Field(default=None, description=NAME)
    points: list[_Point] = Field(default=[], max_length=64, description="x, y in pixels, on one object")
    box: Annotated[list[_Coordinate], Field(min_length=4, max_length=4)] | None = Field(
        default=None, description="x0, y0, x1, y1 in pixels, around the object; with or instead of `points`"
    )
    scribbles: list[_Line] = Field(
        default=[], max_length=16, description="Lines over the object, each of 2 or more x, y"
    )
    lassos: list[_Outline] = Field(
        default=[], max_length=16, description="Closed outlines of the object, each of 3 or more x, y"
    )
    negatives: list[_Point] = Field(default=[], max_length=64, description="x, y of points outside the object")
    negative_scribbles: list[_Line] = Field(default=[], max_length=16, description="Lines outside the object")


class InteractAnswer(BaseModel):
    width: int
    height: int
    score: float = Field(description="Probability with which the mask was selected among all proposals, 0..1")
    doubtful: bool = Field(description="True for an empty mask or a low score")
    box: list[int] | None = Field(description="x0, y0, x1, y1 in pixels; null for an empty mask")
    segmentation: Mask


class FindAllRequest(_Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "rex.jpg", "query": "[rex.jpg@120,80]", "threshold": 0.5}]}
    )

    image: str | None = Field(default=None, description=IMAGE)
    name: str | None = Field(default=None, description=NAME)
    query: str = Field(description="One phrase, or one region as an example: {a dog}, [rex.jpg@120,80]")
    others: list[str] = Field(default=[], alias="and", description="Further examples of it")
    without: list[str] = Field(default=[], description="Negative examples")
    images: dict[str, str] = Field(default={}, description=IMAGES)
    threshold: float = Field(default=0.5, ge=0, le=1, description="Minimum match probability")


class Instance(BaseModel):
    text: str
    score: float = Field(description="Match probability, 0..1")
    box: list[int] = Field(description="x0, y0, x1, y1 in pixels")
    segmentation: Mask


class FindAllAnswer(BaseModel):
    read_as: list[str] = Field(description="`query`, each of `and` and each of `without`, " + READ_AS)
    width: int
    height: int
    unknown_words: list[str]
    instances: list[Instance] = Field(description="Most probable first; may be empty")


class PanopticRequest(_Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "rex.jpg", "classes": ["dog", "sofa", "wall"]}]})

    image: str | None = Field(default=None, description=IMAGE)
    name: str | None = Field(default=None, description=NAME)
    classes: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Names of classes; null for those that the model was trained on, or COCO's",
    )
    is_thing: list[bool] | None = Field(
        default=None,
        max_length=256,
        description="For each class, whether it is a thing (countable); null: all but COCO's stuff classes",
    )


class Segment(BaseModel):
    text: str = Field(description="Its class")
    is_thing: bool
    score: float = Field(description="Class probability, 0..1")
    box: list[int] = Field(description="x0, y0, x1, y1 in pixels")
    segmentation: Mask


class PanopticAnswer(BaseModel):
    width: int
    height: int
    classes: list[str]
    unknown_words: list[str] = Field(description="Of the classes: words unknown to the language model")
    segments: list[Segment]


class EmbedRequest(_Request):
    queries: list[str] = Field(default=[], description=QUERY)
    images: dict[str, str] = Field(default={}, description=IMAGES)
    pictures: list[str] = Field(default=[], description="Pictures to embed, files in base64")


class EmbeddedQuery(BaseModel):
    vector: list[float] = Field(description="Unit vector of the sentence")
    entities: list[list[float]] = Field(description="One unit vector per entity")


class EmbeddedPicture(BaseModel):
    vector: list[float] = Field(description="Unit vector of the image")
    objects: list[list[float]] = Field(description="A unit vector for each object proposal")
    scores: list[float] = Field(description="Mask confidence of each proposal, 0..1")


class EmbedAnswer(BaseModel):
    model: str = Field(description="Fingerprint of the weights; vectors of other weights are in another space")
    queries: list[EmbeddedQuery]
    pictures: list[EmbeddedPicture]


class Error(BaseModel):
    error: str = Field(description="One line: what is wrong, and how to fix it")
