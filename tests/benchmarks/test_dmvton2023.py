"""The rebuilt 2023 student: identifying counts, outputs, training, both forms, ONNX."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.counts import count  # noqa: E402
from benchmarks.dmvton2023 import ForExport, Student2023, Student2023Config  # noqa: E402
from benchmarks.export2023 import INPUTS, OPSET, OUTPUTS, export_onnx  # noqa: E402
from benchmarks.mobilenet import Stage  # noqa: E402

SIZE = (64, 96)
TINY = Student2023Config(
    width=8,
    scales=tuple((Stage(2, c, 1, 1 if c == 4 else 2),) for c in (4, 6, 8, 9, 10)),
    hidden=(6,),
    radius=2,
    unet=(4, 6, 8),
    unet_repeats=1,
)


def pictures(batch=1, size=SIZE):
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.rand(batch, c, *size, generator=generator) for c in (3, 3, 1))


def tiny(form="plain"):
    torch.manual_seed(2)
    config = Student2023Config(**{**vars(TINY), "cost_volume": form})
    model = Student2023(config).eval()
    with torch.no_grad():  # displacements of some pixels, so that sampling matters
        for network in model.flow:
            network.refine[-1].weight.mul_(20)
    return model


def test_counts_are_those_of_the_published_student():
    counts = count(Student2023().eval(), pictures(size=(256, 192)))
    assert counts.total.parameters == pytest.approx(9.35e6, rel=0.03)
    assert counts.total.macs == pytest.approx(34.5e9, rel=0.03)
    assert counts.weight_bytes == pytest.approx(37.6e6, rel=0.03)
    assert set(counts.parts) == {"person_features", "garment_features", "flow", "generator"}
    assert sum(part.macs for part in counts.parts.values()) == counts.total.macs
    assert counts.parts["generator"].macs < 0.02 * counts.total.macs


def test_outputs_have_their_shapes_and_ranges():
    out = tiny()(*pictures(batch=2))
    height, width = SIZE
    for name, channels in {"image": 3, "warped_garment": 3, "rendered": 3, "composite": 1}.items():
        value = getattr(out, name)
        assert value.shape == (2, channels, height, width)
        assert 0 <= value.min() and value.max() <= 1
    sizes = [(height // 2**k, width // 2**k) for k in (5, 4, 3, 2, 1, 0)]
    assert [flow.shape for flow in out.flows] == [(2, 2, *size) for size in sizes]


def test_image_is_the_composition():
    out = tiny()(*pictures())
    expected = out.composite * out.warped_garment + (1 - out.composite) * out.rendered
    torch.testing.assert_close(out.image, expected)
    assert (out.composite <= out.warped_mask).all()


def test_without_displacement_the_garment_stays_where_it_is():
    model = tiny()
    with torch.no_grad():
        for network in model.flow:
            for last in (network.estimate[-1], network.refine[-1]):
                last.weight.zero_()
                last.bias.zero_()
    person, garment, mask = pictures()
    out = model(person, garment, mask)
    torch.testing.assert_close(out.warped_garment, garment * mask)
    torch.testing.assert_close(out.warped_mask, mask)


def test_every_parameter_is_trained():
    model = tiny().train()
    out = model(*pictures(batch=2))
    (out.image.square().mean() + sum(flow.square().mean() for flow in out.flows)).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_both_forms_of_the_cost_volume_give_the_same_picture():
    plain, matmul = tiny("plain"), tiny("matmul")
    matmul.load_state_dict(plain.state_dict())
    for got, expected in zip(matmul(*pictures()), plain(*pictures()), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", ["plain", "matmul"])
def test_onnx_agrees_with_torch(form, tmp_path):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model, inputs, path = ForExport(tiny(form)).eval(), pictures(), tmp_path / "student.onnx"
    export_onnx(model, inputs, path)
    graph = onnx.load(path)
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", OPSET)]
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
    with torch.no_grad():
        expected = model(*inputs)
    for got, want in zip(session.run(list(OUTPUTS), feed), expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), atol=1e-4)
