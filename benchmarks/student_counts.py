"""Parameters and multiply-accumulates of the student, per part.

    python -m benchmarks.student_counts [--size 256 192]

The frame is counted with the garment cached, as the runtime runs it.
"""

import argparse

import torch

from benchmarks.counts import count, table
from dmvton.student.config import StudentConfig
from dmvton.student.model import Student
from export.pair import FrameGraph, GarmentGraph


def main(argv: list[str] | None = None) -> None:
    """Prints one table a graph, and the parameters of both together."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(256, 192))
    size = parser.parse_args(argv).size
    student = Student(StudentConfig(pretrained=False)).eval()
    person, garment = torch.rand(2, 1, 3, *size)
    with torch.no_grad():
        features = GarmentGraph(student)(garment)
    print(f"garment graph, once a garment, {size[0]}x{size[1]}")
    print(table(count(GarmentGraph(student), (garment,), depth=3)))
    print("\nframe graph, once a frame (its parameters include the garment encoder's)")
    print(table(count(FrameGraph(student), (person, garment, *features), depth=3)))
    total = sum(p.numel() for p in student.parameters())
    print(f"\nstudent: {total / 1e6:.2f} M parameters")


if __name__ == "__main__":
    main()
