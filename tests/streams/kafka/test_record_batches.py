"""Record batches are told apart by their bytes, whole, damaged or cut off."""

from __future__ import annotations

import struct

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from streams.kafka.messages import TopicPartition
from streams.kafka.record_batches import RecordBatch, parse
from streams.kafka.unreadable import UnreadableBatch


def batch(first: int, values: list[bytes], codec: int = 0) -> bytearray:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10_000,
    )
    for number, value in enumerate(values):
        builder.append(number, timestamp=1_000 + number, key=b"user", value=value, headers=[])
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, first)
    return data


@pytest.mark.parametrize(("number", "name"), list(enumerate(["none", "gzip", "snappy", "lz4", "zstd"])))
def test_batches_of_every_codec_are_well(number: int, name: str) -> None:
    data = bytes(batch(7, [b"a" * 500, b"b" * 500], number) + batch(9, [b"c"]))
    assert list(parse(data)) == [RecordBatch(7, 9, name, 1_001, None), RecordBatch(9, 10, "none", 1_000, None)]


def test_a_wrong_checksum_is_of_one_batch() -> None:
    bad = batch(1, [b"x"])
    bad[-1] ^= 1
    found = list(parse(bytes(batch(0, [b"a"]) + bad + batch(2, [b"c"]))))
    assert [one.problem for one in found] == [None, "its checksum is wrong", None]


def test_what_says_that_it_is_compressed_and_is_not() -> None:
    bad = batch(1, [b"x"])
    for codec, said in ((4, "its zstd cannot be decoded"), (6, "its codec 6 cannot be decoded")):
        bad[22] = codec
        struct.pack_into(">I", bad, 17, calc_crc32c(bytes(bad[21:])))
        (found,) = parse(bytes(bad))
        assert (found.problem or "").startswith(said)


def test_what_is_cut_off_or_has_an_impossible_length_ends_it() -> None:
    whole = bytes(batch(3, [b"x" * 100]))
    assert [one.problem for one in parse(whole + whole[:80])] == [None, f"only 80 of its {len(whole)} bytes are there"]
    assert [one.problem for one in parse(whole[:20])] == ["only 20 bytes of it are there"]
    short = bytearray(whole)
    struct.pack_into(">i", short, 8, 20)
    assert [one.problem for one in parse(bytes(short) + whole)] == ["its length is 20 bytes, less than a header"]
    assert list(parse(b"")) == []


def test_what_cannot_be_read_says_where_and_how_it_is_passed() -> None:
    source = TopicPartition("frames", 3)
    assert str(UnreadableBatch(source, 5, 6, "why")) == "frames 3 cannot be read at offset 5: why"
    found = UnreadableBatch(source, 5, 9, "why")
    assert str(found) == "frames 3 cannot be read at offset 5 to 8: why"
    assert found.remedy == "facestream dead-letters pass frames 3 5"
    assert (
        found.letter_id
        == UnreadableBatch(source, 5, 7, "another").letter_id
        != UnreadableBatch(source, 6, 9, "why").letter_id
    )
