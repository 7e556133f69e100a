"""What happens on the demo's page, on arrays and without the page; and the command."""

import io
import socket
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from app import cli
from app.engine import Engine, EngineLimits
from app.gallery import EXAMPLE_PERSON, offered_garments
from app.layers import LAYERS
from app.session import Session, Sessions
from tests.fake_pair import garment_picture, person_picture

gr = pytest.importorskip("gradio")

from app.events import NO_PERSON, Events  # noqa: E402

PERSON = person_picture(600, 500, (180, 200, 120, 160))
NOBODY = person_picture(400, 500, None)
ANNA, BERT = SimpleNamespace(session_hash="anna"), SimpleNamespace(session_hash="bert")


def pressed(index):
    return SimpleNamespace(index=index)


def encoded(rgb, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def engine(fake_tryon):
    engine = Engine(fake_tryon, EngineLimits(garment_side=500), workers=1)
    yield engine
    engine.shutdown()


@pytest.fixture
def events(engine):
    return Events(Sessions(engine), offered_garments())


# What is shown


def test_photo_keeps_its_size_and_what_is_not_garment(events):
    image, layers, line = events.dress_photo(PERSON, ANNA)
    assert image.shape == PERSON.shape and line.startswith("500 × 600 pixels in ")
    assert (image != PERSON)[200:360, 180:300].any()
    np.testing.assert_array_equal(image[:150], PERSON[:150])
    assert [name for _, name in layers] == list(LAYERS.values())
    assert {picture.shape for picture, _ in layers} == {(256, 192, 3)}


def test_photo_as_the_bytes_of_a_file_gives_the_same(events):
    from_array, from_bytes = (
        events.dress_photo(source, ANNA)[0] for source in (PERSON, encoded(PERSON))
    )
    np.testing.assert_array_equal(from_array, from_bytes)


def test_nobody_in_the_photo_is_said_and_the_photo_stays(events, capsys):
    image, layers, line = events.dress_photo(NOBODY, ANNA)
    np.testing.assert_array_equal(image, NOBODY)
    assert layers == [] and line.startswith(NO_PERSON)
    assert NO_PERSON in capsys.readouterr().out


def test_no_photo_shows_nothing(events):
    assert events.dress_photo(None, ANNA)[:2] == (None, [])


def test_what_is_no_picture_is_refused_in_a_sentence(events):
    with pytest.warns(UserWarning, match="Not a JPEG|not a JPEG"):
        image, layers, line = events.dress_photo(b"not a photo", ANNA)
    assert image is None and layers == [] and "not a JPEG" in line


# What is worn


def test_new_visitor_wears_the_first_garment(events, engine):
    line, key = events.worn(ANNA)
    assert line == "Wearing: **Striped**" and key in engine.garments


def test_what_is_chosen_is_ready_for_the_live_view(events, engine):
    line, key = events.choose(pressed(2), ANNA)
    assert line == f"Wearing: **{events.garments[2].name}**"
    wanted = engine.tryon.garment(events.garments[2].picture)
    np.testing.assert_array_equal(engine.garments.get(key).picture, wanted.picture)
    assert key != events.worn(BERT)[1]


def test_garment_that_had_to_make_room_comes_back(events, engine):
    events.choose(pressed(1), ANNA)
    key = events.worn(ANNA)[1]
    other = engine.garments.get(key)
    for number in range(engine.limits.garments):
        engine.garments.put(f"g-{number}", other)
    assert key not in engine.garments
    assert events.dress_photo(PERSON, ANNA)[0].shape == PERSON.shape
    assert events.worn(ANNA)[1] == key and key in engine.garments


def test_visitors_share_the_offered_garments_and_nothing_else(events):
    events.choose(pressed(1), ANNA)
    events.choose(pressed(1), BERT)
    assert events.worn(ANNA) == events.worn(BERT)
    for visitor in (ANNA, BERT):
        events.add_garment(garment_picture(), visitor)
    assert events.worn(ANNA)[1] != events.worn(BERT)[1]  # nobody can guess another's garment


def test_own_garments_are_worn_and_the_oldest_go(events):
    for count in (1, 2, 3, 3):
        gallery, worn, _ = events.add_garment(garment_picture(), ANNA)
        assert len(gallery) == len(events.garments) + count and worn == "Wearing: **Yours**"
    assert len(events.offered()) == len(events.garments)
    assert events.choose(pressed(len(events.garments)), ANNA)[0] == "Wearing: **Yours**"


def test_large_own_garment_is_shrunk(engine):
    session = Session(engine)
    session.add_garment(garment_picture(1200, 900))
    assert session.worn.picture.rgb.shape == (500, 375, 3)
    assert session.garment().photo.image.shape == (500, 375, 3)


def test_cut_out_garment_keeps_its_mask(engine):
    rgba = np.dstack([garment_picture(800, 600), np.full((800, 600), 255, np.uint8)])
    rgba[:200, :, 3] = 0
    session = Session(engine)
    session.add_garment(rgba)
    alpha = session.worn.picture.alpha
    assert alpha.shape == (500, 375) and (alpha[:100] == 0).all()


@pytest.mark.parametrize(
    ("source", "says"),
    [(np.full((300, 300, 3), 255, np.uint8), "blank"), (b"text", "not a JPEG")],
)
def test_unusable_garment_leaves_what_was_worn(events, source, says):
    events.choose(pressed(1), ANNA)
    before = events.worn(ANNA)
    with pytest.warns(UserWarning, match=says):
        gallery, *worn = events.add_garment(source, ANNA)
    assert tuple(worn) == before and len(gallery) == len(events.garments)


def test_garment_that_is_no_longer_kept(events):
    with pytest.warns(UserWarning, match="no longer kept"):
        assert events.choose(pressed(99), ANNA)[0] == "Wearing: **Striped**"


def test_errors_cannot_write_markup(events):
    from app.events import _sentence
    from dmvton.errors import ImageError

    assert _sentence(ImageError("<b>x</b>\n y")) == "&lt;b&gt;x&lt;/b&gt; y"


def test_leaving_forgets(events):
    events.worn(ANNA)
    events.leave(ANNA)
    assert len(events.sessions) == 0


# What comes with it


def test_garments_are_the_drawn_ones():
    from examples.make_garment import DESIGNS

    garments = offered_garments()
    assert {photo.name.lower() for photo in garments} == set(DESIGNS)
    assert garments[0].name == "Striped" and max(garments[0].thumbnail.shape) <= 320


def test_packaged_pictures_are_those_of_the_examples(request):
    examples = request.config.rootpath / "examples"
    static = EXAMPLE_PERSON.parent
    for ours, theirs in (
        (EXAMPLE_PERSON, "person_astronaut.jpg"),
        (static / "garments" / "striped.jpg", "garment_striped.jpg"),
    ):
        assert ours.read_bytes() == (examples / theirs).read_bytes()


def test_example_person_can_be_used(events):
    assert events.example_person().shape == (512, 512, 3)


# The command


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--port", "0"], "--port 0"),
        (["--port", "99999"], "--port 99999"),
        (["--threads", "0"], "--threads 0"),
        (["--cert", "cert.pem"], "one of --cert and --key"),
        (["--cert", __file__, "--key", __file__], "no usable certificate"),
        (["--host", "nowhere.invalid"], "cannot listen on nowhere.invalid"),
    ],
)
def test_wrong_usage(words, says, capsys):
    assert cli.main(["demo", *words]) == 2
    shown = capsys.readouterr().err
    assert says in shown and shown.count("\n") == 1


def test_port_that_is_taken(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert cli.main(["demo", "--port", port]) == 2
    assert f"port {port} is in use" in capsys.readouterr().err
