"""How Clothing Co-Parsing tags merge into the project's parsing classes, and groups of these."""

import numpy as np

from dmvton.parsing import Parsing

_CCP_TAGS = {
    Parsing.SKIN: "skin",
    Parsing.HAIR: "hair",
    Parsing.UPPER: (
        "blouse bra hoodie intimate jumper shirt sweater sweatshirt swimwear t-shirt top"
    ),
    Parsing.OUTER: "blazer cape cardigan coat jacket suit vest",
    Parsing.DRESS: "bodysuit dress romper",
    Parsing.LOWER: "jeans leggings panties pants shorts skirt stockings tights",
    Parsing.SHOES: "boots clogs flats heels loafers pumps sandals shoes sneakers socks wedges",
    Parsing.BAG: "bag purse wallet",
    Parsing.ACCESSORY: "accessories belt bracelet earrings gloves necklace ring scarf tie watch",
    Parsing.HEADWEAR: "glasses hat sunglasses",
}

CCP_CLASS = {tag: cls for cls, tags in _CCP_TAGS.items() for tag in tags.split()}

TOPS = (Parsing.UPPER, Parsing.OUTER, Parsing.DRESS)

# What may lie in front of a top: the garment goes on behind these.
OCCLUDERS = (
    Parsing.SKIN,
    Parsing.HAIR,
    Parsing.BAG,
    Parsing.ACCESSORY,
    Parsing.HEADWEAR,
)


def ccp_lookup(tag_names: list[str]) -> np.ndarray:
    """Lookup table (len(tag_names),) uint8 from CCP tag index to `Parsing`.

    Raises:
        ValueError: a tag that this project does not know.
    """
    table = np.zeros(len(tag_names), np.uint8)
    for index, name in enumerate(tag_names):
        if name == "null":
            continue
        if name not in CCP_CLASS:
            raise ValueError(f"unknown CCP tag {name!r}; known: {sorted(CCP_CLASS)}")
        table[index] = CCP_CLASS[name]
    return table


def hidden_by(parsing: np.ndarray) -> np.ndarray:
    """Mask (H, W) bool of everything that may lie in front of a top."""
    return np.isin(parsing, OCCLUDERS)
