"""The command line: what it writes, and one line with status 2 for everything that goes wrong."""

import importlib.util
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from app import cli, doctor
from dmvton.image_io import read_picture
from tests.fake_pair import garment_picture, person_picture


@pytest.fixture
def photos(tmp_path):
    """Folder with person.png and garment.png that the fake network understands."""
    Image.fromarray(person_picture(600, 500, (180, 200, 120, 160))).save(tmp_path / "person.png")
    Image.fromarray(garment_picture()).save(tmp_path / "garment.png")
    return tmp_path


@pytest.fixture
def run_try(photos, fake_weights, capsys):
    """Run ``dmvton try`` on the photos: arguments that differ to (status, output, errors)."""

    def run(person="person.png", garment="garment.png", output="out.png", *more):
        words = [str(photos / person), str(photos / garment), "-o", str(photos / output)]
        status = cli.main(["try", *words, "--weights", str(fake_weights), *more])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def assert_refused(outcome, says):
    status, out, err = outcome
    assert status == 2 and out == ""
    assert err.startswith("dmvton: error: ") and err.count("\n") == 1
    assert says in err


def test_try_writes_the_picture(run_try, photos):
    status, out, err = run_try()
    assert (status, out.strip(), err) == (0, str(photos / "out.png"), "")
    result, person = read_picture(photos / "out.png").rgb, read_picture(photos / "person.png").rgb
    assert result.shape == person.shape
    assert (result != person)[200:360, 180:300].any()
    np.testing.assert_array_equal(result[:150], person[:150])


def test_try_names_the_output_after_the_person(photos, fake_weights, capsys):
    words = [str(photos / "person.png"), str(photos / "garment.png")]
    assert cli.main(["try", *words, "--weights", str(fake_weights)]) == 0
    assert (photos / "person-tryon.png").exists()


def test_layers(run_try, photos):
    assert (
        run_try("person.png", "garment.png", "out.png", "--layers", str(photos / "a" / "b"))[0] == 0
    )
    names = {path.name for path in (photos / "a" / "b").iterdir()}
    layers = {"warped", "garment_mask", "alpha", "beta", "rendered", "flow"}
    assert names == {f"{name}.png" for name in layers} | {"contact.jpg"}
    assert read_picture(photos / "a" / "b" / "flow.png").rgb.shape == (256, 192, 3)


def test_exif_rotated_person_gives_the_upright_result(run_try, photos):
    run_try()
    upright = Image.open(photos / "person.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(photos / "turned.png", exif=exif)
    assert run_try("turned.png", output="turned-out.png")[0] == 0
    wanted, got = (read_picture(photos / name).rgb for name in ("out.png", "turned-out.png"))
    np.testing.assert_array_equal(got, wanted)


def test_cmyk_grey_and_transparent_photos_are_dressed(run_try, photos):
    person = Image.open(photos / "person.png")
    person.convert("CMYK").save(photos / "cmyk.jpg", quality=95)
    person.convert("RGBA").save(photos / "rgba.png")
    grey = np.array(Image.open(photos / "garment.png").convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(photos / "grey16.png")
    assert run_try("cmyk.jpg", output="1.png")[0] == 0
    assert run_try("rgba.png", output="2.png")[0] == 0
    assert run_try("person.png", "grey16.png", "3.png")[0] == 0


def test_text_named_jpg(run_try, photos):
    (photos / "text.jpg").write_text("not a photo")
    assert_refused(run_try("text.jpg"), "not a JPEG, PNG or WebP")
    assert_refused(run_try("person.png", "text.jpg"), "not a JPEG, PNG or WebP")


def test_truncated(run_try, photos):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(photos / "whole.jpg")
    data = (photos / "whole.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(data[: len(data) // 2])
    assert_refused(run_try("cut.jpg"), "damaged or cut short")


def test_bomb(run_try, photos):
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 2501 * 20_000, 9)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        png += struct.pack(">I", len(data)) + name + data
        png += struct.pack(">I", zlib.crc32(name + data))
    (photos / "bomb.png").write_bytes(png)
    assert_refused(run_try("bomb.png"), "pixels, at most 50 million")
    assert_refused(run_try("person.png", "bomb.png"), "pixels, at most 50 million")


def test_empty_missing_and_folder(run_try, photos):
    (photos / "empty.jpg").touch()
    assert_refused(run_try("empty.jpg"), "is empty")
    assert_refused(run_try("absent.jpg"), "no such file")
    assert_refused(run_try("."), "is not a file")


def test_no_person(run_try, photos):
    Image.fromarray(person_picture(400, 500, None)).save(photos / "nobody.png")
    assert_refused(run_try("nobody.png"), "no person")
    assert not (photos / "out.png").exists()


def test_blank_garment(run_try, photos):
    Image.new("RGB", (300, 400), "white").save(photos / "blank.png")
    assert_refused(run_try("person.png", "blank.png"), "blank")
    assert not (photos / "out.png").exists()


def test_unwritable_outputs_leave_nothing(run_try, photos):
    before = sorted(photos.rglob("*"))
    assert_refused(run_try(output="absent/out.png"), "does not exist")
    assert_refused(run_try(output="person.png/out.png"), "person.png")
    assert_refused(run_try(output="out.gif"), "ending not known")
    layers = str(photos / "person.png" / "layers")
    assert_refused(run_try("person.png", "garment.png", "out.png", "--layers", layers), "folder")
    assert sorted(photos.rglob("*")) == before


def test_output_is_checked_before_the_work(run_try, monkeypatch):
    def not_reached(*args):
        raise AssertionError("worked before it knew that the output is writable")

    monkeypatch.setattr("app.try_on.load_network", not_reached)
    assert_refused(run_try(output="absent/out.png"), "does not exist")


def test_try_runs_on_the_runtime_that_is_named(run_try, photos):
    assert_refused(
        run_try("person.png", "garment.png", "out.png", "--runtime", "tpu"),
        "no runtime 'tpu'; expected one of onnxruntime, openvino",
    )
    pytest.importorskip("openvino", reason='pip install "dmvton[openvino]"')
    assert run_try("person.png", "garment.png", "1.png")[0] == 0
    assert run_try("person.png", "garment.png", "2.png", "--runtime", "openvino")[0] == 0
    first, second = (read_picture(photos / f"{n}.png").rgb.astype(int) for n in (1, 2))
    assert np.abs(first - second).max() <= 1


def test_tampered_and_missing_weights(photos, fake_weights, tmp_path, capsys):
    words = ["try", str(photos / "person.png"), str(photos / "garment.png"), "-o"]
    words += [str(tmp_path / "out.png"), "--weights"]
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    for path in fake_weights.iterdir():
        (spoilt / path.name).write_bytes(path.read_bytes())
    data = bytearray((spoilt / "frame.onnx").read_bytes())
    data[100] ^= 255
    (spoilt / "frame.onnx").write_bytes(data)
    for folder, says in ((spoilt, "SHA-256"), (tmp_path / "absent", "no weights")):
        status = cli.main([*words, str(folder)])
        captured = capsys.readouterr()
        assert_refused((status, captured.out, captured.err), says)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["dress"], "unknown command 'dress'"),
        (["try"], "required: PERSON, GARMENT"),
        (["try", "a.jpg", "b.jpg", "--colour", "red"], "unrecognized arguments"),
        (["try", "a.jpg", "b.jpg", "--category", "shoes"], "category 'shoes'"),
        (["try", "a.jpg", "b.jpg", "--threads", "0"], "--threads 0"),
        (["try", "a.jpg", "b.jpg", "--threads", "many"], "invalid int"),
    ],
)
def test_wrong_usage(words, says, capsys):
    status = cli.main(words)
    captured = capsys.readouterr()
    assert_refused((status, captured.out, captured.err), says)


def test_help_lists_the_commands_that_exist(capsys):
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    assert "doctor" in shown and "try" in shown
    assert set(cli.available_commands()) <= set(cli.COMMANDS)


def test_command_whose_module_does_not_exist_is_not_offered(monkeypatch, capsys):
    ghost = cli.Command("app.ghost", "haunt", None)
    monkeypatch.setitem(cli.COMMANDS, "ghost", ghost)
    monkeypatch.setitem(cli.COMMANDS, "phantom", cli.Command("nowhere.ghost", "haunt", None))
    assert not {"ghost", "phantom"} & set(cli.available_commands())
    assert cli.main(["ghost"]) == 2
    assert "unknown command 'ghost'" in capsys.readouterr().err


@pytest.fixture
def command_that_imports(monkeypatch, tmp_path):
    """Register the command ``probe``, whose module imports the given one."""

    def register(imported, extra):
        (tmp_path / "probe_command.py").write_text(f"import {imported}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "probe_command", raising=False)
        monkeypatch.setitem(cli.COMMANDS, "probe", cli.Command("probe_command", "probe", extra))

    return register


def test_missing_extra_is_one_line_with_the_remedy(command_that_imports, capsys):
    command_that_imports("surely_not_installed.part", "train")
    status = cli.main(["probe"])
    captured = capsys.readouterr()
    outcome = (status, captured.out, captured.err)
    assert_refused(outcome, "needs the package surely_not_installed")
    assert_refused(outcome, 'pip install "dmvton[train]"')


def test_missing_module_of_ours_is_a_bug_and_shows_itself(command_that_imports):
    command_that_imports("dmvton.surely_not_there", "train")
    with pytest.raises(ModuleNotFoundError):
        cli.main(["probe"])


def test_doctor_reports_the_machine(capsys):
    assert cli.main(["doctor"]) in (0, 1)  # 1 while there are no weights
    shown = capsys.readouterr().out
    for word in ("python", "cores", "weights", "onnxruntime", "extras", "train"):
        assert word in shown


def test_doctor_tells_each_extra_and_its_remedy(capsys, monkeypatch):
    there = importlib.util.find_spec
    gone = ("ml_dtypes", "polygraphy", "cuda", "pnnx", "openvino")

    def find_spec(name, package=None):
        if name == "cuda.bindings":
            raise ModuleNotFoundError("No module named 'cuda'", name="cuda")
        known = ("torch", "onnx", "safetensors", "onnxslim", "tensorrt_rtx", "ncnn", "coremltools")
        return object() if name in known else None if name in gone else there(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    cli.main(["doctor"])
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    told = {words[0]: words[1] for words in rows if len(words) == 2}
    assert told["export"] == 'lacks ml_dtypes for dmvton export: pip install "dmvton[export]"'
    assert told["tensorrt"] == (
        'lacks polygraphy, cuda.bindings for dmvton export tensorrt: pip install "dmvton[tensorrt]"'
    )
    assert told["mobile"].startswith("lacks pnnx for dmvton export ncnn, export coreml: pip")
    assert told["openvino"].endswith('openvino: pip install "dmvton[openvino]"')
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: object())
    cli.main(["doctor"])
    shown = capsys.readouterr().out
    assert "lacks" not in shown and shown.count("installed") == len(doctor._EXTRAS)


def test_as_a_process_an_error_is_one_line_without_traceback(tmp_path):
    command = [sys.executable, "-m", "app.cli", "try", "absent.jpg", "absent.jpg", "-o", "o.png"]
    root = str(cli.__file__).removesuffix("/app/cli.py")
    environment = {"PYTHONPATH": root}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
