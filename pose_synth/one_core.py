"""What every process that draws samples asks for: one core, and the memory it has had."""

import cv2
from threadpoolctl import threadpool_limits

from dmvton.memory import keep_memory


def use_one_core() -> None:
    """From here on OpenCV and BLAS run on one thread, and freed memory is kept (`keep_memory`).

    Pictures this small gain nothing from a second thread, and processes beside each other, one a
    core, lose a third of their speed to the threads of the others.
    """
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")
    keep_memory()
