"""A model out of Python: its halves as graphs for ONNX Runtime or `torch.export`, and a runtime that answers by them."""
