"""Reads TensorBoard events with the real tensorboard and prints their scalars as one JSON object.

usage: python tensorboard_check.py EVENTS_FILE_OR_FOLDER
       (needs: pip install --no-deps tensorboard protobuf numpy absl-py)
Prints {"loss": [[step, value, wall_time], ...], ...}; exit 1 where there is none or a record's checksum is wrong.
"""
import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.errors import OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New


def check_records(path):
    """Every record whole and with the right checksums: EventAccumulator stops silently at a damaged one."""
    reader = PyRecordReader_New(str(path))
    count = 0
    while True:
        try:
            reader.GetNext()
        except OutOfRangeError:
            return count
        event = Event.FromString(reader.record())
        if count == 0 and event.file_version != "brain.Event:2":
            raise ValueError(f"{path}: first record says file_version {event.file_version!r}")
        count += 1


def main():
    target = pathlib.Path(sys.argv[1])
    files = sorted(target.rglob("*tfevents*")) if target.is_dir() else [target]
    if not files:
        sys.exit(f"{target}: no events file")
    for path in files:
        if check_records(path) < 2:
            sys.exit(f"{path}: no record but the first")
    events = EventAccumulator(str(target), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    scalars = {tag: [[e.step, e.value, e.wall_time] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    for tag in events.Tags()["tensors"]:
        scalars[tag] = [[e.step, e.tensor_proto.float_val[0], e.wall_time] for e in events.Tensors(tag)]
    print(json.dumps(scalars))


if __name__ == "__main__":
    main()
