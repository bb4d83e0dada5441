"""Kernels of our own for a CPU, in plain C, compiled where they run (`build.py`) and called by ctypes."""
