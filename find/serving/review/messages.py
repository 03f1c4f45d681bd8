"""Requests and answers of the review page."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from find.serving.messages import Mask

PointXY = Annotated[list[float], Field(min_length=2, max_length=2)]
Points = Annotated[list[PointXY], Field(max_length=200)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Strokes(_Request):
    """Marks of an object: points and a box in pixels of the photo, and points outside the object."""

    points: Points = []
    negatives: Points = []
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None


class NewObject(Strokes):
    category: int


class Change(_Request):
    """A decision on an object, or another class for it."""

    decision: Literal["undecided", "kept", "dropped"] | None = None
    category: int | None = None


class Restore(_Request):
    """The version of an object that it has again."""

    version: int


class Category(BaseModel):
    id: int
    name: str


class PhotoLine(BaseModel):
    """A photo of the list."""

    id: int
    name: str
    width: int
    height: int
    is_reviewed: bool


class Overview(BaseModel):
    file: str
    categories: list[Category]
    photos: list[PhotoLine]
    missing: list[str] = Field(description="Number of the file's pictures that are missing")


class ReviewedObject(BaseModel):
    id: int
    category: int
    score: float | None = Field(description="The model's score, if the model found it")
    state: Literal["undecided", "kept", "corrected", "added", "dropped"]
    segmentation: Mask | None
    version: int = Field(description="Number of changes of the object in this review")


class PhotoState(BaseModel):
    """A photo after a change, with what is left to do."""

    id: int
    is_reviewed: bool
    objects: list[ReviewedObject]
    counts: dict[str, int] = Field(description="Numbers of the file's objects by decision")
    object: int | None = Field(default=None, description="The object that was added")
