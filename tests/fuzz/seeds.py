"""Where fuzzing begins, by target: sound inputs of every form, and inputs that once failed."""

import json

REGIONS = [
    {"image": "a.jpg", "box": [0, 0, 9, 9]},
    {"image": "a.jpg", "points": [[1, 2], [3, 4]], "label": "Rex"},
    {"image": "a.jpg", "mask": {"size": [4, 4], "counts": "358"}},
    {"image": "a.jpg", "mask": {"size": [4, 4], "counts": [3, 5, 8]}},
    {"image": "a.jpg", "polygon": [[0, 0], [9, 0], [9, 9]]},
    {"image": "a.jpg", "scribble": [[0, 0], [5, 5]]},
    {"image": {"png": "iVBORw0KGgo="}, "mask": "m.png"},
]
IMAGE = {"id": 1, "file_name": "1.jpg", "height": 48, "width": 64}
CATEGORY = {"id": 18, "name": "dog", "isthing": 1, "color": [1, 2, 3]}
SEGMENT = {"id": 7, "category_id": 18, "area": 9, "bbox": [0, 0, 3, 3], "iscrowd": 0}
PHRASE = {"phrase": "a dog", "annotation_id": ["7"], "start_idx": 0, "end_idx": 5}
SENTENCE = {"id": 10, "image_id": 1, "sentence": "a dog.", "phrase": [PHRASE]}
OBJECT = {"id": 1, "image_id": 1, "category_id": 18, "segmentation": [[0, 0, 9, 0, 9, 9]], "area": 40, "iscrowd": 0}
DOCUMENTS = [
    {"images": [IMAGE], "annotations": [{"image_id": 1, "file_name": "1.png", "segments_info": [SEGMENT]}],
     "categories": [CATEGORY]},
    {"images": [IMAGE], "annotations": [OBJECT], "categories": [CATEGORY]},
    {"annotations": [{"id": 1, "image_id": 1, "caption": "A dog."}]},
    {"annotations": [SENTENCE]},
    {"annotations": [{"id": 5, "image_id": 1, "segment_id": 7, "sentence": "a dog"}]},
    {"annotations": [{"id": 50, "sentence_id": 10, "changed": {"what": "relation"}}]},
    {"queries": [{"id": 0, "image_id": 1, "parts": [{"phrase": "a dog"}]}],
     "masks": [{"query_id": 0, "entity": 0, "segmentation": {"size": [4, 4], "counts": "358"}, "score": 0.5}]},
    {"annotations": [{"image_id": 1, "file_name": "1.png", "segments_info": [{"id": 7, "category_id": 18}]}]},
]  # fmt: skip

SEEDS: dict[str, list[bytes]] = {
    "query_text": [
        b"a [dog.jpg@120,80] next to {a red sofa}", b"[b.jpg@1,2,3.5,4] [c.jpg@1,2;3,4] [d.jpg#m.png]!",
        rb"\{x\} [my\@dog\#1.jpg#m\].png] {a \[b\]} \\", b"[C:/photos/dog.jpg@1e3,-2]", b"", b"{", b"[a@nan,1]",
        b"a \xff {dog}", "{日本} 😀".encode(),
    ],
    "query_json": [
        *(json.dumps({"parts": ["a ", {"phrase": "dog"}, {"region": region}]}).encode() for region in REGIONS),
        b'{"parts": [{"region": {"image": "a", "mask": {"size": [99999, 99999], "counts": "0"}}}]}',
        b'{"parts": [{"region": {"image": "a", "box": [0, 0, 1' + b"0" * 400 + b', 1]}}]}',
        b'{"parts": [{"region": {"image": "a", "box": [0, 0, 1, 1], "label": {}}}]}', b'{"parts": ["\\ud800"]}',
    ],
    "album_filter": [
        b"width > 640 AND path LIKE 'holiday/%'", b"path IN (:a, 'it''s')\nx'--", b"NOT (width = -:a)\n1",
        b"time > timestamp '2024-05-01' OR seconds IS NULL", b"regexp_like(path, '(a+)+$')", b"width / 0 > 1",
        b"cast(path as int) BETWEEN 1 AND 2", b"case when width > 1 then 1 else 2 end = 1", b"\"width\" = `height`",
    ],
    "runs": [b"\x03" + text for text in (b"358", b"0`0", b"P2", b"PQ", b"0000000000", b"~~~", b"", b"oooo0")],
    "annotations": [
        *(bytes([number]) + json.dumps(document).encode() for number, document in enumerate(DOCUMENTS)),
        b"\0\xef\xbb\xbf{}", b"\0" + b"[" * 2000, b'\2{"annotations": [{"image_id": "1", "caption": "\\ud800"}]}',
        b'\2{"annotations": [{"image_id": 1.0, "caption": "a"}, {"image_id": NaN, "caption": 7}, 3, null]}',
    ],
}  # fmt: skip
