"""A model out of Python: its halves as graphs of ONNX or `torch.export`, and a runtime that answers by them."""
