"""Export of a model's halves as graphs of ONNX or `torch.export`, and a runtime for them."""
