from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as kafkas_murmur2
from hypothesis import given
from hypothesis import strategies as st

from eventlog.partitioner import murmur2, partition_for


@given(st.binary(max_size=200))
def test_the_hash_is_kafkas(key: bytes) -> None:
    """Every key hashes as Kafka's own client hashes it."""
    assert murmur2(key) == kafkas_murmur2(key)


@given(st.binary(max_size=40), st.integers(1, 64))
def test_a_key_goes_to_the_partition_kafka_would_choose(key: bytes, partitions: int) -> None:
    """Both logs route a key alike, so data may move from one to the other."""
    everything = list(range(partitions))
    assert partition_for(key, partitions) == DefaultPartitioner()(key, everything, everything)
