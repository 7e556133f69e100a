import numpy as np
import pytest

from dmvton.parsing import Parsing
from pose_synth.labels import CCP_CLASS, OCCLUDERS, ccp_lookup

# The 58 tags of Clothing Co-Parsing and its background.
TAGS = """null accessories bag belt blazer blouse bodysuit boots bra bracelet cape cardigan clogs
coat dress earrings flats glasses gloves hair hat heels hoodie intimate jacket jeans jumper leggings
loafers necklace panties pants pumps purse ring romper sandals scarf shirt shoes shorts skin skirt
sneakers socks stockings suit sunglasses sweater sweatshirt swimwear t-shirt tie tights top vest
wallet watch wedges""".split()


def test_every_tag_is_merged_and_no_other_is_known():
    assert len(TAGS) == 59
    assert set(CCP_CLASS) == set(TAGS) - {"null"}
    table = ccp_lookup(TAGS)
    assert table.dtype == np.uint8 and table[0] == Parsing.BACKGROUND
    assert (table[1:] != Parsing.BACKGROUND).all()
    assert set(table) == set(Parsing)


@pytest.mark.parametrize(
    ("tag", "merged"),
    [("t-shirt", Parsing.UPPER), ("coat", Parsing.OUTER), ("romper", Parsing.DRESS),
     ("jeans", Parsing.LOWER), ("skin", Parsing.SKIN), ("purse", Parsing.BAG),
     ("scarf", Parsing.ACCESSORY), ("hat", Parsing.HEADWEAR), ("boots", Parsing.SHOES),
     ("hair", Parsing.HAIR)],
)  # fmt: skip
def test_tags_merge_into_their_class(tag, merged):
    assert ccp_lookup(["null", "skin", tag])[2] == merged


def test_order_of_the_tags_is_that_of_the_file():
    assert list(ccp_lookup(["hair", "null", "top"])) == [Parsing.HAIR, 0, Parsing.UPPER]


def test_unknown_tag_is_named():
    with pytest.raises(ValueError, match="'spacesuit'"):
        ccp_lookup(["null", "spacesuit"])


def test_garments_hide_no_garment():
    clothes = {Parsing.UPPER, Parsing.OUTER, Parsing.DRESS, Parsing.LOWER, Parsing.BACKGROUND}
    assert not clothes & set(OCCLUDERS)
