"""The published files of COCO 2017 with panoptic segments and of FIND-Bench's sentences."""

from __future__ import annotations

from find.data.prepare_release import AnnotationFile, Download, Release, SentenceFile, SplitRelease

COCO = "http://images.cocodataset.org"
FIND_BENCH = "https://huggingface.co/datasets/xueyanz/FIND-Bench/resolve/main"

TRAIN_IMAGES = Download(
    "train2017.zip",
    f"{COCO}/zips/train2017.zip",
    19_336_861_798,
    "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
)
VAL_IMAGES = Download(
    "val2017.zip",
    f"{COCO}/zips/val2017.zip",
    815_585_330,
    "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
)
ANNOTATIONS = Download(
    "annotations_trainval2017.zip",
    f"{COCO}/annotations/annotations_trainval2017.zip",
    252_907_541,
    "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
)
PANOPTIC = Download(
    "panoptic_annotations_trainval2017.zip",
    f"{COCO}/annotations/panoptic_annotations_trainval2017.zip",
    860_725_834,
    "c05f76d2129b6b561eb70efe16e7006df62f73fb92889132d373b9d90e31a370",
)


def _split(split: str, pictures: int, images: Download, captions: int, instances: int) -> SplitRelease:
    panoptic = AnnotationFile(f"panoptic_{split}.json", pictures, "images", PANOPTIC)
    files = (
        AnnotationFile(f"captions_{split}.json", captions, "captions", ANNOTATIONS),
        AnnotationFile(f"instances_{split}.json", instances, "instances", ANNOTATIONS),
    )
    return SplitRelease(split, pictures, images, PANOPTIC, panoptic, files, _sentences(split))


def _sentences(split: str) -> tuple[SentenceFile, ...]:
    """FIND-Bench: short sentences of both splits, long ones of val2017, the only split evaluated with references."""
    if split == "train2017":
        return (SentenceFile("entity_train2017.json", _find_bench("entity_train2017.json")),)
    names = (f"entity_{split}.json", f"entity_{split}_long.json")
    return tuple(SentenceFile(name, _find_bench(name), name.replace("entity", "interleave")) for name in names)


def _find_bench(name: str) -> Download:
    return Download(f"annotations/{name}", f"{FIND_BENCH}/{name}")


COCO_2017 = Release(
    "COCO 2017 with FIND-Bench",
    (
        _split("train2017", 118_287, TRAIN_IMAGES, captions=591_753, instances=860_001),
        _split("val2017", 5_000, VAL_IMAGES, captions=25_014, instances=36_781),
    ),
)
