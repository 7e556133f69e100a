"""A garment on the person in a video: its size, times and sound stay, and nothing half-done."""

import re
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from app import cli
from app.engine.follow import Follower
from tests.fake_pair import garment_picture, person_picture

av = pytest.importorskip("av")

TORSO_FRAMES = [(90 + 4 * n, 60 + n, 60, 80) for n in range(8)]


def write_video(path, torsos, size=(240, 320), codec="libx264", pix_fmt="yuv420p", sound=None):
    """A video whose frames come at uneven times."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        voice = file.add_stream(sound, rate=48000) if sound else None
        if voice is not None:
            voice.layout = "mono"
        for number, torso in enumerate(torsos):
            picture = person_picture(*size, torso)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = 40 * number + 7 * (number % 3), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        if voice is not None:
            wave = np.sin(np.arange(48000 // 4) / 20).astype(np.float32)[None]
            tone = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            tone.sample_rate, tone.pts = 48000, 0
            for part in av.AudioResampler(voice.format, "mono", 48000).resample(tone):
                file.mux(voice.encode(part))
            file.mux(voice.encode(None))
        file.mux(stream.encode(None))
    return path


def pictures(path):
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def times(path):
    with av.open(str(path)) as file:
        return [round(frame.time, 3) for frame in file.decode(video=0)]


def sound_packets(path):
    with av.open(str(path)) as file:
        if not file.streams.audio:
            return []
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(garment_picture()).save(tmp_path / "garment.png")
    return tmp_path


@pytest.fixture
def run_video(folder, fake_weights, capsys):
    def run(source="in.mkv", output="out.mkv", garment="garment.png"):
        words = [str(folder / source), str(folder / garment), "-o", str(folder / output)]
        status = cli.main(["video", *words, "--weights", str(fake_weights), "--threads", "1"])
        return status, *capsys.readouterr()

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("ending", "sound"), [("mp4", "aac"), ("mkv", "pcm_s16le")])
def test_size_times_and_sound_stay(run_video, folder, ending, sound):
    source = write_video(folder / f"in.{ending}", TORSO_FRAMES, sound=sound)
    status, out, err = run_video(source.name, f"out.{ending}")
    output = folder / f"out.{ending}"
    assert (status, out) == (0, f"{output}: 8 frames, 8 with the garment on\n")
    assert re.search(r" 8/\d+ \[", err)  # the progress
    assert times(output) == times(source)
    assert sound_packets(output) == sound_packets(source) != []
    for before, after in zip(pictures(source), pictures(output), strict=True):
        assert after.shape == before.shape
        torso = (before[..., 0] > 150) & (before[..., 1] < 80)
        blue = after[..., 2].astype(int) - after[..., 0]
        assert np.median(blue[torso]) > 80  # the garment's
        assert np.abs(after[:40].astype(int) - before[:40]).mean() < 4


def test_odd_sides(run_video, folder):
    write_video(folder / "in.mkv", TORSO_FRAMES[:2], size=(241, 321), pix_fmt="yuv444p")
    assert run_video()[0] == 0
    assert pictures(folder / "out.mkv")[0].shape == (241, 321, 3)


def test_webm(run_video, folder):
    write_video(folder / "in.mkv", TORSO_FRAMES[:2], sound="libopus")
    assert run_video(output="out.webm")[0] == 0
    with av.open(str(folder / "out.webm")) as file:
        assert [stream.codec_context.name for stream in file.streams.video] == ["vp9"]
    assert sound_packets(folder / "out.webm") == sound_packets(folder / "in.mkv") != []


def test_frames_without_anybody_stay(run_video, folder):
    write_video(folder / "in.mkv", [None, *TORSO_FRAMES[:2], None])
    status, out, _ = run_video()
    assert status == 0 and "4 frames, 2 with the garment on" in out
    before, after = pictures(folder / "in.mkv"), pictures(folder / "out.mkv")
    for index in (0, 3):
        assert np.abs(after[index].astype(int) - before[index]).mean() < 4


def test_output_may_be_the_input(run_video, folder):
    before = pictures(write_video(folder / "in.mkv", TORSO_FRAMES[:2]))[0].astype(int)
    assert run_video(output="in.mkv")[0] == 0
    assert np.abs(pictures(folder / "in.mkv")[0] - before).max() > 100
    assert names(folder) == ["garment.png", "in.mkv"]


def refused(outcome, says):
    status, out, err = outcome
    assert status == 2 and out == ""
    assert err.splitlines()[-1].startswith("dmvton: error: ") and says in err
    assert "Traceback" not in err


def test_nobody_in_the_whole_video(run_video, folder):
    write_video(folder / "in.mkv", [None, None])
    refused(run_video(), "nobody with a visible torso in any of 2 frames")
    assert names(folder) == ["garment.png", "in.mkv"]


def test_interrupted_leaves_what_was_there(run_video, folder, monkeypatch):
    write_video(folder / "in.mkv", TORSO_FRAMES * 6)
    (folder / "out.mkv").write_bytes(b"an older one")
    look, count = Follower.look, [0]

    def interrupted(follower, frame):
        count[0] += 1
        if count[0] == 45:  # the encoder looks some frames ahead
            assert len(names(folder)) == 4  # the unfinished file, beside the old one
            raise KeyboardInterrupt
        return look(follower, frame)

    monkeypatch.setattr(Follower, "look", interrupted)
    status, _, err = run_video()
    assert status == 130 and "interrupted" in err
    assert names(folder) == ["garment.png", "in.mkv", "out.mkv"]
    assert (folder / "out.mkv").read_bytes() == b"an older one"


def test_inputs_that_are_no_video(run_video, folder):
    (folder / "text.mp4").write_text("not a video")
    refused(run_video("text.mp4"), "cannot be read as a video")
    refused(run_video("absent.mp4"), "no such file")
    refused(run_video("."), "no such file")
    (folder / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{folder / 'in.mkv'}\n#EXT-X-ENDLIST\n"
    )
    refused(run_video("list.m3u8"), "MP4")
    (folder / "list.txt").write_text(f"ffconcat version 1.0\nfile {folder / 'in.mkv'}\n")
    refused(run_video("list.txt"), "MP4")
    refused(run_video("garment.png"), "MP4")
    assert not (folder / "out.mkv").exists()


def test_sound_without_a_picture(run_video, folder):
    with av.open(str(folder / "sound.mkv"), "w") as file:
        voice = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        tone.sample_rate, tone.pts = 8000, 0
        file.mux(voice.encode(tone))
    refused(run_video("sound.mkv"), "has no picture")


def test_cut_short_and_damaged_videos_end_in_a_word_or_a_video(run_video, folder):
    whole = write_video(folder / "in.mp4", TORSO_FRAMES).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(12):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 12):
            damaged[at] ^= int(rng.integers(1, 256))
        (folder / "bad.mp4").write_bytes(damaged[: len(whole) if number % 2 else len(whole) // 2])
        status, _, err = run_video("bad.mp4", "bad-out.mp4")
        assert status in (0, 2) and "Traceback" not in err
        assert (folder / "bad-out.mp4").exists() == (status == 0)
        (folder / "bad-out.mp4").unlink(missing_ok=True)
    assert names(folder) == ["bad.mp4", "garment.png", "in.mp4"]


def test_outputs_that_cannot_be_written(run_video, folder):
    write_video(folder / "in.mkv", TORSO_FRAMES[:2], sound="pcm_s16le")
    refused(run_video(output="out.gif"), "ending not known")
    refused(run_video(output="absent/out.mkv"), "does not exist")
    refused(run_video(output="out.webm"), "cannot hold this sound")
    (folder / "folder.mkv").mkdir()
    refused(run_video(output="folder.mkv"), "not a file")
    assert names(folder) == ["folder.mkv", "garment.png", "in.mkv"]


def test_turned_video_is_dressed_upright(folder, run_video):
    """Phones store what the sensor saw, and how to turn it."""
    import shutil
    import subprocess

    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg, which writes the note that turns a video")
    upright = person_picture(320, 240, (80, 90, 60, 80))
    with av.open(str(folder / "lying.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        lying = np.ascontiguousarray(np.rot90(upright, -1))
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(lying, "rgb24")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    note = ["-c", "copy", "-metadata:s:v", "rotate=90", str(folder / "in.mp4")]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(folder / "lying.mp4"), *note], check=True)
    with av.open(str(folder / "in.mp4")) as file:
        if not next(file.decode(video=0)).rotation:
            pytest.skip("this ffmpeg writes no note")
    status, _, _ = run_video("in.mp4", "out.mp4")
    after = pictures(folder / "out.mp4")[0].astype(int)
    assert status == 0 and after.shape == (320, 240, 3)
    assert (after[130, 110] - after[10, 10])[2] > 60  # the garment is where the torso was
    assert np.abs(after[:60] - upright[:60]).mean() < 4
