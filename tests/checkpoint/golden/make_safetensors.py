"""Writes official.safetensors with the official writer, and checks that it reads a file of ours.

Made with safetensors 0.8.0 and numpy 2.4.6 (from PyPI), Python 3.11:
    python make_safetensors.py                 # writes official.safetensors beside this script
    python make_safetensors.py OUR.safetensors # reads another file and prints what it holds
"""

import pathlib
import sys

import numpy
import safetensors


ARRAYS = []  # the writer takes addresses: what they point to must stay


def tensor(dtype, name, array):
    ARRAYS.append(numpy.array(array, dtype=dtype, order="C"))
    data = ARRAYS[-1]
    return safetensors.TensorSpec(dtype=name, shape=data.shape, data_ptr=data.ctypes.data, data_len=data.nbytes)


def main():
    if len(sys.argv) > 1:
        with safetensors.safe_open(sys.argv[1], "numpy") as file:
            print(file.metadata())
            for name in sorted(file.keys()):
                part = file.get_slice(name)
                print(name, part.get_dtype(), part.get_shape())
        return
    counting = numpy.arange(6).reshape(2, 3)
    tensors = {
        "model.norm.weight": tensor(numpy.float32, "float32", counting + 0.5),
        "a.bytes": tensor(numpy.uint8, "uint8", numpy.arange(5)),
        "b.brain": tensor(numpy.uint16, "bfloat16", numpy.array([0x3F80, 0xC000, 0x7F80])),  # 1, -2, inf
        "c.half": tensor(numpy.float16, "float16", numpy.array([[1, -2]])),
        "d.words": tensor(numpy.uint16, "uint16", numpy.array([1, 65535])),
        "e.ids": tensor(numpy.int32, "int32", numpy.array([-1, 2])),
        "f.long": tensor(numpy.int64, "int64", numpy.array([-(2**62)])),
        "g.double": tensor(numpy.float64, "float64", numpy.array([0.1])),
        "h.empty": tensor(numpy.float32, "float32", numpy.zeros((0, 4))),
        "a.scalar": tensor(numpy.float32, "float32", numpy.array(3.0)),
    }
    path = pathlib.Path(__file__).with_name("official.safetensors")
    path.write_bytes(safetensors.serialize(tensors, {"format": "pt"}))


main()
