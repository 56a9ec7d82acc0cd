"""Processes that share the work of a script."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor


def alone() -> None:
    """One thread for a process: several processes with several each would mostly wait for each other."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def pool(workers: int) -> ProcessPoolExecutor:
    """Processes that begin anew, with one thread each: threads of torch and OpenCV do not survive a fork."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=alone)
