"""Reads the network that dlib writes with ``serialize()``.

An integer is a control byte (low nibble: number of bytes that follow; 0x80: negative) and little-endian bytes. A float
is a mantissa and a power of two, each an integer. A tensor is a version, four dimensions, and little-endian float32.
Source: dlib's ``serialize.h`` and ``dnn/layers.h``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CHIP_SIZE = 150
"""Rows and columns of the aligned face that the network takes, in pixels."""

RESIDUAL_BLOCKS = (False, False, False, True, False, False, False, True, False, False, True, False, False, True)
"""The network's blocks of two convolutions; True: the block halves the resolution."""

_ENCLOSING_LAYERS = 130
_FEATURES = 128


class MalformedWeights(ValueError):
    """The file is not dlib's face recognition network."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution with its affine layer folded in: ``kernel`` [rows, columns, in, out] and ``bias`` [out]."""

    kernel: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class ResNetWeights:
    """The weights of dlib's face recognition network, from input to output."""

    mean_rgb: Floats
    convolutions: tuple[Convolution, ...]
    projection: Floats


class _Reader:
    """A cursor over the bytes of a file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def integer(self) -> int:
        control = self.data[self.at]
        end = self.at + 1 + (control & 0x0F)
        value = int.from_bytes(self.data[self.at + 1 : end], "little")
        self.at = end
        return -value if control & 0x80 else value

    def expect(self, *values: int) -> None:
        for value in values:
            if (found := self.integer()) != value:
                raise MalformedWeights(f"found {found}, expected {value}, before byte {self.at}")

    def real(self) -> float:
        mantissa = self.integer()
        return math.ldexp(mantissa, self.integer())

    def text(self) -> str:
        length = self.integer()
        self.at += length
        return self.data[self.at - length : self.at].decode("ascii")

    def name(self, expected: str) -> None:
        if (found := self.text()) != expected:
            raise MalformedWeights(f"found layer {found!r}, expected {expected!r}, before byte {self.at}")

    def flags(self, count: int) -> None:
        if set(self.data[self.at : self.at + count]) - {ord("0"), ord("1")}:
            raise MalformedWeights(f"expected {count} booleans at byte {self.at}")
        self.at += count

    def tensor(self) -> Floats:
        self.expect(2)
        shape = tuple(self.integer() for _ in range(4))
        values = np.frombuffer(self.data, "<f4", math.prod(shape), self.at).reshape(shape)
        self.at += values.nbytes
        return values

    def after_layer(self) -> None:
        """Skip the training state that dlib stores after each layer."""
        self.flags(3)
        for _ in range(3):
            self.tensor()

    def convolution(self) -> tuple[Floats, Floats]:
        """Kernel [out, in, rows, columns] and bias [out]."""
        self.name("con_4")
        parameters = self.tensor().ravel()
        filters = self.integer()
        for _geometry in range(6):
            self.integer()
        self.expect(1)
        shape = tuple(self.integer() for _ in range(4))
        self.expect(1, 1, filters, 1, 1)
        for _learning_rate in range(4):
            self.real()
        kernel, bias = np.split(parameters, [math.prod(shape)])
        return kernel.reshape(shape), bias

    def affine(self) -> tuple[Floats, Floats]:
        """Gain and offset, each [channels]."""
        self.name("affine_")
        gain, offset = np.split(self.tensor().ravel(), 2)
        for _ in range(2):
            self.expect(1, 1, gain.size, 1, 1)
        self.integer()
        return gain, offset

    def pool(self, name: str) -> None:
        self.name(name)
        for _geometry in range(6):
            self.integer()
        self.after_layer()

    def bare_layer(self, name: str) -> None:
        self.name(name)
        self.after_layer()

    def projection(self) -> Floats:
        """Matrix [in, out] of the last layer."""
        self.name("fc_2")
        self.expect(_FEATURES)
        inputs = self.integer()
        return self.tensor().reshape(inputs, _FEATURES)


def _folded(reader: _Reader, first: bool = False) -> Convolution:
    """Read a convolution and the affine layer after it, as one convolution."""
    kernel, bias = reader.convolution()
    reader.after_layer()
    if first:
        reader.integer()
    gain, offset = reader.affine()
    reader.after_layer()
    return Convolution(
        kernel=np.ascontiguousarray((kernel * gain[:, None, None, None]).transpose(2, 3, 1, 0)),
        bias=bias * gain + offset,
    )


def read_resnet(data: bytes) -> ResNetWeights:
    """Read ``dlib_face_recognition_resnet_model_v1.dat``.

    Raises:
        MalformedWeights: it is not that network.
    """
    reader = _Reader(data)
    try:
        return _resnet(reader)
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise MalformedWeights(f"not dlib's face recognition network: {error}") from error


def _resnet(reader: _Reader) -> ResNetWeights:
    reader.expect(1)
    reader.name("loss_metric_2")
    for _margin_and_threshold in range(2):
        reader.real()
    for _version in range(_ENCLOSING_LAYERS):
        reader.integer()
    reader.name("input_rgb_image_sized")
    mean = np.array([reader.real() for _ in range(3)], np.float32)
    reader.expect(CHIP_SIZE, CHIP_SIZE)
    convolutions = [_folded(reader, first=True)]
    reader.bare_layer("relu_")
    reader.pool("max_pool_2")
    for reduces in RESIDUAL_BLOCKS:
        convolutions.append(_folded(reader))
        reader.bare_layer("relu_")
        convolutions.append(_folded(reader))
        if reduces:
            reader.pool("avg_pool_2")
        reader.bare_layer("add_prev_")
        reader.bare_layer("relu_")
    reader.pool("avg_pool_2")
    return ResNetWeights(mean, tuple(convolutions), reader.projection())
