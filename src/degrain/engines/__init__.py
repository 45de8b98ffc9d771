"""What runs a network on an array: ONNX Runtime by default, PyTorch where asked for."""
