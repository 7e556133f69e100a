"""A tiny student whose parts all do something, for tests of exports."""

from functools import cache
from pathlib import Path

import torch
from onnx import ModelProto

from dmvton.checkpoint import save_model
from dmvton.student.config import StudentConfig
from dmvton.student.model import Student
from export.pair import OPSET, Form, build_pair

SMALL = (64, 48)
TINY = StudentConfig(width=16, thin=8, decoder=(16, 16, 12, 8, 8), tokens=1, pretrained=False)


def tiny_student(sizes: StudentConfig = TINY) -> Student:
    """Random weights; flows move and batch norms scale, as after training."""
    torch.manual_seed(0)
    student = Student(sizes)
    for refiner in student.warper.refiners:
        torch.nn.init.normal_(refiner.head.weight, 0, 0.05)
    for name, value in student.named_buffers():
        if name.endswith("running_mean"):
            value.normal_(0, 0.2)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
    return student.eval()


def save_tiny(folder: Path) -> Path:
    """A checkpoint of it in an existing folder."""
    save_model(folder, tiny_student(), {"student": TINY.__dict__, "step": 7})
    return folder


@cache
def tiny_graphs(opset: int = OPSET) -> dict[str, ModelProto]:
    """Its fp32 graphs at size SMALL, by file; not to be changed."""
    return build_pair(tiny_student(), SMALL, Form(), opset).models
