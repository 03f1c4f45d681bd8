"""One function a fixture file: the recorded inputs go through our code, everything recorded after is compared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from find.foundations.focal import FocalNet
from find.integrations.official.convert import read_state
from find.integrations.official.published import Published
from find.interface import Group, Prompt
from find.tasks import generic, retrieval
from find.tasks.grounding import Phrases
from published_reference.clicks import answer_at, rounds
from published_reference.parity.fixture import Fixture, Reference
from published_reference.parity.interleaved import demo_interleave, interleave_grounding, retrieval_interleave
from published_reference.parity.layout import (
    PADDED_TEXT,
    check_all,
    check_outputs,
    check_sentences,
    check_tokens,
    class_logits,
    pack,
    projected,
)
from published_reference.parity.pictures import canvases, frame_of, remember
from published_reference.parity.training import train_losses, train_losses_swap
from published_reference.recipes import SENTENCE, ground, select, whole_texts

NOISE = 3e-7
"""Of a class probability times a mask probability in float32 (reference section 13: 8e-6 of a mask logit)."""


def class_embeddings(reference: Reference, fixture: Fixture) -> None:
    model = reference.model
    prompts = reference.meta["class_prompts"]
    text = model.language.tokenize(prompts)
    length = reference.sizes["text"]["class_token_length"]
    ids = F.pad(text.ids, (0, length - text.ids.shape[1]), value=model.language.padding_id)
    padding = F.pad(text.padding, (0, length - text.padding.shape[1]), value=True)
    positions = ((~padding).long().cumsum(1) - 1).masked_fill(padding, 1)
    fixture.same("input_ids", ids)
    fixture.same("attention_mask", ~padding)
    fixture.same("position_ids", positions)
    fixture.check("hidden_state", model.language.hidden(ids, padding))
    fixture.check("token_emb_projected", projected(model, ids, padding))
    bank = torch.cat([reference.bank, model.interface.background[None]])
    fixture.check("class_text_embeddings", bank)

    read = model.language(text)
    words = model.interface.project_text_tokens(read.tokens[:1], read.padding[:1])
    packed = pack(words, filler=PADDED_TEXT)
    fixture.check("class_tokens_first.class_tokens_emb", packed.values)
    fixture.same("class_tokens_first.class_tokens_mask", packed.padding)
    fixture.check("class_out_first.pred_retrievals_class", bank[:1, None])
    # The original reads class prompts on maps of zeros, whose other outputs it recorded too.
    channels, width = model.config.interface.mask_width, model.interface.width
    zeros = [torch.zeros(1, width, side, side) for side in (20, 40, 80)]
    memory = model.interface.memory_of_levels(zeros, torch.zeros(1, channels, 160, 160))
    out = model.interface(memory, [generic.prompt()]).final
    check_outputs(fixture, "class_out_first", out, memory)


def focal_variant(reference: Reference, fixture: Fixture) -> None:
    state = read_state(reference.tiny / "focal_variant_state_dict.pt")
    published = Published.sort(state, source="focal_variant_state_dict.pt")
    net = FocalNet(published.focal_config())
    published.check(published.backbone, net.state_dict())
    net.load_state_dict(published.backbone)
    for image, prefix in (("input_tensor", "backbone"), ("odd_input_tensor", "odd")):
        for number, features in enumerate(net(fixture.given(image)), start=2):
            fixture.check(f"{prefix}.res{number}", features)


def plain(reference: Reference, fixture: Fixture) -> None:
    model = reference.model
    images = [fixture.given(name) for name in fixture.names("image.")]
    canvas = canvases(images)
    fixture.check("input_tensor", model.vision.normalise(canvas))
    fixture.same("image_sizes", torch.tensor([image.shape[-2:] for image in images]))
    maps = model.vision(canvas).maps
    for number, features in enumerate(maps, start=2):
        fixture.check(f"backbone.res{number}", features)
    pixels = model.interface.pixel_decoder(maps)
    fixture.check("mask_features", pixels.mask_features)
    fixture.check("transformer_encoder_features", pixels.encoded)
    for number, level in enumerate(pixels.levels):
        fixture.check(f"multi_scale_features.{number}", level)
    memory = model.interface.encode_image(maps)
    check_all(fixture, reference, "", model.interface(memory, [generic.prompt()], deep=True).layers, memory)


def evaluate_panoptic(reference: Reference, fixture: Fixture) -> None:
    model, about = reference.model, reference.meta["evaluate"]
    image = fixture.given("image")
    frame = frame_of(image, (about["height"], about["width"]))
    memory = remember(reference, image)
    out = model.interface(memory, [generic.prompt()]).final
    logits = class_logits(reference, out)[0]
    masks = frame.crop(torch.einsum("nm,mhw->nhw", out.pixel[Group.OBJECT][0], memory.mask_features[0]))
    evidence = generic.semantic(logits, masks)
    fixture.check("sem_seg", F.avg_pool2d(evidence[None], 5)[0])
    fixture.check("sem_seg_corner", evidence[:, :16, :16])

    things = torch.zeros(len(reference.class_words), dtype=torch.bool)
    things[about["things"]] = True
    settings = generic.PanopticSettings(score=about["object_mask_threshold"], overlap=about["overlap_threshold"])
    found = generic.panoptic(logits, masks, things, settings)
    recorded = torch.from_numpy(fixture.arrays["panoptic_seg"])
    tied = undecided(logits, masks, settings.score)
    fixture.same("panoptic_seg", torch.where(tied, recorded, found.segment_map))
    fixture.notes.append(
        f"evaluate_panoptic: {int(tied.sum())} of {tied.numel()} pixels are claimed by two proposals whose scores lie "
        f"within {NOISE:.0e}, less than float32 resolves here; they are not compared "
        f"({int((found.segment_map != recorded)[tied].sum())} of them went the other way)."
    )
    wanted = [(s["id"], s["category_id"], s["isthing"]) for s in about["segments_info"]]
    got = [(k, label, bool(things[label])) for k, label in enumerate(found.labels, start=1)]
    fixture.arrays["segments_info"] = np.array(wanted)
    fixture.same("segments_info", np.array(got))

    instances = generic.instances(generic.only_best_pairs(logits, limit=about["topk"]), masks, things)
    order = np.argsort(-fixture.arrays["instance_scores"], kind="stable")  # the original leaves them unsorted
    for name in ("instance_scores", "instance_classes", "instance_mask_area"):
        fixture.arrays[name] = fixture.arrays[name][order]
    fixture.check("instance_scores", instances.scores)
    fixture.same("instance_classes", instances.labels)
    fixture.same("instance_mask_area", instances.masks.sum((1, 2)))


def undecided(logits: Tensor, masks: Tensor, least: float) -> Tensor:
    """Pixels that two proposals claim with equal scores up to `NOISE`: whose they are depends on rounding."""
    score, label = logits.softmax(dim=-1).max(dim=-1)
    keep = (label < logits.shape[-1] - 1) & (score > least)
    best = (score[keep, None, None] * masks[keep].sigmoid()).topk(2, dim=0).values
    return best[0] - best[1] < NOISE


def image_text_retrieval(reference: Reference, fixture: Fixture) -> None:
    model = reference.model
    captions = reference.meta["retrieval_captions"]
    ids, padding = check_tokens(fixture, model, captions, "tokens", reference.context)
    fixture.check("token_emb", projected(model, ids, padding))
    memory = remember(reference, fixture.given("image"))
    memory = select(memory, torch.zeros(len(captions), dtype=torch.long))
    read = model.language(model.language.tokenize(captions))
    words = model.interface.project_text_tokens(read.tokens, read.padding)
    packed = pack(words, filler=PADDED_TEXT)
    fixture.check("call.extra.retrieval_tokens", packed.values)
    fixture.same("call.extra.retrieval_nonzero_mask", packed.padding)
    caption = Prompt(retrieval.PROTOTYPE, tokens={Group.CAPTION_TOKENS: words})
    out = model.interface(memory, [generic.prompt(), caption])
    check_all(fixture, reference, "call", out.layers, memory)
    fixture.check("image_embeds", out.final.semantic[Group.IMAGE][0])
    fixture.check("text_embeds", retrieval.embed_texts(model.interface, read.tokens, read.padding))


def retrieval_interleave_text(reference: Reference, fixture: Fixture) -> None:
    model = reference.model
    images = [fixture.given(name) for name in fixture.names("image.")]
    captions = reference.meta["retrieval_captions"][: len(images)]
    both = [check_tokens(fixture, model, [c], f"tokens.{k}", reference.context) for k, c in enumerate(captions)]
    fixture.check("token_emb", torch.cat([projected(model, *tokens) for tokens in both]))
    sentences = whole_texts(model, captions)
    check_sentences(fixture, model, "call.extra", sentences)
    for sign in ("pos", "neg"):
        for k, image in enumerate(images):
            canvas = frame_of(image).canvas
            fixture.same(f"call.extra.interleave_query_{sign}_mask.{k}", torch.zeros(1, *canvas))
    memory = remember(reference, *images)
    out = model.interface(memory, [generic.prompt(), sentences.prompt(model.interface, SENTENCE, None)])
    check_all(fixture, reference, "call", out.layers, memory)
    for k in range(len(images)):
        fixture.check(f"image_embeds.{k}", out.final.semantic[Group.IMAGE][k])
        fixture.check(f"text_embeds.{k}", out.final.semantic[Group.INTERLEAVED][k])


def phrase_grounding(reference: Reference, fixture: Fixture) -> None:
    model, texts = reference.model, reference.meta["grounding_texts"]
    ids, padding = check_tokens(fixture, model, texts, "tokens", reference.context)
    fixture.check("token_emb", projected(model, ids, padding))
    image = fixture.given("image")
    memory = remember(reference, image)
    prompt = Phrases.read(model.language, [texts], model.device).prompt(model.interface)
    packed = pack(prompt.tokens[Group.DESCRIPTION_TOKENS], filler=PADDED_TEXT)
    fixture.check("call.extra.grounding_tokens", packed.values)
    fixture.same("call.extra.grounding_nonzero_mask", packed.padding)
    fixture.same("call.extra.grounding_token_indices", packed.index)
    fixture.same("call.extra.grounding_query_indices", prompt.slots[Group.DESCRIPTION].index.T)
    layers = model.interface(memory, [generic.prompt(), prompt], deep=True).layers
    check_all(fixture, reference, "call", layers, memory)
    chosen, _ = ground(model, memory, prompt)
    fixture.check("similarity", chosen.scores[0])
    fixture.same("matched", chosen.proposal[0])
    size = tuple(fixture.arrays["grounding_mask"].shape[-2:])
    fixture.check("grounding_mask", frame_of(image, size).crop(chosen.logits[0]))


def interactive_rounds(reference: Reference, fixture: Fixture) -> None:
    model = reference.model
    image, strokes, targets = (fixture.given(name) for name in ("image", "rand_shape", "gt_masks"))
    full = fixture.given("gt_masks_orisize")
    memory = remember(reference, image)
    frame = frame_of(image)
    ious, wrong = [], torch.zeros_like(targets)
    count = len(fixture.arrays["mask_iou"])
    for k, step in enumerate(rounds(model, memory, strokes[None], targets[None], count)):
        fixture.same(f"iter.{k}.extra.spatial_query_pos_mask.0", step.positives[0])
        fixture.same(f"iter.{k}.extra.spatial_query_neg_mask.0", step.negatives[0])
        fixture.same(f"iter.{k}.extra.spatial_query_indices", torch.arange(len(strokes))[:, None])
        if step.previous is not None:
            fixture.check(f"iter.{k}.extra.prev_mask", step.previous)
            before = F.interpolate(step.previous, targets.shape[-2:], mode="bilinear", align_corners=False)
            wrong = wrong | ((before > 0) & ~targets)
            fixture.same(f"iter.{k}.extra.false_positive_mask", wrong)
        fixture.check(f"iter.{k}.out.prev_mask", step.answer)
        check_outputs(fixture, f"iter.{k}.out", step.outputs, memory)
        answer = answer_at(step.answer, frame.canvas, tuple(image.shape[-2:]), tuple(full.shape[-2:]))[0]
        ious.append((answer & full).sum((1, 2)) / (answer | full).sum((1, 2)))
    fixture.check("mask_iou", torch.stack(ious), tolerance=1e-6)


def replay(reference: Reference, name: str) -> Fixture:
    """Runs one fixture; its `comparisons` say what came out."""
    fixture = reference.fixture(name)
    with torch.no_grad():
        REPLAYS[name](reference, fixture)
    return fixture


REPLAYS: dict[str, Callable[[Reference, Fixture], None]] = {
    "class_embeddings": class_embeddings,
    "focal_variant": focal_variant,
    "plain_batch2": plain,
    "plain_single": plain,
    "evaluate_panoptic": evaluate_panoptic,
    "retrieval": image_text_retrieval,
    "retrieval_interleave_text": retrieval_interleave_text,
    "grounding": phrase_grounding,
    "interactive_one_point": interactive_rounds,
    "interactive_two_masks": interactive_rounds,
    "interleave_grounding": interleave_grounding,
    "demo_interleave": demo_interleave,
    "retrieval_interleave": retrieval_interleave,
    "train_losses": train_losses,
    "train_losses_swap": train_losses_swap,
}
