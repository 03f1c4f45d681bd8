"""benchmark/results/search.md from search.json."""

from __future__ import annotations

from typing import Any

from search_peers import ABOUT


def to_markdown(record: dict[str, object]) -> str:
    machine = record["machine"]
    lines = [
        "# Search of albums",
        "",
        "Written by `python benchmark/search.py`; do not edit. Synthetic albums with 16 object vectors of 128 values "
        f"an image, float16 (`benchmark/synthetic_album.py`). {machine['processor']}, torch {machine['torch']} with "
        f"{machine['threads']} thread(s). Where wall time exceeds CPU time, other work had the machine. Recall is the "
        "share of the 10 best images by exact scores that is among the 10 found; queries have one to three entities.",
        "",
        "| images | bytes an image | written, images/s | and CPU s | then, CPU s |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    albums = [record["albums"][size] for size in sorted(record["albums"], key=int)]
    for album in albums:
        lines.append(
            f"| {album['images']:,} | {album['bytes_per_image']:,.0f} | {album['insert_per_second']:,.0f} | "
            f"{album['insert_cpu']:.1f} | {album['index_cpu']:.1f} |"
        )
    lines += [
        "",
        "| images | search | wall p50 ms | p95 | CPU p50 ms | p95 | recall@10 |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for album in albums:
        for name, latency in (album["searches"] | album["peers"]).items():
            figures = " | ".join(f"{latency[key]:.0f}" for key in ("wall_p50", "wall_p95", "cpu_p50", "cpu_p95"))
            label = f"**{name}**" if name in album["searches"] else name
            lines.append(f"| {album['images']:,} | {label} | {figures} | {latency['recall']:.3f} |")
    lines += ["", *(text for name, text in ABOUT.items() if any(name in album["peers"] for album in albums))]
    for album in albums:
        built = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in album["peer_index_cpu"].items())
        if built:
            lines.append(f"CPU time of peers' indexes at {album['images']:,} images: {built}.")
    if "world" in record:
        world = record["world"]
        lines += [
            "",
            "## A world's photographs, find-tiny",
            "",
            f"{world['images']} photographs: {world['index_per_second']:.1f} indexed a second "
            f"({world['index_per_cpu_second']:.0f} a CPU second), {world['bytes_per_image']:,.0f} bytes an image with "
            f"{world['objects_per_image']:.1f} objects on average. A query from words and regions to ten hits: "
            f"{world['query_ms_with_model']:.0f} ms ({world['query_cpu_ms_with_model']:.0f} ms CPU), of which the "
            f"search {world['search']['wall_p50']:.0f} ms; recall@10 {world['search']['recall']:.3f}.",
            "",
            "Cosines (10 %, 50 %, 90 % quantiles), which the synthetic albums were made to resemble:",
            "",
            "| | world | synthetic |",
            "| --- | ---: | ---: |",
        ]
        for name, real in record["statistics"]["real"].items():
            columns = (real, record["statistics"]["synthetic"][name])
            lines.append(f"| {name} | " + " | ".join(" ".join(f"{x:.2f}" for x in column) for column in columns) + " |")
    if "chains" in record:
        lines += ["", *_chains(record["chains"])]
    return "\n".join(lines) + "\n"


def _chains(costs: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "## The cost of connections",
        "",
        "The same queries of two and three entities, with their connections and without (the published score), in "
        "turns in one process; find-tiny's pair term. Chains are solved for as many of the best images as the album's "
        "name says. Where wall time exceeds CPU time over threads, other work had the machine. Measured by "
        "`benchmark/search_chains.py`.",
        "",
        "| album | images | threads | search | | wall p50 ms | p95 | CPU p50 ms | p95 |",
        "| --- | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, cost in costs.items():
        for way, taken in cost["milliseconds"].items():
            figures = " | ".join(f"{taken[key]:.0f}" for key in ("wall_p50", "wall_p95", "cpu_p50", "cpu_p95"))
            lines.append(f"| {name} | {cost['images']:,} | {cost['threads']} | {cost['way']} | {way} | {figures} |")
        with_them, without = (cost["milliseconds"][way] for way in ("with", "without"))
        ratios = " | ".join(f"{with_them[key] / without[key]:.2f}" for key in without)
        lines.append(f"| {name} | {cost['images']:,} | {cost['threads']} | {cost['way']} | ratio | {ratios} |")
    for name, cost in costs.items():
        if cost["agreement"]:
            shares = ", ".join(f"{100 * share:.1f} % for {count}" for count, share in cost["agreement"].items())
            lines += [
                "",
                f"{name}: share of {cost['queries']} queries whose ten best images, in their order, are those of "
                f"chains in all {cost['images']:,} images, by the number of images for which chains are solved: "
                f"{shares}.",
            ]
    return lines
