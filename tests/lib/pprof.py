# SPDX-License-Identifier: GPL-2.0-only
"""Reads a pprof: its samples, with their labels and the names of their functions."""

import gzip
from collections import namedtuple

Sample = namedtuple("Sample", "count labels functions")  # functions: leaf first


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, value) of every field of a message: an int, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {key & 7}")
        yield key >> 3, value


def numbers(value):
    """A repeated number: packed, or one."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        found.append(number)
    return found


def label_of(message, strings):
    label = dict(fields(message))
    text = strings[label[2]] if 2 in label else label.get(3, 0)
    return strings[label[1]], text


def read(path):
    """[Sample] of the file."""
    with gzip.open(path) as source:
        profile = list(fields(source.read()))
    strings = [value.decode() for number, value in profile if number == 6]
    functions, locations, samples = {}, {}, []
    for number, value in profile:
        if number == 5:
            function = dict(fields(value))
            functions[function[1]] = strings[function[2]]
        elif number == 4:
            lines = [dict(fields(v)) for n, v in fields(value) if n == 4]
            locations[dict(fields(value))[1]] = [line[1] for line in lines]
    for number, value in profile:
        if number != 2:
            continue
        parts = list(fields(value))
        where = [i for n, v in parts if n == 1 for i in numbers(v)]
        count = next(numbers(v)[0] for n, v in parts if n == 2)
        labels = dict(label_of(v, strings) for n, v in parts if n == 3)
        names = [functions[f] for location in where for f in locations[location]]
        samples.append(Sample(count, labels, names))
    return samples
