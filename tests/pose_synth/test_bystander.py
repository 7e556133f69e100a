from dataclasses import replace

import cv2
import numpy as np
import pytest

from dmvton.parsing import Parsing
from pose_synth.bystander import MOST_HIDDEN, with_bystander
from pose_synth.recipe import Generator, Recipe
from tests.figures import LONGSLEEVE, TSHIRT, make_garment, make_outfit


@pytest.fixture(scope="module")
def garments():
    return [make_garment(TSHIRT), make_garment(LONGSLEEVE, "longsleeve/a")]


@pytest.fixture(scope="module")
def drawn(garments):
    """(outfit, sample, the same in company) of somebody; who comes along is all of one colour."""
    outfit = make_outfit()
    generator = Generator([outfit], garments, Recipe(real_target=0, real_input=1))
    other = make_outfit("other")
    other = replace(other, image=np.full_like(other.image, (255, 0, 255)))
    samples = [generator.draw(np.random.default_rng(seed)) for seed in range(12)]
    company = [
        with_bystander(np.random.default_rng(seed), sample, outfit, other)
        for seed, sample in enumerate(samples)
    ]
    return outfit, samples, company


def pink(image):
    return (np.abs(image.astype(int) - (255, 0, 255)) < 12).all(-1)


def test_a_bystander_is_the_same_in_input_and_target(drawn):
    _, samples, company = drawn
    areas = []
    for alone, together in zip(samples, company, strict=True):
        there = pink(together.person)
        assert (there != pink(together.target)).mean() < 0.005, "the rim is mixed with cloth"
        away = cv2.dilate(there.astype(np.uint8), np.ones((9, 9))) == 0  # beyond the soft rim
        changed = (together.person != alone.person).any(-1)
        assert (changed & away).mean() < 0.005, "slivers of them are no full pink"
        areas.append(there.mean())
    assert np.median(areas) > 0.03


def test_what_a_bystander_hides_is_no_garment_and_no_person(drawn):
    outfit, samples, company = drawn
    before = behind = 0
    for alone, together in zip(samples, company, strict=True):
        there = pink(together.target) & ~pink(alone.target)
        for mask in (together.target_mask, together.person_mask):
            assert (mask[there] > 16).sum() <= 2, "mixtures that look pink"
        assert (together.parsing[there] == Parsing.BACKGROUND).all()
        assert (together.target_mask <= alone.target_mask).all()
        lost = 1 - together.target_mask.sum() / alone.target_mask.sum()
        assert lost <= MOST_HIDDEN + 0.01
        hides = (there & (outfit.parsing > 0)).any()
        before, behind = before + hides, behind + (not hides and there.any())
    assert before and behind > before


def test_product_samples_show_a_bystander_on_request(garments):
    people = [make_outfit(f"{k}", sleeve=0.4 + 0.1 * k) for k in range(3)]
    alone = Generator(people, garments, Recipe(real_target=1))
    company = Generator(people, garments, Recipe(real_target=1, bystander=1))
    changed = 0
    for seed in range(6):
        a, b = (g.draw(np.random.default_rng(seed)) for g in (alone, company))
        changed += not np.array_equal(a.target, b.target)
    assert changed >= 4
