"""How tests start processes of their own."""

import torch


def start_method() -> str:
    """fork, which is fastest; but spawn where CUDA is there, which a forked process cannot use."""
    return "spawn" if torch.cuda.is_available() else "fork"
