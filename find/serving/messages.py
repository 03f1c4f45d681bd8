"""Requests and answers of the service; OpenAPI describes these."""

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
"""Of a list, or pictures of a request, that are looked at at all; the service's limits are far below."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, body: object) -> object:
        """Says of an unknown field which ones there are; pydantic tells only that it is not permitted, of each."""
        known = [field.alias or name for name, field in cls.model_fields.items()]
        unknown = [name for name in body if name not in known] if isinstance(body, dict) else []
        if unknown:
            field = unknown[0][:40].encode(errors="replace").decode()  # half a surrogate pair cannot be sent back
            told = {"field": field, "known": ", ".join(known)}
            raise PydanticCustomError("unknown_field", "there is no field {field}; there are {known}", told)
        for name, value in body.items() if isinstance(body, dict) else ():
            _check_value(name, value)
        return body


def _check_value(name: str, value: object) -> None:
    """Refuses what would cost much or could not be answered: of each of millions of wrong parts pydantic tells, in
    gigabytes; text that is not valid Unicode (half a surrogate pair) cannot be sent back.
    """
    parts = value if isinstance(value, (list, dict)) else [value]
    if len(parts) > MOST_PARTS:
        told = {"name": name, "count": len(parts), "most": MOST_PARTS}
        raise PydanticCustomError("too_many", "{name} has {count} items, more than {most}", told)
    try:
        for part in parts:
            part.encode() if isinstance(part, str) else None
    except UnicodeEncodeError:
        raise PydanticCustomError("no_unicode", "{name} holds text that is not valid Unicode", {"name": name}) from None


class SearchRequest(_Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "{a blue car} on {the road}", "k": 5}]})

    query: str = Field(description=QUERY, examples=["{a blue car} on {the road}", "a dog like [rex@120,80]"])
    others: list[str] = Field(default=[], alias="and", description="Queries that an image must match as well")
    without: list[str] = Field(default=[], description="Queries that it must not match")
    images: dict[str, str] = Field(default={}, description=IMAGES)
    k: int = Field(default=10, ge=1, description="Number of hits")
    where: str | None = Field(
        default=None,
        description="SQL condition on path, time, width, height, bytes, modified, frame, seconds",
        examples=["width > 640 AND path LIKE 'holiday/%'"],
    )
    dim: int | None = Field(default=None, ge=1, description="Values of each vector to compare; null for all")
    min_relevance: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Keep only those of the k hits whose probability of being relevant is at least this",
    )
    masks: bool = Field(default=False, description="Whether entities come with masks (COCO run-length codes)")
    include_query: bool = Field(
        default=False, description="Whether images of the album that the query's regions are of may be hits"
    )


class Mask(BaseModel):
    """COCO's compressed run-length code."""

    size: list[int] = Field(description="Height and width")
    counts: str


class FoundEntity(BaseModel):
    text: str = Field(description="The phrase, or the region's name in brackets")
    term: float = Field(description="Cosine with the image's object that it takes")
    object: int = Field(description="Number of that object among the image's")
    box: list[int] = Field(description="x0, y0, x1, y1 in pixels, x1 and y1 just outside")
    segmentation: Mask | None = None


class FoundConnection(BaseModel):
    text: str = Field(description="Words beside the entities")
    entities: list[int] = Field(description="Numbers of the two that they stand between, or of the one they place")
    fit: float = Field(
        description="How they fit where the objects lie: 1 as they say, 0 they say nothing, -1 otherwise"
    )


class FoundQuery(BaseModel):
    query: str
    is_excluded: bool = Field(description="Whether it is one of `without`")
    score: float = Field(
        description="Weighted sum of image_term, the mean of the entities' terms and what connections add; published "
        "weights: image_term + 0.5 x mean; one alone where one is missing"
    )


class AlbumImage(BaseModel):
    name: str = Field(description="Path below the album's folder of photos; what a region of a query calls it")
    width: int
    height: int
    time: datetime | None = Field(description="When it was taken, if the file tells")
    frame: int = Field(description="Number of a video's frame; 0 for a photograph")
    seconds: float | None = Field(description="Since a video's start; null for a photograph")
    picture: str = Field(description="Path of its picture with what was found, on this server")


class SampleAnswer(BaseModel):
    total: int = Field(description="Images of the album")
    images: list[AlbumImage]


class FoundImage(AlbumImage):
    rank: int
    score: float = Field(
        description="Of a single query, its score; else the mean of those of `query` and `and`, less half of the "
        "greatest of those of `without`"
    )
    relevance: float | None = Field(
        description="Probability that the image is relevant; null for weights without a match head, and for queries "
        "without entities"
    )
    image_term: float | None = Field(
        description="Cosine of the sentence with the image; null where the query is an entity by itself"
    )
    entities: list[FoundEntity] = Field(description="Of `query`")
    connections: list[FoundConnection] = Field(description="Of `query`; none of weights that do not compare them")
    queries: list[FoundQuery] = Field(description="What `query`, each of `and` and each of `without` gives")


READ_AS = "with the entities that were found in braces; a query that marks entities itself is unchanged"


class SearchAnswer(BaseModel):
    read_as: list[str] = Field(description="`query`, each of `and` and each of `without`, " + READ_AS)
    hits: list[FoundImage]
    unknown_words: list[str] = Field(description="Words unknown to the language model: results for them are a guess")


IMAGE = "The picture to look into, a file in base64 or the handle of a kept picture; or `name`"
NAME = "An image of the album to look into, by its path below the folder of photos; or `image`"


class KeepRequest(_Request):
    image: str = Field(description="A picture file in base64")


class KeptPicture(BaseModel):
    picture: str = Field(
        description="Its handle, which requests may carry in the place of the file", examples=["picture:0f3a..."]
    )
    width: int
    height: int
    seconds: float = Field(
        description="After its last use, in which the handle is valid; less where other pictures need the room. "
        "A request with an expired one is answered by 410: send the picture again"
    )


class SegmentRequest(_Request):
    image: str | None = Field(default=None, description=IMAGE)
    name: str | None = Field(default=None, description=NAME)
    query: str = Field(description=QUERY, examples=["{a red dog} next to {a sofa}"])
    images: dict[str, str] = Field(default={}, description=IMAGES)


class SegmentedEntity(BaseModel):
    text: str
    score: float = Field(description="Probability with which its mask was chosen, 0..1")
    present: float | None = Field(
        description="Probability that it is in the picture at all, 0..1; null for weights without a match head"
    )
    doubtful: bool = Field(
        description="An empty mask, a thing that is probably not there, a low score, or words that the language model "
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
    points: list[_Point] = Field(default=[], max_length=64, description="x, y in pixels, of one thing")
    box: Annotated[list[_Coordinate], Field(min_length=4, max_length=4)] | None = Field(
        default=None, description="x0, y0, x1, y1 in pixels, around the thing, beside `points` or in their place"
    )
    scribbles: list[_Line] = Field(
        default=[], max_length=16, description="Lines over the thing, each of 2 or more x, y"
    )
    lassos: list[_Outline] = Field(
        default=[], max_length=16, description="Closed outlines of the thing, each of 3 or more x, y"
    )
    negatives: list[_Point] = Field(default=[], max_length=64, description="x, y of what does not belong to the thing")
    negative_scribbles: list[_Line] = Field(
        default=[], max_length=16, description="Lines over what does not belong to the thing"
    )


class InteractAnswer(BaseModel):
    width: int
    height: int
    score: float = Field(description="Probability with which the mask was chosen, 0..1")
    doubtful: bool = Field(description="An empty mask, or a low score")
    box: list[int] | None = Field(description="x0, y0, x1, y1 in pixels; null for an empty mask")
    segmentation: Mask


class FindAllRequest(_Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "rex.jpg", "query": "[rex.jpg@120,80]", "threshold": 0.5}]}
    )

    image: str | None = Field(default=None, description=IMAGE)
    name: str | None = Field(default=None, description=NAME)
    query: str = Field(
        description="One phrase or region, which shows by example what is sought: {a dog}, [rex.jpg@120,80]"
    )
    others: list[str] = Field(default=[], alias="and", description="Further examples of it")
    without: list[str] = Field(default=[], description="Examples of what is not sought")
    images: dict[str, str] = Field(default={}, description=IMAGES)
    threshold: float = Field(default=0.5, ge=0, le=1, description="Least match probability of what is found")


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
    instances: list[Instance] = Field(description="The likeliest first; none where there is none")


class PanopticRequest(_Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "rex.jpg", "classes": ["dog", "sofa", "wall"]}]})

    image: str | None = Field(default=None, description=IMAGE)
    name: str | None = Field(default=None, description=NAME)
    classes: list[str] | None = Field(
        default=None, min_length=1, max_length=256, description="Names of classes; null for COCO's 133"
    )
    is_thing: list[bool] | None = Field(
        default=None,
        max_length=256,
        description="Of each class, whether its segments can be counted; null: those of COCO's stuff cannot",
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
    entities: list[list[float]] = Field(description="A unit vector each")


class EmbeddedPicture(BaseModel):
    vector: list[float] = Field(description="Unit vector of the image")
    objects: list[list[float]] = Field(description="A unit vector for each object proposal")
    scores: list[float] = Field(description="How sure each proposal is of its mask, 0..1")


class EmbedAnswer(BaseModel):
    model: str = Field(description="Fingerprint of the weights; vectors of other weights are in another space")
    queries: list[EmbeddedQuery]
    pictures: list[EmbeddedPicture]


class Error(BaseModel):
    error: str = Field(description="One line: what is wrong, and how to fix it")
