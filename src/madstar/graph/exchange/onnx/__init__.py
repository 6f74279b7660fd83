"""ONNX out and in: a graph as an ONNX file that runs, an ONNX file as a graph to edit and build."""

from .reading import onnx_weights, read_onnx
from .writing import OnnxReport, write_onnx

__all__ = ["OnnxReport", "onnx_weights", "read_onnx", "write_onnx"]
